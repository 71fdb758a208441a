//! Streams whose frames live in the memory of a GPU.

// Taken into use function by function.
#![allow(dead_code)]

mod driver;

pub(crate) use driver::availability;
