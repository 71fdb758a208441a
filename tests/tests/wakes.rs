//! Whoever has something to tell makes the call that wakes: sleepers look again by themselves after a
//! while, so a call that is missing shows in nothing but the time. Here it shows in a trace.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use shmstream::{Start, Stream};
use shmstream_tests::{Child, DEADLINE, Name, eventually, hear, play, skip, tell};

type Number = Stream<u64, 1>;

/// Where signals are in the control block, by `docs/protocol.md`.
const NOTIFY: u64 = 136;
const RELEASED: u64 = 260;
const FREED: u64 = 264;

/// A wake call of ours; those of the standard library are private to the process.
const WAKE: &str = "FUTEX_WAKE, ";
const WAIT: &str = "FUTEX_WAIT, ";

#[test]
fn child_entry() {
    play(&[
        ("publish", publish),
        ("unlock", unlock),
        ("unpin", unpin),
        ("read_on", read_on),
        ("die", die),
        ("lock", lock),
        ("try_long", try_long),
    ]);
}

/// A child under `strace`, and where its calls are written down.
struct Traced {
    child: Child,
    report: std::path::PathBuf,
}

impl Traced {
    /// Starts a child and waits until it is ready; `None`, and a word, where that cannot be traced.
    fn start(role: &str, name: &Name) -> Option<Self> {
        let mut trace = Command::new("strace");
        let traced = trace.args(["-o", "/dev/null", "true"]).output();
        if !traced.is_ok_and(|output| output.status.success()) {
            skip(role, "needs strace, and the right to trace");
            return None;
        }
        let report = std::env::temp_dir().join(format!("{name}.strace"));
        let path = report.to_str().expect("a path that is text");
        let tracer = ["strace", "-f", "-e", "trace=futex,flock", "-o", path];
        let child = Child::start(Child::command_under(&tracer, role, &[name]));
        child.expect("ready");
        Some(Self { child, report })
    }

    /// Has the child go on and end, and returns its calls since then.
    fn go(mut self) -> String {
        let before = std::fs::read_to_string(&self.report).unwrap().len();
        self.child.say("go");
        assert!(self.child.wait().success());
        let calls = std::fs::read_to_string(&self.report).unwrap();
        let _ = std::fs::remove_file(&self.report);
        calls[before..].to_owned()
    }
}

fn wait_for_go() {
    tell("ready");
    assert_eq!(hear(), "go");
}

/// Waits until somebody has said that it sleeps.
fn armed(name: &Name, signal: u64) {
    let file = OpenOptions::new().read(true).open(name.path()).unwrap();
    let mut control = [0; 8];
    file.read_exact_at(&mut control, 40).unwrap();
    let at = u64::from_ne_bytes(control) + signal;
    eventually("somebody sleeps", || {
        let mut word = [0; 4];
        file.read_exact_at(&mut word, at).unwrap();
        u32::from_ne_bytes(word) & 1 != 0
    });
}

fn publish(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    wait_for_go();
    stream.write(&[1]).unwrap();
}

#[test]
fn who_publishes_wakes_those_who_said_that_they_sleep_and_nobody_else() {
    let name = Name::new("wakes");
    let stream = Number::create(&name).unwrap();
    let Some(child) = Traced::start("publish", &name) else {
        return;
    };
    let calls = child.go();
    assert!(!calls.contains(WAKE), "nobody sleeps: {calls}");

    let child = Traced::start("publish", &name).expect("as before");
    let reader = stream.try_clone().unwrap();
    let reader = thread::spawn(move || reader.wait_after(1).map(|frame| *frame));
    armed(&name, NOTIFY);
    let calls = child.go();
    assert_eq!(calls.matches(WAKE).count(), 1, "{calls}");
    assert_eq!(reader.join().unwrap().unwrap(), [1]);
}

