//! The figures that were promised, each measured in turns with what the machine itself needs.
//!
//! Prints a table. An argument selects the parts whose name contains it.

mod common;

use std::time::Duration;

use common::copies::{Ends, Memory};
use common::floor::{Least, lock_pair, shared_file};
use common::interleave::{median, rounds};
use common::report::{Row, Target, print};
use common::wakes::{FutexWakes, StreamWakes};
use common::{IDLE_HANDLES, IN_PLACE, MIB, SMALL, Small};
use common::{copies, idle_handles, in_place, publish, read, temporary, timed, try_temporary};

/// Operations of the hot path in one round.
const SHORT: u32 = 2_000;
/// Copies in one round, and copies before them that bring both buffers into the cache.
const COPIES: u32 = 8;
const COPIES_BEFORE: u32 = 2;
/// Wake-ups in one round.
const WAKES: usize = 20;

/// One part of the table: how many rounds, and what to do with them.
type Part = (&'static str, usize, fn(usize) -> Vec<Row>);

const PARTS: [Part; 5] = [
    ("hot_path", 500, hot_path),
    ("copy", 200, copy),
    ("in_place", 500, in_place_sizes),
    ("wake", 30, wake),
    ("fan_out", 500, fan_out),
];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // Cargo says `--bench` when it means that; without, this is a test that everything runs.
    let bench = arguments.iter().any(|argument| argument == "--bench");
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let chosen = |name: &str| filter.is_none_or(|filter| name.contains(filter.as_str()));
    let parts = PARTS.into_iter().filter(|(name, ..)| chosen(name));
    let rows: Vec<_> = parts
        .flat_map(|(_, rounds, part)| part(if bench { rounds } else { 1 }))
        .collect();
    if !rows.is_empty() {
        print(&rows);
    }
}

fn nanoseconds(duration: Duration, operations: u32) -> f64 {
    duration.as_secs_f64() * 1e9 / f64::from(operations)
}

/// Nanoseconds per run of a short operation.
fn short(operation: impl FnMut()) -> f64 {
    nanoseconds(timed(SHORT.into(), operation), SHORT)
}

fn hot_path(count: usize) -> Vec<Row> {
    let stream: Small = temporary(4);
    let other: Small = temporary(4);
    let writer = stream.lock().expect("the lock");
    let second = stream.try_clone().expect("a free row");
    let least = Least::default();
    let file = shared_file(4096);
    publish(&writer);

    let results = rounds(
        count,
        &mut [
            &mut || short(|| (publish(&writer), read(&writer)).0),
            &mut || short(|| (least.publish(&SMALL), least.read()).0),
            &mut || short(|| (publish(&writer), read(&second)).0),
            &mut || short(|| publish(&writer)),
            &mut || short(|| least.publish(&SMALL)),
            &mut || short(|| read(&writer)),
            &mut || short(|| least.read()),
            &mut || short(|| publish(&other)),
            &mut || short(|| (least.publish(&SMALL), lock_pair(&file)).0),
            &mut || short(common::floor::clock),
            &mut || short(|| least.store()),
        ],
    );
    let [
        both,
        both_least,
        by_two,
        write,
        write_least,
        read,
        read_least,
        unlocked,
        locks,
        clock,
        store,
    ] = &results[..]
    else {
        unreachable!("one result for each subject");
    };
    let floor = "the same clock read, stores and loads on bare memory";
    vec![
        Row::new(
            ("publish and read 64 B", both),
            (floor, both_least),
            Target::Below(60.0),
        ),
        Row::new(
            ("publish and read 64 B, two handles", by_two),
            (floor, both_least),
            Target::Below(60.0),
        ),
        Row::new(("publish 64 B", write), (floor, write_least), Target::Open),
        Row::new(
            ("clock read, alone", clock),
            ("publish 64 B", write),
            Target::Open,
        ),
        Row::new(
            ("`SeqCst` store, alone", store),
            ("publish 64 B", write),
            Target::Open,
        ),
        Row::new(("read 64 B", read), (floor, read_least), Target::Open),
        Row::new(
            ("publish 64 B, lock not held", unlocked),
            ("the same and `flock` twice", locks),
            Target::Open,
        ),
    ]
}

