//! What a stream looks like from outside.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use shmstream::{Error, Link, Producer, Start, Status, Stream, stat};
use shmstream_tests::{Child, Name, argument, eventually, hear, play, tell};

type Number = Stream<u64, 1>;

/// Longer than any pause on a busy machine.
const LONG: Duration = Duration::from_secs(600);

#[test]
fn child_entry() {
    play(&[
        ("produce", produce),
        ("stat_forever", stat_forever),
        ("write_forever", write_forever),
    ]);
}

#[test]
fn tells_how_the_stream_was_made() {
    let name = Name::new("made");
    let stream = Stream::<[f32; 4], 3>::builder(&name)
        .history(5)
        .participants(7)
        .mode(0o640)
        .create()
        .unwrap();
    for status in [stat(&name).unwrap(), stream.status().unwrap()] {
        assert_eq!(&status.name, stream.name());
        assert_eq!(status.path, name.path());
        assert_eq!(status.link, Link::Current);
        assert_eq!(&status.schema, stream.schema());
        assert_eq!(
            (status.frame_size, status.slots, status.history),
            (48, 8, 5)
        );
        assert_eq!((status.max_participants, status.mode), (7, 0o640));
        assert!(status.observers && !status.huge_pages);
        assert_eq!(status.instance, stream.instance());
        assert_eq!(status.creator_pid, std::process::id());
        assert_eq!(status.file_size, name.path().metadata().unwrap().len());
        assert_eq!((status.count, status.latest), (0, None));
        assert_eq!((status.age(), status.is_stale(LONG)), (None, true));
        assert_eq!(status.producer(LONG), Producer::None);
        assert_eq!(status.participants.len(), 1);
    }
}

#[test]
fn tells_who_is_attached_and_how_far_behind() {
    let name = Name::new("attached");
    let stream = Number::builder(&name).history(8).create().unwrap();
    let reader = stream.try_clone().unwrap();
    let frames = stream.subscribe(Start::New).unwrap();
    let lossless = stream.subscribe_lossless(Start::New).unwrap();
    for i in 0..6 {
        stream.write_with_id(100 + i, &[i]).unwrap();
    }
    let held = reader.read().unwrap().unwrap();
    drop(frames.read().unwrap().unwrap());
    let first = lossless.read().unwrap().unwrap();
    stream.write(&[9]).unwrap();

    let status = stat(&name).unwrap();
    assert_eq!(status.count, 7);
    let latest = status.latest.unwrap();
    assert_eq!((latest.count, latest.frame_id, latest.missed), (7, 0, 0));
    assert!(status.age().unwrap() < LONG && !status.is_stale(LONG));
    assert_eq!(status.publisher, Some(std::process::id()));
    assert_eq!(status.lock_holder, None);
    let rows: Vec<_> = status
        .participants
        .iter()
        .map(|one| (one.seen, one.behind, one.pinned))
        .collect();
    assert_eq!(rows, [(0, 0, 0), (6, 1, 1), (1, 6, 0), (1, 6, 1)]);
    let [writer, reader, subscriber, lossless_one] = &status.participants[..] else {
        panic!("{status}");
    };
    assert!(writer.roles.writer && !writer.roles.reader);
    assert!(reader.roles.reader && !reader.roles.writer && !reader.roles.subscriber);
    assert!(subscriber.roles.subscriber && !subscriber.roles.lossless);
    assert!(lossless_one.roles.lossless);
    assert!(
        status
            .participants
            .iter()
            .all(|one| one.alive && one.pid == std::process::id())
    );
    let text = status.describe();
    for word in [
        "`test-attached",
        "[u64; 1]",
        "history 8",
        "4 of 64",
        "lossless",
        "holds 1 slot",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    drop((held, first, frames));
    drop(lossless);
    assert_eq!(stat(&name).unwrap().participants.len(), 2);
}

/// Writes a frame and then does what it is told.
fn produce(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    stream.write(&[1]).unwrap();
    tell("written");
    let mut lock = None;
    loop {
        match hear().as_str() {
            "lock" => lock = Some(stream.lock().unwrap()),
            "unlock" => lock = None,
            "end" => break,
            other => panic!("{other}"),
        }
        tell("done");
    }
    drop(lock);
}

/// Says what the producer does; active only if the latest frame is younger than nothing at all.
fn producer(name: &Name) -> Producer {
    stat(name).unwrap().producer(Duration::ZERO)
}

#[test]
fn tells_an_idle_producer_from_a_stalled_a_dead_and_a_replaced_one() {
    let name = Name::new("producer");
    let stream = Number::create(&name).unwrap();
    let mut child = Child::spawn("produce", &[&name]);
    child.expect("written");
    let status = stat(&name).unwrap();
    assert_eq!(status.producer(LONG), Producer::Active);
    assert_eq!(status.publisher, Some(child.pid()));
    assert_eq!(producer(&name), Producer::Idle);
    child.say("lock");
    child.expect("done");
    assert_eq!(producer(&name), Producer::Stalled);
    assert_eq!(stat(&name).unwrap().lock_holder, Some(child.pid()));
    assert_eq!(stat(&name).unwrap().producer(LONG), Producer::Active);
    child.say("unlock");
    child.expect("done");
    assert_eq!(producer(&name), Producer::Idle);
    // Killed with the lock in hand, and without.
    child.say("lock");
    child.expect("done");
    child.kill();
    assert_eq!(producer(&name), Producer::Dead);
    assert_eq!(stat(&name).unwrap().producer(LONG), Producer::Dead);

    let mut child = Child::spawn("produce", &[&name]);
    child.expect("written");
    assert_eq!(producer(&name), Producer::Idle);
    child.kill();
    assert_eq!(producer(&name), Producer::Dead);
    // Also when its row has been given to somebody else.
    let others: Vec<_> = (0..4).map(|_| stream.try_clone().unwrap()).collect();
    assert_eq!(producer(&name), Producer::Dead);
    drop(others);

    let mut child = Child::spawn("produce", &[&name]);
    child.expect("written");
    child.say("end");
    child.finish();
    assert_eq!(producer(&name), Producer::Gone);

    stream.write(&[2]).unwrap();
    assert_eq!(producer(&name), Producer::Idle);
    stream.unlink().unwrap();
    assert_eq!(stream.status().unwrap().link, Link::Unlinked);
    let _new = Number::create(&name).unwrap();
    let status = stream.status().unwrap();
    assert_eq!(
        (status.link, status.producer(LONG)),
        (Link::Replaced, Producer::Replaced)
    );
}

#[test]
fn a_dead_participant_is_shown_as_dead() {
    let name = Name::new("dead");
    let stream = Number::create(&name).unwrap();
    let mut child = Child::spawn("produce", &[&name]);
    child.expect("written");
    let pid = child.pid();
    child.kill();
    let status = stream.status().unwrap();
    let dead: Vec<_> = status
        .participants
        .iter()
        .filter(|one| !one.alive)
        .collect();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].pid, pid);
    assert!(status.to_string().contains("dead"), "{status}");
}

