//! Reading in order: nothing twice, nothing out of order, and an exact account of what was missed.

use std::thread;
use std::time::{Duration, Instant};

use shmstream::{Error, Start, Stream, Subscription};
use shmstream_tests::checked::{WORDS, check, fill};
use shmstream_tests::{Child, DEADLINE, Name, argument, eventually, hear, play, tell};

type Frames = Stream<u64, WORDS>;
type Number = Stream<u64, 1>;

#[test]
fn child_entry() {
    play(&[
        ("write", write),
        ("subscribe", subscribe),
        ("hold_lossless", hold_lossless),
    ]);
}

/// Publishes frames at full speed, numbered like their counts.
fn write(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let frames: u64 = argument(arguments, 1);
    tell("ready");
    let _ = hear();
    let writer = stream.lock().unwrap();
    for _ in 0..frames {
        let mut frame = writer.loan().unwrap();
        let number = writer.count() + 1;
        fill(&mut frame, 1, number);
        assert_eq!(frame.publish().unwrap(), number);
    }
    drop(writer);
    tell(stream.count());
}

/// Reads in order up to the frame of a count, and tells how many it read and missed.
fn subscribe(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let last: u64 = argument(arguments, 1);
    let frames = stream.subscribe(Start::Count(1)).unwrap();
    tell("ready");
    let (read, missed) = read_to(&frames, last);
    tell(format!("{read} {missed}"));
}

/// Reads in order until the frame of count `last`, checks all there is to check, and returns how many
/// frames were read and missed.
fn read_to(frames: &Subscription<Frames>, last: u64) -> (u64, u64) {
    let (mut read, mut missed, mut before) = (0, 0, frames.position() - 1);
    while before < last {
        let frame = frames
            .wait_timeout(DEADLINE)
            .unwrap()
            .expect("a frame in time");
        let info = frame.info();
        assert_eq!(info.count, before + 1 + info.missed);
        assert_eq!(check(&frame), (1, info.count));
        match frames.gap() {
            None => assert_eq!(info.missed, 0),
            Some(gap) => {
                assert_eq!((gap.first, gap.last), (before + 1, info.count - 1));
                assert_eq!(gap.frames(), info.missed);
                assert_eq!(gap.before, info);
                assert_eq!(gap.after.map_or(0, |after| after.count), before);
            }
        }
        read += 1;
        missed += info.missed;
        before = info.count;
    }
    assert_eq!(missed, frames.missed());
    (read, missed)
}

#[test]
fn at_full_speed_read_and_missed_add_up_to_what_was_written() {
    const FRAMES: u64 = 50_000;
    let name = Name::new("full-speed");
    let stream = Frames::builder(&name).history(16).create().unwrap();
    let mut writer = Child::spawn("write", &[&name, &FRAMES]);
    writer.expect("ready");
    let readers: Vec<_> = (0..2)
        .map(|_| Child::spawn("subscribe", &[&name, &FRAMES]))
        .collect();
    readers.iter().for_each(|reader| reader.expect("ready"));
    writer.say("go");
    // Those who want the latest alone get it as ever.
    let mut latest = 0;
    while latest < FRAMES {
        let frame = stream.wait_timeout(DEADLINE).unwrap().expect("a frame");
        assert!(frame.info().count > latest);
        latest = check(&frame).1;
    }
    writer.expect(&FRAMES.to_string());
    for reader in readers {
        let line = reader.line();
        let (read, missed) = line.split_once(' ').unwrap();
        let (read, missed): (u64, u64) = (read.parse().unwrap(), missed.parse().unwrap());
        assert_eq!(read + missed, FRAMES);
        assert!(read >= 16, "the last frames are kept: {read} read");
        reader.finish();
    }
    writer.finish();
}

