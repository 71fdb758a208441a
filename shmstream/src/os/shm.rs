//! The files that hold streams: create, publish under a name, open, unlink, list.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, CWD, Dir, FileType, Mode, OFlags, SeekFrom, Stat, fchmod, fstat, linkat, open,
    seek, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{lock, space};
use crate::error::{Error, Result};
use crate::name::StreamName;

/// Where streams live unless `SHMSTREAM_DIR` says otherwise.
const DEFAULT_DIR: &str = "/dev/shm";
const DIR_VARIABLE: &str = "SHMSTREAM_DIR";

/// The directory of the streams.
#[derive(Clone, Debug)]
pub(crate) struct Directory(PathBuf);

/// What tells one file from all others on this machine, for as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

/// What stands under a name now, seen from a handle to the file that once did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Same,
    Nothing,
    Other,
}

impl FileId {
    pub(crate) fn of(file: impl AsFd) -> Result<Self, Errno> {
        fstat(file).map(|stat| Self::from(&stat))
    }
}

impl From<&Stat> for FileId {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

/// Checks that nobody truncated the file of an open stream to less than the `total` of its header.
///
/// Whoever touches memory behind the end of a file is ended by a SIGBUS. So this comes before memory
/// is touched, wherever there is a system call anyway or time enough: when a handle is attached, a
/// subscription begins, the write lock is taken, a sleep ended without a call.
pub(crate) fn check_size(name: &StreamName, file: impl AsFd, total: usize) -> Result<()> {
    match missing(file, total as u64) {
        Ok(None) => Ok(()),
        Ok(Some(len)) => Err(truncated(name, len, total as u64)),
        Err(error) => Err(Error::os(name, "look at its file", error)),
    }
}

/// Returns the length of a file if that is less than `total`.
pub(crate) fn missing(file: impl AsFd, total: u64) -> Result<Option<u64>, Errno> {
    // The cheapest call that tells the length. Nothing reads or writes at the offset that it moves.
    let len = seek(file, SeekFrom::End(0))?;
    Ok((len < total).then_some(len))
}

/// Opens the file behind a descriptor once more, for reading and writing: another open file description,
/// since locks belong to one. By descriptor and not by name, which may stand for another file now.
pub(crate) fn open_again(file: impl AsFd) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// Says that a stream's file has become shorter.
#[cold]
pub(crate) fn truncated(name: &StreamName, len: u64, total: u64) -> Error {
    let value = format!("{len} bytes of {total}: somebody truncated it");
    Error::corrupt(name, "the file's length", value)
}

impl Directory {
    /// Returns the directory that the environment names now.
    pub(crate) fn current() -> Self {
        let set = std::env::var_os(DIR_VARIABLE).filter(|dir| !dir.is_empty());
        let dir = set.map_or_else(|| PathBuf::from(DEFAULT_DIR), PathBuf::from);
        // A handle keeps meaning the same file when the program changes its working directory.
        Self(std::path::absolute(&dir).unwrap_or(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    #[cold]
    fn problem(&self, problem: &'static str, error: Errno) -> Error {
        Error::Directory {
            dir: self.0.clone(),
            problem,
            source: error.into(),
        }
    }

    pub(crate) fn file(&self, name: &StreamName) -> PathBuf {
        self.0.join(name.file_name())
    }

    /// Creates a file without a name, of `size` bytes of zeros that are reserved.
    ///
    /// It vanishes with its last descriptor unless [`link`](Self::link) gives it a name.
    pub(crate) fn create(&self, name: &StreamName, size: u64, mode: u32) -> Result<OwnedFd> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = open(&self.0, flags, Mode::RUSR | Mode::WUSR).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR => self.problem(MISSING, error),
            Errno::OPNOTSUPP | Errno::ISDIR => self.problem(NO_TMPFILE, error),
            Errno::ROFS | Errno::ACCESS => self.problem(NOT_WRITABLE, error),
            error => Error::os(name, "create a file", error),
        })?;
        kill_point!(CreateMade);
        // Exactly the mode that was asked for: the umask neither widens nor narrows it.
        fchmod(&file, Mode::from_raw_mode(mode))
            .map_err(|error| Error::os(name, "set the file's mode", error))?;
        kill_point!(CreateModeSet);
        space::reserve(name, &self.0, &file, size)?;
        kill_point!(CreateReserved);
        Ok(file)
    }

