//! Claim and publish: what the holder of the write lock does.

use super::control::{Control, FrameWords, Head, REWRITING, Row, Slot, Turns, pack, unpack};
use crate::sync::{Label, Ordering, fence, handshake_load, handshake_load32, handshake_store};

/// No slot is free to write into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occupied {
    /// The slots that participants hold, by a pin or because they still await the frame, one bit
    /// each.
    pub(crate) held: u64,
}

impl Control<'_> {
    /// Claims a slot to write into: not the latest, not pinned, without a frame that somebody
    /// awaits, and not in `loaned`.
    ///
    /// Slots whose frames belong to the history come last, the oldest of them first. The caller
    /// holds the write lock.
    #[inline]
    pub(crate) fn claim(self, loaned: u64) -> Result<usize, Occupied> {
        kill_point!(ClaimBegun);
        // Relaxed, here and below: only holders of the write lock write these words, and taking the
        // lock made visible what they wrote.
        let writer = &self.head.writer;
        let (count, latest) = unpack(writer.published.load(Ordering::Relaxed));
        let taken = if count == 0 {
            loaned
        } else {
            loaned | 1 << latest
        };
        let awaited = self.awaited_from();
        let kept_from = (count + 1).saturating_sub(self.turns.kept).min(awaited);
        let first = writer.first.load(Ordering::Relaxed) as usize;
        if first < self.slots.len() && taken >> first & 1 == 0 {
            let state = self.slots[first].state.load(Ordering::Relaxed);
            if is_left(state, kept_from) && self.try_claim(first, state) {
                return Ok(first);
            }
        }
        claim_another(self.head, self.slots, self.rows, taken, kept_from, awaited)
    }

    /// Claims the slot that comes first, if nothing speaks against it; for the frame after this one.
    ///
    /// The caller has just published, keeps the write lock, and takes this slot before any other. To
    /// claim takes two lines from readers' caches, which is better done now than when the next frame
    /// is there.
    #[inline]
    pub(crate) fn claim_ahead(self, loaned: u64) -> Option<usize> {
        let writer = &self.head.writer;
        // Relaxed: as in `claim`.
        let (count, latest) = unpack(writer.published.load(Ordering::Relaxed));
        let taken = loaned | 1 << latest;
        let kept_from = (count + 1).saturating_sub(self.turns.kept);
        let first = writer.first.load(Ordering::Relaxed) as usize;
        if first < self.slots.len() && taken >> first & 1 == 0 && self.announced() == 0 {
            let state = self.slots[first].state.load(Ordering::Relaxed);
            if is_left(state, kept_from) && self.try_claim(first, state) {
                return Some(first);
            }
        }
        None
    }

    /// Claims the slot of the oldest frame that is kept and not awaited.
    fn claim_kept(self, taken: u64, mut held: u64, awaited: u64) -> Result<usize, Occupied> {
        loop {
            let left = (0..self.slots.len()).filter(|slot| (taken | held) >> slot & 1 == 0);
            let aged = left.map(|slot| (self.slots[slot].state.load(Ordering::Relaxed), slot));
            let Some((state, slot)) = aged.min() else {
                return Err(Occupied { held });
            };
            let awaited = Slot::count(state).is_some_and(|count| count >= awaited);
            if !awaited && self.try_claim(slot, state) {
                return Ok(slot);
            }
            held |= 1 << slot;
        }
    }

    /// Returns the lowest count that a subscriber awaits, as far as this writer sees.
    ///
    /// Scan has the last word. This look beforehand keeps the writer from marking a slot that it
    /// would have to restore, under the eyes of the one who awaits its frame.
    #[inline]
    fn awaited_from(self) -> u64 {
        let announced = self.announced();
        if announced == 0 {
            u64::MAX
        } else {
            look_for_awaited(self.head, self.rows, announced)
        }
    }

    /// Returns whether somebody may await frames; if zero, nobody does.
    #[inline]
    fn announced(self) -> u32 {
        // Scan: pairs with Await.
        let awaited = &self.head.writer.awaited;
        handshake_load32(Label::Scan, &[Label::Claim], awaited)
    }

    #[inline]
    fn try_claim(self, slot: usize, before: u64) -> bool {
        let state = &self.slots[slot].state;
        // Claim: pairs with Validate.
        handshake_store(Label::Claim, state, before | REWRITING);
        kill_point!(ClaimMarked);
        let held = self.is_pinned(slot)
            || self.announced() != 0 && is_awaited(self.head, self.rows, before);
        if held {
            kill_point!(ClaimRefused);
            // Relaxed: the frame is as it was, and who looks for it has observed its `latest`.
            state.store(before, Ordering::Relaxed);
            kill_point!(ClaimRestored);
            return false;
        }
        kill_point!(ClaimScanned);
        // From here on the frame is gone. A writer that dies before this line has left it whole.
        // Relaxed: to those who look for the frame it was gone with Claim.
        state.store(REWRITING, Ordering::Relaxed);
        kill_point!(ClaimTaken);
        // Disturb: pairs with Check.
        fence(Label::Disturb, Ordering::Release);
        true
    }

    /// Returns whether the owner of `row` awaits the frame of this count.
    #[inline]
    fn awaits(self, row: usize, count: u64) -> bool {
        // Zero awaits nothing, and becomes the largest number.
        self.needs(row).wrapping_sub(1) < count
    }

    fn needs(self, row: usize) -> u64 {
        // Scan: pairs with Await. Who begins to await stored it before being counted in `awaited`, and
        // that was seen; it only grows from there on, so an old value keeps a frame too many at most.
        // But a writer that has armed `freed` must not sleep over the newest value.
        handshake_load(Label::Scan, &[Label::Claim], &self.rows[row].needs)
    }

    /// Returns whether the owner of `row` pins any of `slots`, and whether it awaits a frame in any
    /// of them.
    pub(crate) fn holds(self, row: usize, slots: u64) -> Holding {
        let in_slots = |slot: &usize| slots >> slot & 1 != 0;
        let states = (0..self.slots.len())
            .filter(in_slots)
            .map(|slot| self.slots[slot].state.load(Ordering::Relaxed));
        let newest = states.filter_map(Slot::count).max();
        Holding {
            pinned: self.pins(row) & slots != 0,
            awaited: newest.is_some_and(|count| self.awaits(row, count)),
        }
    }

    /// Makes a claimed and filled slot the latest, and returns its count.
    ///
    /// The caller then fires [`notify`](Self::notify).
    #[inline]
    pub(crate) fn publish(self, slot: usize, frame: FrameWords) -> u64 {
        let Head {
            publication,
            writer,
            ..
        } = self.head;
        // Relaxed: as in `claim`.
        let (count, before) = unpack(writer.published.load(Ordering::Relaxed));
        let count = count + 1;
        self.slots[slot].frame.store(frame);
        kill_point!(PublishStamped);
        // Relaxed: Publish makes it visible, and nobody looks for this count before that.
        self.slots[slot].state.store(count << 1, Ordering::Relaxed);
        kill_point!(PublishNumbered);
        let next = if slot + 1 < self.slots.len() {
            slot + 1
        } else {
            0
        };
        let first = if self.turns.all { next } else { before };
        #[expect(clippy::cast_possible_truncation, reason = "below 64")]
        writer.first.store(first as u32, Ordering::Relaxed);
        kill_point!(PublishTurned);
        let latest = pack(count, slot);
        // Publish: pairs with Observe and Recheck.
        handshake_store(Label::Publish, &publication.latest, latest);
        kill_point!(Published);
        // Relaxed: for this writer; whoever takes the lock next stores it anew.
        writer.published.store(latest, Ordering::Relaxed);
        count
    }

    /// Puts the slots in order after a writer that died with the write lock.
    ///
    /// It may have marked a slot whose frame it had not touched yet: that frame is back. Or one as
    /// holding a frame that never became the latest: its count will be given to another. The caller
    /// holds the write lock, and wakes everybody afterwards.
    pub(crate) fn recover(self) {
        let (count, _) = unpack(self.head.publication.latest.load(Ordering::Relaxed));
        for slot in self.slots {
            let state = slot.state.load(Ordering::Relaxed);
            let settled = if state >> 1 > count {
                REWRITING
            } else if state == REWRITING {
                continue;
            } else {
                state & !REWRITING
            };
            // Relaxed: nobody looks for a count above the latest before it is published anew, and a
            // frame that is back is as it was.
            slot.state.store(settled, Ordering::Relaxed);
            kill_point!(RecoverSettled);
        }
    }
}

