//! One scalar.

use std::fmt;

use shmstream::{DType, bf16, f16};

/// A scalar in the widest type that holds it exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Element {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    /// Also the 16-bit types: every value of theirs is one of `f32`.
    Single(f32),
    Double(f64),
    ComplexSingle([f32; 2]),
    ComplexDouble([f64; 2]),
    /// A type that a later version of the library has and this program does not know.
    Unknown,
}

impl Element {
    /// Reads a scalar; bytes that are missing count as zeros.
    pub(crate) fn read(dtype: DType, bytes: &[u8]) -> Self {
        let at = |index| start(bytes.get(index..).unwrap_or_default());
        let (f32_at, f64_at) = (
            |index| f32::from_ne_bytes(start(bytes.get(index..).unwrap_or_default())),
            |index| f64::from_ne_bytes(start(bytes.get(index..).unwrap_or_default())),
        );
        match dtype {
            DType::Bool => Self::Bool(start::<1>(bytes) != [0]),
            DType::U8 => Self::Unsigned(u8::from_ne_bytes(start(bytes)).into()),
            DType::U16 => Self::Unsigned(u16::from_ne_bytes(start(bytes)).into()),
            DType::U32 => Self::Unsigned(u32::from_ne_bytes(start(bytes)).into()),
            DType::U64 => Self::Unsigned(u64::from_ne_bytes(at(0))),
            DType::I8 => Self::Signed(i8::from_ne_bytes(start(bytes)).into()),
            DType::I16 => Self::Signed(i16::from_ne_bytes(start(bytes)).into()),
            DType::I32 => Self::Signed(i32::from_ne_bytes(start(bytes)).into()),
            DType::I64 => Self::Signed(i64::from_ne_bytes(at(0))),
            DType::F16 => Self::Single(f16::from_ne_bytes(start(bytes)).to_f32()),
            DType::BF16 => Self::Single(bf16::from_ne_bytes(start(bytes)).to_f32()),
            DType::F32 => Self::Single(f32_at(0)),
            DType::F64 => Self::Double(f64_at(0)),
            DType::C32 => Self::ComplexSingle([f32_at(0), f32_at(4)]),
            DType::C64 => Self::ComplexDouble([f64_at(0), f64_at(8)]),
            _ => Self::Unknown,
        }
    }
}

fn start<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

/// Writes the shortest digits that lead back to the value, and shows floats as such: `1.0`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Unsigned(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            Self::Single(value) => write!(f, "{value:?}"),
            Self::Double(value) => write!(f, "{value:?}"),
            Self::ComplexSingle([re, im]) => write!(f, "{re:?}{}i", Signed(im)),
            Self::ComplexDouble([re, im]) => write!(f, "{re:?}{}i", Signed(im)),
            Self::Unknown => f.write_str("?"),
        }
    }
}

/// A float behind its sign, which `{:+?}` leaves out for NaN.
struct Signed<'a, T>(&'a T);

impl<T: fmt::Debug> fmt::Display for Signed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:?}", self.0);
        let plus = if text.starts_with('-') { "" } else { "+" };
        write!(f, "{plus}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dtype: DType, bytes: &[u8]) -> String {
        Element::read(dtype, bytes).to_string()
    }

    #[test]
    fn reads_every_type() {
        assert_eq!(read(DType::Bool, &[2]), "true");
        assert_eq!(read(DType::U8, &[255]), "255");
        assert_eq!(read(DType::I8, &[255]), "-1");
        assert_eq!(read(DType::U64, &[255; 8]), u64::MAX.to_string());
        assert_eq!(
            read(DType::I64, &i64::MIN.to_ne_bytes()),
            i64::MIN.to_string()
        );
        assert_eq!(read(DType::F16, &f16::from_f32(0.5).to_ne_bytes()), "0.5");
        assert_eq!(
            read(DType::BF16, &bf16::from_f32(-3.0).to_ne_bytes()),
            "-3.0"
        );
        assert_eq!(read(DType::F32, &0.1_f32.to_ne_bytes()), "0.1");
        assert_eq!(read(DType::F64, &1e300_f64.to_ne_bytes()), "1e300");
        let complex = [1.0_f32.to_ne_bytes(), (-2.5_f32).to_ne_bytes()].concat();
        assert_eq!(read(DType::C32, &complex), "1.0-2.5i");
        let complex = [1.0_f64.to_ne_bytes(), f64::NAN.to_ne_bytes()].concat();
        assert_eq!(read(DType::C64, &complex), "1.0+NaNi");
    }

    #[test]
    fn knows_every_type() {
        for dtype in DType::ALL {
            assert_ne!(Element::read(dtype, &[0; 16]), Element::Unknown, "{dtype}");
        }
    }
}
