//! A file that is truncated while it is open: an error wherever one system call more does not matter. The
//! kernel ends who touches what is gone, so all is done in children, which must live.

use std::fs::OpenOptions;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, kill_process};
use shmstream::{DynStream, Error, Link, Observer, Result, Start, Stream, Subscription, stat};
use shmstream_tests::{Child, DEADLINE, Name, eventually, hear, play, tell};
use smol::future::block_on;

type Pages = Stream<[u8; 4096], 2>;

const SHORT: Duration = Duration::from_millis(5);

#[test]
fn child_entry() {
    play(&[
        ("do_all", do_all),
        ("wait_in", wait_in),
        ("hold_lock", hold_lock),
        ("poll", poll),
    ]);
}

/// What a child has open.
struct Open {
    stream: Pages,
    dynamic: DynStream,
    frames: Subscription<Pages>,
    observer: Observer<Pages>,
}

impl Open {
    fn new(name: &str) -> Self {
        let stream = Pages::open(name).unwrap();
        Self {
            dynamic: DynStream::open(name).unwrap(),
            frames: stream.subscribe(Start::New).unwrap(),
            observer: Pages::observe(name).unwrap(),
            stream,
        }
    }
}

type Action = fn(&Open) -> Result<()>;

/// What makes a system call anyway, or is done once in a while.
const REFUSED: [(&str, Action); 18] = [
    ("open", |open| Pages::open(open.stream.name()).map(drop)),
    ("open_or_create", |open| {
        Pages::open_or_create(open.stream.name()).map(drop)
    }),
    ("observe", |open| {
        Pages::observe(open.stream.name()).map(drop)
    }),
    ("stat", |open| stat(open.stream.name()).map(drop)),
    ("try_clone", |open| open.stream.try_clone().map(drop)),
    ("status", |open| open.stream.status().map(drop)),
    ("status of an observer", |open| {
        open.observer.status().map(drop)
    }),
    ("subscribe", |open| {
        open.stream.subscribe(Start::Latest).map(drop)
    }),
    ("subscribe_lossless", |open| {
        open.dynamic.subscribe_lossless(Start::Latest).map(drop)
    }),
    ("lock", |open| open.stream.lock().map(drop)),
    ("try_lock", |open| open.stream.try_lock().map(drop)),
    ("lock_timeout", |open| {
        open.stream.lock_timeout(SHORT).map(drop)
    }),
    ("write", |open| open.stream.write(&[[1; 4096]; 2]).map(drop)),
    ("write_timeout", |open| {
        open.stream.write_timeout(&[[1; 4096]; 2], SHORT).map(drop)
    }),
    ("write_bytes", |open| {
        open.dynamic.write_bytes(&[1; 8192]).map(drop)
    }),
    ("loan", |open| open.stream.loan().map(drop)),
    ("clear", |open| open.stream.clear().map(drop)),
    ("lock_all", |open| {
        shmstream::lock_all(&[&open.stream, &open.dynamic]).map(drop)
    }),
];

/// Tries everything on a stream whose file was truncated, and closes what it has.
fn do_all(arguments: &[String]) {
    let open = Open::new(&arguments[0]);
    tell("ready");
    let _ = hear();
    for (what, action) in REFUSED {
        refused(what, action(&open));
    }
    assert_eq!(open.stream.link().unwrap(), Link::Current);
    open.stream.unlink().unwrap();
    drop(open);
    tell("alive");
}

fn refused(what: &str, result: Result<()>) {
    let error = result.expect_err(what);
    let text = error.to_string();
    match error {
        Error::Corrupt { field, .. } => {
            // The second where not even the header is left.
            assert!(["the file's length", "its file"].contains(&field), "{text}");
            assert!(text.contains("bytes"), "{text}");
        }
        // What the name stands for then.
        Error::Foreign { reason, .. } => assert_eq!(reason, "it is empty"),
        _ => panic!("{what}: {text}"),
    }
}

fn truncate(name: &Name, len: u64) {
    let file = OpenOptions::new().write(true).open(name.path()).unwrap();
    file.set_len(len).unwrap();
}

/// A stream with two slots and one frame, and the size of its file.
fn create(label: &str) -> (Name, u64) {
    let name = Name::new(label);
    let stream = Pages::builder(&name).slots(2).create().unwrap();
    stream.clear().unwrap();
    (name, stream.status().unwrap().file_size)
}

