//! What may be a payload: the trait behind `#[derive(ShmPayload)]`, and the checks that the
//! derive runs at compile time.
#![allow(unsafe_code)]
// This file declares the unsafe traits and implements nothing; the implementations are in `pod.rs`
// and in the output of the derive, which proves each condition below at compile time.

pub(crate) mod derived;
mod text;

use crate::schema::Schema;

/// A type whose values may live in memory that other processes map.
///
/// Implemented for the element types (`u8` to `u64`, `i8` to `i64`, `f32`, `f64`, `half::f16`,
/// `half::bf16`, [`Bool`](crate::Bool), and with the feature `num-complex` `Complex<f32>` and
/// `Complex<f64>`), for fixed arrays of payloads, and by `#[derive(ShmPayload)]` for structs of
/// payloads. Write [`Pod`](crate::Pod) as the bound.
///
/// ```
/// use shmstream::ShmPayload;
///
/// #[derive(Clone, Copy, ShmPayload)]
/// #[repr(C)]
/// struct Imu {
///     time: f64,
///     accel: [f32; 3],
///     gyro: [f32; 3],
/// }
///
/// assert_eq!(
///     Imu::schema().to_string(),
///     "Imu { time: f64, accel: [f32; 3], gyro: [f32; 3] }",
/// );
/// ```
///
/// The derive refuses, with one message on the field to blame: a struct without `repr(C)` or
/// `repr(transparent)`, padding, generics, enums, unions, references, pointer-sized integers,
/// `bool` and `char`, and every field whose type is not itself a payload. `#[shm(gpu)]` checks in
/// addition that every field has an equivalent on the GPU and implements [`GpuPayload`].
/// `#[shm(crate = path)]` names this crate where it is re-exported.
///
/// # Safety
///
/// An implementor promises that
///
/// 1. every bit pattern of `size_of::<Self>()` bytes is a valid value,
/// 2. no byte of a value is padding or otherwise uninitialised,
/// 3. the value has no interior mutability and holds no pointer, reference or handle,
/// 4. the layout is fixed (`repr(C)` or `repr(transparent)`), the size is not zero, and
/// 5. [`schema`](Self::schema) describes that layout.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a shared-memory payload",
    label = "not a `ShmPayload`",
    note = "payloads are u8 to u64, i8 to i64, f32, f64, half::f16, half::bf16, shmstream::Bool, \
            Complex<f32> and Complex<f64> (feature `num-complex`), arrays of payloads, and structs",
    note = "in place of bool use shmstream::Bool, of usize u64, of an enum its number, of a string \
            or a list an array of fixed length",
    note = "for a struct of your own add `#[derive(Clone, Copy, ShmPayload)]` and `#[repr(C)]`"
)]
pub unsafe trait ShmPayload: Copy + Send + Sync + 'static {
    /// Describes the type: its fields, their dtypes, offsets and shapes.
    fn schema() -> Schema;
}

/// A payload that a GPU can compute with.
///
/// Implemented for `half::f16`, `half::bf16`, `f32`, `f64`, `i8`, `i16`, `i32`, `i64`, `u8`, for
/// arrays of them, and by `#[derive(ShmPayload)]` with `#[shm(gpu)]` for structs of them. GPU
/// streams ask for it.
///
/// # Safety
///
/// An implementor promises that every scalar in [`ShmPayload::schema`] has an equivalent on the
/// GPU ([`DType::has_gpu_equivalent`](crate::DType::has_gpu_equivalent)) of the same size and
/// meaning.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no equivalent on the GPU",
    label = "not a `GpuPayload`",
    note = "types with a GPU equivalent are half::f16, half::bf16, f32, f64, i8, i16, i32, i64 and \
            u8, arrays of them, and structs derived with `#[shm(gpu)]`",
    note = "use a signed integer of the same size in place of u16, u32 and u64, u8 in place of \
            Bool, and `[f32; 2]` or `[f64; 2]` in place of a complex number"
)]
pub unsafe trait GpuPayload: ShmPayload {}
