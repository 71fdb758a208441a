//! Views of payloads whose type is known at run time.
//!
//! A view is a part of a frame: an array of items with a stride for each dimension. The field of a
//! struct is such an array, and so is the field of every struct in an array of structs. [`Place`] says
//! where the items lie; [`View`] and [`ViewMut`] join it with bytes.

#[cfg(feature = "ndarray")]
mod arrays;
mod mutable;
mod offsets;
mod place;

pub use mutable::ViewMut;
use place::Place;
pub(crate) use place::check_frame;

use crate::dtype::DType;
use crate::error::Result;
use crate::name::StreamName;
use crate::pod::{Pod, slice_of, value_of};
use crate::scalar::Scalar;
use crate::schema::{Item, Schema};

/// A part of a frame: an array of items, known at run time.
///
/// Made by `view` and `field` of a frame. The items need not lie side by side: the field of an array
/// of structs is a view with the distance of the structs as its stride.
///
/// ```
/// use shmstream::{ShmPayload, DynStream, Stream};
///
/// #[derive(Clone, Copy, ShmPayload)]
/// #[repr(C)]
/// struct Star {
///     position: [f32; 2],
///     flux: f32,
/// }
///
/// let stream = Stream::<Star, 3>::temporary()?;
/// stream.write(&[1.0, 2.0, 3.0].map(|flux| Star { position: [0.5, flux], flux }))?;
///
/// let stream = DynStream::open(stream.name())?;
/// let frame = stream.read()?.expect("a frame");
/// assert_eq!(frame.field("flux")?.to_vec::<f32>()?, [1.0, 2.0, 3.0]);
/// let position = frame.field("position")?;
/// assert_eq!(position.shape(), [3, 2]);
/// assert_eq!(position.get::<f32>(&[2, 1])?, 3.0);
/// assert_eq!(position.at(&[1])?.as_slice::<f32>()?, [0.5, 2.0]);
/// # Ok::<(), shmstream::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
    place: Place<'a>,
}

impl<'a> View<'a> {
    /// Views all of a frame.
    pub(crate) fn new(name: &'a StreamName, schema: &'a Schema, bytes: &'a [u8]) -> Self {
        let place = Place::whole(name, schema);
        Self { bytes, place }
    }

