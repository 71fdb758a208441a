//! A file's mode as text in octal.
//!
//! Never as a number: `640` is decimal in TOML and JSON, and would mean 0o1200.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

pub(super) fn text(mode: u32) -> String {
    format!("{mode:04o}")
}

pub(super) fn serialize<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*mode))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    deserializer.deserialize_str(Octal)
}

struct Octal;

impl Visitor<'_> for Octal {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mode in octal and in quotes, such as \"0640\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u32, E> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let mode = match digits.starts_with('+') {
            true => None,
            false => u32::from_str_radix(digits, 8).ok(),
        };
        mode.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}
