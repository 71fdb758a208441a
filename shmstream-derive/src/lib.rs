//! The derive macro of [`shmstream`](https://docs.rs/shmstream).
//!
//! Use it from there: `shmstream::ShmPayload` is both the trait and this macro.

mod ast;
mod attr;
mod check;
mod expand;
mod fallback;

use proc_macro2::TokenStream;
use syn::{DeriveInput, parse_macro_input};

use crate::ast::{Errors, Input};

/// Implements `shmstream::ShmPayload` for a struct, or says what is in the way.
///
/// ```
/// use shmstream::{Bool, ShmPayload};
///
/// #[derive(Clone, Copy, ShmPayload)]
/// #[repr(C)]
/// struct Frame {
///     time: f64,
///     pixels: [[u16; 4]; 4],
///     axes: [Axis; 2],
///     valid: Bool,
///     _pad: [u8; 7],
/// }
///
/// #[derive(Clone, Copy, ShmPayload)]
/// #[repr(C)]
/// struct Axis {
///     position: f32,
///     velocity: f32,
/// }
///
/// assert_eq!(Axis::schema().to_string(), "Axis { position: f32, velocity: f32 }");
/// ```
///
/// Named fields and tuple structs both work; a tuple struct's fields are named `0`, `1` and so on
/// in the schema. A raw name such as `r#type` loses its `r#`.
///
/// # Attributes
///
/// | On the struct | Meaning |
/// |---|---|
/// | `#[repr(C)]` or `#[repr(transparent)]` | one of them must be there; `align(N)` may be added |
/// | `#[shm(gpu)]` | implements `shmstream::GpuPayload` too, which every field must be |
/// | `#[shm(crate = path)]` | where to find `shmstream`, for crates that reexport it |
///
/// Several options may share a list: `#[shm(gpu, crate = path)]`.
///
/// # What is refused
///
/// Each of these is a compile error that blames the token at fault and says how to mend it:
///
/// | Mistake | Mend |
/// |---|---|
/// | neither `repr(C)` nor `repr(transparent)` | add `#[repr(C)]` |
/// | `repr(packed)` | remove it and fill the gaps with fields |
/// | padding before a field or at the end | add the `[u8; N]` field that the message gives |
/// | `Copy` is missing | add `#[derive(Clone, Copy)]` |
/// | type, const and lifetime parameters | declare a struct for each use |
/// | enums | store the number and convert it |
/// | unions | store a struct or bytes |
/// | no fields, or a field without bytes | remove it |
/// | `bool` | `shmstream::Bool` |
/// | `usize`, `isize` | `u64`, `i64` |
/// | `char` | `u32` |
/// | `u128`, `i128` | `[u64; 2]` |
/// | tuples | a struct |
/// | references, pointers, functions, trait objects | the value itself, or an index |
/// | slices, `str` | an array of fixed length |
/// | any other field type that is no payload | derive `ShmPayload` for it |
/// | with `gpu`: `u16`, `u32`, `u64` | `i16`, `i32`, `i64` |
/// | an alignment above 4096 bytes | lower it |
/// | more than 1024 fields, names above 255 bytes | use arrays, or structs inside structs |
///
/// Sizes are checked when all field types are right, so a gap may show up only then.
///
/// # Hygiene
///
/// The output names everything by absolute paths, compiles where `unsafe_code` is forbidden, and
/// compares the fields it was given with those of the struct that is compiled: an attribute macro
/// that changes them in between causes an error.
#[proc_macro_derive(ShmPayload, attributes(shm))]
pub fn derive_shm_payload(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input).into()
}

fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let input = Input::new(input, &mut errors);
    check::check(&input, &mut errors);
    if errors.is_empty() {
        return expand::expand(&input);
    }
    let mut output = errors.to_compile_error();
    output.extend(fallback::expand(&input));
    output
}
