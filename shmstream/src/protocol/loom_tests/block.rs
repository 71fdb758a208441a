//! A stream without shared memory, a kernel's futex queue, and what writers and readers do with them.
#![allow(unsafe_code)]
// Models only. loom's `UnsafeCell` lends raw pointers, and loom itself checks what is done with them:
// an access that overlaps a write fails the model.

use loom::cell::UnsafeCell;
use loom::sync::{Condvar, Mutex};

use super::super::{
    Control, FrameWords, Head, Occupied, Pinned, Pins, Row, Signal, Slot, Torn, Turns,
};
use super::WEAKEN;
use crate::sync::Ordering;

/// What processes share.
pub(super) struct Block {
    head: Head,
    slots: Vec<Slot>,
    rows: Vec<Row>,
    turns: Turns,
    payloads: Vec<UnsafeCell<u64>>,
    /// The kernel's write lock.
    pub(super) lock: Mutex<()>,
    /// The kernel's lock on row 0.
    pub(super) row_lock: Mutex<()>,
    /// The kernel's queue of sleepers.
    queue: Mutex<()>,
    woken: Condvar,
}

// SAFETY: all but `payloads` is `Sync` by itself; loom checks each access to those.
unsafe impl Sync for Block {}

impl Block {
    /// A stream that keeps the latest frame alone.
    pub(super) fn new(slots: usize, rows: usize) -> Self {
        Self::keeping(1, slots, rows)
    }

    /// A stream that keeps the last `history` frames.
    pub(super) fn keeping(history: u64, slots: usize, rows: usize) -> Self {
        Self {
            head: Head::new(),
            slots: (0..slots).map(|_| Slot::new()).collect(),
            rows: (0..rows).map(|_| Row::new()).collect(),
            turns: Turns {
                kept: history - 1,
                all: history > 1,
            },
            payloads: (0..slots).map(|_| UnsafeCell::new(0)).collect(),
            lock: Mutex::new(()),
            row_lock: Mutex::new(()),
            queue: Mutex::new(()),
            woken: Condvar::new(),
        }
    }

    pub(super) fn control(&self) -> Control<'_> {
        Control::new(&self.head, &self.slots, &self.rows, self.turns)
    }

    /// What a writer does with the lock in hand where nobody sleeps. The payload of a frame is its
    /// count.
    pub(super) fn write(&self) -> Result<u64, Occupied> {
        let control = self.control();
        let slot = control.claim(0)?;
        let count = control.count() + 1;
        self.fill(slot, count);
        let frame = FrameWords {
            frame_id: count,
            ..FrameWords::default()
        };
        assert_eq!(control.publish(slot, frame), count);
        Ok(count)
    }

    /// Writes the payload of a claimed slot.
    pub(super) fn fill(&self, slot: usize, count: u64) {
        self.payloads[slot].with_mut(|payload| {
            // SAFETY: the claim keeps everybody else out; loom fails the model where it does not.
            unsafe { *payload = count };
        });
    }

    /// Reads a pinned frame's payload.
    pub(super) fn check(&self, pinned: Pinned) {
        let payload = self.payloads[pinned.slot].with(|payload| {
            // SAFETY: the pin keeps writers out; loom fails the model where it does not.
            unsafe { *payload }
        });
        assert_eq!(payload, pinned.count, "a torn frame");
        let id = pinned.frame.frame_id;
        assert_eq!(id, pinned.count, "the header of another frame");
    }

    /// What a reader of the latest frame does.
    pub(super) fn read(&self, pins: &Pins) -> Option<u64> {
        let control = self.control();
        let pinned = settled(|| control.pin_latest(pins))?;
        self.check(pinned);
        pins.remove(control, pinned.slot);
        Some(pinned.count)
    }

    /// Returns whether a slot holds the frame of this count.
    pub(super) fn keeps(&self, count: u64) -> bool {
        let mut states = self.slots.iter().map(|slot| &slot.state);
        states.any(|state| state.load(Ordering::Relaxed) == count << 1)
    }

    pub(super) fn futex_wait(&self, signal: &Signal, value: u32) {
        let queue = self.queue.lock().unwrap();
        if signal.word().load(Ordering::Relaxed) == value {
            drop(self.woken.wait(queue).unwrap());
        }
    }

    pub(super) fn futex_wake(&self) {
        let _queue = self.queue.lock().unwrap();
        self.woken.notify_all();
    }
}

/// Looks again while what is found seems damaged.
///
/// It must not, unless a label is weakened. Then loom can show a store late for as long as it likes,
/// and the model goes on, to fail by what the label is there for or not at all.
pub(super) fn settled<T>(look: impl Fn() -> Result<T, Torn>) -> T {
    loop {
        match look() {
            Ok(found) => return found,
            Err(torn) => assert!(std::env::var_os(WEAKEN).is_some(), "{torn:?}"),
        }
        // From here on loom shows what it showed late.
        loom::thread::yield_now();
    }
}
