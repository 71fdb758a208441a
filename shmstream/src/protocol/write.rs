//! Claim and publish: what the holder of the write lock does.

use super::control::{Control, FrameWords, pack, unpack};
use crate::sync::{Label, Ordering, handshake_store};

/// A state is odd while its slot is being rewritten.
const REWRITING: u64 = 1;

/// No slot is free to write into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occupied {
    /// The slots that pins kept from being claimed, one bit each.
    pub(crate) pinned: u64,
}

impl Control<'_> {
    /// Claims a slot to write into: neither the latest, nor pinned, nor in `loaned`.
    ///
    /// Tries the slot retired most recently first, so that a stream nobody pins alternates between
    /// two slots that stay in the cache. The caller holds the write lock.
    #[inline]
    pub(crate) fn claim(self, loaned: u64) -> Result<usize, Occupied> {
        // Relaxed, here and below: only holders of the write lock write these words, and taking the
        // lock made visible what they wrote.
        let publication = &self.head.publication;
        let latest = publication.latest.load(Ordering::Relaxed);
        let taken = if latest == 0 {
            loaned
        } else {
            loaned | 1 << unpack(latest).1
        };
        let previous = publication.previous.load(Ordering::Relaxed) as usize;
        let mut pinned = 0;
        for slot in std::iter::once(previous).chain(0..self.slots.len()) {
            if slot >= self.slots.len() || (taken | pinned) >> slot & 1 != 0 {
                continue;
            }
            if self.try_claim(slot) {
                return Ok(slot);
            }
            pinned |= 1 << slot;
        }
        Err(Occupied { pinned })
    }

    #[inline]
    fn try_claim(self, slot: usize) -> bool {
        let state = &self.slots[slot].state;
        let before = state.load(Ordering::Relaxed);
        // Claim: pairs with Validate.
        handshake_store(Label::Claim, state, before | REWRITING);
        let pinned = self.attached().any(|row| self.pins(row) >> slot & 1 != 0);
        if pinned {
            // Relaxed: the frame is as it was, and who looks for it has observed its `latest`.
            state.store(before, Ordering::Relaxed);
        }
        !pinned
    }

    /// Makes a claimed and filled slot the latest, and returns its count.
    ///
    /// The caller then fires [`notify`](Self::notify).
    #[inline]
    pub(crate) fn publish(self, slot: usize, frame: FrameWords) -> u64 {
        let publication = &self.head.publication;
        let (count, before) = unpack(publication.latest.load(Ordering::Relaxed));
        let count = count + 1;
        self.slots[slot].frame.store(frame);
        // Relaxed: Publish makes it visible, and nobody looks for this count before that.
        self.slots[slot].state.store(count << 1, Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "below 64")]
        publication.previous.store(before as u32, Ordering::Relaxed);
        // Publish: pairs with Observe and Recheck.
        handshake_store(Label::Publish, &publication.latest, pack(count, slot));
        count
    }

    /// Puts the slots in order after a writer that died with the write lock.
    ///
    /// It may have marked a slot as holding a frame that never became the latest; its count will be
    /// given to another frame. The caller holds the write lock, and wakes everybody afterwards.
    pub(crate) fn recover(self) {
        let (count, _) = unpack(self.head.publication.latest.load(Ordering::Relaxed));
        for slot in self.slots {
            let state = slot.state.load(Ordering::Relaxed);
            if state > count << 1 {
                // Relaxed: nobody looks for that count before it is published anew.
                slot.state.store(state | REWRITING, Ordering::Relaxed);
            }
        }
    }
}
