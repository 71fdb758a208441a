//! Why a file does not declare streams.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a text or a file is no [`Manifest`](super::Manifest), or why one cannot be written.
#[derive(Debug)]
pub struct ConfigError {
    path: Option<PathBuf>,
    line: Option<usize>,
    reason: String,
    source: Option<io::Error>,
}

impl ConfigError {
    /// Returns the file, if it was one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns the line of the mistake, counted from 1, where it is known.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    #[cold]
    pub(super) const fn new(line: Option<usize>, reason: String) -> Self {
        Self {
            path: None,
            line,
            reason,
            source: None,
        }
    }

    #[cold]
    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        Self {
            source: Some(source),
            ..Self::new(None, "cannot read the file".to_owned()).in_file(path)
        }
    }

    /// Names the file.
    #[cold]
    pub(super) fn in_file(self, path: &Path) -> Self {
        Self {
            path: Some(path.to_owned()),
            ..self
        }
    }
}

/// One line: `streams.toml, line 3: unknown field `slot`, expected one of ..`.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, self.line) {
            (Some(path), Some(line)) => write!(f, "{}, line {line}: ", path.display())?,
            (Some(path), None) => write!(f, "{}: ", path.display())?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref()?)
    }
}
