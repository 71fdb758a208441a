//! Errors: what failed, on which stream, and the way out.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::name::StreamName;

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What failed, on which stream.
///
/// What merely happened is not an error: no frame yet, nothing new before the timeout and a lock
/// that somebody else holds are `None`.
///
/// `Debug` writes the same line as `Display` and the causes behind it, so that a `main` that returns
/// a [`Result`] ends with words.
#[non_exhaustive]
pub enum Error {
    /// The name cannot be a stream's.
    InvalidName {
        /// The name.
        name: StreamName,
        /// What is wrong with it.
        reason: String,
    },
    /// No stream of this name exists.
    NotFound {
        /// The stream.
        name: StreamName,
        /// The directory that was searched.
        dir: PathBuf,
    },
    /// A stream of this name exists already.
    AlreadyExists {
        /// The stream.
        name: StreamName,
    },
    /// The file under the stream's name is not a stream.
    Foreign {
        /// The stream.
        name: StreamName,
        /// The file.
        path: PathBuf,
        /// What it is.
        reason: &'static str,
    },
    /// The file belongs to another user, and the caller did not allow that.
    OtherUser {
        /// The stream.
        name: StreamName,
        /// The file.
        path: PathBuf,
        /// The user who owns the file.
        owner: u32,
        /// The user who tried to open it.
        user: u32,
    },
    /// The file is a stream of a version, byte order or page size that this program cannot use.
    Version {
        /// The stream.
        name: StreamName,
        /// The file.
        path: PathBuf,
        /// What differs: `format version`, `byte order` or `page size`.
        what: &'static str,
        /// The value in the stream.
        stream: u64,
        /// The value in this program.
        program: u64,
    },
    /// The file, or a word in it that processes share, holds what no program of ours wrote.
    Corrupt {
        /// The stream.
        name: StreamName,
        /// The part that is damaged.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// The payload in the stream is not the one that this program declares.
    Type {
        /// The stream.
        name: StreamName,
        /// The element in the stream.
        stream: String,
        /// The element in this program.
        program: String,
        /// The first difference, in words.
        difference: String,
    },
    /// The shape of the stream's frames is not the one that this program declares.
    Shape {
        /// The stream.
        name: StreamName,
        /// The shape in the stream.
        stream: Vec<usize>,
        /// The shape in this program.
        program: Vec<usize>,
    },
    /// An option, or a payload's schema, is outside what a stream can be.
    Invalid {
        /// The stream.
        name: StreamName,
        /// The option.
        what: &'static str,
        /// Its value and what is allowed.
        reason: String,
    },
    /// The stream would be larger than anything this machine can address or hold.
    TooLarge {
        /// The stream.
        name: StreamName,
        /// The bytes asked for; `u64::MAX` if their number does not fit.
        needed: u64,
        /// The most that is possible, in bytes.
        limit: u64,
        /// What sets the limit.
        limited_by: &'static str,
    },
    /// The shared memory is too small for the stream.
    NoSpace {
        /// The stream.
        name: StreamName,
        /// The bytes needed.
        needed: u64,
        /// The bytes free.
        free: u64,
        /// Where.
        dir: PathBuf,
        /// What to raise.
        remedy: String,
    },
    /// A limit of the process or the system stands in the way.
    Limit {
        /// The stream.
        name: StreamName,
        /// What was tried.
        operation: &'static str,
        /// The limit, and how to raise it.
        limit: &'static str,
        /// What the system answered.
        source: io::Error,
    },
    /// Every row of the participant table belongs to a live handle.
    TooManyParticipants {
        /// The stream.
        name: StreamName,
        /// The number of rows.
        participants: u32,
    },
    /// Another writer held the write lock until the time was over.
    Busy {
        /// The stream.
        name: StreamName,
        /// The process that holds it, as it is numbered in its own PID namespace; `None` when it
        /// let go just now.
        holder: Option<u32>,
    },
    /// No slot is free to write into: live readers hold, or loans occupy, all but the latest.
    NoFreeSlot {
        /// The stream.
        name: StreamName,
        /// The number of slots.
        slots: u32,
        /// The processes whose guards hold slots, each named once.
        holders: Vec<u32>,
        /// Slots on loan to this thread.
        loans: u32,
    },
    /// The stream was unlinked, and another was created under its name.
    ///
    /// Open the name again to reach the new one.
    Replaced {
        /// The stream.
        name: StreamName,
    },
    /// The handle came through `fork` from the parent process.
    ///
    /// Kernel locks are shared across `fork`, so the parent's handle is of no use in the child:
    /// open the stream there.
    Forked {
        /// The stream.
        name: StreamName,
    },
    /// The directory of streams is missing, or cannot hold them.
    Directory {
        /// The directory: `/dev/shm`, or what `SHMSTREAM_DIR` says.
        dir: PathBuf,
        /// What is wrong with it, and what to do.
        problem: &'static str,
        /// What the system answered.
        source: io::Error,
    },
    /// The operating system refused.
    Os {
        /// The stream, or `None` for an operation on the directory of streams.
        name: Option<StreamName>,
        /// What was tried.
        operation: &'static str,
        /// What the system answered.
        source: io::Error,
    },
}

impl Error {
    /// An operating system's refusal, made specific where the cause is a known limit.
    #[cold]
    pub(crate) fn os(
        name: &StreamName,
        operation: &'static str,
        source: impl Into<io::Error>,
    ) -> Self {
        let (name, source) = (name.clone(), source.into());
        match limit_behind(&source) {
            Some(limit) => Self::Limit {
                name,
                operation,
                limit,
                source,
            },
            None => Self::Os {
                name: Some(name),
                operation,
                source,
            },
        }
    }

