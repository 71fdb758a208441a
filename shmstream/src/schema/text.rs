//! A schema as text, written as Rust would write the type.
//!
//! ```text
//! schema = "[" schema ";" length "]" | element | struct
//! struct = name [ "align" "(" number ")" ] "{" [ field { "," field } [ "," ] ] "}"
//! field  = name ":" schema
//! ```
//!
//! An element is the name of a [`DType`](crate::DType). Space between words does not matter.
//! Offsets are not written: fields follow one another, and a struct that `repr(C)` would pad has no
//! text.

mod parse;

use std::fmt;
use std::str::FromStr;

use super::{Item, Schema, StructSchema};

/// Writes the type as Rust would: `[[f32; 4]; 3]`, `Imu { time: f64, accel: [f32; 3] }`.
///
/// A struct that is aligned to more than its fields need says so: `Block align(64) { .. }`.
/// `FromStr` reads the text back into an equal schema.
impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shape.iter().try_for_each(|_| f.write_str("["))?;
        self.item.fmt(f)?;
        self.shape
            .iter()
            .rev()
            .try_for_each(|len| write!(f, "; {len}]"))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(dtype) => dtype.fmt(f),
            Self::Struct(structure) => structure.fmt(f),
        }
    }
}

impl fmt::Display for StructSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let aligns = self.fields.iter().map(|field| field.schema.align());
        if aligns.max().is_some_and(|largest| self.align > largest) {
            write!(f, " align({})", self.align)?;
        }
        f.write_str(" {")?;
        for (i, field) in self.fields.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma} {}: {}", field.name, field.schema)?;
        }
        f.write_str(" }")
    }
}

/// Reads what `Display` writes; NumPy's names of elements (`uint8`, `float32`, ...) will do as well.
///
/// Any text is safe to read, wherever it comes from.
///
/// ```
/// use shmstream::{Schema, ShmPayload};
///
/// let image: Schema = "[[u16; 640]; 480]".parse()?;
/// assert_eq!(image, <[[u16; 640]; 480]>::schema());
///
/// let error = "Imu { time: f64, accel: [f32 3] }".parse::<Schema>().unwrap_err();
/// assert_eq!(error.position(), Some(29));
/// assert_eq!(
///     error.to_string(),
///     "invalid schema: at byte 29: expected `;` and a length, found `3`",
/// );
/// # Ok::<(), shmstream::SchemaError>(())
/// ```
impl FromStr for Schema {
    type Err = SchemaError;

    fn from_str(text: &str) -> Result<Self, SchemaError> {
        parse::schema(text)
    }
}

/// Why a text is no schema, or why parts cannot be put together to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    position: Option<usize>,
    reason: String,
}

impl SchemaError {
    /// Returns where in the text the mistake is, in bytes from its start; `None` without a text.
    #[must_use]
    pub const fn position(&self) -> Option<usize> {
        self.position
    }

    #[cold]
    pub(crate) const fn new(reason: String) -> Self {
        Self {
            position: None,
            reason,
        }
    }

    #[cold]
    pub(crate) const fn at(position: usize, reason: String) -> Self {
        Self {
            position: Some(position),
            reason,
        }
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid schema: ")?;
        if let Some(position) = self.position {
            write!(f, "at byte {position}: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for SchemaError {}

/// Quotes the beginning of a text for an error.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS: usize = 40;
    let shown: String = text.chars().take(CHARS).collect();
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("`{}{more}`", shown.escape_debug())
}

#[cfg(feature = "serde")]
mod serde;
#[cfg(test)]
mod tests;
