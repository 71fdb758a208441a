//! Many writers and readers, with and without kills: no torn frame, no standstill, nothing lost.
//!
//! Runs for a few seconds. `SHMSTREAM_STRESS_SECONDS` sets how long each test takes.

use std::thread;
use std::time::{Duration, Instant};

use shmstream::{Error, Stream};
use shmstream_tests::checked::{WORDS, check, fill};
use shmstream_tests::{Child, DEADLINE, Dice, Name, argument, play};

type Frames = Stream<u64, WORDS>;

const WRITERS: usize = 4;
const READERS: usize = 8;

#[test]
fn child_entry() {
    play(&[("write", write), ("read", read)]);
}

fn duration() -> Duration {
    let set = std::env::var("SHMSTREAM_STRESS_SECONDS").ok();
    Duration::from_secs(set.map_or(4, |seconds| seconds.parse().expect("a number of seconds")))
}

/// Says whether the test is over: a frame in a stream beside the one under test.
fn is_over(stop: &Stream<u8, 1>) -> bool {
    stop.count() > 0
}

/// Writes in every way, until the test is over.
fn write(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let writer: u64 = argument(arguments, 1);
    let stop = Stream::open(&arguments[2]).unwrap();
    let mut dice = Dice::new(u64::from(std::process::id()) * 77);
    let mut frame = [0; WORDS];
    let mut number = 0;
    let mut last = 0;
    while !is_over(&stop) {
        number += 1;
        fill(&mut frame, writer, number);
        let count = match dice.below(6) {
            0 => {
                let guard = stream.lock().unwrap();
                for _ in 0..dice.below(20) {
                    let before = guard.count();
                    match guard.write_with_id(number, &frame) {
                        Ok(count) => assert_eq!(count, before + 1, "nobody else writes"),
                        Err(Error::NoFreeSlot { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                continue;
            }
            1 => {
                // Given up half filled.
                if let Ok(mut loan) = stream.loan() {
                    loan[..WORDS / 2].fill(u64::MAX);
                }
                continue;
            }
            2 => match stream.lock_timeout(Duration::from_millis(5)).unwrap() {
                Some(guard) => guard.write_with_id(number, &frame),
                None => continue,
            },
            3 => stream.write_with_id(number, &frame),
            _ => stream.loan_timeout(DEADLINE).and_then(|mut loan| {
                fill(&mut loan, writer, number);
                loan.publish_with_id(number)
            }),
        };
        match count {
            Ok(count) => {
                assert!(count > last, "{count} after {last}");
                last = count;
            }
            Err(Error::NoFreeSlot { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads in every way and checks each frame, until the test is over.
fn read(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let stop = Stream::open(&arguments[1]).unwrap();
    let mut progress = Instant::now();
    let mut dice = Dice::new(u64::from(std::process::id()) * 99);
    let (mut last, mut last_ns) = (0, 0);
    let mut buffer = [0; WORDS];
    let mut kept = None;
    while !is_over(&stop) {
        let info = match dice.below(8) {
            0 => stream.read_into(&mut buffer).unwrap().inspect(|info| {
                let (_, number) = check(&buffer);
                assert_eq!(number, info.frame_id);
            }),
            1 => stream.read_owned().unwrap().map(|frame| {
                check(&frame);
                frame.info()
            }),
            // Held across other reads, and checked when it is let go.
            2 => {
                if let Some((frame, words)) = kept.take() {
                    let frame: shmstream::Frame<'_, u64, WORDS> = frame;
                    assert_eq!(check(&frame), words);
                }
                kept = stream.read().unwrap().map(|frame| {
                    let words = check(&frame);
                    (frame, words)
                });
                continue;
            }
            3 => stream.read().unwrap().map(|frame| {
                let words = check(&frame);
                thread::yield_now();
                assert_eq!(check(&frame), words);
                frame.info()
            }),
            _ => {
                assert!(progress.elapsed() < DEADLINE, "nobody writes");
                let Some(frame) = stream.wait_timeout(Duration::from_millis(300)).unwrap() else {
                    continue;
                };
                progress = Instant::now();
                let (_, number) = check(&frame);
                assert_eq!(number, frame.info().frame_id);
                assert!(frame.info().count > last);
                Some(frame.info())
            }
        };
        let Some(info) = info else {
            continue;
        };
        assert!(
            info.count >= last && info.monotonic_ns >= last_ns,
            "time runs forwards"
        );
        (last, last_ns) = (info.count, info.monotonic_ns);
        // Now and then a handle of another row.
        if dice.below(500) == 0 {
            check(
                &stream
                    .try_clone()
                    .unwrap()
                    .read()
                    .unwrap()
                    .expect("there was one before"),
            );
        }
    }
    drop(kept);
}

/// Checks that every slot and every row is usable, as they are when nothing was lost.
fn assert_nothing_lost(stream: &Frames) {
    let mut frame = [0; WORDS];
    fill(&mut frame, 1, 1);
    // Pins in the rows that the dead left are cleared by whoever needs the slots.
    let mut held = Vec::new();
    for _ in 1..stream.slots() {
        stream.write(&frame).unwrap();
        held.push(stream.read().unwrap().unwrap());
    }
    stream.write(&frame).unwrap();
    assert!(matches!(stream.loan(), Err(Error::NoFreeSlot { .. })));
    drop(held);
    let rows: Vec<_> = (1..stream.max_participants())
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
        assert_eq!(check(&row.read().unwrap().unwrap()), (1, 1));
        stream.write(&frame).unwrap();
    }
}

/// A stream under test, and the one that ends it.
struct Stress {
    name: Name,
    stream: Frames,
    stop_name: Name,
    stop: Stream<u8, 1>,
    last: u64,
}

impl Stress {
    fn new() -> Self {
        let (name, stop_name) = (Name::new("stress"), Name::new("stop"));
        // The latest, two for each reader (one that it keeps), and one to write into; a row for
        // this test, and for each child one and a second now and then.
        let builder = Frames::builder(&name).slots(2 * READERS + 2);
        let stream = builder
            .participants(1 + WRITERS + 2 * READERS)
            .create()
            .unwrap();
        let stop = Stream::create(&stop_name).unwrap();
        Self {
            name,
            stream,
            stop_name,
            stop,
            last: 0,
        }
    }

    fn start(&self, index: usize) -> Child {
        if index < WRITERS {
            Child::spawn("write", &[&self.name, &index, &self.stop_name])
        } else {
            Child::spawn("read", &[&self.name, &self.stop_name])
        }
    }

    fn start_all(&self) -> Vec<Child> {
        (0..WRITERS + READERS)
            .map(|index| self.start(index))
            .collect()
    }

    /// Checks that somebody goes on writing whole frames.
    fn assert_progress(&mut self) {
        let frame = self.stream.wait_after_timeout(self.last, DEADLINE).unwrap();
        let frame = frame.expect("somebody writes");
        check(&frame);
        self.last = frame.info().count;
    }

    /// Ends the test and checks that nothing was lost.
    fn finish(self, children: Vec<Child>) {
        self.stop.write(&[1]).unwrap();
        children.into_iter().for_each(Child::finish);
        assert_nothing_lost(&self.stream);
    }
}

#[test]
fn many_writers_and_readers() {
    let mut stress = Stress::new();
    let children = stress.start_all();
    let end = Instant::now() + duration();
    while Instant::now() < end {
        stress.assert_progress();
        thread::sleep(Duration::from_millis(1));
    }
    stress.finish(children);
}

#[test]
fn many_writers_and_readers_that_are_killed() {
    let mut stress = Stress::new();
    let mut children = stress.start_all();
    let mut dice = Dice::new(std::process::id().into());
    let end = Instant::now() + duration();
    let mut kills = 0;
    while Instant::now() < end {
        thread::sleep(Duration::from_micros(dice.below(4000)));
        #[expect(clippy::cast_possible_truncation, reason = "below twelve")]
        let index = dice.below((WRITERS + READERS) as u64) as usize;
        assert!(children[index].is_alive(), "child {index} failed");
        children[index].kill();
        children[index] = stress.start(index);
        kills += 1;
        stress.assert_progress();
    }
    assert!(kills > 10, "{kills} kills show nothing");
    stress.finish(children);
}
