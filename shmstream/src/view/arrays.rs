//! Views as `ndarray` arrays.

use std::ops::Range;

use ndarray::{ArrayViewD, ArrayViewMutD, IxDyn, ShapeBuilder};

use super::{Place, View, ViewMut};
use crate::error::{Error, Result};
use crate::pod::{Pod, slice_of, slice_of_mut};

impl<'a> View<'a> {
    /// Returns the view as an array, without a copy.
    ///
    /// `T` is the item, or an array of the innermost dimensions, as for
    /// [`as_slice`](Self::as_slice); the items need not lie side by side.
    ///
    /// # Errors
    ///
    /// [`Error::Type`] and [`Error::Shape`] when the view is not made of `T`; [`Error::Field`] when
    /// `T` is an array whose items do not lie side by side in the stream, or when the distance between
    /// the values is no multiple of their size, as it can be for complex numbers in a struct: then copy
    /// them with [`to_vec`](Self::to_vec).
    ///
    /// # Examples
    ///
    /// ```
    /// use shmstream::{DType, DynStream, Schema};
    ///
    /// let stream = DynStream::temporary(Schema::tensor(DType::F32, &[2, 3]))?;
    /// stream.write(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
    /// let frame = stream.read()?.expect("a frame");
    /// let array = frame.view().array::<f32>()?;
    /// assert_eq!(array.shape(), [2, 3]);
    /// assert_eq!(array[[1, 0]], 4.0);
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn array<T: Pod>(&self) -> Result<ArrayViewD<'a, T>> {
        let Layout {
            shape,
            strides,
            range,
        } = Layout::of::<T>(&self.place)?;
        let bytes = self.place.slice(self.bytes, range)?;
        let values = slice_of(bytes).ok_or_else(|| self.place.outside())?;
        ArrayViewD::from_shape(IxDyn(&shape).strides(IxDyn(&strides)), values)
            .map_err(|error| refused(&self.place, &error))
    }
}

impl<'a> ViewMut<'a> {
    /// Returns the view as an array to change, without a copy; see [`View::array`].
    ///
    /// # Errors
    ///
    /// As [`View::array`].
    pub fn array_mut<T: Pod>(self) -> Result<ArrayViewMutD<'a, T>> {
        let Self { bytes, place } = self;
        let Layout {
            shape,
            strides,
            range,
        } = Layout::of::<T>(&place)?;
        let bytes = place.slice_mut(bytes, range)?;
        let values = slice_of_mut(bytes).ok_or_else(|| place.outside())?;
        ArrayViewMutD::from_shape(IxDyn(&shape).strides(IxDyn(&strides)), values)
            .map_err(|error| refused(&place, &error))
    }
}

/// A view in units of `T`.
struct Layout {
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// From the first byte of the first value to the last of the last.
    range: Range<usize>,
}

impl Layout {
    fn of<T: Pod>(place: &Place<'_>) -> Result<Self> {
        let outer = place.check_elements::<T>()?;
        let (mut shape, mut strides) = (place.shape(), place.strides());
        shape.truncate(outer);
        strides.truncate(outer);
        let size = size_of::<T>();
        let mut last = place.offset();
        for (&len, stride) in shape.iter().zip(&mut strides) {
            if len > 1 && !stride.is_multiple_of(size) {
                return Err(place.no_array(&format!(
                    "its values lie {stride} bytes apart, no multiple of their {size}; copy them \
                     with to_vec"
                )));
            }
            last += (len - 1) * *stride;
            *stride /= size;
        }
        Ok(Self {
            shape,
            strides,
            range: place.offset()..last + size,
        })
    }
}

#[cold]
fn refused(place: &Place<'_>, error: &ndarray::ShapeError) -> Error {
    place.no_array(&error.to_string())
}

#[cfg(test)]
mod tests;