    #[cold]
    pub(crate) fn corrupt(
        name: &StreamName,
        field: &'static str,
        value: impl fmt::Display,
    ) -> Self {
        Self::Corrupt {
            name: name.clone(),
            field,
            value: value.to_string(),
        }
    }

    #[cold]
    pub(crate) fn invalid(
        name: &StreamName,
        what: &'static str,
        reason: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            name: name.clone(),
            what,
            reason: reason.into(),
        }
    }

    /// Returns the stream that the error is about, or `None` for an operation on all of them.
    #[must_use]
    pub const fn name(&self) -> Option<&StreamName> {
        match self {
            Self::InvalidName { name, .. }
            | Self::NotFound { name, .. }
            | Self::AlreadyExists { name }
            | Self::Foreign { name, .. }
            | Self::OtherUser { name, .. }
            | Self::Version { name, .. }
            | Self::Corrupt { name, .. }
            | Self::Type { name, .. }
            | Self::Shape { name, .. }
            | Self::Invalid { name, .. }
            | Self::TooLarge { name, .. }
            | Self::NoSpace { name, .. }
            | Self::Limit { name, .. }
            | Self::TooManyParticipants { name, .. }
            | Self::Busy { name, .. }
            | Self::NoFreeSlot { name, .. }
            | Self::Replaced { name }
            | Self::Forked { name } => Some(name),
            Self::Os { name, .. } => name.as_ref(),
            Self::Directory { .. } => None,
        }
    }
}

