//! Observers, who map read-only and leave no trace.

use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;

use super::super::{FrameWords, Sight};
use super::block::Block;
use crate::sync::Ordering;

/// A payload that is copied while a writer may be changing it: two words, both of them the count.
type Words = [AtomicU64; 2];

struct Observed {
    block: Block,
    payloads: Vec<Words>,
}

impl Observed {
    fn new(slots: usize) -> Self {
        Self {
            block: Block::new(slots, 0),
            payloads: (0..slots).map(|_| Words::default()).collect(),
        }
    }

    fn write(&self) {
        let control = self.block.control();
        let slot = control.claim(0).expect("nobody pins");
        let count = control.count() + 1;
        for word in &self.payloads[slot] {
            word.store(count, Ordering::Relaxed);
        }
        let frame = FrameWords {
            frame_id: count,
            ..FrameWords::default()
        };
        control.publish(slot, frame);
    }

    /// Copies the latest frame, and checks what the copy is worth if it counts.
    fn copy(&self) {
        let sight = Sight::new(self.block.control());
        let Ok(Some(seen)) = sight.look() else {
            return;
        };
        let payload = &self.payloads[seen.slot];
        let copy = payload.each_ref().map(|word| word.load(Ordering::Relaxed));
        if sight.is_still(seen) {
            assert_eq!(copy, [seen.count; 2], "a torn copy");
            assert_eq!(seen.frame.frame_id, seen.count, "another frame's header");
        }
    }
}

/// An observer that copies while the writer comes round to the slot.
pub(super) fn copy_against_publish() {
    let observed = Arc::new(Observed::new(2));
    observed.write();
    let (observer, writer) = (Arc::clone(&observed), observed);
    let observer = thread::spawn(move || observer.copy());
    let writer = thread::spawn(move || {
        writer.write();
        writer.write();
    });
    observer.join().unwrap();
    writer.join().unwrap();
}