/// How a participant holds slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) pinned: bool,
    pub(crate) awaited: bool,
}

impl Holding {
    pub(crate) const fn any(self) -> bool {
        self.pinned || self.awaited
    }
}

// The slow paths are no methods of `Control`: passed on to a function that is not inlined, the view
// would go through memory, in each publish.

/// Claims any slot, those in turn after the first one before the others.
#[cold]
fn claim_another(
    head: &Head,
    slots: &[Slot],
    rows: &[Row],
    taken: u64,
    kept_from: u64,
    awaited: u64,
) -> Result<usize, Occupied> {
    let control = Control::new(head, slots, rows, Turns::default());
    let first = head.writer.first.load(Ordering::Relaxed) as usize % slots.len();
    let mut held = 0;
    for slot in (first..slots.len()).chain(0..first) {
        let state = slots[slot].state.load(Ordering::Relaxed);
        if taken >> slot & 1 != 0 || !is_left(state, kept_from) {
            continue;
        }
        if control.try_claim(slot, state) {
            return Ok(slot);
        }
        held |= 1 << slot;
    }
    control.claim_kept(taken, held, awaited)
}

/// Returns whether anybody awaits the frame that a state stands for.
#[cold]
fn is_awaited(head: &Head, rows: &[Row], state: u64) -> bool {
    let count = Slot::count(state).unwrap_or(0);
    let control = Control::new(head, &[], rows, Turns::default());
    control.attached().any(|row| control.awaits(row, count))
}

/// Returns the lowest count that a subscriber awaits, given what `awaited` holds.
#[cold]
fn look_for_awaited(head: &Head, rows: &[Row], announced: u32) -> u64 {
    let control = Control::new(head, &[], rows, Turns::default());
    let needs = control.attached().map(|row| control.needs(row));
    let lowest = needs.filter(|&needs| needs != 0).min();
    if lowest.is_none() {
        // Nobody awaits anything any more: whoever is counted in what was loaded would have been
        // found. Failing means that somebody does by now.
        let _ = head.writer.awaited.compare_exchange(
            announced,
            0,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        kill_point!(AwaitReset);
    }
    lowest.unwrap_or(u64::MAX)
}

/// Returns whether the frame that a state stands for may be overwritten: there is none, or it is
/// older than those that are kept.
#[inline]
const fn is_left(state: u64, kept_from: u64) -> bool {
    match Slot::count(state) {
        Some(count) => count < kept_from,
        None => true,
    }
}
