//! The schema: field names, dtypes, offsets, nesting and shape of a payload.
//!
//! A program's schema comes from [`ShmPayload::schema`](crate::ShmPayload::schema); a stream's is
//! stored in its header. `compare` finds the first difference between the two, `wire` writes a
//! schema as bytes and reads it back from bytes that nobody vouches for, `text` does the same with
//! text, and `build` puts structs together at run time.

mod build;
mod compare;
mod text;
mod wire;

pub(crate) use compare::shape_text;
pub use text::SchemaError;
pub(crate) use text::excerpt;
pub(crate) use wire::MAX_ALIGN;

use crate::dtype::DType;

/// The layout of a payload: an array of scalars or structs.
///
/// The shape is outermost first: the schema of `[[f32; 4]; 3]` has the item `f32` and the shape
/// `[3, 4]`; the schema of a plain `f32` has the shape `[]`.
///
/// ```
/// use shmstream::{DType, Item, ShmPayload};
///
/// let schema = <[[f32; 4]; 3]>::schema();
/// assert_eq!(schema.item(), &Item::Scalar(DType::F32));
/// assert_eq!(schema.shape(), [3, 4]);
/// assert_eq!(schema.size(), 48);
/// assert_eq!(schema.to_string(), "[[f32; 4]; 3]");
/// ```
///
/// A program that learns at run time what a stream carries makes a schema of its parts
/// ([`tensor`](Self::tensor), [`structure_of`](Self::structure_of)) or reads it from the text that
/// `Display` writes:
///
/// ```
/// use shmstream::{DType, Schema};
///
/// let schema: Schema = "Imu { time: f64, accel: [f32; 3], gyro: [f32; 3] }".parse()?;
/// let vector = Schema::tensor(DType::F32, &[3]);
/// let same = Schema::structure_of(
///     "Imu",
///     [("time", Schema::scalar(DType::F64)), ("accel", vector.clone()), ("gyro", vector)],
/// )?;
/// assert_eq!(schema, same);
/// # Ok::<(), shmstream::SchemaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    shape: Vec<usize>,
    item: Item,
}

/// What an array of a [`Schema`] is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A scalar.
    Scalar(DType),
    /// A struct of named fields.
    Struct(StructSchema),
}

/// The layout of a struct without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructSchema {
    name: String,
    size: usize,
    align: usize,
    fields: Vec<Field>,
}

/// One field of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    name: String,
    offset: usize,
    schema: Schema,
}

impl Schema {
    /// Returns the schema of one scalar.
    #[must_use]
    pub const fn scalar(dtype: DType) -> Self {
        Self {
            shape: Vec::new(),
            item: Item::Scalar(dtype),
        }
    }

    /// Returns the schema of an array of scalars with these dimensions, outermost first.
    ///
    /// What a stream cannot carry, such as a dimension of 0, is refused when the stream is created.
    ///
    /// ```
    /// use shmstream::{DType, Schema};
    ///
    /// let image = Schema::tensor(DType::U16, &[480, 640]);
    /// assert_eq!(image.to_string(), "[[u16; 640]; 480]");
    /// ```
    #[must_use]
    pub fn tensor(dtype: DType, shape: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            item: Item::Scalar(dtype),
        }
    }

    /// Returns the schema of `len` values of this schema, one after another.
    #[must_use]
    pub fn array(mut self, len: usize) -> Self {
        self.shape.insert(0, len);
        self
    }

    /// Returns the schema of one struct; for the derive, which has checked all of it.
    #[doc(hidden)]
    #[must_use]
    pub fn structure(name: &str, size: usize, align: usize, fields: Vec<Field>) -> Self {
        let name = name.to_owned();
        let structure = StructSchema {
            name,
            size,
            align,
            fields,
        };
        Self {
            shape: Vec::new(),
            item: Item::Struct(structure),
        }
    }

    /// Returns the dimensions, outermost first; empty for a single item.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns what the array is made of.
    #[must_use]
    pub const fn item(&self) -> &Item {
        &self.item
    }

    /// Returns the dtype of the scalars, or `None` for structs.
    #[must_use]
    pub const fn dtype(&self) -> Option<DType> {
        match self.item {
            Item::Scalar(dtype) => Some(dtype),
            Item::Struct(_) => None,
        }
    }

    /// Returns the fields of the struct; empty for scalars.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match &self.item {
            Item::Scalar(_) => &[],
            Item::Struct(structure) => structure.fields(),
        }
    }

    /// Returns the size of one value in bytes, items times item size.
    ///
    /// Saturates at `usize::MAX`, which no value of a Rust type reaches.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shape
            .iter()
            .fold(self.item.size(), |size, &len| size.saturating_mul(len))
    }

    /// Returns the alignment of a value in bytes.
    #[must_use]
    pub const fn align(&self) -> usize {
        self.item.align()
    }
}

impl Item {
    /// Returns the size of one item in bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        match self {
            Self::Scalar(dtype) => dtype.size(),
            Self::Struct(structure) => structure.size,
        }
    }

    /// Returns the alignment of one item in bytes.
    #[must_use]
    pub const fn align(&self) -> usize {
        match self {
            Self::Scalar(dtype) => dtype.align(),
            Self::Struct(structure) => structure.align,
        }
    }
}

impl StructSchema {
    /// Returns the name of the struct in the program that declared it.
    ///
    /// Two structs with the same fields are the same payload, whatever their names.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the fields in the order of their offsets.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }
}

impl Field {
    /// Returns a field; for the derive.
    #[doc(hidden)]
    #[must_use]
    pub fn new(name: &str, offset: usize, schema: Schema) -> Self {
        let name = name.to_owned();
        Self {
            name,
            offset,
            schema,
        }
    }

    /// Returns the name of the field; a tuple struct's fields are named `0`, `1` and so on.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the distance in bytes from the start of the struct.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the layout of the field.
    #[must_use]
    pub const fn schema(&self) -> &Schema {
        &self.schema
    }
}

#[cfg(test)]
mod tests;