    /// Gives a file made by [`create`](Self::create) its name, which nobody else may have.
    pub(crate) fn link(&self, name: &StreamName, file: impl AsFd) -> Result<()> {
        let (file, path) = (file.as_fd(), self.file(name));
        // By descriptor where the kernel lets the owner do that (6.10), else by way of /proc.
        let linked = match linkat(file, "", CWD, &path, AtFlags::EMPTY_PATH) {
            Err(Errno::NOENT | Errno::PERM | Errno::INVAL) => {
                let by_number = format!("/proc/self/fd/{}", file.as_raw_fd());
                linkat(CWD, by_number, CWD, &path, AtFlags::SYMLINK_FOLLOW)
            }
            result => result,
        };
        linked.map_err(|error| match error {
            Errno::EXIST => Error::AlreadyExists { name: name.clone() },
            error => Error::os(name, "give the stream its name", error),
        })
    }

    /// Opens the file of a stream for reading and writing.
    ///
    /// Refuses what is not a regular file, and another user's file unless `any_owner`.
    pub(crate) fn open(&self, name: &StreamName, any_owner: bool) -> Result<(OwnedFd, u64)> {
        self.open_as(name, any_owner, OFlags::RDWR)
    }

    /// Opens the file of a stream for reading only.
    ///
    /// Refuses what [`open`](Self::open) refuses.
    pub(crate) fn open_to_read(
        &self,
        name: &StreamName,
        any_owner: bool,
    ) -> Result<(OwnedFd, u64)> {
        self.open_as(name, any_owner, OFlags::RDONLY)
    }

    /// Opens the file of a stream for reading only, to look at it.
    pub(crate) fn open_to_look(&self, name: &StreamName) -> Result<(OwnedFd, u64)> {
        self.open_as(name, true, OFlags::RDONLY)
    }

