//! The calls that `rustix` lacks: open-file-description range locks, a hook behind `fork`, and
//! replacing a descriptor by number; and the processor's counter.
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
    /// Take it, and wait for it.
    Wait,
    /// Give it back.
    Release,
}

/// Takes or gives back the exclusive lock on one byte, for the open file description behind `file`.
///
/// The byte need not exist. Returns `false` when another open file description holds it.
pub(crate) fn lock_byte(file: BorrowedFd<'_>, byte: u64, request: Request) -> io::Result<bool> {
    let (command, kind) = match request {
        Request::Try => (libc::F_OFD_SETLK, libc::F_WRLCK),
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

/// What the kernel calls a clock that it makes of [`ticks`].
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) const COUNTER: &str = "tsc";
/// No kernel calls a clock so.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
pub(crate) const COUNTER: &str = "";

/// Returns what the processor's counter of time shows, or zero where none is known.
///
/// The processor may read it early, before instructions that come first.
#[inline]
pub(crate) fn ticks() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction is part of the architecture, and touches two registers. A process for which
    // it was forbidden (`PR_SET_TSC`) could not read the kernel's clock either.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    0
}

/// The same, behind all that comes first.
pub(crate) fn ticks_behind() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction is part of the architecture, and touches nothing.
    unsafe {
        std::arch::x86_64::_mm_lfence();
    }
    ticks()
}
