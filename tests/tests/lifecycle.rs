//! Streams come and go: create, open, race, survive, unlink, replace.

use std::thread;
use std::time::Duration;

use shmstream::{Error, Link, Stream, unlink};
use shmstream_tests::{Child, DEADLINE, Name, argument, eventually, hear, play, tell};

type Counter = Stream<u64, 1>;

#[test]
fn child_entry() {
    play(&[
        ("race", race),
        ("churn", churn),
        ("write", write),
        ("leave", leave),
    ]);
}

#[test]
fn create_refuses_a_name_that_is_taken() {
    let name = Name::new("create");
    let stream = Counter::create(&name).unwrap();
    assert!(matches!(
        Counter::create(&name),
        Err(Error::AlreadyExists { .. })
    ));
    stream.write(&[7]).unwrap();
    assert_eq!(
        *Counter::open(&name).unwrap().read().unwrap().unwrap(),
        [7],
        "the first stands"
    );
}

#[test]
fn open_refuses_a_name_that_is_free() {
    let name = Name::new("open");
    let error = Counter::open(&name).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }));
    assert!(error.to_string().contains(name.as_str()), "{error}");
    assert!(!name.path().exists(), "looking leaves nothing");
}

#[test]
fn open_or_create_does_either() {
    let name = Name::new("either");
    let first = Counter::open_or_create(&name).unwrap();
    first.write(&[1]).unwrap();
    let second = Counter::open_or_create(&name).unwrap();
    assert_eq!(first.instance(), second.instance());
    assert_eq!(second.count(), 1);
}

/// Attaches to the stream of each round as soon as the gun is fired.
fn race(arguments: &[String]) {
    let (gun, name) = (&arguments[0], &arguments[1]);
    let gun = Counter::open(gun).unwrap();
    tell("ready");
    loop {
        let round = gun.wait().unwrap()[0];
        let stream = Counter::open_or_create(format!("{name}-{round}")).unwrap();
        tell(stream.instance());
        // The stream is there until the parent has seen everybody.
        assert_eq!(hear(), "next");
    }
}

#[test]
fn of_many_that_open_or_create_one_creates() {
    const ROUNDS: u64 = 60;
    let gun = Name::new("gun");
    let name = Name::new("race");
    let starter = Counter::create(&gun).unwrap();
    let mut racers: Vec<_> = (0..8)
        .map(|_| Child::spawn("race", &[&gun, &name]))
        .collect();
    racers.iter().for_each(|racer| racer.expect("ready"));
    for round in 1..=ROUNDS {
        starter.write(&[round]).unwrap();
        let instances: Vec<_> = racers.iter().map(Child::line).collect();
        assert!(
            instances.iter().all(|instance| *instance == instances[0]),
            "{instances:?}"
        );
        unlink(format!("{name}-{round}")).unwrap();
        racers.iter_mut().for_each(|racer| racer.say("next"));
    }
}

