//! Workloads that more than one benchmark measures, and what they are measured against.
#![allow(dead_code, reason = "each benchmark uses a part")]

pub(crate) mod copies;
pub(crate) mod floor;
pub(crate) mod interleave;
pub(crate) mod report;
pub(crate) mod wakes;

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use shmstream::{Error, Stream};

/// A stream of 64-byte frames.
pub(crate) type Small = Stream<u64, 8>;
/// What is written into it.
pub(crate) const SMALL: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

pub(crate) const MIB: usize = 1 << 20;
/// The frame sizes of the in-place benchmark, in bytes.
pub(crate) const IN_PLACE: [usize; 3] = [64, 4 * MIB, 400 * MIB];
/// How many handles stand by in the fan-out benchmark.
pub(crate) const IDLE_HANDLES: [usize; 4] = [0, 1, 8, 32];

/// Creates a stream that is gone with its handle.
pub(crate) fn temporary<T: shmstream::Pod, const N: usize>(slots: usize) -> Stream<T, N> {
    match try_temporary(slots) {
        Ok(stream) => stream,
        Err(error) => panic!("{error}"),
    }
}

/// The same, or an error; a large stream does not fit everywhere.
pub(crate) fn try_temporary<T: shmstream::Pod, const N: usize>(
    slots: usize,
) -> Result<Stream<T, N>, Error> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "bench-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    Stream::builder(name)
        .slots(slots)
        .prefault()
        .temporary()
        .create()
}

/// Runs an operation in a loop.
#[inline]
pub(crate) fn timed(iterations: u64, mut operation: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..iterations {
        operation();
    }
    start.elapsed()
}

#[inline]
pub(crate) fn publish(writer: &Small) {
    let count = writer.write(black_box(&SMALL)).expect("a free slot");
    black_box(count);
}

/// Reads in place: every element is loaded from the slot, and none is stored.
#[inline]
pub(crate) fn read(reader: &Small) {
    let frame = reader.read().expect("an intact stream").expect("a frame");
    black_box(
        frame
            .iter()
            .fold(0, |sum: u64, value| sum.wrapping_add(*value)),
    );
}

/// Fills a frame in place, publishes it and reads it in place, touching its two ends only.
#[inline]
pub(crate) fn in_place<const N: usize>(stream: &Stream<u8, N>) {
    let mut loan = stream.loan().expect("a free slot");
    loan[0] = black_box(1);
    loan[N - 1] = black_box(2);
    loan.publish().expect("no fork");
    let frame = stream.read().expect("an intact stream").expect("a frame");
    black_box(frame[0] ^ frame[N - 1]);
}

/// Attaches handles that do nothing.
pub(crate) fn idle_handles(stream: &Small, count: usize) -> Vec<Small> {
    (0..count)
        .map(|_| stream.try_clone().expect("a free row"))
        .collect()
}
