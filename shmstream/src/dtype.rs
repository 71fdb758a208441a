//! Element types known at run time.

use std::fmt;
use std::str::FromStr;

use crate::schema::{SchemaError, excerpt};

/// The type of one scalar element, as it is written into a stream's schema.
///
/// The numeric code of each variant is part of the file format and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum DType {
    /// [`Bool`](crate::Bool): one byte, zero is false and everything else is true.
    Bool = 1,
    /// `u8`
    U8 = 2,
    /// `u16`
    U16 = 3,
    /// `u32`
    U32 = 4,
    /// `u64`
    U64 = 5,
    /// `i8`
    I8 = 6,
    /// `i16`
    I16 = 7,
    /// `i32`
    I32 = 8,
    /// `i64`
    I64 = 9,
    /// `half::f16`, IEEE 754 binary16
    F16 = 10,
    /// `half::bf16`, bfloat16
    BF16 = 11,
    /// `f32`
    F32 = 12,
    /// `f64`
    F64 = 13,
    /// `num_complex::Complex<f32>`: real part, then imaginary part
    C32 = 14,
    /// `num_complex::Complex<f64>`: real part, then imaginary part
    C64 = 15,
}

impl DType {
    /// Every element type, in the order of the codes.
    pub const ALL: [Self; 15] = [
        Self::Bool,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::F16,
        Self::BF16,
        Self::F32,
        Self::F64,
        Self::C32,
        Self::C64,
    ];

    /// Returns the size of one element in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::C32 => 8,
            Self::C64 => 16,
        }
    }

    /// Returns the alignment of one element in bytes.
    #[must_use]
    pub const fn align(self) -> usize {
        match self {
            Self::C32 => 4,
            Self::C64 => 8,
            other => other.size(),
        }
    }

    /// Returns the name that Rust programs use for the type: `f32`, `bf16`, `Complex<f64>`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "Bool",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::C32 => "Complex<f32>",
            Self::C64 => "Complex<f64>",
        }
    }

    /// Says whether the type has an equivalent on the GPU.
    ///
    /// These are the dtypes that GPU frameworks share: `f16`, `bf16`, `f32`, `f64`, `i8`, `i16`,
    /// `i32`, `i64` and `u8`.
    #[must_use]
    pub const fn has_gpu_equivalent(self) -> bool {
        !matches!(
            self,
            Self::Bool | Self::U16 | Self::U32 | Self::U64 | Self::C32 | Self::C64
        )
    }

    /// Returns the type with this name, Rust's or NumPy's.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let name = alias(name).unwrap_or(name);
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// Lists the names of all types.
    #[cold]
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Returns the type's code in the file format.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// Returns the type with this code in the file format.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.code() == code)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads the name that Rust programs use, or NumPy's: `f32` or `float32`, `Complex<f32>` or
/// `complex64`.
///
/// ```
/// use shmstream::DType;
///
/// assert_eq!("u16".parse(), Ok(DType::U16));
/// assert_eq!("uint16".parse(), Ok(DType::U16));
/// assert!("char".parse::<DType>().is_err());
/// ```
impl FromStr for DType {
    type Err = SchemaError;

    fn from_str(name: &str) -> Result<Self, SchemaError> {
        Self::from_name(name).ok_or_else(|| {
            let (names, found) = (Self::names(), excerpt(name));
            SchemaError::new(format!("expected one of {names}, found {found}"))
        })
    }
}

/// Returns Rust's name for a name that NumPy uses.
fn alias(name: &str) -> Option<&'static str> {
    Some(match name {
        "bool" => "Bool",
        "uint8" => "u8",
        "uint16" => "u16",
        "uint32" => "u32",
        "uint64" => "u64",
        "int8" => "i8",
        "int16" => "i16",
        "int32" => "i32",
        "int64" => "i64",
        "float16" => "f16",
        "bfloat16" => "bf16",
        "float32" => "f32",
        "float64" => "f64",
        "complex64" => "Complex<f32>",
        "complex128" => "Complex<f64>",
        _ => return None,
    })
}
