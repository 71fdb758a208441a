//! Mapping a stream's file.
#![allow(unsafe_code)]
// This file guarantees that the advice it gives the kernel about a mapping never changes what the
// mapping holds, and that a mapping is unmapped in the process that made it and in no other.

use std::io;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::mm::{MapFlags, ProtFlags, mlock, mmap};

use super::fork;
use crate::error::{Error, Result};
use crate::name::StreamName;

/// A mapping that a forked child does not have.
///
/// A mapping keeps the open file description alive, and with that the kernel locks. So the child
/// must not have it, and must not unmap what it does not have: something else may be there by then.
pub(crate) struct Map {
    /// The mapping, or the address range around it.
    raw: ManuallyDrop<MmapRaw>,
    /// Where in `raw` the mapping begins, and how long it is.
    ///
    /// INVARIANT: inside of `raw`.
    range: Range<usize>,
    generation: u32,
}

impl Map {
    /// Maps a part of a file.
    fn new(file: BorrowedFd<'_>, offset: usize, len: usize, access: Access) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        options.offset(offset as u64).len(len);
        let raw = match access {
            Access::Read => options.map_raw_read_only(file.as_raw_fd()),
            Access::ReadWrite => options.map_raw(file.as_raw_fd()),
        }?;
        // INVARIANT (range): all of it.
        Ok(Self::of(raw, 0..len))
    }

    /// The same at an address that is a multiple of [`HUGE_PAGE`], as huge pages need it.
    fn aligned(
        file: BorrowedFd<'_>,
        offset: usize,
        len: usize,
        access: Access,
    ) -> io::Result<Self> {
        let room = len
            .checked_add(HUGE_PAGE)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let reserved = MmapOptions::new().len(room).no_reserve_swap().map_anon()?;
        let reserved = MmapRaw::from(reserved);
        let skip = reserved.as_mut_ptr().align_offset(HUGE_PAGE);
        let protection = match access {
            Access::Read => ProtFlags::READ,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        };
        let start = reserved.as_mut_ptr().wrapping_add(skip).cast();
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: `mmap` with FIXED replaces what is at `start`: `len` bytes inside `reserved`, since
        // `skip` is less than the page that `room` is larger by. Those are owned here, and nobody
        // has seen them.
        unsafe { mmap(start, len, protection, flags, file, offset as u64) }?;
        // INVARIANT (range): as above.
        Ok(Self::of(reserved, skip..skip + len))
    }

    fn of(raw: MmapRaw, range: Range<usize>) -> Self {
        Self {
            raw: ManuallyDrop::new(raw),
            range,
            generation: fork::generation(),
        }
    }

    fn advise(&self, advice: Advice) -> io::Result<()> {
        let Range { start, end } = self.range;
        self.raw.advise_range(advice, start, end - start)
    }

    /// Returns the address of the first byte, which is the start of a page.
    ///
    /// In a forked child nothing is there.
    #[inline]
    pub(crate) fn start(&self) -> *mut u8 {
        // Inside of the mapping (invariant), so nothing wraps.
        self.raw.as_mut_ptr().wrapping_add(self.range.start)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        if self.generation == fork::generation() {
            // SAFETY: `ManuallyDrop::drop` asks that the value is not used again: `self` is going
            // away, and nothing else reaches it.
            unsafe { ManuallyDrop::drop(&mut self.raw) }
        }
    }
}

/// What a mapping allows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
}

/// How a mapping is kept in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Residency {
    /// Page tables are filled at once.
    pub(crate) prefault: bool,
    /// Pages stay in memory.
    pub(crate) lock: bool,
    /// Huge pages are used where the system offers them.
    pub(crate) huge: bool,
}

/// The size of a huge page where the system has them.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// Maps `len` bytes at `offset`, which the file is known to have.
pub(crate) fn map(
    name: &StreamName,
    file: impl AsFd,
    offset: usize,
    len: usize,
    access: Access,
    residency: Residency,
) -> Result<Map> {
    let file = file.as_fd();
    let mapped = if residency.huge {
        Map::aligned(file, offset, len, access)
    } else {
        Map::new(file, offset, len, access)
    };
    let map = mapped.map_err(|source| map_error(name, source))?;
    map.advise(Advice::DontFork)
        .map_err(|source| Error::os(name, "keep the mapping from forked children", source))?;
    if residency.huge {
        prefer_huge_pages(&map);
    }
    if residency.prefault {
        let advice = match access {
            Access::Read => Advice::PopulateRead,
            Access::ReadWrite => Advice::PopulateWrite,
        };
        match map.advise(advice) {
            // Kernels before 5.14 lack the advice; the pages are reserved all the same.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            result => result.map_err(|source| Error::os(name, "prefault the stream", source))?,
        }
    }
    if residency.lock {
        // SAFETY: `mlock` asks for a mapped range: that of `map`. It changes nothing in it.
        unsafe { mlock(map.start().cast(), len) }
            .map_err(|source| lock_error(name, source.into()))?;
    }
    Ok(map)
}

#[cold]
fn map_error(name: &StreamName, source: io::Error) -> Error {
    let operation = "map the stream";
    if source.kind() == io::ErrorKind::OutOfMemory {
        let limit = "address space or mappings of the process; raise RLIMIT_AS (`ulimit -v`) or \
                     the sysctl vm.max_map_count";
        let name = name.clone();
        return Error::Limit {
            name,
            operation,
            limit,
            source,
        };
    }
    Error::os(name, operation, source)
}

#[cold]
fn lock_error(name: &StreamName, source: io::Error) -> Error {
    Error::Limit {
        name: name.clone(),
        operation: "lock the stream's memory",
        limit: "locked memory of the process; raise RLIMIT_MEMLOCK (`ulimit -l`) or grant \
                CAP_IPC_LOCK",
        source,
    }
}

/// Asks for huge pages, and for gathering those that are in use already into huge ones.
///
/// A system that does not offer them says no, and ordinary pages do the same work.
fn prefer_huge_pages(map: &Map) {
    let _ = map.advise(Advice::HugePage);
    // SAFETY: `madvise` asks for an address at the start of a page and a length inside a mapping:
    // both are those of `map`, which outlives the call. MADV_COLLAPSE moves pages together and
    // leaves what they hold as it is, for every process that maps them.
    let _ = unsafe { libc::madvise(map.start().cast(), map.range.len(), libc::MADV_COLLAPSE) };
}
