//! `Pod`, the bound that users write, and the payloads that this crate provides.
#![allow(unsafe_code)]
// This file guarantees that the types it implements `ShmPayload` and `GpuPayload` for keep those
// traits' promises, and that `Pod`'s provided methods rely on nothing else.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::dtype::DType;
use crate::payload::{GpuPayload, ShmPayload};
use crate::schema::Schema;

/// The bound to write for an element of a stream: anything that is a [`ShmPayload`].
///
/// Implemented for all of them, and for nothing else.
///
/// ```
/// use shmstream::{Pod, Stream};
///
/// fn newest<T: Pod, const N: usize>(stream: &Stream<T, N>) -> shmstream::Result<Option<T>> {
///     Ok(stream.read()?.map(|frame| frame[0]))
/// }
/// ```
pub trait Pod: ShmPayload {
    /// Returns the bytes of the value, for checksums and for writing it elsewhere.
    ///
    /// ```
    /// use shmstream::Pod;
    ///
    /// assert_eq!(0x0102_u16.to_be().as_bytes(), [1, 2]);
    /// assert_eq!([1_u8, 2, 3].as_bytes(), [1, 2, 3]);
    /// ```
    fn as_bytes(&self) -> &[u8] {
        let bytes = std::ptr::from_ref(self).cast::<u8>();
        // SAFETY: `from_raw_parts` asks for
        // - a pointer valid for reads of `len` bytes in one allocation: it comes from `&self`, and
        //   `len` is the size of `Self`;
        // - alignment: `u8` has alignment 1;
        // - initialised values: `ShmPayload` promises that no byte of a value is uninitialised (2);
        // - no mutation meanwhile: `&self` is shared for the returned lifetime, and `ShmPayload`
        //   promises that there is no interior mutability (3);
        // - a size of at most `isize::MAX`: `Self` is a Rust type.
        unsafe { std::slice::from_raw_parts(bytes, size_of::<Self>()) }
    }

    /// Returns the value whose bytes are all zero.
    ///
    /// ```
    /// use shmstream::Pod;
    ///
    /// assert_eq!(<[f32; 3]>::zeroed(), [0.0; 3]);
    /// ```
    #[must_use]
    fn zeroed() -> Self {
        // SAFETY: `zeroed` asks that the all-zero bit pattern is valid; `ShmPayload` promises that
        // every bit pattern is (1).
        unsafe { std::mem::zeroed() }
    }
}

impl<T: ShmPayload> Pod for T {}

/// Returns the bytes of a value, to be overwritten with any others.
pub(crate) fn bytes_of_mut<T: Pod>(value: &mut T) -> &mut [u8] {
    let bytes = std::ptr::from_mut(value).cast::<u8>();
    // SAFETY: `from_raw_parts_mut` asks for the same as `from_raw_parts` in `Pod::as_bytes`, and
    // - no other access meanwhile: the value is borrowed exclusively for the returned lifetime;
    // and whatever is written, the value stays valid: every bit pattern is (`ShmPayload`, 1).
    unsafe { std::slice::from_raw_parts_mut(bytes, size_of::<T>()) }
}

/// Returns bytes as values, or `None` if they are not aligned or no whole number of values.
pub(crate) fn slice_of<T: Pod>(bytes: &[u8]) -> Option<&[T]> {
    let values = bytes.as_ptr().cast::<T>();
    if !values.is_aligned() || !bytes.len().is_multiple_of(size_of::<T>()) {
        return None;
    }
    // SAFETY: `from_raw_parts` asks for
    // - a pointer valid for reads of as many bytes: it comes from `bytes`, whose length is divided by
    //   the size of `T`, which is not zero (`ShmPayload`, 4);
    // - alignment: checked;
    // - valid values: every bit pattern is one (`ShmPayload`, 1);
    // - no mutation meanwhile: `bytes` is borrowed shared for the returned lifetime.
    Some(unsafe { std::slice::from_raw_parts(values, bytes.len() / size_of::<T>()) })
}

/// Returns bytes as values to change, or `None` as [`slice_of`].
pub(crate) fn slice_of_mut<T: Pod>(bytes: &mut [u8]) -> Option<&mut [T]> {
    let values = bytes.as_mut_ptr().cast::<T>();
    if !values.is_aligned() || !bytes.len().is_multiple_of(size_of::<T>()) {
        return None;
    }
    // SAFETY: `from_raw_parts_mut` asks for the same as `from_raw_parts` above, for writes as well,
    // and no other access meanwhile: `bytes` is borrowed exclusively. Whatever is written, the bytes
    // stay initialised: no byte of a `T` is padding (`ShmPayload`, 2).
    Some(unsafe { std::slice::from_raw_parts_mut(values, bytes.len() / size_of::<T>()) })
}