fn copy(count: usize) -> Vec<Row> {
    let stream = copies::stream();
    let writer = stream.lock().expect("the lock");
    let ends = std::cell::RefCell::new(Ends::new());
    let mut memory = Memory::new();
    let copies = |operation: &mut dyn FnMut(&mut Ends)| {
        let ends = &mut *ends.borrow_mut();
        timed(COPIES_BEFORE.into(), || operation(ends));
        nanoseconds(timed(COPIES.into(), || operation(ends)), COPIES)
    };
    let results = rounds(
        count,
        &mut [
            &mut || copies(&mut |ends| ends.through_stream(&writer)),
            &mut || copies(&mut |ends| ends.through_memory(&mut memory)),
        ],
    );
    vec![Row::new(
        ("copy 4 MiB in and out", &results[0]),
        ("`memcpy` in and out", &results[1]),
        Target::Times(1.1),
    )]
}

fn in_place_sizes(count: usize) -> Vec<Row> {
    let small = temporary::<u8, { IN_PLACE[0] }>(2);
    let medium = temporary::<u8, { IN_PLACE[1] }>(2);
    let large = match try_temporary::<u8, { IN_PLACE[2] }>(2) {
        Ok(large) => large,
        Err(error) => {
            eprintln!("in_place left out: {error}");
            return Vec::new();
        }
    };
    let small = small.lock().expect("the lock");
    let medium = medium.lock().expect("the lock");
    let large = large.lock().expect("the lock");
    let results = rounds(
        count,
        &mut [
            &mut || short(|| in_place(&small)),
            &mut || short(|| in_place(&medium)),
            &mut || short(|| in_place(&large)),
        ],
    );
    let row = |index: usize| {
        let figure = format!(
            "loan, publish and read {} MiB in place",
            IN_PLACE[index] / MIB
        );
        let target = Target::Times(1.1);
        Row::new(
            (figure, &results[index]),
            ("64 B in place", &results[0]),
            target,
        )
    };
    vec![row(1), row(2)]
}

fn wake(count: usize) -> Vec<Row> {
    let (stream, futex) = (StreamWakes::new(), FutexWakes::new());
    let middle = |latency: &dyn Fn() -> Duration| {
        let latencies: Vec<_> = (0..WAKES).map(|_| nanoseconds(latency(), 1)).collect();
        median(&latencies)
    };
    let results = rounds(
        count,
        &mut [&mut || middle(&|| stream.latency()), &mut || {
            middle(&|| futex.latency())
        }],
    );
    vec![Row::new(
        ("wake a sleeping reader, p50", &results[0]),
        ("wake a thread on a bare futex, p50", &results[1]),
        Target::Open,
    )]
}

fn fan_out(count: usize) -> Vec<Row> {
    let streams = IDLE_HANDLES.map(|_| temporary::<u64, 8>(4));
    let idle: Vec<_> = streams
        .iter()
        .zip(IDLE_HANDLES)
        .map(|(stream, idle)| idle_handles(stream, idle))
        .collect();
    let writers = streams
        .each_ref()
        .map(|stream| stream.lock().expect("the lock"));
    let [none, one, eight, many] = &writers;
    let results = rounds(
        count,
        &mut [
            &mut || short(|| publish(none)),
            &mut || short(|| publish(one)),
            &mut || short(|| publish(eight)),
            &mut || short(|| publish(many)),
        ],
    );
    drop(idle);
    let row = |index: usize| {
        let figure = format!("publish 64 B, {} idle handles", IDLE_HANDLES[index]);
        Row::new(
            (figure, &results[index]),
            ("no idle handle", &results[0]),
            Target::Open,
        )
    };
    (1..IDLE_HANDLES.len()).map(row).collect()
}
