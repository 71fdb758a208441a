//! Stream names, and the file names that stand for them.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// What every stream's file name begins with.
pub(crate) const PREFIX: &str = "shmstream.";

/// The length that Linux allows a file name, in bytes (`NAME_MAX`).
const NAME_MAX: usize = 255;

/// The longest name in encoded form, in bytes.
const ENCODED_MAX: usize = NAME_MAX - PREFIX.len();

/// The name of a stream: any bytes but the few that cannot be a name.
///
/// Refused are the empty name, `.`, `..`, names with a NUL byte, and names whose encoded form is
/// longer than 245 bytes. ASCII letters, digits, `.`, `_` and `-` take one byte in that form, every
/// other byte three: `camera/left` lives in the file `shmstream.camera%2Fleft`.
///
/// ```
/// use shmstream::StreamName;
///
/// let name = StreamName::new("camera/left")?;
/// assert_eq!(name.to_string(), "camera/left");
/// assert_eq!(name.file_name(), "shmstream.camera%2Fleft");
/// // As it is, for the command line of another process; `to_string` escapes control characters.
/// let mut viewer = std::process::Command::new("viewer");
/// viewer.arg(&name);
/// # Ok::<(), shmstream::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<[u8]>);

impl StreamName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] with the reason.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self> {
        let name = Self(name.as_ref().into());
        match name.defect() {
            None => Ok(name),
            Some(reason) => Err(Error::InvalidName { name, reason }),
        }
    }

    /// Returns the name as it was given.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the name of the file that holds the stream, without its directory.
    #[must_use]
    pub fn file_name(&self) -> String {
        let mut file_name = PREFIX.to_owned();
        for &byte in self.as_bytes() {
            if is_plain(byte) {
                file_name.push(char::from(byte));
            } else {
                file_name.push('%');
                file_name.extend([byte >> 4, byte & 15].map(|digit| {
                    let digit = char::from_digit(digit.into(), 16).unwrap_or_default();
                    digit.to_ascii_uppercase()
                }));
            }
        }
        file_name
    }

    /// Returns the name that a file of this name holds, if it is one that [`file_name`] yields.
    ///
    /// [`file_name`]: Self::file_name
    pub(crate) fn from_file_name(file_name: &OsStr) -> Option<Self> {
        let encoded = file_name.as_bytes().strip_prefix(PREFIX.as_bytes())?;
        let mut name = Vec::new();
        let mut rest = encoded.iter();
        while let Some(&byte) = rest.next() {
            name.push(match byte {
                b'%' => {
                    let digits = [*rest.next()?, *rest.next()?];
                    u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
                }
                byte => byte,
            });
        }
        // One stream, one file: a second spelling such as `%61` for `a` is no stream of ours.
        Self::new(name)
            .ok()
            .filter(|name| name.file_name().as_bytes() == file_name.as_bytes())
    }

    fn defect(&self) -> Option<String> {
        match self.as_bytes() {
            [] => Some("it is empty".to_owned()),
            b"." | b".." => Some("`.` and `..` name directories".to_owned()),
            name if name.contains(&0) => Some("it contains a NUL byte".to_owned()),
            name => {
                let len: usize = name.iter().map(|&b| if is_plain(b) { 1 } else { 3 }).sum();
                (len > ENCODED_MAX).then(|| {
                    format!(
                        "it takes {len} bytes in encoded form and at most {ENCODED_MAX} fit; bytes \
                         other than ASCII letters, digits, `.`, `_` and `-` take three each"
                    )
                })
            }
        }
    }
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Writes the name, with control characters and bytes that are not UTF-8 escaped.
impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl std::str::FromStr for StreamName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl AsRef<OsStr> for StreamName {
    fn as_ref(&self) -> &OsStr {
        OsStr::from_bytes(self.as_bytes())
    }
}

impl AsRef<[u8]> for StreamName {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(feature = "serde")]
mod serde;
#[cfg(test)]
mod tests;
