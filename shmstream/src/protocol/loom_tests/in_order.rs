//! Subscribers, which read in order, with writers that keep frames for them and without.

use loom::sync::Arc;
use loom::thread;

use super::super::control::REWRITING;
use super::super::{Next, Pins};
use super::block::Block;
use crate::sync::{Label, Ordering, handshake_store};

/// The place of a subscriber, which owns row 0.
pub(super) struct Cursor {
    pins: Pins,
    next: u64,
    hint: usize,
    lossless: bool,
    /// The counts that it did not get, the first of which is that of its beginning.
    missed: Vec<u64>,
    /// How many frames it got.
    read: u64,
}

impl Cursor {
    pub(super) fn new(next: u64) -> Self {
        Self {
            pins: Pins::new(0),
            next,
            hint: 0,
            lossless: false,
            missed: Vec::new(),
            read: 0,
        }
    }

    /// Registers a subscriber whose frames writers keep.
    pub(super) fn lossless(block: &Block, next: u64) -> Self {
        let cursor = Self {
            lossless: true,
            ..Self::new(next)
        };
        block.control().begin_to_await(&cursor.pins, next);
        cursor
    }

    pub(super) fn into_pins(self) -> Pins {
        self.pins
    }

    /// Reads the next frame, if it is there.
    fn look(&mut self, block: &Block) -> Next {
        let control = block.control();
        let found = control
            .pin_next(&self.pins, self.next, self.hint)
            .expect("nothing is damaged");
        if let Next::Frame(pinned) = found {
            // The pin alone keeps the frame from here on.
            if self.lossless {
                control.await_from(&self.pins, pinned.count + 1);
            }
            block.check(pinned);
            self.pins.remove(control, pinned.slot);
            assert!(pinned.count >= self.next, "counts run backwards");
            self.missed.extend(self.next..pinned.count);
            self.read += 1;
            self.next = pinned.count + 1;
            self.hint = pinned.slot + 1;
        }
        found
    }

    /// Reads what is left once nobody writes any more, and checks that all is accounted for.
    fn finish(mut self, block: &Block, start: u64) -> Self {
        while let Next::Frame(_) = self.look(block) {}
        let count = block.control().count();
        assert_eq!(self.next, count + 1, "frames left unread");
        assert_eq!(self.read + self.missed.len() as u64, count + 1 - start);
        // Nobody promises the others a frame whose slot they saw marked, and that was then restored.
        if self.lossless {
            let there = |&count: &u64| block.keeps(count);
            assert!(!self.missed.iter().any(there), "a frame was skipped");
            assert_ne!(hint(block), 0, "writers do not look beforehand");
        }
        self
    }
}

/// A subscriber that registers while the writer comes round, and begins with the latest frame.
pub(super) fn register_against_publish() {
    let block = Arc::new(Block::new(2, 1));
    block.control().attach(0, 1);
    block.write().unwrap();
    let (reader, writer) = (Arc::clone(&block), Arc::clone(&block));
    let reader = thread::spawn(move || {
        let control = reader.control();
        let mut cursor = Cursor::lossless(&reader, control.newest());
        // What was the latest before may be gone. What is the latest now is not.
        let start = control.recheck();
        cursor.next = start;
        cursor.look(&reader);
        (cursor, start)
    });
    let writer = thread::spawn(move || {
        for _ in 0..2 {
            // Occupied once the subscriber awaits what is in the slot.
            let _ = writer.write();
        }
    });
    let (cursor, start) = reader.join().unwrap();
    writer.join().unwrap();
    let _ = block.write();
    assert!(cursor.finish(&block, start).missed.is_empty());
}

/// A subscriber that reads on while the writer comes round.
pub(super) fn read_on_against_publish() {
    let block = Arc::new(Block::new(2, 1));
    block.control().attach(0, 1);
    block.write().unwrap();
    let mut cursor = Cursor::lossless(&block, 1);
    let (reader, writer) = (Arc::clone(&block), Arc::clone(&block));
    let reader = thread::spawn(move || {
        for _ in 0..2 {
            let found = cursor.look(&reader);
            assert_ne!(found, Next::Unsettled, "nobody marks what is awaited");
        }
        cursor
    });
    let writer = thread::spawn(move || {
        for _ in 0..3 {
            let _ = writer.write();
        }
    });
    let cursor = reader.join().unwrap();
    writer.join().unwrap();
    assert!(cursor.finish(&block, 1).missed.is_empty());
}

/// A subscriber that registers late: the writer has looked for awaited frames, and marks one.
pub(super) fn late_look() {
    let block = Arc::new(Block::keeping(2, 3, 1));
    block.control().attach(0, 1);
    for _ in 0..3 {
        block.write().unwrap();
    }
    let (reader, writer) = (Arc::clone(&block), Arc::clone(&block));
    let reader = thread::spawn(move || {
        let mut cursor = Cursor::lossless(&reader, 1);
        cursor.look(&reader);
        cursor
    });
    let writer = thread::spawn(move || {
        // Over frame 1, unless that is awaited; then there is no slot.
        let _ = writer.write();
    });
    let cursor = reader.join().unwrap();
    writer.join().unwrap();
    cursor.finish(&block, 1);
}

