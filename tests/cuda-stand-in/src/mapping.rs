//! Memory that the processor has mapped, and the files that stand for device memory.
//!
//! Such a file has no name and is found through the descriptor of its process, so a process that is
//! killed leaves nothing behind.

use std::ffi::c_void;
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
    ending: Ending,
}

/// What becomes of the addresses of a mapping.
enum Ending {
    Free,
    /// They go back to the reservation that they are from.
    Reserve,
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

    /// Keeps addresses free of anything else, beginning at a multiple of `alignment`.
    pub(crate) fn reservation(len: usize, alignment: usize) -> Outcome<Self> {
        let room = len.checked_add(alignment).ok_or(Status::OUT_OF_MEMORY)?;
        // SAFETY: a new mapping, which replaces none.
        let start = unsafe { nothing(null_mut(), room, MapFlags::empty()) };
        let whole = Self::new(start, room)?;
        let before = whole.start.as_ptr().align_offset(alignment);
        // SAFETY: `len` and `before` together are at most `room`.
        let start = unsafe { whole.start.add(before) };
        // SAFETY: as above.
        let end = unsafe { start.add(len) };
        let (head, behind) = (whole.start, room - before - len);
        std::mem::forget(whole);
        let kept = Self::new(Ok(start.as_ptr()), len);
        // What is too much on both sides, with the middle left alone.
        for (start, len) in [(head, before), (end, behind)] {
            if len > 0 {
                drop(Self::new(Ok(start.as_ptr()), len));
            }
        }
        kept
    }

    /// Maps a file over addresses of a reservation.
    ///
    /// # Safety
    ///
    /// `start` begins `len` bytes of a reservation that outlives the mapping, and that nothing else is
    /// mapped over.
    pub(crate) unsafe fn over(start: NonNull<u8>, len: usize, file: impl AsFd) -> Outcome<Self> {
        // SAFETY: replaces addresses that nobody uses: the function's contract.
        let mapped = unsafe {
            mmap(
                start.as_ptr().cast(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::FIXED,
                file,
                0,
            )
        };
        let mut mapping = Self::new(mapped.map(<*mut _>::cast), len)?;
        mapping.ending = Ending::Reserve;
        Ok(mapping)
    }

    fn new(start: rustix::io::Result<*mut u8>, len: usize) -> Outcome<Self> {
        let start = start.ok().and_then(NonNull::new);
        let start = start.ok_or(Status::OUT_OF_MEMORY)?;
        Ok(Self {
            start,
            len,
            ending: Ending::Free,
        })
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let start = self.start.as_ptr().cast();
        match self.ending {
            Ending::Free => {
                // SAFETY: the field's invariant; spans into it keep what owns it alive.
                let _ = unsafe { munmap(start, self.len) };
            }
            Ending::Reserve => {
                // SAFETY: likewise.
                let _ = unsafe { nothing(start, self.len, MapFlags::FIXED) };
            }
        }
    }
}

/// Maps addresses that cannot be used.
///
/// # Safety
///
/// As `mmap`: what was at a fixed address is gone.
unsafe fn nothing(start: *mut c_void, len: usize, flags: MapFlags) -> rustix::io::Result<*mut u8> {
    let flags = flags | MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: the function's contract.
    let start = unsafe { mmap_anonymous(start, len, ProtFlags::empty(), flags) }?;
    Ok(start.cast())
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
