//! Observe and release: what a reader does.

use std::cell::Cell;

use super::control::{Control, FrameWords, MAX_SLOTS, unpack};
use crate::sync::{Label, Ordering, handshake_load, handshake_store, ordering};

/// How often `latest` may look unchanged although its slot has been claimed, before the words count
/// as damaged. A processor shows one store late and the next in time, for nanoseconds. In models,
/// where loom goes through every such delay, a few are enough.
pub(super) const STALE_LOOKS: u32 = if cfg!(shmstream_loom) { 4 } else { 1000 };

/// A slot that this participant pinned, and the frame in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pinned {
    /// Below the number of slots.
    pub(crate) slot: usize,
    pub(crate) count: u64,
    pub(crate) frame: FrameWords,
}

/// Words that no writer of ours left so: `latest`, and the state of the slot that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) latest: u64,
    pub(crate) state: Option<u64>,
}

/// The pins of one participant, as it counts them privately.
///
/// The row in shared memory has one bit for a slot. How many guards stand behind the bit is nobody
/// else's business, so it is counted here, and only the first and the last write to the row.
pub(crate) struct Pins {
    row: usize,
    mask: Cell<u64>,
    /// Guards that were forgotten count: 64 bits, so that no program lives to see them overflow.
    guards: [Cell<u64>; MAX_SLOTS],
}

impl Pins {
    /// Returns the pins of the participant that owns `row`, none so far.
    pub(crate) fn new(row: usize) -> Self {
        Self {
            row,
            mask: Cell::new(0),
            guards: [const { Cell::new(0) }; MAX_SLOTS],
        }
    }

    /// Returns the row.
    #[inline]
    pub(crate) const fn row(&self) -> usize {
        self.row
    }

    #[inline]
    pub(super) fn add(&self, control: Control<'_>, slot: usize) {
        let guards = self.guards[slot].get();
        if guards == 0 {
            self.mask.set(self.mask.get() | 1 << slot);
            // Pin: pairs with Scan.
            handshake_store(Label::Pin, &control.rows[self.row].pins, self.mask.get());
        }
        self.guards[slot].set(guards + 1);
    }

    /// Lets one guard's pin go, and returns whether the slot is free of this participant's pins.
    #[inline]
    pub(crate) fn remove(&self, control: Control<'_>, slot: usize) -> bool {
        let guards = self.guards[slot].get().saturating_sub(1);
        self.guards[slot].set(guards);
        if guards == 0 {
            self.mask.set(self.mask.get() & !(1 << slot));
            // Unpin: pairs with Scan.
            let pins = &control.rows[self.row].pins;
            pins.store(self.mask.get(), ordering(Label::Unpin, Ordering::Release));
            kill_point!(Unpinned);
        }
        guards == 0
    }
}

impl Control<'_> {
    /// Pins the latest frame, or returns `None` before the first.
    ///
    /// Starts again only when a newer frame was published meanwhile, so every turn of the loop is
    /// paid for by a writer's progress.
    #[inline]
    pub(crate) fn pin_latest(self, pins: &Pins) -> Result<Option<Pinned>, Torn> {
        let mut latest = self.observe();
        let mut stale = 0;
        loop {
            let (count, slot) = unpack(latest);
            if count == 0 {
                return Ok(None);
            }
            let Some(words) = self.slots.get(slot) else {
                return Err(Torn {
                    latest,
                    state: None,
                });
            };
            kill_point!(ReadObserved);
            pins.add(self, slot);
            kill_point!(ReadPinned);
            // Validate: pairs with Claim.
            let after = [Label::Pin, Label::Attach];
            let state = handshake_load(Label::Validate, &after, &words.state);
            if state == count << 1 {
                let frame = words.frame.load();
                kill_point!(ReadValidated);
                return Ok(Some(Pinned { slot, count, frame }));
            }
            pins.remove(self, slot);
            let newer = self.observe();
            if newer == latest {
                // The slot was claimed, so another was made the latest before: the next look or one
                // soon after shows it. If none does, no writer of ours has left the words so.
                stale += 1;
                if stale > STALE_LOOKS {
                    let state = Some(state);
                    return Err(Torn { latest, state });
                }
            } else {
                stale = 0;
            }
            latest = newer;
        }
    }

    #[inline]
    pub(super) fn observe(self) -> u64 {
        // Observe: pairs with Publish.
        let latest = &self.head.publication.latest;
        latest.load(ordering(Label::Observe, Ordering::Acquire))
    }
}
