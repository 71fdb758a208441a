//! Where the items of a view lie in a frame.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::name::StreamName;
use crate::pod::Pod;
use crate::schema::{Field, Item, Schema};

/// One dimension of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dimension {
    len: usize,
    /// The distance between neighbours in bytes.
    stride: usize,
}

/// An array of items somewhere in a frame.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    name: &'a StreamName,
    /// The path of the field, for messages.
    path: String,
    /// Where the first item begins.
    offset: usize,
    /// Outermost first.
    dimensions: Vec<Dimension>,
    item: &'a Item,
}

impl<'a> Place<'a> {
    /// All of a frame.
    pub(crate) fn whole(name: &'a StreamName, schema: &'a Schema) -> Self {
        Self {
            name,
            path: String::new(),
            offset: 0,
            dimensions: dimensions(schema),
            item: schema.item(),
        }
    }

    pub(super) const fn item(&self) -> &'a Item {
        self.item
    }

    pub(super) fn shape(&self) -> Vec<usize> {
        self.dimensions.iter().map(|one| one.len).collect()
    }

    pub(super) fn strides(&self) -> Vec<usize> {
        self.dimensions.iter().map(|one| one.stride).collect()
    }

    pub(super) const fn rank(&self) -> usize {
        self.dimensions.len()
    }

    pub(super) fn len(&self) -> usize {
        self.dimensions.iter().map(|one| one.len).product()
    }

    pub(super) fn is_contiguous(&self) -> bool {
        let mut size = self.item.size();
        self.dimensions.iter().rev().all(|one| {
            let fits = one.stride == size || one.len == 1;
            size *= one.len;
            fits
        })
    }

    /// The same field in every item.
    pub(super) fn field(&self, path: &str) -> Result<Self> {
        let mut place = self.clone();
        for name in path.split('.') {
            let Item::Struct(structure) = place.item else {
                return Err(place.no_field(name, &[]));
            };
            let Some(field) = structure.fields().iter().find(|field| field.name() == name) else {
                return Err(place.no_field(name, structure.fields()));
            };
            place.offset += field.offset();
            place.dimensions.extend(dimensions(field.schema()));
            place.item = field.schema().item();
            if !place.path.is_empty() {
                place.path.push('.');
            }
            place.path.push_str(name);
        }
        Ok(place)
    }

    /// What is at indices of the outer dimensions.
    pub(super) fn at(&self, index: &[usize]) -> Result<Self> {
        let outer = self.dimensions.iter().zip(index);
        if index.len() > self.rank() || outer.clone().any(|(one, &i)| i >= one.len) {
            return Err(Error::Index {
                name: self.name.clone(),
                index: index.to_vec(),
                shape: self.shape(),
            });
        }
        let mut place = self.clone();
        place.offset += outer.map(|(one, &i)| i * one.stride).sum::<usize>();
        place.dimensions.drain(..index.len());
        Ok(place)
    }

    /// The bytes from the first item on.
    pub(super) fn slice<'b>(&self, bytes: &'b [u8], len: usize) -> Result<&'b [u8]> {
        let bytes = bytes.get(self.offset..).and_then(|bytes| bytes.get(..len));
        bytes.ok_or_else(|| self.outside())
    }

    /// The same, to be changed.
    pub(super) fn slice_mut<'b>(&self, bytes: &'b mut [u8], len: usize) -> Result<&'b mut [u8]> {
        let bytes = bytes
            .get_mut(self.offset..)
            .and_then(|bytes| bytes.get_mut(..len));
        bytes.ok_or_else(|| self.outside())
    }

    /// How many bytes the items take if they lie side by side.
    pub(super) fn size(&self) -> usize {
        self.len() * self.item.size()
    }

    /// The bytes of items that lie side by side.
    pub(super) fn contiguous<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        if !self.is_contiguous() {
            return Err(self.scattered());
        }
        self.slice(bytes, self.size())
    }

    /// Where the elements begin, if the first `outer` dimensions are gone through one by one.
    pub(super) fn offsets(&self, outer: usize) -> impl Iterator<Item = usize> + use<> {
        let dimensions = self.dimensions[..outer].to_vec();
        let len = dimensions.iter().map(|one| one.len).product::<usize>();
        let first = self.offset;
        (0..len).map(move |element| {
            let mut rest = element;
            let mut offset = first;
            for one in dimensions.iter().rev() {
                offset += rest % one.len * one.stride;
                rest /= one.len;
            }
            offset
        })
    }

    /// Checks that the view is made of `T`, and returns how many dimensions are outside of it.
    pub(super) fn check_elements<T: Pod>(&self) -> Result<usize> {
        let program = T::schema();
        self.check_item(&program)?;
        let inner = program.shape();
        let outer = self.rank().checked_sub(inner.len());
        // An array that is one value of `T` lies side by side.
        let fits = outer.filter(|&outer| {
            let ours = &self.dimensions[outer..];
            let dense = dimensions(&program);
            ours.iter().map(|one| one.len).eq(inner.iter().copied()) && ours == &dense[..]
        });
        fits.ok_or_else(|| self.shape_differs(inner))
    }

    /// Checks that the view is one `T`.
    pub(super) fn check_whole<T: Pod>(&self) -> Result<()> {
        match self.check_elements::<T>()? {
            0 => Ok(()),
            _ => Err(self.shape_differs(T::schema().shape())),
        }
    }

    fn check_item(&self, program: &Schema) -> Result<()> {
        match self.item.difference(program.item()) {
            None => Ok(()),
            Some(difference) => Err(Error::Type {
                name: self.name.clone(),
                stream: self.described(),
                program: program.to_string(),
                difference,
            }),
        }
    }

    /// The type of the scalars.
    pub(super) fn scalars(&self) -> Result<DType> {
        match self.item {
            Item::Scalar(dtype) => Ok(*dtype),
            Item::Struct(structure) => Err(Error::Field {
                name: self.name.clone(),
                field: self.path.clone(),
                reason: format!(
                    "is a struct and no scalar; ask for one of its fields: {}",
                    names(structure.fields())
                ),
            }),
        }
    }

    /// The type of the one scalar.
    pub(super) fn single_scalar(&self) -> Result<DType> {
        let dtype = self.scalars()?;
        if self.rank() > 0 {
            return Err(self.shape_differs(&[]));
        }
        Ok(dtype)
    }

    #[cold]
    pub(super) fn shape_differs(&self, program: &[usize]) -> Error {
        Error::Shape {
            name: self.name.clone(),
            stream: self.shape(),
            program: program.to_vec(),
        }
    }

    #[cold]
    fn no_field(&self, wanted: &str, fields: &[Field]) -> Error {
        let (path, reason) = match (self.path.as_str(), fields) {
            ("", _) => (wanted.to_owned(), "the payload".to_owned()),
            (path, _) => (format!("{path}.{wanted}"), format!("`{path}`")),
        };
        let reason = match fields {
            [] => format!(
                "is not there: {reason} is {} and has no fields",
                self.described()
            ),
            _ => format!("is not there: the fields of {reason} are {}", names(fields)),
        };
        Error::Field {
            name: self.name.clone(),
            field: path,
            reason,
        }
    }

    /// Says that the items do not lie side by side.
    #[cold]
    pub(super) fn scattered(&self) -> Error {
        Error::Field {
            name: self.name.clone(),
            field: self.path.clone(),
            reason: format!(
                "has its values {:?} bytes apart, not side by side; copy them with to_vec, or go \
                 through them with iter",
                self.strides()
            ),
        }
    }

    /// Says that no array can be made of the view.
    #[cfg(feature = "ndarray")]
    #[cold]
    pub(super) fn no_array(&self, reason: &str) -> Error {
        Error::Field {
            name: self.name.clone(),
            field: self.path.clone(),
            reason: format!("cannot be an array: {reason}"),
        }
    }

    /// Says that a schema points out of its frame, which the check of the header excludes.
    #[cold]
    pub(super) fn outside(&self) -> Error {
        Error::corrupt(self.name, "the schema", "a field outside of the frame")
    }

    /// Says that a buffer has the wrong length.
    #[cold]
    pub(super) fn length_differs(&self, len: usize, elements: usize) -> Error {
        let reason = format!("must be {elements}, not {len}");
        Error::invalid(self.name, "the number of values", reason)
    }

    fn described(&self) -> String {
        let shape = self.shape();
        match shape.as_slice() {
            [] => self.item.to_string(),
            shape => {
                let shape = crate::schema::shape_text(shape);
                format!("{} of shape {shape}", self.item)
            }
        }
    }
}

/// The dimensions of a value of this schema, whose items lie side by side.
fn dimensions(schema: &Schema) -> Vec<Dimension> {
    let mut stride = schema.item().size();
    let mut dimensions: Vec<_> = schema
        .shape()
        .iter()
        .rev()
        .map(|&len| {
            let one = Dimension { len, stride };
            stride *= len;
            one
        })
        .collect();
    dimensions.reverse();
    dimensions
}

fn names(fields: &[Field]) -> String {
    let names: Vec<_> = fields.iter().map(Field::name).collect();
    names.join(", ")
}
