//! Views to write through.

use super::{Place, View};
use crate::error::Result;
use crate::name::StreamName;
use crate::pod::{Pod, bytes_of_slice, slice_of_mut};
use crate::schema::{Item, Schema};

/// A part of a frame that is being filled; as [`View`], to write through.
///
/// ```
/// use shmstream::{DType, DynStream, Schema};
///
/// let star = Schema::structure_of(
///     "Star",
///     [("position", Schema::tensor(DType::F32, &[2])), ("flux", Schema::scalar(DType::F32))],
/// )
/// .expect("no padding");
/// let stream = DynStream::temporary(star.array(3))?;
/// let mut frame = stream.loan()?;
/// frame.field_mut("flux")?.fill_from(&[1.0_f32, 2.0, 3.0])?;
/// frame.field_mut("position")?.set(&[2], [0.5_f32, 1.5])?;
/// frame.publish()?;
/// # Ok::<(), shmstream::Error>(())
/// ```
#[derive(Debug)]
pub struct ViewMut<'a> {
    pub(super) bytes: &'a mut [u8],
    pub(super) place: Place<'a>,
}

impl<'a> ViewMut<'a> {
    /// Views all of a frame.
    pub(crate) fn new(name: &'a StreamName, schema: &'a Schema, bytes: &'a mut [u8]) -> Self {
        let place = Place::whole(name, schema);
        Self { bytes, place }
    }

    /// Returns the same view, to read through; it tells all there is to know of the items.
    #[must_use]
    pub fn as_view(&self) -> View<'_> {
        View {
            bytes: self.bytes,
            place: self.place.clone(),
        }
    }

    /// Returns the same view for a while: [`field`](Self::field) and [`at`](Self::at) take their view,
    /// and this one stays.
    #[must_use]
    pub fn reborrow(&mut self) -> ViewMut<'_> {
        ViewMut {
            bytes: self.bytes,
            place: self.place.clone(),
        }
    }

    /// Returns the dimensions, outermost first; empty for a single item.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        self.place.shape()
    }

    /// Returns what the items are.
    #[must_use]
    pub const fn item(&self) -> &'a Item {
        self.place.item()
    }

    /// Views a field of the items; see [`View::field`].
    ///
    /// # Errors
    ///
    /// As [`View::field`].
    pub fn field(self, path: &str) -> Result<Self> {
        let place = self.place.field(path)?;
        let bytes = self.bytes;
        Ok(Self { bytes, place })
    }

    /// Views what is at these indices of the outer dimensions.
    ///
    /// # Errors
    ///
    /// As [`View::at`].
    pub fn at(self, index: &[usize]) -> Result<Self> {
        let place = self.place.at(index)?;
        let bytes = self.bytes;
        Ok(Self { bytes, place })
    }

    /// Changes the value at an index; `T` as for [`View::get`].
    ///
    /// # Errors
    ///
    /// As [`View::get`].
    pub fn set<T: Pod>(&mut self, index: &[usize], value: T) -> Result<()> {
        let range = self.place.value_at::<T>(index)?;
        let bytes = self.place.slice_mut(self.bytes, range)?;
        bytes.copy_from_slice(value.as_bytes());
        Ok(())
    }

    /// Changes all values; as many as there are, in the order in which [`View::iter`] returns them.
    ///
    /// # Errors
    ///
    /// [`Error::Type`](crate::Error::Type) and [`Error::Shape`](crate::Error::Shape) when the view is
    /// not made of `T`; [`Error::Field`](crate::Error::Field) when `T` is an array whose items do not
    /// lie side by side in the stream; [`Error::Invalid`](crate::Error::Invalid) when there are more or
    /// fewer values. Nothing is changed then.
    pub fn fill_from<T: Pod>(&mut self, values: &[T]) -> Result<()> {
        let outer = self.place.check_elements::<T>()?;
        let elements = self.place.elements(outer);
        if values.len() != elements {
            return Err(self.place.length_differs(values.len(), elements));
        }
        if self.place.is_contiguous() {
            // As many bytes as the values have, since they are as many and of the same type.
            let range = self.place.contiguous()?;
            let bytes = self.place.slice_mut(self.bytes, range)?;
            bytes.copy_from_slice(bytes_of_slice(values));
            return Ok(());
        }
        for (offset, value) in self.place.offsets(outer).zip(values) {
            if let Some(bytes) = self.bytes.get_mut(offset..offset + size_of::<T>()) {
                bytes.copy_from_slice(value.as_bytes());
            }
        }
        Ok(())
    }

    /// Returns the values in their order in memory, to be changed in place.
    ///
    /// # Errors
    ///
    /// As [`View::as_slice`].
    pub fn as_mut_slice<T: Pod>(self) -> Result<&'a mut [T]> {
        self.place.check_elements::<T>()?;
        let Self { bytes, place } = self;
        let bytes = place.slice_mut(bytes, place.contiguous()?)?;
        slice_of_mut(bytes).ok_or_else(|| place.outside())
    }
}
