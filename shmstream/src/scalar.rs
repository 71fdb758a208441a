//! One element whose type is known at run time.

use std::fmt;

use half::{bf16, f16};

use crate::dtype::DType;

/// The value of one scalar, with its type.
///
/// `Display` writes the value as Rust does, a complex number as `1+2i`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Scalar {
    /// [`Bool`](crate::Bool)
    Bool(bool),
    /// `u8`
    U8(u8),
    /// `u16`
    U16(u16),
    /// `u32`
    U32(u32),
    /// `u64`
    U64(u64),
    /// `i8`
    I8(i8),
    /// `i16`
    I16(i16),
    /// `i32`
    I32(i32),
    /// `i64`
    I64(i64),
    /// `half::f16`
    F16(f16),
    /// `half::bf16`
    BF16(bf16),
    /// `f32`
    F32(f32),
    /// `f64`
    F64(f64),
    /// `num_complex::Complex<f32>`: real part, imaginary part
    C32([f32; 2]),
    /// `num_complex::Complex<f64>`: real part, imaginary part
    C64([f64; 2]),
}

impl Scalar {
    /// Reads a scalar of this type from its bytes; `None` if they are not as many as it has.
    pub(crate) fn read(dtype: DType, bytes: &[u8]) -> Option<Self> {
        use crate::pod::value_of;
        Some(match dtype {
            DType::Bool => Self::Bool(value_of::<u8>(bytes)? != 0),
            DType::U8 => Self::U8(value_of(bytes)?),
            DType::U16 => Self::U16(value_of(bytes)?),
            DType::U32 => Self::U32(value_of(bytes)?),
            DType::U64 => Self::U64(value_of(bytes)?),
            DType::I8 => Self::I8(value_of(bytes)?),
            DType::I16 => Self::I16(value_of(bytes)?),
            DType::I32 => Self::I32(value_of(bytes)?),
            DType::I64 => Self::I64(value_of(bytes)?),
            DType::F16 => Self::F16(value_of(bytes)?),
            DType::BF16 => Self::BF16(value_of(bytes)?),
            DType::F32 => Self::F32(value_of(bytes)?),
            DType::F64 => Self::F64(value_of(bytes)?),
            DType::C32 => Self::C32(value_of(bytes)?),
            DType::C64 => Self::C64(value_of(bytes)?),
        })
    }

    /// Returns the type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        match self {
            Self::Bool(_) => DType::Bool,
            Self::U8(_) => DType::U8,
            Self::U16(_) => DType::U16,
            Self::U32(_) => DType::U32,
            Self::U64(_) => DType::U64,
            Self::I8(_) => DType::I8,
            Self::I16(_) => DType::I16,
            Self::I32(_) => DType::I32,
            Self::I64(_) => DType::I64,
            Self::F16(_) => DType::F16,
            Self::BF16(_) => DType::BF16,
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
            Self::C32(_) => DType::C32,
            Self::C64(_) => DType::C64,
        }
    }

    /// Returns the value as `f64`, rounded where that has too few digits; `None` for complex numbers.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "documented")]
    pub fn to_f64(&self) -> Option<f64> {
        Some(match *self {
            Self::Bool(value) => f64::from(u8::from(value)),
            Self::U8(value) => value.into(),
            Self::U16(value) => value.into(),
            Self::U32(value) => value.into(),
            Self::U64(value) => value as f64,
            Self::I8(value) => value.into(),
            Self::I16(value) => value.into(),
            Self::I32(value) => value.into(),
            Self::I64(value) => value as f64,
            Self::F16(value) => value.into(),
            Self::BF16(value) => value.into(),
            Self::F32(value) => value.into(),
            Self::F64(value) => value,
            Self::C32(_) | Self::C64(_) => return None,
        })
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::U8(value) => value.fmt(f),
            Self::U16(value) => value.fmt(f),
            Self::U32(value) => value.fmt(f),
            Self::U64(value) => value.fmt(f),
            Self::I8(value) => value.fmt(f),
            Self::I16(value) => value.fmt(f),
            Self::I32(value) => value.fmt(f),
            Self::I64(value) => value.fmt(f),
            Self::F16(value) => value.fmt(f),
            Self::BF16(value) => value.fmt(f),
            Self::F32(value) => value.fmt(f),
            Self::F64(value) => value.fmt(f),
            Self::C32([re, im]) => write!(f, "{re}{im:+}i"),
            Self::C64([re, im]) => write!(f, "{re}{im:+}i"),
        }
    }
}

/// Numbers as numbers, a complex number as a pair.
#[cfg(feature = "serde")]
impl serde::Serialize for Scalar {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Bool(value) => value.serialize(serializer),
            Self::U8(value) => value.serialize(serializer),
            Self::U16(value) => value.serialize(serializer),
            Self::U32(value) => value.serialize(serializer),
            Self::U64(value) => value.serialize(serializer),
            Self::I8(value) => value.serialize(serializer),
            Self::I16(value) => value.serialize(serializer),
            Self::I32(value) => value.serialize(serializer),
            Self::I64(value) => value.serialize(serializer),
            Self::F16(value) => value.to_f32().serialize(serializer),
            Self::BF16(value) => value.to_f32().serialize(serializer),
            Self::F32(value) => value.serialize(serializer),
            Self::F64(value) => value.serialize(serializer),
            Self::C32(parts) => parts.serialize(serializer),
            Self::C64(parts) => parts.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests;