#[test]
fn who_publishes_wakes_observers_who_cannot_say_that_they_sleep() {
    let name = Name::new("wakes-observers");
    let _stream = Number::builder(&name).observers(true).create().unwrap();
    let Some(child) = Traced::start("publish", &name) else {
        return;
    };
    let calls = child.go();
    assert_eq!(calls.matches(WAKE).count(), 1, "{calls}");
}

fn unlock(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    let guard = stream.lock().unwrap();
    wait_for_go();
    drop(guard);
}

#[test]
fn who_releases_the_lock_wakes_those_who_want_it() {
    let name = Name::new("wakes-writer");
    let stream = Number::create(&name).unwrap();
    let Some(child) = Traced::start("unlock", &name) else {
        return;
    };
    let writer = stream.try_clone().unwrap();
    let writer = thread::spawn(move || writer.lock_timeout(DEADLINE).unwrap().is_some());
    armed(&name, RELEASED);
    let calls = child.go();
    assert_eq!(calls.matches(WAKE).count(), 1, "{calls}");
    assert!(writer.join().unwrap());
}

fn unpin(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    let frame = stream.read().unwrap().unwrap();
    wait_for_go();
    drop(frame);
}

/// Publishes until no slot is left, then waits for one while the child goes on, and returns the
/// child's calls.
fn calls_that_free_a_slot(role: &str) -> Option<String> {
    let name = Name::new(role);
    let stream = Number::builder(&name).slots(2).create().unwrap();
    stream.write(&[1]).unwrap();
    let child = Traced::start(role, &name)?;
    stream.write(&[2]).unwrap();
    let writer = stream.try_clone().unwrap();
    let writer = thread::spawn(move || writer.write_timeout(&[3], DEADLINE));
    armed(&name, FREED);
    let calls = child.go();
    assert_eq!(writer.join().unwrap().unwrap(), 3);
    Some(calls)
}

#[test]
fn who_lets_a_frame_go_wakes_the_writer_without_a_slot() {
    if let Some(calls) = calls_that_free_a_slot("unpin") {
        assert_eq!(calls.matches(WAKE).count(), 1, "{calls}");
    }
}

/// Reads on, and ends without letting the frame go.
fn read_on(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    let frames = stream.subscribe_lossless(Start::Latest).unwrap();
    wait_for_go();
    let frame = frames.read().unwrap().unwrap();
    assert_eq!(*frame, [1]);
    std::process::exit(0);
}

#[test]
fn a_lossless_subscription_that_reads_on_wakes_the_writer() {
    if let Some(calls) = calls_that_free_a_slot("read_on") {
        assert_eq!(calls.matches(WAKE).count(), 1, "{calls}");
    }
}

/// Holds the write lock until it is killed.
fn die(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    let _guard = stream.lock().unwrap();
    wait_for_go();
}

fn lock(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    wait_for_go();
    drop(stream.lock().unwrap());
}

#[test]
fn who_takes_the_lock_of_the_dead_wakes_readers_and_writers() {
    let name = Name::new("wakes-heir");
    let _stream = Number::create(&name).unwrap();
    let Some(heir) = Traced::start("lock", &name) else {
        return;
    };
    let mut dead = Child::spawn("die", &[&name]);
    dead.expect("ready");
    dead.kill();
    let calls = heir.go();
    assert_eq!(calls.matches(WAKE).count(), 2, "{calls}");
}

/// Tries for the lock for a time that is long enough to sleep.
fn try_long(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    wait_for_go();
    let timeout = Duration::from_millis(5);
    assert!(stream.lock_timeout(timeout).unwrap().is_none());
}

#[test]
fn who_wants_the_lock_tries_once_more_before_it_sleeps() {
    let name = Name::new("tries");
    let stream = Number::create(&name).unwrap();
    let Some(child) = Traced::start("try_long", &name) else {
        return;
    };
    let _guard = stream.lock().unwrap();
    let calls = child.go();
    let (awake, _) = calls.split_once(WAIT).expect("it sleeps");
    assert_eq!(awake.matches("flock(").count(), 2, "{calls}");
}
