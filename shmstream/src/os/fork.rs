//! What holds after `fork`.
//!
//! A child shares its parent's open file descriptions, and with them the kernel locks that stand
//! for the parent's rows and for the write lock. Left alone, a child could keep a dead parent's rows
//! alive, and closing or unlocking in the child could free what the parent still relies on. So a
//! child gets none of the mappings (see `map.rs`), and a hook in every child points the descriptors
//! of all streams at `/dev/null` and counts a generation on. Handles remember the generation in which
//! they were made, and refuse to work in another.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use super::sys;

/// How many forks lie between this process and the one that loaded the crate.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The descriptors to replace.
static DESCRIPTORS: Chunk = Chunk::new();

/// What they are replaced with.
static NOTHING: OnceLock<OwnedFd> = OnceLock::new();

/// A place without a descriptor.
const FREE: RawFd = -1;

/// Places for descriptors. A list that only grows, so that the hook can walk it at any moment.
struct Chunk {
    places: [AtomicI32; 64],
    next: OnceLock<Box<Chunk>>,
}

impl Chunk {
    const fn new() -> Self {
        Self {
            places: [const { AtomicI32::new(FREE) }; 64],
            next: OnceLock::new(),
        }
    }

    fn next_or_new(&self) -> &Self {
        self.next.get_or_init(|| Box::new(Self::new()))
    }
}

fn chunks() -> impl Iterator<Item = &'static Chunk> {
    std::iter::successors(Some(&DESCRIPTORS), |chunk| {
        chunk.next.get().map(Box::as_ref)
    })
}

/// Returns the generation of this process.
#[inline]
pub(crate) fn generation() -> u32 {
    // Relaxed: it changes only in a child before that has a second thread.
    GENERATION.load(Ordering::Relaxed)
}

/// A descriptor that a forked child does not share with its parent.
#[derive(Debug)]
pub(crate) struct Unshared {
    file: OwnedFd,
    place: &'static AtomicI32,
}

impl Unshared {
    /// Takes charge of a descriptor.
    pub(crate) fn new(file: OwnedFd) -> io::Result<Self> {
        install_hook()?;
        let mut chunk = &DESCRIPTORS;
        loop {
            // Relaxed: the hook runs in a child of this very thread's process, behind the fork.
            let free = chunk.places.iter().find(|place| {
                place
                    .compare_exchange(FREE, file.as_raw_fd(), Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            });
            if let Some(place) = free {
                return Ok(Self { file, place });
            }
            chunk = chunk.next_or_new();
        }
    }
}

impl Drop for Unshared {
    fn drop(&mut self) {
        // Before the descriptor is closed, so that the hook never replaces a stranger's.
        self.place.store(FREE, Ordering::Relaxed);
    }
}

impl AsFd for Unshared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn install_hook() -> io::Result<()> {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    if INSTALLED.get().is_some() {
        return Ok(());
    }
    if NOTHING.get().is_none() {
        let nothing = File::open("/dev/null")?.into();
        // Losing a race leaves another thread's, which does as well.
        let _ = NOTHING.set(nothing);
    }
    // Two threads may both get here; a hook that runs twice does the same again.
    sys::at_fork_in_child(forked)?;
    let _ = INSTALLED.set(());
    Ok(())
}

/// Runs in the child, before `fork` returns: atomics and `dup3` only.
extern "C" fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    let Some(nothing) = NOTHING.get() else {
        return;
    };
    for place in chunks().flat_map(|chunk| &chunk.places) {
        let descriptor = place.load(Ordering::Relaxed);
        if descriptor != FREE {
            sys::replace(nothing.as_fd(), descriptor);
        }
    }
}
