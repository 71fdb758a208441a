//! Subscribers, which read in order, with writers that keep frames for them and without.

use loom::sync::Arc;
use loom::thread;

use super::super::control::REWRITING;
use super::super::{Next, Pins};
use super::block::{Block, settled};
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
        let found = settled(|| control.pin_next(&self.pins, self.next, self.hint));
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
        let pinned = block.control().pins(self.pins.row());
        assert_eq!(pinned, 0, "a pin for no guard");
        // Nobody promises the others a frame whose slot they saw marked, and that was then restored.
        if self.lossless {
            let there = |&count: &u64| block.keeps(count);
            assert!(!self.missed.iter().any(there), "a frame was skipped");
            assert_ne!(counted(block), 0, "writers do not look at its row");
        }
        self
    }

    /// Checks that nothing is missing behind its first frame.
    ///
    /// That holds where slots are claimed in the order of their frames, so that what was overwritten
    /// before it had registered is older than what was not.
    fn missed_only_at_the_beginning(&self, start: u64) {
        let mut missed = self.missed.iter().zip(start..);
        assert!(missed.all(|(&missed, count)| missed == count), "a gap");
    }
}

/// A subscriber that registers while the writer comes round to its first frame.
pub(super) fn register_against_publish() {
    let block = Arc::new(Block::new(2, 1));
    let control = block.control();
    block.write().unwrap();
    // One was there before and is gone, which the writer finds out meanwhile.
    control.attach(0, 1);
    Cursor::lossless(&block, 1);
    control.detach(0);
    control.attach(0, 1);
    let (reader, writer) = (Arc::clone(&block), Arc::clone(&block));
    let reader = thread::spawn(move || {
        let control = reader.control();
        let start = control.newest();
        let mut cursor = Cursor::lossless(&reader, start);
        let latest = control.recheck();
        cursor.look(&reader);
        (cursor, start, latest)
    });
    let writer = thread::spawn(move || {
        for _ in 0..2 {
            // Occupied once the subscriber awaits what is in the slot.
            let _ = writer.write();
        }
    });
    let (cursor, start, latest) = reader.join().unwrap();
    writer.join().unwrap();
    let _ = block.write();
    let cursor = cursor.finish(&block, start);
    cursor.missed_only_at_the_beginning(start);
    // What was the latest once it had registered is there, and all behind it.
    assert!(cursor.missed.iter().all(|&missed| missed < latest));
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
    let cursor = cursor.finish(&block, 1);
    // Frame 2 is overwritten only if frame 1 was held, and it was by this subscriber alone.
    cursor.missed_only_at_the_beginning(1);
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
    assert_eq!(counted(&block), 0);
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

/// Returns how many subscribers a writer counts for whom it keeps frames; zero keeps none.
fn counted(block: &Block) -> u32 {
    let awaited = &block.control().head.writer.awaited;
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
