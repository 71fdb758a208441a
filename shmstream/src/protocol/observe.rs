//! Reading without a trace: what somebody does who cannot write to the file.
//!
//! An observer pins nothing, so a writer may overwrite what it copies. It copies first and then
//! looks whether the slot still holds the frame: a sequence lock. Nothing here stores, and no load is
//! stronger than relaxed, as memory that is mapped read-only demands; fences do the rest.

use super::Signal;
use super::control::{Control, FrameWords, Publisher, unpack};
use crate::sync::{AtomicU64, Label, Ordering, fence};

/// A view of the control block for somebody who cannot write to it.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a>(Control<'a>);

/// A frame that was there a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Below the number of slots.
    pub(crate) slot: usize,
    pub(crate) count: u64,
    pub(crate) frame: FrameWords,
}

/// One row of the participant table, as it was a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowWords {
    pub(crate) row: usize,
    pub(crate) pid: u32,
    pub(crate) roles: u32,
    pub(crate) seen: u64,
    pub(crate) needs: u64,
    pub(crate) pins: u64,
}

impl<'a> Sight<'a> {
    /// Looks at a control block without writing to it.
    pub(crate) const fn new(control: Control<'a>) -> Self {
        Self(control)
    }

    /// Returns the count of the latest frame, zero before the first.
    pub(crate) fn count(self) -> u64 {
        self.0.count()
    }

    /// Returns the signal that is announced with every publish.
    pub(crate) const fn notify(self) -> &'a Signal {
        self.0.notify()
    }

    /// Looks at the latest frame; `Ok(None)` before the first, and `Err` with the latest word when
    /// its slot holds something else.
    ///
    /// What is copied from the slot afterwards is that frame if [`is_still`](Self::is_still) says so
    /// at the end.
    pub(crate) fn look(self) -> Result<Option<Seen>, u64> {
        let control = self.0;
        // Observe: pairs with Publish.
        let latest = load(Label::Observe, &control.head.publication.latest);
        let (count, slot) = unpack(latest);
        if count == 0 {
            return Ok(None);
        }
        let words = control.slots.get(slot).ok_or(latest)?;
        // Relaxed: `latest` was stored after it.
        if words.state.load(Ordering::Relaxed) != count << 1 {
            return Err(latest);
        }
        let frame = words.frame.load();
        Ok(Some(Seen { slot, count, frame }))
    }

    /// Returns whether all that was copied since [`look`](Self::look) belongs to that frame.
    pub(crate) fn is_still(self, seen: Seen) -> bool {
        // Check: pairs with Disturb. Holds the copy before the load.
        fence(Label::Check, Ordering::Acquire);
        self.0.slots[seen.slot].state.load(Ordering::Relaxed) == seen.count << 1
    }

    /// Returns the rows that are attached, or whose owner died.
    pub(crate) fn rows(self) -> impl Iterator<Item = RowWords> + use<'a> {
        let Self(control) = self;
        // Relaxed, all of it: for messages.
        control.attached_relaxed().map(move |row| {
            let words = &control.rows[row];
            RowWords {
                row,
                pid: control.pid(row),
                roles: words.roles.load(Ordering::Relaxed),
                seen: words.seen.load(Ordering::Relaxed),
                needs: words.needs.load(Ordering::Relaxed),
                pins: words.pins.load(Ordering::Relaxed),
            }
        })
    }

    /// Returns the row of the participant that holds the write lock, or died with it.
    pub(crate) fn holder(self) -> Option<usize> {
        self.0.holder()
    }

    /// Returns who published last, as far as rows tell.
    pub(crate) fn publisher(self) -> Publisher {
        self.0.publisher()
    }
}

/// Loads a word so that what was stored before it is visible.
fn load(label: Label, word: &AtomicU64) -> u64 {
    let value = word.load(Ordering::Relaxed);
    fence(label, Ordering::Acquire);
    value
}
