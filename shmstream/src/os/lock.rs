//! Locks that the kernel holds for this process and gives up when it dies, however it dies.
//!
//! The write lock is a `flock` on the stream's file. The rows of the participant table and the
//! right to unlink are one byte each of open-file-description range locks on the same file; the two
//! kinds do not see each other. Both belong to the open file description, so they tell apart two
//! handles in one process, work across PID namespaces, and cannot be mistaken after a PID was given
//! to another process.

use std::io;
use std::os::fd::AsFd;

use fd_lock::RwLock;
use rustix::fs::{FlockOperation, flock};

use super::sys::{self, Request};

/// The byte that stands for the right to unlink; rows follow it.
const UNLINK: u64 = 0;
/// From this byte on, each stands for a maker.
#[cfg(feature = "cuda")]
const MAKERS: u64 = 1 << 61;

/// Takes the write lock, and waits for it.
pub(crate) fn lock(file: impl AsFd) -> io::Result<()> {
    loop {
        match RwLock::new(&file).write() {
            // Kept: `unlock` gives it back.
            Ok(guard) => break std::mem::forget(guard),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes the write lock, or returns `false` when another handle has it.
pub(crate) fn try_lock(file: impl AsFd) -> io::Result<bool> {
    match RwLock::new(&file).try_write() {
        Ok(guard) => std::mem::forget(guard),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// Gives the write lock back.
///
/// Cannot fail for an open file.
pub(crate) fn unlock(file: impl AsFd) {
    let _ = flock(file, FlockOperation::Unlock);
}

/// Takes the lock that stands for a row, or returns `false` when its owner is alive.
pub(crate) fn try_lock_row(file: impl AsFd, row: usize) -> io::Result<bool> {
    sys::lock_byte(file.as_fd(), row as u64 + 1, Request::Try)
}

/// Takes the lock that stands for a row together with others, or returns `false` when somebody has it
/// alone.
#[cfg(feature = "cuda")]
pub(crate) fn share_row(file: impl AsFd, row: usize) -> io::Result<bool> {
    sys::lock_byte(file.as_fd(), row as u64 + 1, Request::Share)
}

/// Returns whether the owner of a row is alive, unless that is whoever opened `file`.
pub(crate) fn is_row_locked(file: impl AsFd, row: usize) -> io::Result<bool> {
    sys::is_byte_locked(file.as_fd(), row as u64 + 1)
}

/// Gives a row's lock back.
///
/// Cannot fail for an open file.
pub(crate) fn unlock_row(file: impl AsFd, row: usize) {
    let _ = sys::lock_byte(file.as_fd(), row as u64 + 1, Request::Release);
}

/// Takes the right to unlink the file; others have it for moments only.
pub(crate) fn lock_unlink(file: impl AsFd) -> io::Result<()> {
    loop {
        match sys::lock_byte(file.as_fd(), UNLINK, Request::Wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(drop),
        }
    }
}

/// Gives the right to unlink back.
///
/// Cannot fail for an open file.
pub(crate) fn unlock_unlink(file: impl AsFd) {
    let _ = sys::lock_byte(file.as_fd(), UNLINK, Request::Release);
}

/// Takes the lock that stands for a maker, or returns `false` when another has drawn that number.
#[cfg(feature = "cuda")]
pub(crate) fn try_lock_maker(file: impl AsFd, maker: u64) -> io::Result<bool> {
    sys::lock_byte(file.as_fd(), maker_byte(maker), Request::Try)
}

/// Returns whether a maker is alive, unless that is whoever opened `file`.
#[cfg(feature = "cuda")]
pub(crate) fn is_maker_locked(file: impl AsFd, maker: u64) -> io::Result<bool> {
    sys::is_byte_locked(file.as_fd(), maker_byte(maker))
}

/// Gives a maker's lock back.
///
/// Cannot fail for an open file.
#[cfg(feature = "cuda")]
pub(crate) fn unlock_maker(file: impl AsFd, maker: u64) {
    let _ = sys::lock_byte(file.as_fd(), maker_byte(maker), Request::Release);
}

/// Returns the byte for a number, which may come from shared memory: always one that can be locked.
#[cfg(feature = "cuda")]
const fn maker_byte(maker: u64) -> u64 {
    MAKERS | (maker % MAKERS)
}