/// A subscriber that nobody waits for, on a stream with a history.
pub(super) fn history_against_publish() {
    let block = Arc::new(Block::keeping(2, 3, 1));
    block.control().attach(0, 1);
    block.write().unwrap();
    block.write().unwrap();
    let (reader, writer) = (Arc::clone(&block), Arc::clone(&block));
    let reader = thread::spawn(move || {
        let mut cursor = Cursor::new(1);
        assert!(matches!(cursor.look(&reader), Next::Frame(_)));
        cursor.look(&reader);
        cursor
    });
    let writer = thread::spawn(move || {
        for _ in 0..2 {
            // Occupied only if the subscriber moves its pin from the one slot to the other meanwhile.
            let _ = writer.write();
        }
    });
    let cursor = reader.join().unwrap();
    writer.join().unwrap();
    cursor.finish(&block, 1);
}

/// A subscriber that dies with a pin on a frame that it awaits, and a writer that needs the slot.
pub(super) fn dead_subscriber() {
    let block = Arc::new(Block::new(2, 1));
    block.control().attach(0, 1);
    block.write().unwrap();
    let (reader, writer) = (Arc::clone(&block), Arc::clone(&block));
    let reader = thread::spawn(move || {
        let _alive = reader.row_lock.lock().unwrap();
        let cursor = Cursor::lossless(&reader, 1);
        let found = reader.control().pin_next(&cursor.pins, 1, 0).unwrap();
        if let Next::Frame(pinned) = found {
            reader.check(pinned);
        }
    });
    let writer = thread::spawn(move || {
        let control = writer.control();
        for _ in 0..2 {
            if let Err(occupied) = writer.write() {
                assert!(control.holds(0, occupied.held).any());
                // Granted once the subscriber is dead.
                let _dead = writer.row_lock.lock().unwrap();
                control.bury(0);
                writer.write().expect("the dead hold nothing");
            }
        }
    });
    reader.join().unwrap();
    writer.join().unwrap();
    block.control().bury(0);
    block.write().unwrap();
    assert_eq!(hint(&block), 0);
}

/// A writer that dies when it has marked an awaited frame's slot, and a subscriber that puts it right.
pub(super) fn death_behind_the_mark() {
    let block = Arc::new(Block::keeping(2, 3, 1));
    block.control().attach(0, 1);
    block.write().unwrap();
    block.write().unwrap();
    let mut cursor = Cursor::lossless(&block, 1);
    let (reader, dead) = (Arc::clone(&block), block);
    let dead = thread::spawn(move || {
        let _lock = dead.lock.lock().unwrap();
        let control = dead.control();
        control.sign_on(1);
        // As `try_claim` does, had its look for what is awaited come before the registration.
        let state = &control.slots[0].state;
        let before = state.load(Ordering::Relaxed);
        handshake_store(Label::Claim, state, before | REWRITING);
    });
    let reader = thread::spawn(move || {
        while cursor.look(&reader) == Next::Unsettled {
            take_over(&reader);
        }
        assert!(cursor.missed.is_empty(), "the frame is back");
    });
    dead.join().unwrap();
    reader.join().unwrap();
}

/// A writer that dies while it fills a slot, its heir, and a subscriber.
pub(super) fn death_in_the_middle() {
    let block = Arc::new(Block::keeping(2, 3, 1));
    block.control().attach(0, 1);
    for _ in 0..3 {
        block.write().unwrap();
    }
    let (reader, dead, heir) = (Arc::clone(&block), Arc::clone(&block), Arc::clone(&block));
    let dead = thread::spawn(move || {
        let _lock = dead.lock.lock().unwrap();
        let control = dead.control();
        control.sign_on(1);
        if let Ok(slot) = control.claim(0) {
            dead.fill(slot, 0);
        }
    });
    let heir = thread::spawn(move || take_over(&heir));
    let reader = thread::spawn(move || {
        let mut cursor = Cursor::new(1);
        assert!(matches!(cursor.look(&reader), Next::Frame(_)));
        cursor
    });
    dead.join().unwrap();
    heir.join().unwrap();
    let cursor = reader.join().unwrap();
    cursor.finish(&block, 1);
}

/// Returns what tells writers to look for what is awaited.
fn hint(block: &Block) -> u32 {
    let awaited = &block.control().head.publication.awaited;
    awaited.load(Ordering::Relaxed)
}

/// Takes the write lock, and puts in order what a holder left that died.
fn take_over(block: &Block) {
    let _lock = block.lock.lock().unwrap();
    let control = block.control();
    if control.sign_on(0) {
        control.recover();
    }
    control.head().sign_off();
}
