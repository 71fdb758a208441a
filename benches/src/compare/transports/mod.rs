//! One module for each way to hand frames to another process, behind one small interface.
//!
//! Of a frame, one cache line is written and read: what is measured is how long it takes to hand a frame
//! over, not to copy it. Every word of the line is checked at the other end.

pub(crate) mod floor;
pub(crate) mod pipe;
pub(crate) mod streams;

#[cfg(feature = "peers")]
pub(crate) mod crossbar;
#[cfg(feature = "peers")]
pub(crate) mod iceoryx2;
#[cfg(feature = "peers")]
pub(crate) mod mmap_sync;

use std::hint::black_box;

use clap::ValueEnum;

use crate::Outcome;
use crate::contender::Contender;

/// A way to hand frames over.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// One word in shared memory, and nothing else.
    Atomic,
    /// One word in shared memory that says which of two lines to read; and that with a look at the clock.
    Lines,
    LinesTimed,
    /// One word in shared memory, and a futex to sleep on; and that with a look ten times a second.
    Futex,
    FutexLight,
    /// A named pipe, awaited by a task.
    Pipe,
    /// A stream: polled, slept on, awaited by a task.
    Shmstream,
    ShmstreamWait,
    ShmstreamAsync,
    /// The others.
    Iceoryx2,
    Iceoryx2Wait,
    Crossbar,
    CrossbarWait,
    CrossbarPinned,
    MmapSync,
}

impl Kind {
    pub(crate) const fn contender(self) -> Contender {
        match self {
            Self::Atomic => Contender::floor("bare atomic"),
            Self::Lines => Contender::floor("a word, then a line"),
            Self::LinesTimed => Contender::floor("a word, then a line, timed"),
            Self::Futex => Contender::floor("bare futex"),
            Self::FutexLight => Contender::floor("bare futex, 100 ms at a time"),
            Self::Pipe => Contender::floor("named pipe, tokio"),
            Self::Shmstream => Contender::shmstream("shmstream"),
            Self::ShmstreamWait => Contender::shmstream("shmstream, wait"),
            Self::ShmstreamAsync => Contender::shmstream("shmstream, tokio"),
            Self::Iceoryx2 => Contender::iceoryx2("iceoryx2"),
            Self::Iceoryx2Wait => Contender::iceoryx2("iceoryx2, listener"),
            Self::Crossbar => Contender::crossbar("crossbar"),
            Self::CrossbarWait => Contender::crossbar("crossbar, recv"),
            Self::CrossbarPinned => Contender::crossbar("crossbar, pinned").shade(1),
            Self::MmapSync => Contender::mmap_sync("mmap-sync"),
        }
    }

    /// Returns the name by which a child is told.
    pub(crate) fn argument(self) -> String {
        let value = self.to_possible_value().expect("no variant is skipped");
        value.get_name().to_owned()
    }
}

/// Both ends of one way to hand frames over.
pub(crate) trait Transport: 'static {
    type Outlet: Outlet;
    type Inlet: Inlet;

    /// Makes the end that publishes frames of `len` bytes to at most `readers` others.
    ///
    /// It comes first: an inlet finds what it made.
    fn outlet(name: &str, len: usize, readers: usize) -> Outcome<Self::Outlet>;

    /// Makes an end that receives.
    fn inlet(name: &str, len: usize, readers: usize) -> Outcome<Self::Inlet>;
}

/// The end that publishes.
pub(crate) trait Outlet {
    type Open<'a>: Send
    where
        Self: 'a;

    /// Gets ready for a row of frames; a write lock is taken here.
    fn open(&mut self) -> Self::Open<'_>;
}

/// An outlet that is ready.
pub(crate) trait Send {
    /// Publishes a frame, its first line filled with `number`.
    fn send(&mut self, number: u64);
}

/// The end that receives.
pub(crate) trait Inlet {
    /// Returns the number in the next frame, or in the latest that is new, when there is one.
    fn receive(&mut self) -> u64;
}

/// What is done with a transport whose type is known.
pub(crate) trait Visitor {
    type Output;

    fn visit<T: Transport>(self) -> Outcome<Self::Output>;
}

/// Finds the type of a transport for frames of `len` bytes.
pub(crate) fn visit<V: Visitor>(kind: Kind, len: usize, visitor: V) -> Outcome<V::Output> {
    match kind {
        Kind::Atomic => visitor.visit::<floor::Atomic>(),
        Kind::Lines => visitor.visit::<floor::Lines<floor::Bare>>(),
        Kind::LinesTimed => visitor.visit::<floor::Lines<floor::Timed>>(),
        Kind::Futex => visitor.visit::<floor::Futex<floor::Sound>>(),
        Kind::FutexLight => visitor.visit::<floor::Futex<floor::Light>>(),
        Kind::Pipe => visitor.visit::<pipe::Pipe>(),
        Kind::Shmstream => streams::visit::<streams::Poll, V>(len, visitor),
        Kind::ShmstreamWait => streams::visit::<streams::Wait, V>(len, visitor),
        Kind::ShmstreamAsync => streams::visit::<streams::Task, V>(len, visitor),
        #[cfg(feature = "peers")]
        Kind::Iceoryx2 => visitor.visit::<iceoryx2::Polled>(),
        #[cfg(feature = "peers")]
        Kind::Iceoryx2Wait => visitor.visit::<iceoryx2::Notified>(),
        #[cfg(feature = "peers")]
        Kind::Crossbar => visitor.visit::<crossbar::Polled>(),
        #[cfg(feature = "peers")]
        Kind::CrossbarWait => visitor.visit::<crossbar::Blocked>(),
        #[cfg(feature = "peers")]
        Kind::CrossbarPinned => visitor.visit::<crossbar::Pinned>(),
        #[cfg(feature = "peers")]
        Kind::MmapSync => mmap_sync::visit(len, visitor),
        #[cfg(not(feature = "peers"))]
        _ => Err("this program was built without the feature `peers`".into()),
    }
}

/// Polls without a pause until there is something, as long as somebody may still send it.
#[inline]
pub(crate) fn spin<T>(mut look: impl FnMut() -> Option<T>) -> T {
    // A minute or more: nobody waits for a frame that long but for one that never comes.
    for _ in 0..20_000_000_000_u64 {
        if let Some(found) = look() {
            return found;
        }
    }
    panic!("no frame came");
}

/// Fills the first line of a frame.
#[inline]
pub(crate) fn fill(words: &mut [u64], number: u64) {
    let line = words.len().min(8);
    words[..line].fill(number);
}

/// Reads the first line of a frame.
#[inline]
pub(crate) fn check(words: &[u64]) -> u64 {
    let line = &words[..words.len().min(8)];
    let number = line[0];
    let wrong = line.iter().fold(0, |wrong, word| wrong | (word ^ number));
    assert!(black_box(wrong) == 0, "a torn frame");
    number
}
