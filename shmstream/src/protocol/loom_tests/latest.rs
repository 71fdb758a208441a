//! Readers of the latest frame, and writers that come round.

use loom::sync::Arc;
use loom::thread;

use super::super::Pins;
use super::block::Block;
use crate::sync::Ordering;

/// A reader that was attached before, and a writer that comes round to the reader's slot again.
pub(super) fn pin_against_publish() {
    let block = Arc::new(Block::new(2, 1));
    block.control().attach(0, 1);
    block.write().unwrap();
    let (reader, writer) = (Arc::clone(&block), block);
    let reader = thread::spawn(move || {
        assert!(reader.read(&Pins::new(0)).is_some());
    });
    let writer = thread::spawn(move || {
        // Occupied only if the reader pins the one slot that is not the latest.
        let _ = writer.write();
        let _ = writer.write();
    });
    reader.join().unwrap();
    writer.join().unwrap();
}

/// A reader that attaches while the writer writes.
pub(super) fn attach_against_publish() {
    let block = Arc::new(Block::new(2, 1));
    block.write().unwrap();
    let (reader, writer) = (Arc::clone(&block), block);
    let reader = thread::spawn(move || {
        reader.control().attach(0, 1);
        assert!(reader.read(&Pins::new(0)).is_some());
        reader.control().detach(0);
    });
    let writer = thread::spawn(move || {
        let _ = writer.write();
        let _ = writer.write();
    });
    reader.join().unwrap();
    writer.join().unwrap();
}

/// A reader that is late: by the time it looks, its slot was given up, restored or rewritten.
pub(super) fn late_reader() {
    let block = Arc::new(Block::new(3, 2));
    block.control().attach(0, 1);
    block.control().attach(1, 1);
    block.write().unwrap();
    let (reader, writer) = (Arc::clone(&block), block);
    let reader = thread::spawn(move || {
        let pins = Pins::new(0);
        let first = reader.read(&pins);
        assert!(first <= reader.read(&pins), "counts run backwards");
    });
    let writer = thread::spawn(move || {
        for _ in 0..2 {
            writer
                .write()
                .expect("one reader leaves a slot free of three");
        }
    });
    reader.join().unwrap();
    writer.join().unwrap();
}

/// Two writers, one of which dies between its last two stores, and a reader.
pub(super) fn hand_over_after_a_death() {
    let block = Arc::new(Block::new(3, 1));
    block.control().attach(0, 1);
    let (reader, dead, heir) = (Arc::clone(&block), Arc::clone(&block), block);
    let dead = thread::spawn(move || {
        let _lock = dead.lock.lock().unwrap();
        let control = dead.control();
        if control.sign_on(1) {
            control.recover();
        }
        // Up to the store that gives the slot its state; `latest` is never reached, nobody signs
        // off, and the kernel gives the lock back.
        let slot = control.claim(0).unwrap();
        let state = (control.count() + 1) << 1;
        control.slots[slot].state.store(state, Ordering::Release);
    });
    let heir = thread::spawn(move || {
        let _lock = heir.lock.lock().unwrap();
        let control = heir.control();
        if control.sign_on(2) {
            control.recover();
        }
        heir.write().unwrap();
        control.head().sign_off();
    });
    let reader = thread::spawn(move || {
        let count = reader.read(&Pins::new(0));
        assert!(count.is_none() || count == Some(1));
    });
    dead.join().unwrap();
    heir.join().unwrap();
    reader.join().unwrap();
}
