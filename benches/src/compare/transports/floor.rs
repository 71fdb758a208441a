//! What the machine itself needs: words in shared memory.

use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

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

/// A word that says which of two lines to read: what handing over any frame takes that leaves the frame
/// before it whole.
pub(crate) struct Lines<S>(PhantomData<S>);

/// What a frame carries besides.
pub(crate) trait Stamp: 'static {
    fn stamp();
}

/// Nothing.
pub(crate) struct Bare;

impl Stamp for Bare {
    #[inline]
    fn stamp() {}
}

/// The time of its publication.
pub(crate) struct Timed;

impl Stamp for Timed {
    #[inline]
    fn stamp() {
        black_box(Instant::now());
    }
}

impl<S: Stamp> Transport for Lines<S> {
    type Outlet = LinesEnd<S>;
    type Inlet = LinesEnd<S>;

    fn outlet(name: &str, _len: usize, _readers: usize) -> Outcome<LinesEnd<S>> {
        Words::create(name).map(LinesEnd::new)
    }

    fn inlet(name: &str, _len: usize, _readers: usize) -> Outcome<LinesEnd<S>> {
        Words::open(name).map(LinesEnd::new)
    }
}

pub(crate) struct LinesEnd<S> {
    end: AtomicEnd,
    stamp: PhantomData<S>,
}

impl<S> LinesEnd<S> {
    const fn new(words: Words) -> Self {
        Self {
            end: AtomicEnd::new(words),
            stamp: PhantomData,
        }
    }
}

impl<S: Stamp> Outlet for LinesEnd<S> {
    type Open<'a> = &'a mut Self;

    fn open(&mut self) -> &mut Self {
        self
    }
}

impl<S: Stamp> Send for &mut LinesEnd<S> {
    #[inline]
    fn send(&mut self, number: u64) {
        for word in self.end.words.line(number) {
            word.store(number, Ordering::Relaxed);
        }
        S::stamp();
        (&mut self.end).send(number);
    }
}

impl<S: Stamp> Inlet for LinesEnd<S> {
    #[inline]
    fn receive(&mut self) -> u64 {
        let number = self.end.receive();
        let line = self.end.words.line(number).each_ref();
        super::check(&line.map(|word| word.load(Ordering::Relaxed)))
    }
}

/// The same as [`Atomic`], and a call into the kernel to sleep and to wake.
pub(crate) struct Futex<P>(PhantomData<P>);

/// How long whoever sleeps goes without a look at the word.
pub(crate) trait Patience: 'static {
    const LONGEST: Option<Duration>;
}

/// For ever.
pub(crate) struct Sound;

impl Patience for Sound {
    const LONGEST: Option<Duration> = None;
}

/// A tenth of a second, as this library's waiters do.
pub(crate) struct Light;

impl Patience for Light {
    const LONGEST: Option<Duration> = Some(Duration::from_millis(100));
}

impl<P: Patience> Transport for Futex<P> {
    type Outlet = FutexEnd<P>;
    type Inlet = FutexEnd<P>;

    fn outlet(name: &str, _len: usize, _readers: usize) -> Outcome<FutexEnd<P>> {
        Words::create(name).map(|words| FutexEnd(words, PhantomData))
    }

    fn inlet(name: &str, _len: usize, _readers: usize) -> Outcome<FutexEnd<P>> {
        Words::open(name).map(|words| FutexEnd(words, PhantomData))
    }
}

/// The futex word is 0, or 1 for a number that nobody has taken, as in any binary semaphore.
pub(crate) struct FutexEnd<P>(Words, PhantomData<P>);

impl<P: Patience> Outlet for FutexEnd<P> {
    type Open<'a> = &'a mut Self;

    fn open(&mut self) -> &mut Self {
        self
    }
}

impl<P: Patience> Send for &mut FutexEnd<P> {
    #[inline]
    fn send(&mut self, number: u64) {
        self.0.number().store(number, Ordering::Relaxed);
        self.0.futex().store(1, Ordering::Release);
        // Fails only for addresses that are none.
        let _ = futex::wake(self.0.futex(), futex::Flags::empty(), 1);
    }
}

impl<P: Patience> Inlet for FutexEnd<P> {
    #[inline]
    fn receive(&mut self) -> u64 {
        let word = self.0.futex();
        let longest = P::LONGEST.map(|longest| longest.try_into().expect("a short time"));
        while word.swap(0, Ordering::Acquire) == 0 {
            // Returns at once if there is a number by now.
            let _ = futex::wait(word, futex::Flags::empty(), 0, longest.as_ref());
        }
        self.0.number().load(Ordering::Relaxed)
    }
}