#[test]
fn begins_where_it_is_told() {
    let name = Name::new("start");
    let stream = Number::builder(&name).history(4).create().unwrap();
    let empty = stream.subscribe(Start::Oldest).unwrap();
    assert_eq!(empty.position(), 1);
    assert!(empty.read().unwrap().is_none());
    for i in 1..=10 {
        stream.write(&[i]).unwrap();
    }
    for (start, first, missed) in [
        (Start::Oldest, 7, 0),
        (Start::Latest, 10, 0),
        (Start::Count(8), 8, 0),
        (Start::Count(10), 10, 0),
    ] {
        let frames = stream.subscribe(start).unwrap();
        let frame = frames.read().unwrap().unwrap();
        assert_eq!((frame.get(), frame.info().missed), (first, missed));
        assert_eq!(frame.info().count, first);
        for next in first + 1..=10 {
            assert_eq!(frames.read().unwrap().unwrap().get(), next);
        }
        assert!(frames.read().unwrap().is_none());
        assert_eq!((frames.position(), frames.behind()), (11, 0));
    }
    // One that was there from the beginning, and one that asks for what is gone.
    for frames in [empty, stream.subscribe(Start::Count(0)).unwrap()] {
        let frame = frames.read().unwrap().unwrap();
        let gap = frames.gap().expect("the first frames are gone");
        assert_eq!((gap.first, gap.after), (1, None));
        assert_eq!(gap.last + 1, frame.info().count);
        assert!(frame.info().count <= 7);
        assert_eq!(frames.missed(), gap.frames());
        assert_eq!(frames.behind(), 10 - frame.info().count);
    }
    // Those that wait for what is to come.
    let new = stream.subscribe(Start::New).unwrap();
    let later = stream.subscribe(Start::Count(13)).unwrap();
    for i in 11..=13 {
        assert!(later.read().unwrap().is_none());
        stream.write(&[i]).unwrap();
    }
    assert_eq!(new.read().unwrap().unwrap().get(), 11);
    let frame = later.read().unwrap().unwrap();
    assert_eq!((frame.get(), frame.info().missed), (13, 0));
}

#[test]
fn holds_several_frames_at_once_while_the_writer_goes_on() {
    let name = Name::new("several");
    let stream = Number::builder(&name)
        .history(8)
        .slots(14)
        .create()
        .unwrap();
    let frames = stream.subscribe(Start::New).unwrap();
    for i in 1..=5 {
        stream.write(&[i]).unwrap();
    }
    let held: Vec<_> = (0..5).map(|_| frames.read().unwrap().unwrap()).collect();
    for i in 6..100 {
        stream.write(&[i]).unwrap();
    }
    let values: Vec<_> = held.iter().map(|frame| frame.get()).collect();
    assert_eq!(values, [1, 2, 3, 4, 5]);
    drop(held);
    assert_eq!(
        frames.read().unwrap().unwrap().info().missed,
        frames.missed()
    );
}

