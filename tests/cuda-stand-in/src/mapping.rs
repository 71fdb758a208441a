//! Memory that the processor has mapped, and the files that stand for device memory.
//!
//! Such a file has no name and is found through the descriptor of its process, so a process that is
//! killed leaves nothing behind.

use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{NonNull, null_mut};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::status::{Outcome, Status};

/// What the memory of a device is rounded up to.
pub(crate) const PAGE: usize = 4096;

/// A mapping, undone on drop.
pub(crate) struct Mapping {
    /// INVARIANT: begins a mapping of `len` bytes that nobody else undoes.
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: an address range, without a tie to a thread.
unsafe impl Send for Mapping {}
// SAFETY: shared, it gives away an address alone; who touches it takes care (`span.rs`).
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a file for all to see.
    pub(crate) fn of(file: impl AsFd, len: usize) -> Outcome<Self> {
        // SAFETY: a new mapping, which replaces none.
        let start = unsafe {
            mmap(
                null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )
        };
        Self::new(start.map(<*mut _>::cast), len)
    }

    /// Maps memory of this process alone.
    pub(crate) fn anonymous(len: usize) -> Outcome<Self> {
        // SAFETY: a new mapping, which replaces none.
        let start = unsafe {
            mmap_anonymous(
                null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        };
        Self::new(start.map(<*mut _>::cast), len)
    }

    fn new(start: rustix::io::Result<*mut u8>, len: usize) -> Outcome<Self> {
        let start = start.ok().and_then(NonNull::new);
        let start = start.ok_or(Status::OUT_OF_MEMORY)?;
        Ok(Self { start, len })
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the field's invariant; spans into it keep what owns it alive.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Makes a file for device memory. `label` can be read back from the descriptor.
pub(crate) fn file(label: &str, len: usize) -> Outcome<OwnedFd> {
    let file = memfd_create(label, MemfdFlags::CLOEXEC).map_err(|_| Status::OUT_OF_MEMORY)?;
    let len = u64::try_from(len).map_err(|_| Status::OUT_OF_MEMORY)?;
    ftruncate(&file, len).map_err(|_| Status::OUT_OF_MEMORY)?;
    Ok(file)
}

/// Returns how many bytes of pages hold `len` bytes.
pub(crate) fn pages(len: usize) -> Outcome<usize> {
    let len = len.max(1).checked_next_multiple_of(PAGE);
    len.ok_or(Status::OUT_OF_MEMORY)
}
