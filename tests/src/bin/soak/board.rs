//! The words that all processes of a run share, beside the streams that are tested: progress,
//! counts, the order to stop.
//!
//! What a process has counted stays when it is killed. A word has one writer at a time, but for
//! those that say otherwise.
#![allow(unsafe_code)]
// This file guarantees that the mapping lives as long as the process, and is reached through atomics
// alone.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapMut;
use rustix::time::{ClockId, clock_gettime};
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use crate::failures::{Failure, KINDS};
use crate::plan::{SEATS, Which};
use crate::usage::Usage;

/// The whole of it.
#[derive(FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct Board {
    /// Written by the supervisor: who has to end, as in [`Stop`].
    stop: AtomicU64,
    /// Written by the control process: see `control`.
    pub(crate) beats: AtomicU64,
    /// The longest that the control process was late, in ns.
    pub(crate) latest_beat: AtomicU64,
    /// Written by the resident: what it had after warming up, and at its end.
    pub(crate) resident: [Usage; 2],
    /// How many rounds it did in between.
    pub(crate) rounds: AtomicU64,
    pub(crate) streams: [StreamWords; Which::ALL.len()],
    pub(crate) seats: [SeatWords; SEATS],
}

/// What is known of a stream.
#[derive(FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct StreamWords {
    /// Written by the supervisor: when it killed one of the stream's processes last.
    pub(crate) killed_ns: AtomicU64,
    /// Raised by all writers: the longest from a kill to the publish of a live writer that was
    /// publishing then, in ns.
    pub(crate) pause_ns: AtomicU64,
    /// Raised by all writers: the longest publish.
    pub(crate) publish_ns: AtomicU64,
}

/// What the process in a seat does, and what those in it have counted.
#[derive(FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct SeatWords {
    /// What it does: the number of the call, and in the low bits which; see [`Call`].
    call: AtomicU64,
    /// While it waits: the count that the frame must be above.
    pub(crate) awaits: AtomicU64,
    /// The stream that it has open.
    pub(crate) instance: AtomicU64,
    pub(crate) counts: [AtomicU64; Count::ALL.len()],
    /// By kind of failure.
    pub(crate) failures: [AtomicU64; KINDS],
}

/// What is counted of the work that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// Processes that got as far as their work.
    Lives,
    Written,
    Read,
    Missed,
    /// Bytes of payload whose checksum was computed by a reader.
    Bytes,
    /// Streams created.
    Created,
    /// Copies of an observer that writers were too fast for.
    Overtaken,
    /// Times that no slot was free because a lossless subscription was behind.
    Full,
}

impl Count {
    pub(crate) const ALL: [Self; 8] = [
        Self::Lives,
        Self::Written,
        Self::Read,
        Self::Missed,
        Self::Bytes,
        Self::Created,
        Self::Overtaken,
        Self::Full,
    ];
}

/// Who has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u64)]
pub(crate) enum Stop {
    /// All that need somebody to write. Zero orders nobody.
    Readers = 1,
    Writers,
    Resident,
    Everybody,
}

/// A call into the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Call {
    /// None.
    Idle,
    Open,
    Publish,
    Read,
    Unlink,
    /// Ends when there is something newer than `awaits`, or another stream under the name.
    Wait,
}

const CALL_BITS: u32 = 3;

impl Board {
    /// Makes the file of a board. Other users may write to it.
    pub(crate) fn create(path: &Path) -> io::Result<&'static Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.set_permissions(PermissionsExt::from_mode(0o666))?;
        file.set_len(size_of::<Self>() as u64)?;
        Self::map(&file)
    }

    /// Opens the file of a board.
    pub(crate) fn open(path: &Path) -> io::Result<&'static Self> {
        Self::map(&OpenOptions::new().read(true).write(true).open(path)?)
    }

    fn map(file: &File) -> io::Result<&'static Self> {
        // SAFETY: `map_mut` asks that nobody changes the file in a way that breaks the bytes' users.
        // All of them see atomics, for which every value is one, and nobody makes it shorter.
        let map = unsafe { MmapMut::map_mut(file) }?;
        // For as long as the process lives.
        let map: &'static mut MmapMut = Box::leak(Box::new(map));
        Self::mut_from_bytes(map)
            .map(|board| &*board)
            .map_err(|_| io::Error::other("the board has another size"))
    }

    pub(crate) fn order(&self, stop: Stop) {
        self.stop.store(stop as u64, Ordering::SeqCst);
    }

    /// Returns whether these have to end.
    pub(crate) fn must_end(&self, who: Stop) -> bool {
        self.stop.load(Ordering::SeqCst) >= who as u64
    }

    /// Returns what all seats have counted.
    pub(crate) fn sum(&self, count: Count) -> u64 {
        self.seats.iter().map(|seat| seat.count(count)).sum()
    }

    /// Returns how many failures of a kind the processes have counted.
    pub(crate) fn failures(&self, failure: Failure) -> u64 {
        let of_seat = |seat: &SeatWords| seat.failures[failure as usize].load(Ordering::SeqCst);
        self.seats.iter().map(of_seat).sum()
    }
}

impl SeatWords {
    /// Says that a call begins, or with `Idle` that it is over.
    pub(crate) fn begin(&self, call: Call) {
        let number = (self.call.load(Ordering::Relaxed) >> CALL_BITS) + 1;
        self.call
            .store(number << CALL_BITS | call as u64, Ordering::SeqCst);
    }

    /// Returns the number of the call, and which it is.
    pub(crate) fn call(&self) -> (u64, Call) {
        let word = self.call.load(Ordering::SeqCst);
        let calls = [
            Call::Idle,
            Call::Open,
            Call::Publish,
            Call::Read,
            Call::Unlink,
            Call::Wait,
        ];
        let code = word & ((1 << CALL_BITS) - 1);
        let call = calls.into_iter().find(|&call| call as u64 == code);
        (word >> CALL_BITS, call.unwrap_or(Call::Idle))
    }

    pub(crate) fn add(&self, count: Count, more: u64) {
        self.counts[count as usize].fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::SeqCst)
    }

    pub(crate) fn fail(&self, failure: Failure, number: u64) {
        self.failures[failure as usize].fetch_add(number, Ordering::SeqCst);
    }
}

/// Reads the clock that all processes share, in ns.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
