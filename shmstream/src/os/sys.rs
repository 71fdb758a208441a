//! The calls that `rustix` lacks: open-file-description range locks, a hook behind `fork`, replacing a
//! descriptor by number, who is at the other end of a socket, and threads that get no signals.
#![allow(unsafe_code)]
// This file guarantees that each call gets arguments which are valid for its duration, and that the
// hook does only what POSIX allows in a forked child: calls that are async-signal-safe.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// What to do with the lock on a byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Take it if nobody has it.
    Try,
    /// Take it if nobody has it alone, and share it with others.
    #[cfg(feature = "cuda")]
    Share,
    /// Take it, and wait for it.
    Wait,
    /// Give it back.
    Release,
}

/// Takes or gives back the lock on one byte, for the open file description behind `file`.
///
/// The byte need not exist. Returns `false` when another open file description holds it.
pub(crate) fn lock_byte(file: BorrowedFd<'_>, byte: u64, request: Request) -> io::Result<bool> {
    let (command, kind) = match request {
        Request::Try => (libc::F_OFD_SETLK, libc::F_WRLCK),
        #[cfg(feature = "cuda")]
        Request::Share => (libc::F_OFD_SETLK, libc::F_RDLCK),
        Request::Wait => (libc::F_OFD_SETLKW, libc::F_WRLCK),
        Request::Release => (libc::F_OFD_SETLK, libc::F_UNLCK),
    };
    let lock = one_byte(byte, kind)?;
    // SAFETY: `fcntl` with these commands reads one `flock64`; `lock` is one and outlives the call.
    // The descriptor is open: it is borrowed.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const lock) };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

/// Returns whether another open file description than `file`'s holds the lock on one byte.
///
/// Takes nothing, and works for a file that is open for reading only.
pub(crate) fn is_byte_locked(file: BorrowedFd<'_>, byte: u64) -> io::Result<bool> {
    let mut lock = one_byte(byte, libc::F_WRLCK)?;
    // SAFETY: `fcntl` with this command reads and writes one `flock64`; `lock` is one and outlives
    // the call. The descriptor is open: it is borrowed.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(libc::c_int::from(lock.l_type) != libc::F_UNLCK)
}

/// Describes a lock on one byte.
fn one_byte(byte: u64, kind: libc::c_int) -> io::Result<libc::flock64> {
    // The fields differ in width from platform to platform, and all values here are small.
    Ok(libc::flock64 {
        l_type: kind.try_into().map_err(io::Error::other)?,
        l_whence: libc::SEEK_SET.try_into().map_err(io::Error::other)?,
        l_start: byte.try_into().map_err(io::Error::other)?,
        l_len: 1,
        // The kernel asks for zero here with open-file-description locks.
        l_pid: 0,
    })
}

/// Has `hook` called in every child that this process forks, before `fork` returns there.
///
/// The hook may call only what is async-signal-safe.
pub(crate) fn at_fork_in_child(hook: extern "C" fn()) -> io::Result<()> {
    // SAFETY: `pthread_atfork` asks for functions that may be called at any later `fork`: `hook` is
    // a function, which lives as long as the program, and touches nothing that a fork can leave
    // half changed (atomics and `dup3` only, see `fork.rs`).
    match unsafe { libc::pthread_atfork(None, None, Some(hook)) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Makes the descriptor number `target` stand for the file of `source`, closing what it stood for.
///
/// Async-signal-safe. For the child of a fork, which must let go of its parent's locks.
pub(crate) fn replace(source: BorrowedFd<'_>, target: RawFd) {
    // SAFETY: `dup3` asks for nothing but numbers. The owner of `target` keeps owning an open
    // descriptor; only the caller in `fork.rs` uses this, on descriptors that this crate owns, in a
    // child where no other thread exists.
    let _ = unsafe { libc::dup3(source.as_raw_fd(), target, libc::O_CLOEXEC) };
}

/// Returns the user and the group of the process at the other end of a socket, as they were when it
/// connected or began to listen.
///
/// By itself, since rustix takes the process's number for one that is never zero: it is zero where that
/// process is in a PID namespace of its own.
#[cfg(feature = "cuda")]
pub(crate) fn peer(socket: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let len = socket_option(socket, libc::SO_PEERCRED, std::slice::from_mut(&mut peer))?;
    match len == size_of::<libc::ucred>() {
        true => Ok((peer.uid, peer.gid)),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Returns the supplementary groups of the process at the other end of a socket, as for [`peer`].
#[cfg(feature = "cuda")]
pub(crate) fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    /// More than the kernel lets a process have.
    const MOST: usize = 65536;
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        match socket_option(socket, libc::SO_PEERGROUPS, &mut groups) {
            Ok(len) => {
                groups.truncate(len / size_of::<libc::gid_t>());
                return Ok(groups);
            }
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && groups.len() < MOST => {
                groups.resize(MOST, 0);
            }
            Err(error) => return Err(error),
        }
    }
}

/// A value that the kernel writes, of which every bit pattern is valid.
#[cfg(feature = "cuda")]
trait Plain {}
#[cfg(feature = "cuda")]
impl Plain for libc::ucred {}
#[cfg(feature = "cuda")]
impl Plain for libc::gid_t {}

/// Reads an option of a socket, and returns how many bytes it has.
#[cfg(feature = "cuda")]
fn socket_option<T: Plain>(
    socket: BorrowedFd<'_>,
    option: libc::c_int,
    value: &mut [T],
) -> io::Result<usize> {
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut len = libc::socklen_t::try_from(size_of_val(value)).map_err(too_long)?;
    let start = value.as_mut_ptr().cast::<libc::c_void>();
    // SAFETY: `getsockopt` writes at most `len` bytes to `start`, which `value` has, and one length;
    // both outlive the call. Whatever it writes is a valid `T` (`Plain`). The descriptor is open: it is
    // borrowed.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            start,
            &raw mut len,
        )
    };
    match result {
        0 => usize::try_from(len).map_err(too_long),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs `start`, which starts a thread, with all signals blocked, so that they are in that thread for good:
/// handlers of the program's run in threads of the program's.
#[cfg(feature = "cuda")]
pub(crate) fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigfillset` writes one set, which outlives the call. It fails for no valid pointer.
    let _ = unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `pthread_sigmask` reads the first set, which was written above, and writes the other;
    // both outlive the call.
    let blocked =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr()) };
    let result = start();
    if blocked == 0 {
        // SAFETY: as above; the set was written by the call that succeeded.
        let _ = unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut())
        };
    }
    result
}
