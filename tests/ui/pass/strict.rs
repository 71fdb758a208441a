//! The derive in a crate that forbids and denies what a crate can, and shadows every name that the
//! output could mean.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unused, nonstandard_style, future_incompatible)]
#![deny(rust_2018_idioms, let_underscore, keyword_idents, unreachable_pub)]
#![deny(
    missing_copy_implementations,
    missing_debug_implementations,
    single_use_lifetimes
)]
#![deny(
    trivial_casts,
    trivial_numeric_casts,
    unused_qualifications,
    unused_lifetimes
)]
#![deny(
    unused_results,
    variant_size_differences,
    explicit_outlives_requirements
)]
#![deny(unused_import_braces, unnameable_types, non_local_definitions)]
#![no_implicit_prelude]

extern crate std;

use ::std::prelude::v1::{Clone, Copy, Debug, assert_eq, derive};

/// Names that the output could mean, all of them something else.
#[allow(missing_docs)]
pub mod shadowed {
    pub mod core {}
    pub mod std {}
    pub mod shmstream {}
    #[derive(Clone, Copy, Debug)]
    pub struct Option;
    #[derive(Clone, Copy, Debug)]
    pub struct Schema;
    #[derive(Clone, Copy, Debug)]
    pub struct Vec;
    pub trait Copy {}
    pub trait Send {}
    pub trait ShmPayload {}
    pub const __VALUE: u8 = 0;
    pub const NAME: usize = 2;
    pub const FIELDS: usize = 3;
}

/// A struct among the shadowed names.
pub mod inner {
    use ::shmstream::ShmPayload;

    use super::{Clone, Copy, Debug, derive};
    #[allow(unused_imports)]
    use crate::shadowed::*;

    /// Uses constants of this module in its type.
    #[derive(Clone, Copy, Debug, ShmPayload)]
    #[repr(C)]
    #[shm(gpu)]
    pub struct Sample {
        /// A field.
        pub name: [f32; NAME],
        pub(crate) fields: [[f32; FIELDS]; Self::ROWS],
        private: i64,
    }

    impl Sample {
        /// Rows.
        pub const ROWS: usize = 2;
    }

    /// A tuple struct.
    #[derive(Clone, Copy, Debug, ShmPayload)]
    #[repr(transparent)]
    pub struct Pair(pub [u8; 2]);
}

fn main() {
    schemas();
}

fn schemas() {
    use ::shmstream::ShmPayload;

    /// Declared in a function.
    #[derive(Clone, Copy, Debug, ShmPayload)]
    #[repr(C)]
    struct Local {
        value: inner::Sample,
        #[deprecated]
        old: [inner::Pair; 4],
    }

    assert_eq!(
        ::std::string::ToString::to_string(&Local::schema()),
        "Local { value: Sample { name: [f32; 2], fields: [[f32; 3]; 2], private: i64 }, \
         old: [Pair { 0: [u8; 2] }; 4] }",
    );
}