    /// Returns the dimensions, outermost first; empty for a single item.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        self.place.shape()
    }

    /// Returns the distance between neighbours in each dimension, in bytes.
    #[must_use]
    pub fn strides(&self) -> Vec<usize> {
        self.place.strides()
    }

    /// Returns the number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.place.len()
    }

    /// Returns whether there are no items, which no stream has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what the items are.
    #[must_use]
    pub const fn item(&self) -> &'a Item {
        self.place.item()
    }

    /// Returns the type of the items, or `None` for structs.
    #[must_use]
    pub const fn dtype(&self) -> Option<DType> {
        match self.place.item() {
            Item::Scalar(dtype) => Some(*dtype),
            Item::Struct(_) => None,
        }
    }

    /// Returns whether the items lie side by side, as [`as_slice`](Self::as_slice) needs it.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        self.place.is_contiguous()
    }

    /// Views a field of the items, `"accel"`, or of structs in them, `"pose.position"`.
    ///
    /// The shape is that of this view, and the field's own behind it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`](crate::Error::Field) when there is no such field.
    pub fn field(&self, path: &str) -> Result<Self> {
        let place = self.place.field(path)?;
        let bytes = self.bytes;
        Ok(Self { bytes, place })
    }

    /// Views what is at these indices of the outer dimensions.
    ///
    /// # Errors
    ///
    /// [`Error::Index`](crate::Error::Index) for an index past the end, or more than there are
    /// dimensions.
    pub fn at(&self, index: &[usize]) -> Result<Self> {
        let place = self.place.at(index)?;
        let bytes = self.bytes;
        Ok(Self { bytes, place })
    }

    /// Returns a copy of the value at an index.
    ///
    /// With as many indices as there are dimensions, `T` is the item. With fewer, it is an array of
    /// the dimensions that are left, `[f32; 3]` for example.
    ///
    /// # Errors
    ///
    /// [`Error::Index`](crate::Error::Index) for an index past the end, or more than there are
    /// dimensions; [`Error::Type`](crate::Error::Type) and [`Error::Shape`](crate::Error::Shape) when
    /// `T` is not what lies there; [`Error::Field`](crate::Error::Field) when `T` is an array whose
    /// items do not lie side by side in the stream.
    pub fn get<T: Pod>(&self, index: &[usize]) -> Result<T> {
        let range = self.place.value_at::<T>(index)?;
        let bytes = self.place.slice(self.bytes, range)?;
        value_of(bytes).ok_or_else(|| self.place.outside())
    }

    /// Returns the values in their order in memory, without a copy.
    ///
    /// `T` is the item, or an array of the innermost dimensions.
    ///
    /// # Errors
    ///
    /// [`Error::Type`](crate::Error::Type) and [`Error::Shape`](crate::Error::Shape) when the view is
    /// not made of `T`; [`Error::Field`](crate::Error::Field) when the items do not lie side by side:
    /// then [`to_vec`](Self::to_vec) or [`iter`](Self::iter) does it.
    pub fn as_slice<T: Pod>(&self) -> Result<&'a [T]> {
        self.place.check_elements::<T>()?;
        let range = self.place.contiguous()?;
        let bytes = self.place.slice(self.bytes, range)?;
        slice_of(bytes).ok_or_else(|| self.place.outside())
    }

    /// Returns the values one after another, copied.
    ///
    /// `T` as for [`as_slice`](Self::as_slice); the items need not lie side by side.
    ///
    /// # Errors
    ///
    /// [`Error::Type`](crate::Error::Type) and [`Error::Shape`](crate::Error::Shape) when the view is
    /// not made of `T`; [`Error::Field`](crate::Error::Field) when `T` is an array whose items do not
    /// lie side by side in the stream.
    pub fn iter<T: Pod>(&self) -> Result<impl ExactSizeIterator<Item = T> + use<'a, T>> {
        let outer = self.place.check_elements::<T>()?;
        let bytes = self.bytes;
        let offsets = self.place.offsets(outer);
        Ok(offsets.map(move |offset| {
            let value = bytes.get(offset..offset + size_of::<T>());
            // Checked schemas lie inside their frame, so there is a value; zero is one as well.
            value.and_then(value_of).unwrap_or_else(T::zeroed)
        }))
    }

    /// Returns copies of the values; see [`iter`](Self::iter).
    ///
    /// # Errors
    ///
    /// As [`iter`](Self::iter).
    pub fn to_vec<T: Pod>(&self) -> Result<Vec<T>> {
        match self.is_contiguous() {
            true => self.as_slice().map(<[T]>::to_vec),
            false => self.iter().map(Iterator::collect),
        }
    }

    /// Returns the scalar at an index, whatever its type.
    ///
    /// # Errors
    ///
    /// [`Error::Index`](crate::Error::Index) for an index past the end, or more than there are
    /// dimensions; [`Error::Field`](crate::Error::Field) for fewer, and for structs.
    pub fn scalar(&self, index: &[usize]) -> Result<Scalar> {
        let (dtype, range) = self.place.scalar_at(index)?;
        let bytes = self.place.slice(self.bytes, range)?;
        Scalar::read(dtype, bytes).ok_or_else(|| self.place.outside())
    }

    /// Returns all scalars one after another, whatever their type.
    ///
    /// # Errors
    ///
    /// [`Error::Field`](crate::Error::Field) for structs.
    pub fn scalars(&self) -> Result<impl Iterator<Item = Scalar> + use<'a>> {
        let dtype = self.place.scalars()?;
        let bytes = self.bytes;
        let offsets = self.place.offsets(self.place.rank());
        Ok(offsets.filter_map(move |offset| {
            Scalar::read(dtype, bytes.get(offset..offset + dtype.size())?)
        }))
    }
}

#[cfg(test)]
mod tests;
