//! Structs put together at run time, laid out as `repr(C)` does and refused where that pads.

use super::text::{SchemaError, excerpt};
use super::wire::{MAX_ALIGN, MAX_FIELDS, MAX_RANK};
use super::{Field, Item, Schema, StructSchema};

/// Bytes of a name.
const MAX_NAME: usize = 255;

/// Why something cannot be part of a schema.
pub(super) type Defect = String;

impl Schema {
    /// Returns the schema of a struct with these fields, in this order.
    ///
    /// Offsets, size and alignment are those of a `repr(C)` struct. A struct that such a layout
    /// would pad is refused, as the derive does: declare the padding as a field.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] naming the field that needs padding and the bytes missing, or what else
    /// cannot be: a name that is no identifier, or given twice; a field without bytes; a limit (see
    /// [`docs::limitations`](crate::docs::limitations)).
    ///
    /// # Examples
    ///
    /// ```
    /// use shmstream::{DType, Schema};
    ///
    /// let imu = Schema::structure_of(
    ///     "Imu",
    ///     [
    ///         ("time", Schema::scalar(DType::F64)),
    ///         ("accel", Schema::tensor(DType::F32, &[3])),
    ///         ("gyro", Schema::tensor(DType::F32, &[3])),
    ///     ],
    /// )?;
    /// assert_eq!((imu.size(), imu.align()), (32, 8));
    /// assert_eq!(imu.fields()[2].offset(), 20);
    ///
    /// let bytes = [("kind", Schema::scalar(DType::U8)), ("time", Schema::scalar(DType::F64))];
    /// let error = Schema::structure_of("Event", bytes).unwrap_err();
    /// assert!(error.to_string().contains("7 bytes of padding before `time`"));
    /// # Ok::<(), shmstream::SchemaError>(())
    /// ```
    pub fn structure_of<N: AsRef<str>>(
        name: &str,
        fields: impl IntoIterator<Item = (N, Self)>,
    ) -> Result<Self, SchemaError> {
        let put_together = || {
            let mut parts = Parts::new(name)?;
            for (name, schema) in fields {
                parts.push(name.as_ref(), schema)?;
            }
            parts.finish(None)?.checked()
        };
        put_together().map_err(SchemaError::new)
    }

    /// Returns the schema of the same struct, aligned to `align` bytes as by `repr(align)`.
    ///
    /// An alignment that the struct has already changes nothing.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] when this is no single struct, when `align` is not a power of two up to 4096
    /// or is less than the fields need, and when the size is not a multiple of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use shmstream::{DType, Schema};
    ///
    /// let lanes = [("lanes", Schema::tensor(DType::F32, &[16]))];
    /// let block = Schema::structure_of("Block", lanes)?.with_align(64)?;
    /// assert_eq!(block.to_string(), "Block align(64) { lanes: [f32; 16] }");
    /// # Ok::<(), shmstream::SchemaError>(())
    /// ```
    pub fn with_align(self, align: usize) -> Result<Self, SchemaError> {
        let aligned = match self.item {
            Item::Struct(structure) if self.shape.is_empty() => Parts::from(structure)
                .finish(Some(align))
                .and_then(Self::checked),
            _ => Err(format!(
                "only a struct can be aligned, and `{self}` is none"
            )),
        };
        aligned.map_err(SchemaError::new)
    }

    /// Checks what only the whole shows, such as the depth.
    fn checked(self) -> Result<Self, Defect> {
        self.encode().map_err(str::to_owned)?;
        Ok(self)
    }

    /// Checks dimensions and size.
    pub(crate) fn check_size(&self) -> Result<(), String> {
        if self.shape.len() > MAX_RANK {
            return Err(format!("more than {MAX_RANK} dimensions in one array"));
        }
        let size = self
            .shape
            .iter()
            .try_fold(self.item.size(), |size, &len| size.checked_mul(len))
            .filter(|&size| isize::try_from(size).is_ok());
        match size {
            None => Err("an array larger than any address space".to_owned()),
            Some(0) => Err("an array without elements carries nothing".to_owned()),
            Some(_) => Ok(()),
        }
    }
}

/// A struct in the making.
#[derive(Debug)]
pub(super) struct Parts {
    name: String,
    fields: Vec<Field>,
    /// Where the last field ends.
    end: usize,
    /// The largest alignment of a field.
    align: usize,
}

