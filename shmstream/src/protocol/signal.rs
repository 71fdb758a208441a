//! A word to sleep on.

use crate::sync::{AtomicU32, Label, Ordering, handshake_load32, handshake_or32, ordering};

/// Somebody may be asleep on the word.
const ARMED: u32 = 1;
/// Somebody may wait for an event on the stream's file.
const WATCHED: u32 = 2;
/// The bits above count how often the signal was fired.
const ONCE: u32 = 4;

/// A futex word that is fired only when somebody may wait for it.
///
/// Written by those who wait, which set a bit, and by whoever fires it, which clears the bits and
/// counts up. Nobody's place is recorded, so a sleeper that dies leaves at most its bit set, and the
/// next to fire makes one needless call and clears it. A process that dies between firing and its
/// call leaves sleepers asleep until they look again by themselves.
///
/// All zero is a signal never fired.
#[repr(transparent)]
pub(crate) struct Signal(AtomicU32);

/// Who must be told that a signal was fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Threads that sleep on the word.
    pub(crate) asleep: bool,
    /// Processes that watch the stream's file.
    pub(crate) watching: bool,
}

impl Waiting {
    /// Everybody that there could be.
    pub(crate) const ALL: Self = Self {
        asleep: true,
        watching: true,
    };

    const fn of(value: u32) -> Self {
        Self {
            asleep: value & ARMED != 0,
            watching: value & WATCHED != 0,
        }
    }
}

impl Signal {
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Says that the caller is about to sleep, and returns the value to sleep on.
    ///
    /// The caller then looks at what it waits for once more, and sleeps only while the word holds
    /// that value. If the change came before that look, the look sees it; if it came after, whoever
    /// made it sees the bit and changes the word.
    #[inline]
    pub(crate) fn arm(&self) -> u32 {
        // Arm: pairs with Fire.
        handshake_or32(Label::Arm, &self.0, ARMED) | ARMED
    }

    /// Says that the caller watches the stream's file for an event from now on.
    ///
    /// The caller then looks at what it waits for once more, as after [`arm`](Self::arm).
    #[cfg(any(test, feature = "async"))]
    #[inline]
    pub(crate) fn watch(&self) {
        // Arm: pairs with Fire.
        handshake_or32(Label::Arm, &self.0, WATCHED);
    }

    /// Says that something changed, and returns who must be told, if anybody.
    ///
    /// What changed must have been stored with `SeqCst` before.
    #[inline]
    pub(crate) fn fire(&self) -> Option<Waiting> {
        // Fire: pairs with Arm.
        let value = handshake_load32(Label::Fire, &[Label::Publish, Label::Await], &self.0);
        if value & (ARMED | WATCHED) == 0 {
            return None;
        }
        self.disarm(value)
    }

    #[cold]
    fn disarm(&self, mut value: u32) -> Option<Waiting> {
        while value & (ARMED | WATCHED) != 0 {
            // The next count with both bits cleared. Relaxed: the value only has to differ; what
            // changed is ordered by Arm and Fire. Failing means that another process fired, or that
            // a sleeper armed anew after that.
            let next = (value | ARMED | WATCHED).wrapping_add(1);
            match self
                .0
                .compare_exchange(value, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => {
                    kill_point!(SignalCleared);
                    return Some(Waiting::of(value));
                }
                Err(now) => value = now,
            }
        }
        None
    }

    /// Says that something changed to sleepers who cannot arm the signal as well, and returns who
    /// must be told: threads in any case.
    pub(crate) fn announce(&self) -> Waiting {
        // Announce: pairs with Glance.
        self.0
            .fetch_add(ONCE, ordering(Label::Announce, Ordering::Release));
        kill_point!(SignalAnnounced);
        Waiting {
            asleep: true,
            watching: self.fire().is_some_and(|waiting| waiting.watching),
        }
    }

    /// Returns the value to sleep on for somebody who cannot write to the word.
    ///
    /// What is then looked at is at least as new as the last announcement before that value. If
    /// another comes after, the word does not hold the value any more. Reads only.
    pub(crate) fn glance(&self) -> u32 {
        let value = self.0.load(Ordering::Relaxed);
        // Glance: pairs with Announce. A fence and not an acquiring load: a load stronger than
        // relaxed is not allowed on memory that is mapped read-only.
        crate::sync::fence(Label::Glance, Ordering::Acquire);
        value
    }

    /// Returns the word for the futex calls.
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.0
    }
}
