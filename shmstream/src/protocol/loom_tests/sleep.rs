//! Sleepers and those who wake them.

use loom::sync::Arc;
use loom::thread;

use super::super::{FrameWords, Next, Pins, Sight};
use super::block::Block;
use super::in_order::Cursor;

/// A sleeper and a writer that publishes one frame.
pub(super) fn no_lost_wake_up() {
    let block = Arc::new(Block::new(2, 1));
    block.control().attach(0, 1);
    let (reader, writer) = (Arc::clone(&block), block);
    let reader = thread::spawn(move || {
        let control = reader.control();
        let signal = control.notify();
        loop {
            let value = signal.arm();
            if control.recheck() > 0 {
                break;
            }
            reader.futex_wait(signal, value);
        }
        assert_eq!(reader.read(&Pins::new(0)), Some(1));
    });
    let writer = thread::spawn(move || {
        writer.write().unwrap();
        if writer.control().notify().fire().is_some() {
            writer.futex_wake();
        }
    });
    reader.join().unwrap();
    writer.join().unwrap();
}

/// A writer that finds no slot, because a subscriber awaits all frames, and sleeps until it reads on.
///
/// The subscriber gives its pin back before it says that it is past the frame: unpinning alone wakes
/// no writer for certain, which is why writers look again by themselves.
pub(super) fn no_lost_slot() {
    let block = Arc::new(Block::new(2, 1));
    block.control().attach(0, 1);
    block.write().unwrap();
    block.write().unwrap();
    let cursor = Cursor::lossless(&block, 1);
    let (reader, writer) = (Arc::clone(&block), block);
    let reader = thread::spawn(move || {
        let control = reader.control();
        let pins = cursor.into_pins();
        let Ok(Next::Frame(pinned)) = control.pin_next(&pins, 1, 0) else {
            panic!("writers keep the frame");
        };
        reader.check(pinned);
        pins.remove(control, pinned.slot);
        control.await_from(&pins, 2);
        if control.freed().fire().is_some() {
            reader.futex_wake();
        }
    });
    let writer = thread::spawn(move || {
        let freed = writer.control().freed();
        let mut armed = None;
        while writer.write().is_err() {
            match armed.take() {
                // One more look between arming and sleeping.
                None => armed = Some(freed.arm()),
                Some(value) => writer.futex_wait(freed, value),
            }
        }
    });
    reader.join().unwrap();
    writer.join().unwrap();
}

/// A sleeper that cannot arm the signal, and a writer that publishes one frame.
pub(super) fn no_lost_announcement() {
    let block = Arc::new(Block::new(2, 1));
    let (observer, writer) = (Arc::clone(&block), block);
    let observer = thread::spawn(move || {
        let sight = Sight::new(observer.control());
        loop {
            let value = sight.notify().glance();
            if sight.count() > 0 {
                break;
            }
            observer.futex_wait(sight.notify(), value);
        }
        let seen = sight.look().expect("the frame before is never touched");
        assert_eq!(seen.map(|seen| seen.count), Some(1));
    });
    let writer = thread::spawn(move || {
        let control = writer.control();
        let slot = control.claim(0).unwrap();
        control.publish(slot, FrameWords::default());
        if control.notify().announce().asleep {
            writer.futex_wake();
        }
    });
    observer.join().unwrap();
    writer.join().unwrap();
}