#[test]
fn a_truncated_file_is_an_error_of_whatever_does_not_have_to_be_fast() {
    let (_first, total) = create("size");
    // From nothing to one byte less: without the header, the control block, all or some of the data.
    for len in [0, 100, 4096, 4096 * 2, total / 2, total - 4096, total - 1] {
        let (name, _) = create("cut");
        let mut child = Child::spawn("do_all", &[&name]);
        child.expect("ready");
        truncate(&name, len);
        child.say("go");
        child.expect("alive");
        child.finish();
    }
}

/// Waits in one way, while the file is truncated.
fn wait_in(arguments: &[String]) {
    let [name, way] = [&arguments[0], &arguments[1]];
    let Open {
        mut stream,
        mut frames,
        observer,
        ..
    } = Open::new(name);
    drop(stream.read_new().unwrap());
    drop(observer.read_new().unwrap());
    if way == "slot" {
        // Forgotten, since letting it go would be to touch what is gone.
        std::mem::forget(stream.read().unwrap());
        stream.clear().unwrap();
    }
    tell("ready");
    let result = match way.as_str() {
        "wait" => stream.wait().map(drop),
        "wait_timeout" => stream.wait_timeout(DEADLINE).map(drop),
        "in order" => frames.wait().map(drop),
        "observer" => observer.wait().map(drop),
        "lock" => stream.lock().map(drop),
        "lock_timeout" => stream.lock_timeout(DEADLINE).map(drop),
        "slot" => stream.write_timeout(&[[0; 4096]; 2], DEADLINE).map(drop),
        "async" => block_on(stream.wait_async()).map(drop),
        "async in order" => block_on(frames.wait_async()).map(drop),
        other => panic!("{other}"),
    };
    refused(way, result);
    drop((stream, frames, observer));
    tell("alive");
}

fn hold_lock(arguments: &[String]) {
    let stream = Pages::open(&arguments[0]).unwrap();
    let _guard = stream.lock().unwrap();
    tell("held");
    let _ = hear();
}

/// Stops a child in the middle of a system call, and returns whether it is one of `calls`.
///
/// In each thread: one that looks at the words of streams by itself may be about to when the others sleep.
fn stopped_in(child: &Child, calls: &[i64]) -> bool {
    let pid = Pid::from_raw(child.pid().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.pid())).unwrap();
    let all_sleep = tasks.map(Result::unwrap).all(|task| {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap();
        eventually("it stops", || {
            let stat = read("stat");
            stat.rsplit_once(") ")
                .is_some_and(|(_, state)| state.starts_with('T'))
        });
        let call = read("syscall");
        let call = call.split(' ').next().map(|call| call.trim().parse());
        matches!(call, Some(Ok(call)) if calls.contains(&call))
    });
    if !all_sleep {
        kill_process(pid, Signal::CONT).unwrap();
    }
    all_sleep
}

#[test]
fn a_file_that_is_truncated_while_somebody_sleeps_is_an_error() {
    let sleeps = [
        libc::SYS_futex,
        libc::SYS_flock,
        libc::SYS_poll,
        libc::SYS_ppoll,
    ];
    for way in [
        "wait",
        "wait_timeout",
        "in order",
        "observer",
        "slot",
        "lock",
        "lock_timeout",
        "async",
        "async in order",
    ] {
        // With the words that it sleeps on, and without them.
        for without in [false, true] {
            let (name, total) = create("sleep");
            let mut holder = Child::spawn("hold_lock", &[&name]);
            if way.starts_with("lock") {
                holder.expect("held");
            } else {
                holder.kill();
            }
            let child = Child::spawn("wait_in", &[&name, &way]);
            child.expect("ready");
            eventually("it sleeps", || stopped_in(&child, &sleeps));
            truncate(&name, if without { 0 } else { total - 1 });
            holder.kill();
            let pid = Pid::from_raw(child.pid().try_into().unwrap()).unwrap();
            kill_process(pid, Signal::CONT).unwrap();
            child.expect("alive");
            child.finish();
        }
    }
}

/// Waits for a descriptor.
fn poll(arguments: &[String]) {
    let stream = Pages::open(&arguments[0]).unwrap();
    drop(stream.read_new().unwrap());
    let readiness = stream.readiness().unwrap();
    tell("ready");
    let mut sources = [PollFd::new(&readiness, PollFlags::IN)];
    rustix::event::poll(&mut sources, None).unwrap();
    refused("clear", readiness.clear());
    drop(readiness);
    drop(stream);
    tell("alive");
}

#[test]
fn a_descriptor_is_readable_when_the_file_was_truncated() {
    for without in [false, true] {
        let (name, total) = create("poll");
        let child = Child::spawn("poll", &[&name]);
        child.expect("ready");
        truncate(&name, if without { 0 } else { total - 1 });
        child.expect("alive");
        child.finish();
    }
}
