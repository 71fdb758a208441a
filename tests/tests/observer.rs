//! Reading without write permission: another user's process that blocks, wakes, and never disturbs.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use shmstream::{Error, Link, Observer, Stream};
use shmstream_tests::checked::{WORDS, check, fill};
use shmstream_tests::{Child, DEADLINE, Name, argument, eventually, play, skip, tell};

type Frames = Stream<u64, WORDS>;
type Number = Stream<u64, 1>;

/// The user and group `nobody`.
const NOBODY: u32 = 65534;

#[test]
fn child_entry() {
    play(&[
        ("watch", watch),
        ("watch_as_nobody", watch_as_nobody),
        ("refused", refused),
        ("stop", stop),
    ]);
}

fn become_nobody() {
    // SAFETY: `setgid` may be called at any time; it changes all threads of this process.
    let group = unsafe { libc::setgid(NOBODY) };
    // SAFETY: `setuid` likewise.
    let user = unsafe { libc::setuid(NOBODY) };
    assert_eq!((group, user), (0, 0), "{}", std::io::Error::last_os_error());
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Waits for frame after frame until the one of count `last`, and checks each.
fn watch(arguments: &[String]) {
    let last: u64 = argument(arguments, 1);
    let observer = Frames::builder(&arguments[0])
        .allow_other_owner()
        .observe()
        .unwrap();
    tell("ready");
    let mut frame = Box::new([0; WORDS]);
    let (mut before, mut read, mut missed) = (0, 0_u64, 0);
    while before < last {
        let info = match observer.wait_timeout_into(&mut frame, DEADLINE) {
            Ok(info) => info.expect("a frame in time"),
            // A writer that makes up for lost time may be faster than a copy in a debug build.
            Err(Error::Overtaken { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        assert!(info.count > before);
        assert_eq!(check(&frame), (1, info.count));
        (before, read, missed) = (info.count, read + 1, missed + info.missed);
    }
    tell(format!("{read} {missed}"));
}

fn watch_as_nobody(arguments: &[String]) {
    become_nobody();
    assert!(matches!(
        Frames::open(&arguments[0]),
        Err(Error::OtherUser { .. })
    ));
    assert!(matches!(
        Frames::observe(&arguments[0]),
        Err(Error::OtherUser { owner: 0, .. })
    ));
    watch(arguments);
}

/// Publishes at 100 kHz, or as fast as this machine does, from the count it finds.
fn publish(stream: &Frames, frames: u64) {
    let writer = stream.lock().unwrap();
    let begun = Instant::now();
    for i in 0..frames {
        while begun.elapsed() < Duration::from_micros(10) * u32::try_from(i).unwrap() {
            std::hint::spin_loop();
        }
        let mut frame = writer.loan().unwrap();
        let number = writer.count() + 1;
        fill(&mut frame, 1, number);
        frame.publish().unwrap();
    }
}

#[test]
fn another_user_reads_blocks_and_wakes_while_the_writer_runs() {
    const FRAMES: u64 = 30_000;
    let role = match is_root() {
        true => "watch_as_nobody",
        false => "watch",
    };
    let name = Name::new("observed");
    let stream = Frames::builder(&name)
        .mode(0o644)
        .slots(16)
        .create()
        .unwrap();
    let last = FRAMES + 20;
    let child = Child::spawn(role, &[&name, &last]);
    child.expect("ready");
    publish(&stream, FRAMES);
    // And slowly, so that the observer sleeps before each.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(5));
        publish(&stream, 1);
    }
    let line = child.line();
    let (read, missed) = line.split_once(' ').unwrap();
    let (read, missed): (u64, u64) = (read.parse().unwrap(), missed.parse().unwrap());
    assert!(read >= 20, "the slow ones at least: {read}");
    assert!(read + missed <= last);
    child.finish();
    let status = stream.status().unwrap();
    assert_eq!(status.participants.len(), 1, "an observer leaves no trace");
}

#[test]
fn on_a_stream_that_expects_no_observers_it_waits_as_well() {
    let name = Name::new("unexpected");
    let stream = Frames::create(&name).unwrap();
    let child = Child::spawn("watch", &[&name, &5]);
    child.expect("ready");
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(10));
        publish(&stream, 1);
    }
    let _ = child.line();
    child.finish();
}

/// Is refused what the mode does not allow.
fn refused(arguments: &[String]) {
    become_nobody();
    for name in arguments {
        let builder = || Number::builder(name).allow_other_owner();
        let error = builder().observe().unwrap_err();
        assert!(matches!(error, Error::OtherUser { .. }), "{error}");
        let error = shmstream::stat(name).unwrap_err();
        assert!(matches!(error, Error::OtherUser { .. }), "{error}");
    }
}

#[test]
fn the_mode_decides_who_may_look() {
    if !is_root() {
        return skip(
            "the_mode_decides_who_may_look",
            "only root can become another user",
        );
    }
    let (private, group) = (Name::new("private"), Name::new("group"));
    let _private = Number::create(&private).unwrap();
    let _group = Number::builder(&group).mode(0o640).create().unwrap();
    Child::spawn("refused", &[&private, &group]).finish();
}

#[test]
fn which_streams_expect_observers_follows_from_the_mode_or_is_said() {
    let expects = |mode: u32, said: Option<bool>| {
        let name = Name::new("expects");
        let mut builder = Number::builder(&name).mode(mode);
        if let Some(said) = said {
            builder = builder.observers(said);
        }
        let stream = builder.create().unwrap();
        assert_eq!(
            name.path().metadata().unwrap().permissions().mode() & 0o7777,
            mode
        );
        stream.status().unwrap().observers
    };
    for mode in [0o644, 0o640, 0o604, 0o664] {
        assert!(expects(mode, None), "{mode:o}");
        assert!(!expects(mode, Some(false)), "{mode:o}");
    }
    for mode in [0o600, 0o660, 0o666] {
        assert!(!expects(mode, None), "{mode:o}");
        assert!(expects(mode, Some(true)), "{mode:o}");
    }
}

#[test]
fn reads_what_is_there_and_counts_what_it_missed() {
    let name = Name::new("counts");
    let stream = Number::builder(&name).observers(true).create().unwrap();
    let observer = Number::observe(&name).unwrap();
    assert!(observer.read().unwrap().is_none());
    assert!(observer.wait_timeout(Duration::ZERO).unwrap().is_none());
    let short = Duration::from_millis(20);
    let begun = Instant::now();
    assert!(observer.wait_timeout(short).unwrap().is_none());
    assert!(begun.elapsed() >= short);

    stream.write_with_id(70, &[7]).unwrap();
    let frame = observer.read().unwrap().unwrap();
    assert_eq!((*frame, frame.info().frame_id), ([7], 70));
    assert!(frame.info().age() < DEADLINE);
    assert!(observer.read_new().unwrap().is_none());
    assert!(observer.read().unwrap().is_some(), "the latest again");
    for i in 0..5 {
        stream.write(&[i]).unwrap();
    }
    let mut buffer = [0];
    let info = observer.read_into(&mut buffer).unwrap().unwrap();
    assert_eq!((buffer, info.count, info.missed), ([4], 6, 4));
    assert_eq!((observer.count(), observer.name()), (6, stream.name()));
    assert_eq!(observer.instance(), stream.instance());
    assert_eq!(observer.schema(), stream.schema());
}

#[test]
fn checks_the_payload_like_everybody() {
    let name = Name::new("checks");
    let _stream = Number::create(&name).unwrap();
    assert!(matches!(
        Stream::<f64, 1>::observe(&name),
        Err(Error::Type { .. })
    ));
    assert!(matches!(
        Stream::<u64, 2>::observe(&name),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        Number::observe("test-no-such-stream"),
        Err(Error::NotFound { .. })
    ));
}

#[test]
fn knows_when_the_name_is_another_streams() {
    let name = Name::new("replaced");
    let stream = Number::create(&name).unwrap();
    let observer = Number::observe(&name).unwrap();
    stream.write(&[1]).unwrap();
    stream.unlink().unwrap();
    assert_eq!(observer.link().unwrap(), Link::Unlinked);
    drop(stream);
    assert_eq!(*observer.wait().unwrap(), [1], "the stream lives on");
    let _other = Number::create(&name).unwrap();
    assert_eq!(observer.link().unwrap(), Link::Replaced);
    assert!(matches!(
        observer.wait_timeout(DEADLINE),
        Err(Error::Replaced { .. })
    ));
}

/// Observes and stops in the middle of it.
fn stop(arguments: &[String]) {
    let observer = Frames::observe(&arguments[0]).unwrap();
    tell("ready");
    loop {
        let _ = observer.wait();
    }
}

#[test]
fn stopped_or_killed_it_costs_the_writer_nothing() {
    let name = Name::new("stopped");
    let stream = Frames::builder(&name)
        .slots(2)
        .participants(1)
        .observers(true)
        .create()
        .unwrap();
    let mut children: Vec<_> = (0..4).map(|_| Child::spawn("stop", &[&name])).collect();
    children.iter().for_each(|child| child.expect("ready"));
    publish(&stream, 500);
    for (i, child) in children.iter_mut().enumerate() {
        if i % 2 == 0 {
            child.kill();
        } else {
            let pid = i32::try_from(child.pid()).unwrap();
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        }
    }
    // Two slots and one row: nothing is left to take away.
    publish(&stream, 500);
    assert_eq!(stream.count(), 1000);
    check(&stream.read().unwrap().unwrap());
}

#[test]
fn says_when_writers_are_always_faster() {
    // A frame that takes long to copy, and a writer that rewrites its slot all the while.
    type Large = Stream<u64, { 1 << 20 }>;
    let name = Name::new("faster");
    let stream = Large::builder(&name).slots(2).create().unwrap();
    stream.clear().unwrap();
    let observer = Large::observe(&name).unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let writer = stream.lock().unwrap();
            while stopped.try_recv().is_err() {
                // In place, and so as fast as can be.
                writer.loan().unwrap().publish().unwrap();
            }
        });
        let mut overtaken = false;
        eventually("an attempt that fails", || {
            match observer.read() {
                Ok(frame) => assert_eq!(frame.unwrap().iter().sum::<u64>(), 0),
                Err(Error::Overtaken { slots: 2, .. }) => overtaken = true,
                Err(error) => panic!("{error}"),
            }
            overtaken
        });
        stop.send(()).unwrap();
        writing.join().unwrap();
    });
    assert!(observer.read().unwrap().is_some());
}

#[test]
fn moves_to_another_thread() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    let name = Name::new("thread");
    let stream = Number::create(&name).unwrap();
    let observer: Observer<Number> = send(Number::observe(&name).unwrap());
    let thread = std::thread::spawn(move || observer.wait().unwrap()[0]);
    stream.write(&[3]).unwrap();
    assert_eq!(thread.join().unwrap(), 3);
}