/// Returns a copy of the value whose bytes these are, or `None` if they are too few or too many.
/// Alignment does not matter.
pub(crate) fn value_of<T: Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: `read_unaligned` asks for a pointer valid for reads of one `T`: it comes from `bytes`,
    // which are as many (checked); and for a valid value: every bit pattern is one (`ShmPayload`, 1).
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Returns the bytes of values.
pub(crate) fn bytes_of_slice<T: Pod>(values: &[T]) -> &[u8] {
    // SAFETY: `from_raw_parts` asks for the same as in `Pod::as_bytes`, for all values at once.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Returns the bytes of values, to be overwritten with any others.
pub(crate) fn bytes_of_slice_mut<T: Pod>(values: &mut [T]) -> &mut [u8] {
    let len = size_of_val(values);
    // SAFETY: `from_raw_parts_mut` asks for the same as in `bytes_of_mut`, for all values at once.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), len) }
}

/// Returns a value whose bytes are all zero in memory of its own, without a copy on the stack.
pub(crate) fn zeroed_box<T: Pod>() -> Box<T> {
    let value = Box::<T>::new_zeroed();
    // SAFETY: `assume_init` asks for a valid value: all zero is one, as every bit pattern is
    // (`ShmPayload`, 1).
    unsafe { value.assume_init() }
}

/// Implements `ShmPayload` for scalars, with the conditions that can be checked left to zerocopy.
macro_rules! scalars {
    ($($(#[$attr:meta])* $ty:ty => $dtype:expr;)*) => {$(
        $(#[$attr])*
        // SAFETY: the conditions of `ShmPayload` in their order:
        // 1. every bit pattern is valid: zerocopy's `FromBytes`;
        // 2. no padding: zerocopy's `IntoBytes`;
        // 3. no interior mutability: zerocopy's `Immutable`; a scalar holds no pointer;
        // 4. and 5. size and alignment are those of the dtype, and not zero: asserted.
        unsafe impl ShmPayload for $ty {
            fn schema() -> Schema {
                const fn checked<T: FromBytes + IntoBytes + Immutable>(dtype: DType) {
                    assert!(size_of::<T>() == dtype.size() && align_of::<T>() == dtype.align());
                }
                const { checked::<$ty>($dtype) }
                Schema::scalar($dtype)
            }
        }
    )*};
}

scalars! {
    u8 => DType::U8;
    u16 => DType::U16;
    u32 => DType::U32;
    u64 => DType::U64;
    i8 => DType::I8;
    i16 => DType::I16;
    i32 => DType::I32;
    i64 => DType::I64;
    f32 => DType::F32;
    f64 => DType::F64;
    Bool => DType::Bool;
    half::f16 => DType::F16;
    half::bf16 => DType::BF16;
}

/// Implements `ShmPayload` for complex numbers, which zerocopy knows nothing of.
#[cfg(feature = "num-complex")]
macro_rules! complex {
    ($($part:ty => $dtype:expr;)*) => {$(
        // SAFETY: `num_complex::Complex` documents `repr(C)` with two fields of one type, so it is
        // two `$part` without padding: 1. to 3. hold as they do for `$part`; 4. and 5. asserted.
        unsafe impl ShmPayload for num_complex::Complex<$part> {
            fn schema() -> Schema {
                const {
                    assert!(size_of::<Self>() == $dtype.size());
                    assert!(align_of::<Self>() == $dtype.align());
                    assert!(std::mem::offset_of!(Self, im) == size_of::<$part>());
                }
                Schema::scalar($dtype)
            }
        }
    )*};
}

#[cfg(feature = "num-complex")]
complex! {
    f32 => DType::C32;
    f64 => DType::C64;
}

// SAFETY: an array is its elements one after another without padding, so 1. to 3. hold as they do
// for `T`; 4. the layout of an array is fixed, and its size is asserted not to be zero when the
// schema is asked for, which every use of a stream does; 5. the schema is `N` times that of `T`.
#[diagnostic::do_not_recommend]
unsafe impl<T: ShmPayload, const N: usize> ShmPayload for [T; N] {
    fn schema() -> Schema {
        const {
            assert!(
                N > 0,
                "an array of length 0 carries nothing and cannot be a payload"
            )
        }
        T::schema().array(N)
    }
}

macro_rules! gpu {
    ($($ty:ty),*) => {$(
        // SAFETY: the dtype of `$ty` is one of those that `DType::has_gpu_equivalent` lists; the
        // unit test `gpu_scalars_have_equivalents` compares the two lists.
        unsafe impl GpuPayload for $ty {}
    )*};
}

gpu!(half::f16, half::bf16, f32, f64, i8, i16, i32, i64, u8);

// SAFETY: the scalars of an array are those of its elements.
unsafe impl<T: GpuPayload, const N: usize> GpuPayload for [T; N] {}

/// A boolean that is sound for bytes which other programs write: every byte is a valid value.
///
/// Zero is false, everything else is true. `bool` itself allows only 0 and 1, so a stray byte in
/// shared memory would be undefined behaviour.
///
/// ```
/// use shmstream::Bool;
///
/// let mut shutter = Bool::from(true);
/// assert!(shutter.get());
/// shutter = false.into();
/// assert_eq!(shutter, Bool::FALSE);
/// ```
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Bool(u8);

impl Bool {
    /// False.
    pub const FALSE: Self = Self(0);
    /// True.
    pub const TRUE: Self = Self(1);

    /// Returns a `Bool` with this value.
    #[must_use]
    pub const fn new(value: bool) -> Self {
        Self(value as u8)
    }

    /// Returns the value.
    #[must_use]
    pub const fn get(self) -> bool {
        self.0 != 0
    }
}

impl From<bool> for Bool {
    fn from(value: bool) -> Self {
        Self::new(value)
    }
}

impl From<Bool> for bool {
    fn from(value: Bool) -> Self {
        value.get()
    }
}

impl std::ops::Not for Bool {
    type Output = Self;

    fn not(self) -> Self {
        Self::new(!self.get())
    }
}

// By value, not by byte: 1 and 255 are both true.
impl PartialEq for Bool {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Bool {}

impl PartialEq<bool> for Bool {
    fn eq(&self, other: &bool) -> bool {
        self.get() == *other
    }
}

impl std::hash::Hash for Bool {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.get().hash(state);
    }
}

impl fmt::Debug for Bool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl fmt::Display for Bool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests;
