//! Reading in order: what a subscriber does.
//!
//! A subscriber pins frames like any reader, in the slot where the frame of the count that it wants
//! is, and not in the latest. Two things differ. The frame can be gone, and then the oldest that is
//! left comes next. And a subscriber can ask that frames it has not read stay: it stores the lowest
//! count that it needs in its row, where the writer's scan finds it like a pin.

use super::control::{Control, REWRITING, Role, Slot, unpack};
use super::read::{Pinned, Pins, STALE_LOOKS, Torn};
use crate::sync::{Label, Ordering, handshake_add32, handshake_load, handshake_store};

/// What came of looking for the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The frame, or if that is gone the oldest behind it.
    Frame(Pinned),
    /// It has not been published yet.
    NotYet,
    /// A writer has marked the slot of a frame that this subscriber awaits. It will restore it, or
    /// whoever takes the write lock after its death will.
    Unsettled,
}

impl Control<'_> {
    /// Pins the frame of count `next`, or the oldest one behind it that is left.
    ///
    /// `hint` is the slot to look at first. Starts again only when a frame was overwritten
    /// meanwhile, so every turn of the loop is paid for by a writer's progress.
    pub(crate) fn pin_next(self, pins: &Pins, next: u64, hint: usize) -> Result<Next, Torn> {
        let mut stale = 0;
        loop {
            let latest = self.observe();
            let (newest, _) = unpack(latest);
            if newest < next || newest == 0 {
                return Ok(Next::NotYet);
            }
            let (found, marked) = self.find(next, newest, hint);
            if let Some((count, slot)) = found {
                if marked.is_some_and(|marked| marked < count) && self.awaits_any(pins) {
                    return Ok(Next::Unsettled);
                }
                kill_point!(NextObserved);
                pins.add(self, slot);
                kill_point!(NextPinned);
                // Validate: pairs with Claim.
                let after = [Label::Pin, Label::Attach];
                let state = handshake_load(Label::Validate, &after, &self.slots[slot].state);
                if state == count << 1 {
                    let frame = self.slots[slot].frame.load();
                    kill_point!(NextValidated);
                    return Ok(Next::Frame(Pinned { slot, count, frame }));
                }
                pins.remove(self, slot);
            }
            // Overwritten meanwhile, and then another is published; or a writer only looked at the
            // slot, found a pin, and goes on to others. The latest itself is always there. This look
            // is in order with the claim that was seen.
            stale = if self.recheck() == newest {
                stale + 1
            } else {
                0
            };
            if stale > STALE_LOOKS {
                return Err(Torn {
                    latest,
                    state: None,
                });
            }
        }
    }

    /// Pins the newest frame of a count below `bound` that is left. The caller has observed a `latest`
    /// of that count or above.
    #[cfg(feature = "cuda")]
    pub(crate) fn pin_before(self, pins: &Pins, mut bound: u64) -> Option<Pinned> {
        loop {
            // Relaxed: as in `find`.
            let states = self
                .slots
                .iter()
                .map(|slot| slot.state.load(Ordering::Relaxed));
            let counted = states
                .enumerate()
                .filter_map(|(slot, state)| Some((Slot::count(state)?, slot)));
            let (count, slot) = counted.filter(|&(count, _)| count < bound).max()?;
            pins.add(self, slot);
            // Validate: pairs with Claim.
            let after = [Label::Pin, Label::Attach];
            let state = handshake_load(Label::Validate, &after, &self.slots[slot].state);
            if state == count << 1 {
                let frame = self.slots[slot].frame.load();
                return Some(Pinned { slot, count, frame });
            }
            pins.remove(self, slot);
            // Overwritten meanwhile. Those behind it are older, so this ends.
            bound = count;
        }
    }

    /// Returns the count and the slot of the oldest frame from `next` to `newest`, and the lowest
    /// count in that range whose slot is marked as being rewritten.
    fn find(self, next: u64, newest: u64, hint: usize) -> (Option<(u64, usize)>, Option<u64>) {
        let (mut found, mut marked) = (None::<(u64, usize)>, None::<u64>);
        let mut slot = hint;
        for _ in 0..self.slots.len() {
            if slot >= self.slots.len() {
                slot = 0;
            }
            // Relaxed: Validate has the last word. Frames up to `newest` were given their states
            // before `latest`, which was observed.
            let state = self.slots[slot].state.load(Ordering::Relaxed);
            let count = state >> 1;
            if (next..=newest).contains(&count) {
                if Slot::count(state) == Some(next) {
                    return (Some((next, slot)), None);
                }
                if state & REWRITING != 0 {
                    marked = Some(marked.map_or(count, |other| other.min(count)));
                } else if found.is_none_or(|(other, _)| count < other) {
                    found = Some((count, slot));
                }
            }
            slot += 1;
        }
        (found, marked)
    }

    fn awaits_any(self, pins: &Pins) -> bool {
        // Relaxed: this participant alone writes it.
        self.rows[pins.row()].needs.load(Ordering::Relaxed) != 0
    }

    /// Returns the count of the latest frame, in order with what is loaded afterwards.
    pub(crate) fn newest(self) -> u64 {
        unpack(self.observe()).0
    }

    /// Has writers keep the frames of this count and above for the caller, from now on.
    pub(crate) fn begin_to_await(self, pins: &Pins, count: u64) {
        // Relaxed: visible with the count below.
        self.rows[pins.row()].needs.store(count, Ordering::Relaxed);
        kill_point!(AwaitStored);
        // Await: pairs with Scan. Zero again only after 2^32 subscriptions without a writer that
        // found none of them.
        handshake_add32(Label::Await, &self.head.writer.awaited);
        kill_point!(AwaitCounted);
        self.note(pins.row(), Role::Lossless);
    }

    /// Lets go of all frames for good, if any are awaited. The caller then fires
    /// [`freed`](Self::freed).
    #[cfg(feature = "cuda")]
    pub(crate) fn await_nothing(self, pins: &Pins) {
        if self.awaits_any(pins) {
            self.await_from(pins, u64::MAX);
        }
    }

    /// Lets go of the frames below this count. The caller then fires [`freed`](Self::freed).
    pub(crate) fn await_from(self, pins: &Pins, count: u64) {
        // Await: comes before Fire.
        handshake_store(Label::Await, &self.rows[pins.row()].needs, count);
        kill_point!(AwaitMoved);
    }
}