/// Opens or creates a stream, uses it and takes its name away, while others do the same.
fn churn(arguments: &[String]) {
    let name = &arguments[0];
    for i in 0..argument::<u32>(arguments, 1) {
        let stream = Counter::open_or_create(name).unwrap();
        match stream.write(&[u64::from(i)]) {
            Ok(_) | Err(Error::Replaced { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        if i % 3 == 0 {
            match stream.unlink() {
                Ok(()) | Err(Error::NotFound { .. } | Error::Replaced { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn open_or_create_stands_a_name_that_comes_and_goes() {
    let name = Name::new("churn");
    let children: Vec<_> = (0..4)
        .map(|_| Child::spawn("churn", &[&name, &400]))
        .collect();
    children.into_iter().for_each(Child::finish);
}

/// Creates a stream, publishes in it and ends.
fn leave(arguments: &[String]) {
    let stream = Counter::open_or_create(&arguments[0]).unwrap();
    stream.write(&[argument(arguments, 1)]).unwrap();
}

#[test]
fn a_stream_survives_the_processes_that_used_it() {
    let name = Name::new("survive");
    for value in 1..=3_u64 {
        Child::spawn("leave", &[&name, &value]).finish();
    }
    let stream = Counter::open(&name).unwrap();
    let frame = stream.read().unwrap().unwrap();
    assert_eq!((*frame, frame.info().count), ([3], 3));
}

#[test]
fn a_temporary_stream_goes_with_the_handle_that_created_it() {
    let stream = Counter::temporary().unwrap();
    let name = stream.name().clone();
    let (clone, opened) = (stream.try_clone().unwrap(), Counter::open(&name).unwrap());
    drop(clone);
    assert_eq!(
        stream.link().unwrap(),
        Link::Current,
        "a clone takes nothing with it"
    );
    drop(stream);
    assert!(matches!(Counter::open(&name), Err(Error::NotFound { .. })));
    assert_eq!(opened.link().unwrap(), Link::Unlinked);
    assert_eq!(opened.write(&[1]).unwrap(), 1, "those who have it go on");
    let late = opened.try_clone().unwrap();
    assert_eq!(*late.read().unwrap().unwrap(), [1], "and may become more");
}

#[test]
fn a_named_stream_can_be_temporary() {
    let name = Name::new("temporary");
    let stream = Counter::builder(&name).temporary().create().unwrap();
    // Opening ignores the option: only the creator's handle counts.
    drop(Counter::builder(&name).temporary().open().unwrap());
    drop(
        Counter::builder(&name)
            .temporary()
            .open_or_create()
            .unwrap(),
    );
    assert_eq!(stream.link().unwrap(), Link::Current);
    drop(stream);
    assert!(!name.path().exists());
}

#[test]
fn a_temporary_handle_leaves_its_replacement_alone() {
    let name = Name::new("temporary-replaced");
    let stream = Counter::builder(&name).temporary().create().unwrap();
    unlink(&name).unwrap();
    let other = Counter::create(&name).unwrap();
    drop(stream);
    assert_eq!(other.link().unwrap(), Link::Current);
}

#[test]
fn unlinking_takes_the_name_and_nothing_else() {
    for by_name in [false, true] {
        let name = Name::new("unlink");
        let stream = Counter::create(&name).unwrap();
        let reader = Counter::open(&name).unwrap();
        stream.write(&[1]).unwrap();
        if by_name {
            unlink(&name).unwrap();
        } else {
            reader.unlink().unwrap();
        }
        assert!(!name.path().exists());
        assert!(matches!(stream.unlink(), Err(Error::NotFound { .. })));
        assert!(matches!(unlink(&name), Err(Error::NotFound { .. })));
        assert_eq!(stream.write(&[2]).unwrap(), 2);
        assert_eq!(*reader.wait().unwrap(), [2]);
        assert_eq!(reader.link().unwrap(), Link::Unlinked);
    }
}

#[test]
fn a_handle_knows_what_stands_under_its_name() {
    let name = Name::new("link");
    let old = Counter::create(&name).unwrap();
    assert_eq!(old.link().unwrap(), Link::Current);
    old.unlink().unwrap();
    assert_eq!(old.link().unwrap(), Link::Unlinked);
    let new = Counter::create(&name).unwrap();
    assert_eq!(old.link().unwrap(), Link::Replaced);
    assert_eq!(new.link().unwrap(), Link::Current);
    assert_ne!(old.instance(), new.instance());
}

#[test]
fn a_stale_handle_never_unlinks_its_replacement() {
    let name = Name::new("stale");
    let old = Counter::create(&name).unwrap();
    unlink(&name).unwrap();
    let new = Counter::create(&name).unwrap();
    for _ in 0..3 {
        assert!(matches!(old.unlink(), Err(Error::Replaced { .. })));
    }
    assert_eq!(new.link().unwrap(), Link::Current);
}

#[test]
fn of_many_that_unlink_one_does() {
    let name = Name::new("unlinkers");
    for _ in 0..30 {
        let stream = Counter::create(&name).unwrap();
        let handles: Vec<_> = (0..6).map(|_| stream.try_clone().unwrap()).collect();
        let done = thread::scope(|scope| {
            let threads: Vec<_> = handles
                .into_iter()
                .map(|handle| scope.spawn(move || handle.unlink().is_ok()))
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap().then_some(()))
                .count()
        });
        assert_eq!(done, 1);
    }
}

#[test]
fn a_reader_that_waits_learns_of_the_replacement() {
    let name = Name::new("replaced-reader");
    let old = Counter::create(&name).unwrap();
    old.write(&[1]).unwrap();
    let [forever, bounded] = [0; 2].map(|_| {
        let reader = Counter::open(&name).unwrap();
        assert_eq!(*reader.wait().unwrap(), [1]);
        reader
    });
    let forever = thread::spawn(move || forever.wait().map(|frame| *frame));
    let bounded = thread::spawn(move || {
        bounded
            .wait_timeout(DEADLINE)
            .map(|frame| frame.map(|f| *f))
    });
    thread::sleep(Duration::from_millis(20));
    unlink(&name).unwrap();
    thread::sleep(Duration::from_millis(150));
    assert!(
        !forever.is_finished(),
        "unlinked alone: somebody may still write"
    );
    let _new = Counter::create(&name).unwrap();
    assert!(matches!(
        forever.join().unwrap(),
        Err(Error::Replaced { .. })
    ));
    assert!(matches!(
        bounded.join().unwrap(),
        Err(Error::Replaced { .. })
    ));
}

#[test]
fn what_was_published_before_the_replacement_can_be_read() {
    let name = Name::new("replaced-last");
    let old = Counter::create(&name).unwrap();
    old.write(&[5]).unwrap();
    let reader = Counter::open(&name).unwrap();
    unlink(&name).unwrap();
    let _new = Counter::create(&name).unwrap();
    assert_eq!(
        *reader.wait().unwrap(),
        [5],
        "the last frame comes before the error"
    );
    assert!(matches!(reader.wait(), Err(Error::Replaced { .. })));
    assert_eq!(*reader.read().unwrap().unwrap(), [5]);
}

/// Writes whenever it is told to, and tells what came of it.
fn write(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    loop {
        tell(match stream.write(&[1]) {
            Ok(count) => count.to_string(),
            Err(Error::Replaced { .. }) => "replaced".to_owned(),
            Err(error) => error.to_string(),
        });
        let _ = hear();
    }
}

#[test]
fn a_writer_in_another_process_learns_of_the_replacement() {
    let name = Name::new("replaced-writer");
    let old = Counter::create(&name).unwrap();
    let mut child = Child::spawn("write", &[&name]);
    child.expect("1");
    unlink(&name).unwrap();
    child.say("again");
    child.expect("2");
    let new = Counter::create(&name).unwrap();
    child.say("again");
    child.expect("replaced");
    assert!(matches!(old.write(&[1]), Err(Error::Replaced { .. })));
    assert!(matches!(old.loan(), Err(Error::Replaced { .. })));
    assert!(matches!(old.lock(), Err(Error::Replaced { .. })));
    assert!(matches!(old.clear(), Err(Error::Replaced { .. })));
    assert_eq!((old.count(), new.count()), (2, 0));
    // The name alone makes the difference: once it is free, the old stream may be written again.
    new.unlink().unwrap();
    assert_eq!(old.write(&[1]).unwrap(), 3);
}

#[test]
fn memory_of_an_unlinked_stream_is_freed_with_its_last_handle() {
    let free = || {
        let room = rustix::fs::statvfs("/dev/shm").unwrap();
        room.f_bfree * room.f_frsize
    };
    const SIZE: u64 = 256 << 20;
    // Other tests come and go; 256 MiB stand out.
    let before = free();
    let stream = Stream::<[u8; 64 << 20], 1>::temporary().unwrap();
    let clone = stream.try_clone().unwrap();
    assert!(free() < before - SIZE / 2, "reserved at creation");
    drop(stream);
    assert!(free() < before - SIZE / 2, "kept by the clone");
    drop(clone);
    eventually("the memory is free", || free() > before - SIZE / 2);
}
