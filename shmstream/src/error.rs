//! Errors: what failed, on which stream, and the way out.

mod display;

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::gpu::Problem;
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
        /// The permissions of the file.
        mode: u32,
        /// What to do.
        remedy: &'static str,
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
    /// A payload known at run time has no such field, or the field cannot be had in this form.
    Field {
        /// The stream.
        name: StreamName,
        /// The path of the field.
        field: String,
        /// What is the matter, and what there is.
        reason: String,
    },
    /// An index into a payload known at run time is past its end.
    Index {
        /// The stream.
        name: StreamName,
        /// The index.
        index: Vec<usize>,
        /// The shape of what was looked into.
        shape: Vec<usize>,
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
    /// No slot is free to write into: live readers hold, lossless subscriptions await, or loans
    /// occupy, all but the latest.
    NoFreeSlot {
        /// The stream.
        name: StreamName,
        /// The number of slots.
        slots: u32,
        /// The processes whose guards hold slots, each named once.
        holders: Vec<u32>,
        /// The processes whose lossless subscriptions have frames to read, each named once.
        subscribers: Vec<u32>,
        /// Slots on loan to this thread.
        loans: u32,
    },
    /// Writers overwrote the frame each time that an observer tried to copy it.
    Overtaken {
        /// The stream.
        name: StreamName,
        /// How often it tried.
        attempts: u32,
        /// The number of slots.
        slots: u32,
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
    /// The frames live in the memory of a GPU, and cannot be reached so.
    Gpu {
        /// The stream.
        name: StreamName,
        /// What stands in the way.
        problem: Problem,
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

    #[cold]
    pub(crate) fn gpu(name: &StreamName, problem: Problem) -> Self {
        Self::Gpu {
            name: name.clone(),
            problem,
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
            | Self::Field { name, .. }
            | Self::Index { name, .. }
            | Self::Invalid { name, .. }
            | Self::TooLarge { name, .. }
            | Self::NoSpace { name, .. }
            | Self::Limit { name, .. }
            | Self::TooManyParticipants { name, .. }
            | Self::Busy { name, .. }
            | Self::NoFreeSlot { name, .. }
            | Self::Overtaken { name, .. }
            | Self::Replaced { name }
            | Self::Gpu { name, .. }
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
        Errno::FBIG => Some("size of files of the process; raise RLIMIT_FSIZE (`ulimit -f`)"),
        Errno::NOLCK => Some("file locks of the system; the kernel is out of memory for them"),
        _ => None,
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
