//! What ends the program before it is done, and the exit codes.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use shmstream::Error;

use crate::units;

/// How the program ends; documented in the help and in `docs/tool.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Found = 1,
    Usage = 2,
    Absent = 3,
    Foreign = 4,
    Damaged = 5,
    Version = 6,
    Permission = 7,
    System = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// Returns the code for what happened to a stream.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::InvalidName { .. } | Error::Invalid { .. } => Self::Usage,
            Error::NotFound { .. } | Error::Replaced { .. } => Self::Absent,
            Error::Foreign { .. } => Self::Foreign,
            Error::Corrupt { .. } => Self::Damaged,
            Error::Version { .. } => Self::Version,
            Error::OtherUser { .. } => Self::Permission,
            Error::Os { source, .. } | Error::Directory { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Self::Permission
            }
            _ => Self::System,
        }
    }

    /// Names the state of a stream that cannot be looked into, for tables and JSON.
    pub(crate) const fn state(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Foreign => "foreign",
            Self::Damaged => "damaged",
            Self::Version => "other version",
            Self::Permission => "no permission",
            _ => "unreadable",
        }
    }
}

/// What ends a command.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A stream could not be used.
    Stream(Error),
    /// The command line, or a file that it names, asks for what makes no sense.
    Usage(String),
    /// A file could not be read or written.
    File(PathBuf, io::Error),
    /// The standard output could not be written to.
    Output(io::Error),
    /// What is wrong has been said already, or is the answer to the question.
    Told(Exit),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Stream(error)
    }
}

/// For `?` on what is written to the standard output, the only stream that commands write to.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}

impl Failure {
    /// Names a file in an error about it.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File(path.to_owned(), error)
    }

    /// Says whether whoever read the output has closed it, which is their way to say "enough".
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Stream(error) => Exit::of(error),
            Self::Usage(_) => Exit::Usage,
            Self::File(_, error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Exit::Permission
            }
            Self::File(..) | Self::Output(_) => Exit::System,
            Self::Told(exit) => *exit,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => f.write_str(&explain(error)),
            Self::Usage(text) => f.write_str(text),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Output(error) => write!(f, "cannot write: {error}"),
            Self::Told(_) => Ok(()),
        }
    }
}

/// Puts an error into words for somebody who has a shell and not the program.
pub(crate) fn explain(error: &Error) -> String {
    let mut text = match error {
        Error::NotFound { name, dir } => format!(
            "stream `{name}` does not exist in {}; `shmstream list` shows those that do",
            dir.display()
        ),
        Error::OtherUser { name, owner, .. } => {
            let owner = units::user(*owner);
            format!(
                "stream `{name}` belongs to user {owner}, and this is user {}; run this as {owner}",
                units::user(rustix::process::geteuid().as_raw())
            )
        }
        Error::Corrupt { name, field, value } => format!(
            "stream `{name}` is damaged: {field} holds {value}; `shmstream unlink` takes its name \
             away, then create it anew"
        ),
        other => other.to_string(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    units::printable(&text).into_owned()
}