    fn open_as(
        &self,
        name: &StreamName,
        any_owner: bool,
        access: OFlags,
    ) -> Result<(OwnedFd, u64)> {
        let path = self.file(name);
        let foreign = |reason| Error::Foreign {
            name: name.clone(),
            path: path.clone(),
            reason,
        };
        // Not blocking: a FIFO or a device under the name must not hold the program up.
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = open(&path, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT if self.0.is_dir() => Error::NotFound {
                name: name.clone(),
                dir: self.0.clone(),
            },
            Errno::NOENT | Errno::NOTDIR => self.problem(MISSING, error),
            Errno::LOOP => foreign("it is a symbolic link"),
            Errno::ISDIR => foreign("it is a directory"),
            Errno::NXIO => foreign("it is a socket or a device"),
            Errno::ACCESS => self.no_access(name, access, error),
            error => Error::os(name, "open its file", error),
        })?;
        let stat = fstat(&file).map_err(|error| Error::os(name, "look at its file", error))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(foreign("it is a directory")),
            _ => return Err(foreign("it is not a regular file")),
        }
        if !any_owner && stat.st_uid != geteuid().as_raw() {
            return Err(other_user(name, path, &stat, NOT_ALLOWED));
        }
        Ok((file, u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// Says why a file may not be opened.
    #[cold]
    fn no_access(&self, name: &StreamName, access: OFlags, error: Errno) -> Error {
        let path = self.file(name);
        match statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if stat.st_uid != geteuid().as_raw() => {
                let may_read = rustix::fs::access(&path, Access::READ_OK).is_ok();
                let remedy = if access == OFlags::RDWR && may_read {
                    READ_ONLY
                } else {
                    NOT_ADMITTED
                };
                other_user(name, path, &stat, remedy)
            }
            _ => Error::os(
                name,
                "open its file: the mode does not admit this user",
                error,
            ),
        }
    }

    /// Says what stands under the name of an open file now.
    pub(crate) fn standing(&self, name: &StreamName, file: impl AsFd) -> Result<Standing> {
        let failed = |error| Error::os(name, "look at its file", error);
        let ours = FileId::of(file).map_err(failed)?;
        match statat(CWD, self.file(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileId::from(&stat) == ours => Ok(Standing::Same),
            Ok(_) => Ok(Standing::Other),
            Err(Errno::NOENT) => Ok(Standing::Nothing),
            Err(error) => Err(failed(error)),
        }
    }

    /// Takes the name away from an open file, and says what stood under it.
    ///
    /// Nothing but [`Standing::Same`] changes anything. The right to unlink belongs to the file, and
    /// a name is given only where none is taken; so between the look and the removal nobody who
    /// keeps to this can have put another file under the name. `mark` tells those who have the file
    /// open that its name goes away, and comes first, so that no death in between keeps it from them.
    pub(crate) fn unlink(
        &self,
        name: &StreamName,
        file: impl AsFd,
        mark: impl FnOnce() -> Result<()>,
    ) -> Result<Standing> {
        let failed = |error: io::Error| Error::os(name, "unlink the stream", error);
        let file = file.as_fd();
        lock::lock_unlink(file).map_err(failed)?;
        kill_point!(UnlinkLocked);
        let removed = self.standing(name, file).and_then(|standing| {
            if standing == Standing::Same {
                kill_point!(UnlinkLooked);
                mark()?;
                kill_point!(UnlinkMarked);
                unlinkat(CWD, self.file(name), AtFlags::empty()).map_err(|e| failed(e.into()))?;
                kill_point!(UnlinkRemoved);
            }
            Ok(standing)
        });
        lock::unlock_unlink(file);
        kill_point!(UnlinkUnlocked);
        removed
    }

    /// Lists the names of the regular files that look like streams, with whether they are this
    /// user's, sorted.
    pub(crate) fn list(&self) -> Result<Vec<(StreamName, bool)>> {
        let failed = |error| match error {
            Errno::MFILE => self.problem(NO_DESCRIPTOR, error),
            error => self.problem("cannot be listed", error),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = open(&self.0, flags, Mode::empty()).map_err(failed)?;
        let user = geteuid().as_raw();
        let mut found = Vec::new();
        for entry in Dir::read_from(&dir).map_err(failed)? {
            let file_name =
                OsString::from_vec(entry.map_err(failed)?.file_name().to_bytes().to_vec());
            let Some(name) = StreamName::from_file_name(&file_name) else {
                continue;
            };
            match statat(&dir, &file_name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                    found.push((name, stat.st_uid == user));
                }
                // Not a file, or gone meanwhile.
                Ok(_) | Err(Errno::NOENT) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        found.sort();
        Ok(found)
    }
}

const MISSING: &str = "does not exist; mount a tmpfs there, or set SHMSTREAM_DIR to a directory that \
                       exists";
const NOT_WRITABLE: &str = "cannot be written to by this user; set SHMSTREAM_DIR to one that can";
const NO_DESCRIPTOR: &str = "cannot be listed; the limit is open files of the process; raise RLIMIT_NOFILE \
                             (`ulimit -n`)";
const NO_TMPFILE: &str =
    "is on a file system without O_TMPFILE; set SHMSTREAM_DIR to one on a tmpfs";

const NOT_ALLOWED: &str = "if you trust that user, call Builder::allow_other_owner";
const NOT_ADMITTED: &str = "the mode does not admit you: have that user create it with another \
                            (Builder::mode), and call Builder::allow_other_owner";
const READ_ONLY: &str = "the mode lets you read and not write: look at it with Builder::observe and \
                         allow_other_owner, or have that user create it with another mode";

#[cold]
fn other_user(name: &StreamName, path: PathBuf, stat: &Stat, remedy: &'static str) -> Error {
    Error::OtherUser {
        name: name.clone(),
        path,
        owner: stat.st_uid,
        user: geteuid().as_raw(),
        mode: stat.st_mode & 0o7777,
        remedy,
    }
}
