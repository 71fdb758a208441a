//! Whether a stream is as good as new after somebody died.

use shmstream::{Error, Stream};

use crate::DEADLINE;
use crate::checked::{WORDS, check, fill};

/// A stream of checked frames.
pub type Frames = Stream<u64, WORDS>;

/// Who writes the frames that these checks publish.
const CHECKER: u64 = 77;

/// Publishes a checked frame that is numbered with the count that it gets, and returns that.
///
/// # Panics
///
/// When that is not possible.
#[track_caller]
pub fn publish(stream: &Frames, writer: u64) -> u64 {
    // Nobody else publishes meanwhile. Not with the lock in hand: a writer that keeps the lock claims
    // a slot for its next frame.
    let number = stream.count() + 1;
    let mut frame = [0; WORDS];
    fill(&mut frame, writer, number);
    assert_eq!(stream.write(&frame).unwrap(), number);
    number
}

/// Checks that every slot but one can be held by a reader, and that the last is there for the writer.
///
/// # Panics
///
/// When a slot is lost.
#[track_caller]
pub fn assert_slots_free(stream: &Frames) {
    let mut held = Vec::new();
    for _ in 1..stream.slots() {
        let count = publish(stream, CHECKER);
        let frame = stream.read().unwrap().unwrap();
        assert_eq!(frame.info().count, count);
        held.push(frame);
    }
    publish(stream, CHECKER);
    assert!(matches!(stream.loan(), Err(Error::NoFreeSlot { .. })));
    for frame in &held {
        assert_eq!(check(frame), (CHECKER, frame.info().count));
    }
    drop(held);
    publish(stream, CHECKER);
}

/// Checks that every row of the participant table is to be had, beside those of `alive` handles.
///
/// # Panics
///
/// When a row is lost.
#[track_caller]
pub fn assert_rows_free(stream: &Frames, alive: usize) {
    let rows: Vec<_> = (alive..stream.max_participants())
        .map(|i| {
            stream
                .try_clone()
                .unwrap_or_else(|error| panic!("row {i}: {error}"))
        })
        .collect();
    assert!(matches!(
        stream.try_clone(),
        Err(Error::TooManyParticipants { .. })
    ));
    for row in &rows {
        check(&row.read().unwrap().unwrap());
    }
}

/// Checks that a stream that has no other handle is as good as new: its latest frame, its lock, all
/// its slots and rows.
///
/// # Panics
///
/// When something was lost.
#[track_caller]
pub fn assert_whole(stream: &Frames) {
    let lock = stream.lock_timeout(DEADLINE).unwrap();
    drop(lock.expect("the write lock is free"));
    if let Some(frame) = stream.read().unwrap() {
        check(&frame);
    }
    publish(stream, CHECKER);
    assert_slots_free(stream);
    assert_rows_free(stream, 1);
}
