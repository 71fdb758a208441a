//! Where the items of a view lie in a frame.

use std::ops::Range;

use super::offsets::Offsets;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::name::StreamName;
use crate::pod::Pod;
use crate::schema::{Field, Item, Schema, shape_text};

/// One dimension of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dimension {
    pub(super) len: usize,
    /// The distance between neighbours in bytes.
    pub(super) stride: usize,
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

    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.elements(self.rank())
    }

    /// How many elements there are, if the first `outer` dimensions are outside of them.
    pub(super) fn elements(&self, outer: usize) -> usize {
        self.dimensions[..outer].iter().map(|one| one.len).product()
    }

    pub(super) fn is_contiguous(&self) -> bool {
        self.is_dense(0)
    }

    /// Whether the items behind one index of the first `outer` dimensions lie side by side.
    fn is_dense(&self, outer: usize) -> bool {
        let mut size = self.item.size();
        self.dimensions[outer..].iter().rev().all(|one| {
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
        let offset = self.offset_at(index)?;
        Ok(Self {
            name: self.name,
            path: self.path.clone(),
            offset,
            dimensions: self.dimensions[index.len()..].to_vec(),
            item: self.item,
        })
    }

    /// Where that begins.
    fn offset_at(&self, index: &[usize]) -> Result<usize> {
        let outer = self.dimensions.iter().zip(index);
        if index.len() > self.rank() || outer.clone().any(|(one, &i)| i >= one.len) {
            return Err(self.no_index(index));
        }
        Ok(self.offset + outer.map(|(one, &i)| i * one.stride).sum::<usize>())
    }

    /// Where the one `T` at an index lies.
    pub(super) fn value_at<T: Pod>(&self, index: &[usize]) -> Result<Range<usize>> {
        let offset = self.offset_at(index)?;
        match self.check_behind::<T>(index.len())? {
            0 => Ok(offset..offset + size_of::<T>()),
            _ => Err(self.shape_differs(index.len(), T::schema().shape())),
        }
    }

    /// Where the one scalar at an index lies, and its type.
    pub(super) fn scalar_at(&self, index: &[usize]) -> Result<(DType, Range<usize>)> {
        let offset = self.offset_at(index)?;
        let dtype = self.scalars()?;
        if index.len() < self.rank() {
            return Err(self.no_scalar(index));
        }
        Ok((dtype, offset..offset + dtype.size()))
    }

    /// Where the items lie, side by side.
    pub(super) fn contiguous(&self) -> Result<Range<usize>> {
        if !self.is_contiguous() {
            return Err(self.scattered());
        }
        Ok(self.offset..self.offset + self.len() * self.item.size())
    }

    /// Where the first item begins.
    #[cfg(feature = "ndarray")]
    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// The bytes there.
    pub(super) fn slice<'b>(&self, bytes: &'b [u8], range: Range<usize>) -> Result<&'b [u8]> {
        bytes.get(range).ok_or_else(|| self.outside())
    }

    /// The same, to be changed.
    pub(super) fn slice_mut<'b>(
        &self,
        bytes: &'b mut [u8],
        range: Range<usize>,
    ) -> Result<&'b mut [u8]> {
        bytes.get_mut(range).ok_or_else(|| self.outside())
    }

    /// Where the elements begin, if the first `outer` dimensions are gone through one by one.
    pub(super) fn offsets(&self, outer: usize) -> Offsets {
        Offsets::new(self.offset, &self.dimensions[..outer])
    }

    /// Checks that the view is made of `T`, and returns how many dimensions are outside of it.
    pub(super) fn check_elements<T: Pod>(&self) -> Result<usize> {
        self.check_behind::<T>(0)
    }

    /// The same for what lies behind one index of the first `skipped` dimensions.
    fn check_behind<T: Pod>(&self, skipped: usize) -> Result<usize> {
        let program = T::schema();
        if let Some(difference) = self.item.difference(program.item()) {
            return Err(self.type_differs(skipped, &program, difference));
        }
        let inner = program.shape();
        let lens = self.dimensions.iter().map(|one| one.len);
        let outer = self.rank().checked_sub(inner.len());
        let Some(outer) = outer.filter(|&outer| {
            outer >= skipped && lens.clone().skip(outer).eq(inner.iter().copied())
        }) else {
            return Err(self.shape_differs(skipped, inner));
        };
        // An array that is one value of `T` lies side by side.
        if !self.is_dense(outer) {
            return Err(self.scattered());
        }
        Ok(outer - skipped)
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

    #[cold]
    fn type_differs(&self, skipped: usize, program: &Schema, difference: String) -> Error {
        let difference = match self.path.as_str() {
            "" => difference,
            path => format!("in the field `{path}`: {difference}"),
        };
        Error::Type {
            name: self.name.clone(),
            stream: self.described(skipped),
            program: program.to_string(),
            difference,
        }
    }

    /// Says that what lies behind the first `skipped` dimensions has another shape.
    #[cold]
    fn shape_differs(&self, skipped: usize, program: &[usize]) -> Error {
        Error::Shape {
            name: self.name.clone(),
            stream: self.shape().split_off(skipped),
            program: program.to_vec(),
        }
    }

    #[cold]
    fn no_index(&self, index: &[usize]) -> Error {
        Error::Index {
            name: self.name.clone(),
            index: index.to_vec(),
            shape: self.shape(),
        }
    }

    #[cold]
    fn no_scalar(&self, index: &[usize]) -> Error {
        Error::Field {
            name: self.name.clone(),
            field: self.path.clone(),
            reason: format!(
                "has {} dimensions, and a scalar has an index for each of them, not {}",
                self.rank(),
                index.len()
            ),
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
                self.described(0)
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
        let item = match self.item {
            Item::Scalar(dtype) => dtype.name(),
            Item::Struct(structure) => structure.name(),
        };
        Error::Field {
            name: self.name.clone(),
            field: self.path.clone(),
            reason: format!(
                "has its values {:?} bytes apart, not side by side; copy them with \
                 to_vec::<{item}>, or go through them with iter::<{item}>",
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

    fn described(&self, skipped: usize) -> String {
        match self.shape().split_off(skipped).as_slice() {
            [] => self.item.to_string(),
            shape => {
                let shape = shape_text(shape);
                format!("{} of shape {shape}", self.item)
            }
        }
    }
}

/// Checks that a frame is made of `T`, an element or an array of the innermost dimensions.
pub(crate) fn check_frame<T: Pod>(name: &StreamName, schema: &Schema) -> Result<()> {
    let program = T::schema();
    let same_item = schema.item().difference(program.item()).is_none();
    if same_item && schema.shape().ends_with(program.shape()) {
        return Ok(());
    }
    // Not the shortest way, but the one that says what differs.
    Place::whole(name, schema).check_elements::<T>().map(drop)
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
