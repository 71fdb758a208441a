//! A word to sleep on.

use crate::sync::{AtomicU32, Label, Ordering, handshake_load32, handshake_or32};

/// The lowest bit: somebody may be asleep. The bits above count how often the signal was fired.
const ARMED: u32 = 1;

/// A futex word that is fired only when somebody may be asleep on it.
///
/// Written by sleepers, which set the armed bit, and by whoever fires it, which clears the bit and
/// counts up. Nobody's place is recorded, so a sleeper that dies leaves at most the bit set, and the
/// next to fire makes one needless wake call and clears it. A process that dies between firing and
/// its wake call leaves sleepers asleep until they look again by themselves.
///
/// All zero is a signal never fired.
#[repr(transparent)]
pub(crate) struct Signal(AtomicU32);

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

    /// Says that something changed, and returns whether sleepers must be woken.
    ///
    /// What changed must have been stored with `SeqCst` before.
    #[inline]
    pub(crate) fn fire(&self) -> bool {
        // Fire: pairs with Arm.
        let value = handshake_load32(Label::Fire, &[Label::Publish], &self.0);
        value & ARMED != 0 && self.disarm(value)
    }

    #[cold]
    fn disarm(&self, mut value: u32) -> bool {
        while value & ARMED != 0 {
            // One more is the next count with the bit cleared. Relaxed: the value only has to
            // differ; what changed is ordered by Arm and Fire. Failing means that another process
            // fired, or that a sleeper armed anew after that.
            let next = value.wrapping_add(1);
            match self
                .0
                .compare_exchange(value, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => value = now,
            }
        }
        false
    }

    /// Returns the word for the futex calls.
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.0
    }
}