/// Names the limit that an error number stands for, whatever the call.
fn limit_behind(source: &io::Error) -> Option<&'static str> {
    use rustix::io::Errno;
    match Errno::from_io_error(source)? {
        Errno::MFILE => Some("open files of the process; raise RLIMIT_NOFILE (`ulimit -n`)"),
        Errno::NFILE => Some("open files of the system; raise the sysctl fs.file-max"),
        Errno::NOLCK => Some("file locks of the system; the kernel is out of memory for them"),
        _ => None,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName { name, reason } => {
                write!(f, "`{name}` cannot be a stream's name: {reason}")
            }
            Self::NotFound { name, dir } => {
                write!(f, "stream `{name}` does not exist in {}", dir.display())
            }
            Self::AlreadyExists { name } => write!(
                f,
                "stream `{name}` exists already; open it, use open_or_create, or unlink it first"
            ),
            Self::Foreign { name, path, reason } => write!(
                f,
                "stream `{name}`: {} is not a stream: {reason}; move it away or use another name",
                path.display()
            ),
            Self::OtherUser {
                name,
                path,
                owner,
                user,
            } => write!(
                f,
                "stream `{name}`: {} belongs to user {owner} and this is user {user}; if you trust \
                 that user, ask for a mode that admits you and call Builder::allow_other_owner",
                path.display()
            ),
            Self::Version {
                name,
                path,
                what,
                stream,
                program,
            } => write!(
                f,
                "stream `{name}`: {} has {what} {stream} and this program needs {program}; unlink \
                 it and create it anew, or use the release of shmstream that wrote it",
                path.display()
            ),
            Self::Corrupt { name, field, value } => write!(
                f,
                "stream `{name}` is damaged: {field} holds {value}; unlink it and create it anew"
            ),
            Self::Type {
                name,
                stream,
                program,
                difference,
            } => write!(
                f,
                "stream `{name}` carries another payload: {difference} (stream: {stream}; program: \
                 {program})"
            ),
            Self::Shape {
                name,
                stream,
                program,
            } => write!(
                f,
                "stream `{name}` has frames of shape {} and this program declares {}",
                crate::schema::shape_text(stream),
                crate::schema::shape_text(program)
            ),
            Self::Invalid { name, what, reason } => write!(f, "stream `{name}`: {what} {reason}"),
            Self::TooLarge {
                name,
                needed,
                limit,
                limited_by,
            } => write!(
                f,
                "stream `{name}` is too large: it needs {} and {limited_by} allows {}",
                Bytes(*needed),
                Bytes(*limit)
            ),
            Self::NoSpace {
                name,
                needed,
                free,
                dir,
                remedy,
            } => write!(
                f,
                "stream `{name}` needs {} of shared memory and {} has {} free; {remedy}",
                Bytes(*needed),
                dir.display(),
                Bytes(*free)
            ),
            Self::Limit {
                name,
                operation,
                limit,
                ..
            } => write!(
                f,
                "stream `{name}`: cannot {operation}; the limit is {limit}"
            ),
            Self::TooManyParticipants { name, participants } => write!(
                f,
                "stream `{name}` has room for {participants} handles and all of them are alive; \
                 close some, or create the stream with more participants"
            ),
            Self::Busy { name, holder } => {
                write!(
                    f,
                    "stream `{name}`: the write lock was held until the time was over"
                )?;
                match holder {
                    Some(holder) => write!(f, ", at the end by process {holder}"),
                    None => Ok(()),
                }
            }
            Self::NoFreeSlot {
                name,
                slots,
                holders,
                loans,
            } => write!(
                f,
                "stream `{name}` has no free slot: of its {slots}, one is the latest frame, {loans} \
                 are on loan to this thread, and guards of {} hold the others; drop guards sooner, \
                 use a timeout, or create the stream with more slots",
                Pids(holders)
            ),
            Self::Replaced { name } => write!(
                f,
                "stream `{name}` was unlinked and another was created under its name; open it again"
            ),
            Self::Forked { name } => write!(
                f,
                "stream `{name}`: the handle belongs to the parent process; open the stream after \
                 the fork"
            ),
            Self::Directory { dir, problem, .. } => {
                write!(f, "the directory of streams, {}, {problem}", dir.display())
            }
            Self::Os {
                name: Some(name),
                operation,
                ..
            } => write!(f, "stream `{name}`: cannot {operation}"),
            Self::Os {
                name: None,
                operation,
                ..
            } => write!(f, "streams: cannot {operation}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Os { source, .. }
            | Self::Limit { source, .. }
            | Self::Directory { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A number of bytes, with a rounded figure behind large ones.
struct Bytes(u64);

impl fmt::Display for Bytes {
    #[expect(clippy::cast_precision_loss, reason = "a figure with one decimal")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            u64::MAX => return f.write_str("more bytes than can be counted"),
            0x4000_0000.. => (0x4000_0000, "GiB"),
            0x10_0000.. => (0x10_0000, "MiB"),
            bytes => return write!(f, "{bytes} bytes"),
        };
        write!(
            f,
            "{} bytes ({:.1} {name})",
            self.0,
            self.0 as f64 / unit as f64
        )
    }
}

/// Processes in a list.
struct Pids<'a>(&'a [u32]);

impl fmt::Display for Pids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("no process"),
            [pid] => write!(f, "process {pid}"),
            pids => {
                f.write_str("processes")?;
                pids.iter().try_for_each(|pid| write!(f, " {pid}"))
            }
        }
    }
}