impl Parts {
    pub(super) fn new(name: &str) -> Result<Self, Defect> {
        check_name("a struct", name)?;
        Ok(Self {
            name: name.to_owned(),
            fields: Vec::new(),
            end: 0,
            align: 1,
        })
    }

    /// Adds a field behind the others.
    pub(super) fn push(&mut self, name: &str, schema: Schema) -> Result<(), Defect> {
        check_name("a field", name)?;
        schema
            .check_size()
            .map_err(|defect| format!("field `{name}`: {defect}"))?;
        if self.fields.len() == MAX_FIELDS {
            return Err(format!("`{}` has more than {MAX_FIELDS} fields", self.name));
        }
        if self.has(name) {
            return Err(format!("`{}` has two fields named `{name}`", self.name));
        }
        let gap = missing(self.end, schema.align());
        if gap > 0 {
            return Err(format!(
                "{} of padding before `{name}`: add `{}: [u8; {gap}]` before it, or declare the \
                 fields from largest to smallest alignment",
                bytes(gap),
                self.padding_name(),
            ));
        }
        let offset = self.end;
        self.end = offset
            .checked_add(schema.size())
            .ok_or_else(|| format!("`{}` is larger than any address space", self.name))?;
        self.align = self.align.max(schema.align());
        self.fields.push(Field::new(name, offset, schema));
        Ok(())
    }

    /// Returns the struct, aligned as its fields are or as `align` says.
    pub(super) fn finish(self, align: Option<usize>) -> Result<Schema, Defect> {
        let align = match align {
            Some(align) => self.check_align(align)?,
            None => self.align,
        };
        let Some(last) = self.fields.last() else {
            return Err(format!("`{}` has no fields and carries nothing", self.name));
        };
        let gap = missing(self.end, align);
        if gap > 0 {
            let or_align = match align > self.align {
                true => format!(", or lower the alignment of `{}`", self.name),
                false => String::new(),
            };
            return Err(format!(
                "{} of padding after `{}`, at the end of `{}`: add `{}: [u8; {gap}]` after \
                 it{or_align}",
                bytes(gap),
                last.name,
                self.name,
                self.padding_name(),
            ));
        }
        Ok(Schema::structure(&self.name, self.end, align, self.fields))
    }

    fn check_align(&self, align: usize) -> Result<usize, Defect> {
        if !align.is_power_of_two() || align > MAX_ALIGN {
            return Err(format!(
                "an alignment is a power of two up to {MAX_ALIGN}, not {align}"
            ));
        }
        if align < self.align {
            return Err(format!(
                "`{}` cannot be aligned to {}: its fields need {}",
                self.name,
                bytes(align),
                self.align
            ));
        }
        Ok(align)
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// Returns the first of `_pad`, `_pad1`, `_pad2` and so on that no field has yet.
    fn padding_name(&self) -> String {
        let mut name = "_pad".to_owned();
        let mut suffix = 0;
        while self.has(&name) {
            suffix += 1;
            name = format!("_pad{suffix}");
        }
        name
    }
}

impl From<StructSchema> for Parts {
    fn from(structure: StructSchema) -> Self {
        let aligns = structure.fields.iter().map(|field| field.schema.align());
        Self {
            align: aligns.max().unwrap_or(1),
            name: structure.name,
            fields: structure.fields,
            end: structure.size,
        }
    }
}

/// Says whether a character may be part of a name: one of an identifier, or a digit for the fields
/// of a tuple struct.
///
/// Not precisely Rust's identifiers, for which the standard library has no tables, but every one of
/// them consists of such characters, and no text needs quotes around them.
pub(super) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !(c.is_ascii() || c.is_whitespace() || c.is_control())
}

/// Returns whether the text can be the name of a struct or a field.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_name_char)
}

fn check_name(of: &str, name: &str) -> Result<(), Defect> {
    if !is_name(name) {
        return Err(format!(
            "{of}'s name consists of letters, digits and `_`, unlike {}",
            excerpt(name)
        ));
    }
    if name.len() > MAX_NAME {
        return Err(format!("{of}'s name is longer than {MAX_NAME} bytes"));
    }
    Ok(())
}

/// Returns the bytes between `end` and the next multiple of `align`.
const fn missing(end: usize, align: usize) -> usize {
    match end % align {
        0 => 0,
        over => align - over,
    }
}

fn bytes(count: usize) -> String {
    match count {
        1 => "1 byte".to_owned(),
        count => format!("{count} bytes"),
    }
}
