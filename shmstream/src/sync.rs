//! Atomics and orderings, from std or, under `--cfg shmstream_loom`, from loom.
//!
//! An operation whose ordering carries a label of [`protocol`](crate::protocol) asks for it through
//! [`ordering`]. Where a store must be in memory before a load behind it, the two are `SeqCst` and go
//! through the `handshake` functions. Outside loom all of these are the plain operations. Under loom
//! a test can weaken the operations of one label and must then see the model fail.

#[cfg(not(shmstream_loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(shmstream_loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The labelled operations; `protocol/mod.rs` says what each pairs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// The writer marks a slot as being rewritten.
    Claim,
    /// The writer looks for pins.
    Scan,
    /// The writer makes a slot the latest.
    Publish,
    /// The reader learns the latest slot.
    Observe,
    /// The reader pins a slot.
    Pin,
    /// The reader checks that the pinned slot still holds the frame.
    Validate,
    /// The reader lets a slot go.
    Unpin,
    /// A participant's row becomes one that writers scan.
    Attach,
    /// A sleeper says that it is about to sleep.
    Arm,
    /// Whoever changed something looks for sleepers.
    Fire,
    /// A sleeper looks once more before it sleeps.
    Recheck,
    /// A subscriber says which frames it still awaits.
    Await,
    /// The writer begins to change a slot under the eyes of those who cannot pin it.
    Disturb,
    /// An observer looks whether what it copied was changed meanwhile.
    Check,
    /// The writer says to observers that something changed.
    Announce,
    /// An observer takes the value to sleep on.
    Glance,
}

#[cfg(all(test, shmstream_loom))]
impl Label {
    /// Every label, in the order of the declaration.
    pub(crate) const ALL: [Self; 16] = [
        Self::Claim,
        Self::Scan,
        Self::Publish,
        Self::Observe,
        Self::Pin,
        Self::Validate,
        Self::Unpin,
        Self::Attach,
        Self::Arm,
        Self::Fire,
        Self::Recheck,
        Self::Await,
        Self::Disturb,
        Self::Check,
        Self::Announce,
        Self::Glance,
    ];
}

#[cfg(not(shmstream_loom))]
mod plain {
    use super::{AtomicU32, AtomicU64, Label, Ordering};

    #[inline(always)]
    pub(crate) fn fence(_: Label, strong: Ordering) {
        std::sync::atomic::fence(strong);
    }

    #[inline(always)]
    pub(crate) const fn ordering(_: Label, strong: Ordering) -> Ordering {
        strong
    }

    #[inline(always)]
    pub(crate) fn handshake_store(_: Label, word: &AtomicU64, value: u64) {
        word.store(value, Ordering::SeqCst);
    }

    #[inline(always)]
    pub(crate) fn handshake_or(_: Label, word: &AtomicU64, bits: u64) -> u64 {
        word.fetch_or(bits, Ordering::SeqCst)
    }

    #[inline(always)]
    pub(crate) fn handshake_or32(_: Label, word: &AtomicU32, bits: u32) -> u32 {
        word.fetch_or(bits, Ordering::SeqCst)
    }

    #[inline(always)]
    pub(crate) fn handshake_add32(_: Label, word: &AtomicU32) {
        word.fetch_add(1, Ordering::SeqCst);
    }

    /// Loads behind the stores of the labels in `_after`.
    #[inline(always)]
    pub(crate) fn handshake_load(_: Label, _after: &[Label], word: &AtomicU64) -> u64 {
        word.load(Ordering::SeqCst)
    }

    #[inline(always)]
    pub(crate) fn handshake_load32(_: Label, _after: &[Label], word: &AtomicU32) -> u32 {
        word.load(Ordering::SeqCst)
    }
}

/// The same operations as loom can model them, with a switch that weakens those of one label.
///
/// loom takes a `SeqCst` access for acquire and release only. What is missing is the one order in
/// which all threads see a `SeqCst` store and a `SeqCst` load behind it. Here it comes from a word
/// that every thread changes between the two, and it is there only while neither of them is weakened.
/// A weakened access itself is relaxed. A fence in the place of that word would hide too much: it
/// also turns relaxed loads before it into acquiring ones.
#[cfg(shmstream_loom)]
mod modelled {
    use std::sync::{Mutex, PoisonError};

    use super::{AtomicU32, AtomicU64, Label, Ordering};

    loom::lazy_static! {
        static ref TOTAL_ORDER: AtomicU32 = AtomicU32::new(0);
    }

    static WEAKENED: Mutex<Option<Label>> = Mutex::new(None);

    /// Weakens the operations of one label in the models that run from now on.
    pub(crate) fn weaken(label: Option<Label>) {
        *WEAKENED.lock().unwrap_or_else(PoisonError::into_inner) = label;
    }

    fn is_weakened(label: Label) -> bool {
        *WEAKENED.lock().unwrap_or_else(PoisonError::into_inner) == Some(label)
    }

    pub(crate) fn ordering(label: Label, strong: Ordering) -> Ordering {
        if is_weakened(label) {
            Ordering::Relaxed
        } else {
            strong
        }
    }

    pub(crate) fn fence(label: Label, strong: Ordering) {
        if !is_weakened(label) {
            loom::sync::atomic::fence(strong);
        }
    }

    pub(crate) fn handshake_store(label: Label, word: &AtomicU64, value: u64) {
        word.store(value, ordering(label, Ordering::Release));
    }

    pub(crate) fn handshake_or(label: Label, word: &AtomicU64, bits: u64) -> u64 {
        word.fetch_or(bits, ordering(label, Ordering::AcqRel))
    }

    pub(crate) fn handshake_or32(label: Label, word: &AtomicU32, bits: u32) -> u32 {
        word.fetch_or(bits, ordering(label, Ordering::AcqRel))
    }

    pub(crate) fn handshake_add32(label: Label, word: &AtomicU32) {
        word.fetch_add(1, ordering(label, Ordering::AcqRel));
    }

    pub(crate) fn handshake_load(label: Label, after: &[Label], word: &AtomicU64) -> u64 {
        take_place_in_order(label, after);
        word.load(ordering(label, Ordering::Acquire))
    }

    pub(crate) fn handshake_load32(label: Label, after: &[Label], word: &AtomicU32) -> u32 {
        take_place_in_order(label, after);
        word.load(ordering(label, Ordering::Acquire))
    }

    fn take_place_in_order(label: Label, after: &[Label]) {
        if !is_weakened(label) && !after.iter().copied().any(is_weakened) {
            TOTAL_ORDER.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(shmstream_loom)]
pub(crate) use modelled::*;
#[cfg(not(shmstream_loom))]
pub(crate) use plain::*;
