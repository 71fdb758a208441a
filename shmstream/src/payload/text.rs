//! Text put together at compile time, for the messages of the derive's checks.
#![deny(unsafe_code)]

/// A string of limited length. What does not fit is cut off.
pub(super) struct Text {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl Text {
    // Room for a message with two names of 255 bytes, the most that a schema stores.
    const CAPACITY: usize = 1024;

    pub(super) const fn new(text: &str) -> Self {
        let empty = Self {
            bytes: [0; Self::CAPACITY],
            len: 0,
        };
        empty.text(text)
    }

    pub(super) const fn text(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut i = 0;
        while i < text.len() && self.len < Self::CAPACITY {
            self.bytes[self.len] = text[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    pub(super) const fn number(self, number: usize) -> Self {
        const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let rest = number / 10;
        let text = if rest == 0 { self } else { self.number(rest) };
        text.text(DIGITS[number % 10])
    }

    /// Adds `1 byte`, `2 bytes` and so on.
    pub(super) const fn byte_count(self, count: usize) -> Self {
        self.number(count)
            .text(if count == 1 { " byte" } else { " bytes" })
    }

    pub(super) const fn as_str(&self) -> &str {
        match str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            // Only a name cut off inside a character comes here.
            Err(_) => "the layout of this struct cannot be a payload's",
        }
    }
}

/// Compares two strings at compile time.
pub(super) const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests;
