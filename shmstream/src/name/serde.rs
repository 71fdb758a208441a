//! Feature `serde`: a name is a string, readable wherever that is possible.

use std::fmt::Write;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::StreamName;

/// As a string. A byte that is not UTF-8 becomes `%` and two digits, and so does a `%` that two
/// digits follow; everything else stands for itself.
impl Serialize for StreamName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(self.as_bytes()))
    }
}

/// From a string, in which `%` and two digits are a byte; a `%` without them is itself.
impl<'de> Deserialize<'de> for StreamName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(decode(text.as_bytes())).map_err(D::Error::custom)
    }
}

fn encode(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        let valid = chunk.valid();
        for (at, c) in valid.char_indices() {
            match escaped_byte(&valid.as_bytes()[at..]) {
                Some(_) => text.push_str("%25"),
                None => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn decode(mut text: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    while let Some((&first, rest)) = text.split_first() {
        if let Some(byte) = escaped_byte(text) {
            name.push(byte);
            text = &text[3..];
        } else {
            name.push(first);
            text = rest;
        }
    }
    name
}

/// Returns the byte that `%` and two digits at the beginning of a text stand for.
fn escaped_byte(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else {
        return None;
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}