/// Looks at a stream until it is told to end, and checks that what it sees is possible.
fn stat_forever(arguments: &[String]) {
    let name = &arguments[0];
    let mut before = 0;
    tell("ready");
    for _ in 0..argument::<u32>(arguments, 1) {
        let status: Status = stat(name).unwrap();
        let latest = status.latest.expect("a frame");
        assert_eq!(latest.frame_id, latest.count * 3);
        assert!(latest.count >= before && status.count >= before);
        before = latest.count;
    }
    tell("seen");
}

fn write_forever(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    let writer = stream.lock().unwrap();
    loop {
        let next = writer.count() + 1;
        writer.write_with_id(next * 3, &[next]).unwrap();
        if next == 1 {
            tell("writing");
        }
    }
}

#[test]
fn looks_while_others_write_at_full_speed() {
    let name = Name::new("looks");
    let stream = Number::create(&name).unwrap();
    let writer = Child::spawn("write_forever", &[&name]);
    writer.expect("writing");
    let looking: Vec<_> = (0..2)
        .map(|_| Child::spawn("stat_forever", &[&name, &2000]))
        .collect();
    for child in looking {
        child.expect("ready");
        child.expect("seen");
        child.finish();
    }
    drop(writer);
    eventually("the writer's death", || {
        stream.status().unwrap().producer(LONG) == Producer::Dead
    });
}

#[test]
fn refuses_what_is_no_stream() {
    assert!(matches!(stat("test-no-such"), Err(Error::NotFound { .. })));
    assert!(matches!(stat(""), Err(Error::InvalidName { .. })));
    let name = Name::new("foreign");
    std::fs::write(name.path(), "no stream").unwrap();
    assert!(matches!(stat(&name), Err(Error::Foreign { .. })));
}

#[test]
fn a_damaged_latest_word_is_told() {
    let name = Name::new("latest");
    let stream = Number::create(&name).unwrap();
    stream.write(&[1]).unwrap();
    let observer = Number::observe(&name).unwrap();
    // The first word of the control block: frame 7 in a slot that does not hold it.
    let file = OpenOptions::new().write(true).open(stream.path()).unwrap();
    file.write_all_at(&(7_u64 << 6 | 3).to_ne_bytes(), 4096)
        .unwrap();
    for looked in [stat(&name), stream.status(), observer.status()] {
        let error = looked.expect_err("damaged");
        assert!(matches!(&error, Error::Corrupt { field, .. } if *field == "the latest word"));
        assert!(error.to_string().contains("0x1c3"), "{error}");
    }
    stream.write(&[2]).unwrap();
    assert_eq!(stat(&name).unwrap().count, 8, "a writer goes on");
}
