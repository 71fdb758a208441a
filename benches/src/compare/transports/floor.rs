//! What the machine itself needs: one word in shared memory.

use std::sync::atomic::Ordering;

use rustix::thread::futex;

use super::{Inlet, Outlet, Send, Transport, spin};
use crate::Outcome;
use crate::shared::Words;

/// A word that one process stores and another polls.
pub(crate) struct Atomic;

impl Transport for Atomic {
    type Outlet = AtomicEnd;
    type Inlet = AtomicEnd;

    fn outlet(name: &str, _len: usize, _readers: usize) -> Outcome<AtomicEnd> {
        Words::create(name).map(AtomicEnd::new)
    }

    fn inlet(name: &str, _len: usize, _readers: usize) -> Outcome<AtomicEnd> {
        Words::open(name).map(AtomicEnd::new)
    }
}

pub(crate) struct AtomicEnd {
    words: Words,
    seen: u64,
}

impl AtomicEnd {
    const fn new(words: Words) -> Self {
        Self { words, seen: 0 }
    }
}

impl Outlet for AtomicEnd {
    type Open<'a> = &'a mut Self;

    fn open(&mut self) -> &mut Self {
        self
    }
}

impl Send for &mut AtomicEnd {
    #[inline]
    fn send(&mut self, number: u64) {
        self.words.number().store(number, Ordering::Release);
    }
}

impl Inlet for AtomicEnd {
    #[inline]
    fn receive(&mut self) -> u64 {
        let word = self.words.number();
        let seen = self.seen;
        self.seen = spin(|| {
            let number = word.load(Ordering::Acquire);
            (number != seen).then_some(number)
        });
        self.seen
    }
}

/// The same, and a call into the kernel to sleep and to wake.
pub(crate) struct Futex;

impl Transport for Futex {
    type Outlet = FutexEnd;
    type Inlet = FutexEnd;

    fn outlet(name: &str, _len: usize, _readers: usize) -> Outcome<FutexEnd> {
        Words::create(name).map(FutexEnd)
    }

    fn inlet(name: &str, _len: usize, _readers: usize) -> Outcome<FutexEnd> {
        Words::open(name).map(FutexEnd)
    }
}

/// The futex word is 0, or 1 for a number that nobody has taken, as in any binary semaphore.
pub(crate) struct FutexEnd(Words);

impl Outlet for FutexEnd {
    type Open<'a> = &'a mut Self;

    fn open(&mut self) -> &mut Self {
        self
    }
}

impl Send for &mut FutexEnd {
    #[inline]
    fn send(&mut self, number: u64) {
        self.0.number().store(number, Ordering::Relaxed);
        self.0.futex().store(1, Ordering::Release);
        // Fails only for addresses that are none.
        let _ = futex::wake(self.0.futex(), futex::Flags::empty(), 1);
    }
}

impl Inlet for FutexEnd {
    #[inline]
    fn receive(&mut self) -> u64 {
        let word = self.0.futex();
        while word.swap(0, Ordering::Acquire) == 0 {
            // Returns at once if there is a number by now.
            let _ = futex::wait(word, futex::Flags::empty(), 0, None);
        }
        self.0.number().load(Ordering::Relaxed)
    }
}