#[test]
fn waits_times_out_and_iterates() {
    let stream = Number::temporary().unwrap();
    let frames = stream.subscribe_lossless(Start::New).unwrap();
    let short = Duration::from_millis(20);
    let begun = Instant::now();
    assert!(frames.wait_timeout(short).unwrap().is_none());
    assert!(begun.elapsed() >= short);
    assert_eq!(frames.frames_timeout(short).count(), 0);
    let reader = thread::spawn(move || {
        let numbers: Result<Vec<_>, _> = frames
            .frames()
            .take(100)
            .map(|frame| frame.map(|frame| frame[0]))
            .collect();
        numbers.unwrap()
    });
    for i in 0..100 {
        stream.write_timeout(&[i], DEADLINE).unwrap();
    }
    assert_eq!(reader.join().unwrap(), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_lossless_subscription_misses_nothing_at_full_speed() {
    const FRAMES: u64 = 20_000;
    let name = Name::new("lossless");
    let stream = Frames::builder(&name).history(4).create().unwrap();
    let frames = stream.subscribe_lossless(Start::New).unwrap();
    assert!(frames.is_lossless());
    let second = stream.subscribe_lossless(Start::New).unwrap();
    let readers = [frames, second].map(|frames| {
        thread::spawn(move || {
            assert_eq!(read_to(&frames, FRAMES), (FRAMES, 0));
        })
    });
    for number in 1..=FRAMES {
        let mut frame = stream.loan_timeout(DEADLINE).unwrap();
        fill(&mut frame, 1, number);
        frame.publish().unwrap();
    }
    for reader in readers {
        reader.join().unwrap();
    }
    // They are gone, so nobody has to be waited for.
    let mut frame = [0; WORDS];
    fill(&mut frame, 1, 0);
    for _ in 0..100 {
        stream.write(&frame).unwrap();
    }
}

#[test]
fn a_writer_is_told_for_whom_it_would_have_to_wait() {
    let name = Name::new("told");
    let stream = Number::builder(&name).slots(4).create().unwrap();
    let frames = stream.subscribe_lossless(Start::New).unwrap();
    for i in 1..=4 {
        stream.write(&[i]).unwrap();
    }
    let refused = stream.write(&[5]).unwrap_err();
    let Error::NoFreeSlot {
        holders,
        subscribers,
        ..
    } = &refused
    else {
        panic!("{refused}");
    };
    assert_eq!(
        (holders.len(), &subscribers[..]),
        (0, &[std::process::id()][..])
    );
    assert!(refused.to_string().contains("lossless"), "{refused}");
    let short = Duration::from_millis(20);
    let begun = Instant::now();
    assert!(matches!(
        stream.write_timeout(&[5], short),
        Err(Error::NoFreeSlot { .. })
    ));
    assert!(begun.elapsed() >= short);
    assert!(stream.loan().is_err());
    assert_eq!(stream.count(), 4, "nothing was published");
    // Latest-value reads go on, and so do subscriptions that do not ask to be waited for.
    assert_eq!(stream.read().unwrap().unwrap().get(), 4);
    let other = stream.subscribe(Start::Count(1)).unwrap();
    assert_eq!(other.read().unwrap().unwrap().get(), 1);
    drop(other);
    // One frame read is one slot free.
    for i in 5..20 {
        assert_eq!(frames.read().unwrap().unwrap().get(), i - 4);
        stream.write(&[i]).unwrap();
        assert!(stream.write(&[0]).is_err());
    }
    drop(frames);
    for i in 0..10 {
        stream.write(&[i]).unwrap();
    }
}

/// Subscribes, reads one frame, and stays.
fn hold_lossless(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    let frames = stream.subscribe_lossless(Start::New).unwrap();
    tell("ready");
    let frame = frames.wait().unwrap();
    tell(frame.get());
    let _ = hear();
}

#[test]
fn a_killed_subscriber_never_blocks_the_writer() {
    let name = Name::new("killed");
    let stream = Number::builder(&name).slots(5).create().unwrap();
    for round in 0..5 {
        let mut child = Child::spawn("hold_lossless", &[&name]);
        child.expect("ready");
        let first = stream.write(&[round]).unwrap();
        child.expect(&round.to_string());
        let mut written = 1;
        let refused = loop {
            match stream.write(&[round]) {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
        };
        // The guard and four frames behind it: the latest is one of them.
        assert_eq!(written, 5);
        let Error::NoFreeSlot {
            holders,
            subscribers,
            ..
        } = refused
        else {
            panic!("{refused}");
        };
        assert_eq!(
            (holders, subscribers),
            (vec![child.pid()], vec![child.pid()])
        );
        // A writer that waits goes on as soon as the child is dead, and one that does not wait as well.
        if round % 2 == 0 {
            let writer = stream.try_clone().unwrap();
            let waiting = thread::spawn(move || writer.write_timeout(&[9], DEADLINE).unwrap());
            child.kill();
            assert_eq!(waiting.join().unwrap(), first + 5);
        } else {
            child.kill();
            assert_eq!(stream.write(&[9]).unwrap(), first + 5);
        }
        for _ in 0..20 {
            stream.write(&[round]).unwrap();
        }
    }
    let status = stream.status().unwrap();
    // The plain handles of the dead hold nothing that anybody needs.
    assert!(status.participants.iter().all(|one| !one.roles.subscriber));
}

#[test]
fn registers_while_a_writer_runs_and_misses_nothing_from_there_on() {
    let name = Name::new("registers");
    let stream = Frames::builder(&name).history(3).slots(6).create().unwrap();
    let writer = stream.try_clone().unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writing = thread::spawn(move || {
        let mut number = 0;
        while stopped.try_recv().is_err() {
            number += 1;
            let mut frame = writer.loan_timeout(DEADLINE).unwrap();
            fill(&mut frame, 1, number);
            frame.publish().unwrap();
        }
    });
    eventually("a frame", || stream.count() > 0);
    for start in [Start::Oldest, Start::Latest, Start::New].repeat(20) {
        let frames = stream.subscribe_lossless(start).unwrap();
        let first = frames
            .wait_timeout(DEADLINE)
            .unwrap()
            .expect("a frame")
            .info();
        // The frame that was being overwritten at that moment may be gone, nothing behind it.
        let last = first.count + 50;
        let missed = frames.missed();
        let (read, all) = read_from(&frames, last);
        assert_eq!(
            (read, all),
            (50, missed),
            "begun at {start:?} with {first:?}"
        );
    }
    stop.send(()).unwrap();
    writing.join().unwrap();
}

/// As [`read_to`], for a subscription that has read a frame.
fn read_from(frames: &Subscription<Frames>, last: u64) -> (u64, u64) {
    let mut read = 0;
    while frames.position() <= last {
        let frame = frames.wait_timeout(DEADLINE).unwrap().expect("a frame");
        assert_eq!(check(&frame).1, frame.info().count);
        read += 1;
    }
    (read, frames.missed())
}

#[test]
fn a_subscription_outlives_the_handle_and_the_name() {
    let name = Name::new("outlives");
    let stream = Number::builder(&name).history(4).create().unwrap();
    let frames = stream.subscribe(Start::New).unwrap();
    stream.write(&[1]).unwrap();
    stream.unlink().unwrap();
    drop(stream);
    assert_eq!(frames.wait().unwrap().get(), 1);
    let short = Duration::from_millis(150);
    assert!(frames.wait_timeout(short).unwrap().is_none());
    let _other = Number::create(&name).unwrap();
    assert!(matches!(
        frames.wait_timeout(DEADLINE),
        Err(Error::Replaced { .. })
    ));
}
