//! What the machine itself takes for the work that a stream cannot avoid.

use std::fs::File;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memmap2::{Advice, MmapMut, MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};

/// Opens a file of `len` bytes where streams live, without a name and reserved as theirs is.
pub(crate) fn shared_file(len: usize) -> File {
    let dir = std::env::var_os("SHMSTREAM_DIR").map_or("/dev/shm".into(), PathBuf::from);
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR).expect("shared memory");
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len as u64).expect("room for it");
    file.into()
}

/// Maps memory of the kind that streams live in, with its page tables filled.
pub(crate) fn shared_memory(len: usize) -> MmapMut {
    let file = shared_file(len);
    // SAFETY: `map_mut` asks that nobody changes the file behind the map: it has no name, and its
    // only descriptor is closed when this function returns.
    let map = unsafe { MmapMut::map_mut(&file) }.expect("address space");
    map.advise(Advice::PopulateWrite).expect("pages");
    map
}

/// A word in memory of the kind that streams live in, to sleep on.
pub(crate) struct SharedWord(
    /// INVARIANT: has room for one word, and is reached through `word` alone.
    MmapRaw,
);

impl SharedWord {
    pub(crate) fn new() -> Self {
        let file = shared_file(size_of::<AtomicU32>());
        let map = MmapOptions::new()
            .len(size_of::<AtomicU32>())
            .map_raw(&file);
        // INVARIANT: the length is that of a word.
        Self(map.expect("address space"))
    }

    pub(crate) fn word(&self) -> &AtomicU32 {
        // SAFETY: `from_ptr` asks for
        // - alignment: a mapping begins on a page;
        // - validity for reads and writes while the result lives: it borrows the mapping, which has
        //   room for one word (invariant);
        // - no access that is not atomic meanwhile: there is none but through here (invariant).
        unsafe { AtomicU32::from_ptr(self.0.as_mut_ptr().cast()) }
    }
}

/// Reads the clock that stamps frames.
#[inline]
pub(crate) fn clock() {
    black_box(clock_gettime(ClockId::Monotonic));
}

/// A word on a line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// The least that a publish and a read do: one clock read, the stores of the protocol, and moving
/// the payload.
#[derive(Default)]
pub(crate) struct Least {
    state: Line,
    latest: Line,
    pins: Line,
    slot: [AtomicU64; 8],
}

impl Least {
    /// One store that is visible to others before anything behind it.
    #[inline]
    pub(crate) fn store(&self) {
        self.state.0.store(black_box(1), Ordering::SeqCst);
    }

    #[inline]
    pub(crate) fn publish(&self, frame: &[u64; 8]) {
        self.state.0.store(black_box(1), Ordering::SeqCst);
        for (word, value) in self.slot.iter().zip(black_box(frame)) {
            word.store(*value, Ordering::Relaxed);
        }
        clock();
        self.state.0.store(2, Ordering::Release);
        self.latest.0.store(2, Ordering::SeqCst);
    }

    #[inline]
    pub(crate) fn read(&self) {
        black_box(self.latest.0.load(Ordering::Acquire));
        self.pins.0.store(black_box(1), Ordering::SeqCst);
        let sum = |sum: u64, word: &AtomicU64| sum.wrapping_add(word.load(Ordering::Relaxed));
        black_box(self.slot.iter().fold(0, sum));
        self.pins.0.store(0, Ordering::Release);
    }
}

/// The kernel's lock on a file, taken and released: what a write without the lock held adds.
#[inline]
pub(crate) fn lock_pair(file: &File) {
    rustix::fs::flock(file, rustix::fs::FlockOperation::LockExclusive).expect("a lock");
    rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock).expect("no lock");
}
