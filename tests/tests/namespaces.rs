//! Participants in several PID namespaces, and PIDs that are used again: life and death are told by
//! the kernel's locks, whatever the numbers say.

use std::process::Command;

use rustix::process::{Pid, test_kill_process};
use shmstream::{Error, Participant, Stream};
use shmstream_tests::{Child, Name, argument, eventually, hear, play, skip, tell};

type Frames = Stream<u64, 8>;

/// A namespace of its own, whose first process is the child.
const APART: [&str; 4] = ["unshare", "--pid", "--fork", "--kill-child"];

#[test]
fn child_entry() {
    play(&[
        ("hold", hold),
        ("idle", idle),
        ("judge", judge),
        ("use_again", use_again),
    ]);
}

fn may_unshare(test: &str) -> bool {
    let may = Command::new(APART[0])
        .args(&APART[1..])
        .arg("true")
        .output();
    let may = may.is_ok_and(|output| output.status.success());
    if !may {
        skip(test, "`unshare --pid` is not allowed here");
    }
    may
}

/// Two rows, and one slot more than the latest frame, a guard's, and one to write into.
fn create(name: &Name) -> Frames {
    let builder = Frames::builder(name).slots(3).participants(2);
    let stream = builder.create().unwrap();
    stream.write(&[1; 8]).unwrap();
    stream
}

/// Holds a frame and the write lock until killed.
fn hold(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let _frame = stream.read().unwrap().unwrap();
    let _guard = stream.lock().unwrap();
    tell(std::process::id());
    loop {
        std::thread::park();
    }
}

fn idle(_: &[String]) {
    tell("idle");
    let _ = hear();
}

fn exists(pid: u32) -> bool {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    test_kill_process(pid).is_ok()
}

/// Returns the participant of that number.
fn holder(stream: &Frames, pid: u32) -> Participant {
    let mut participants = stream.status().unwrap().participants.into_iter();
    participants.find(|one| one.pid == pid).expect("its row")
}

/// The other participant lives: what it has is its own.
fn assert_alive(stream: &Frames, pid: u32) {
    let other = holder(stream, pid);
    assert!(other.alive && other.pinned == 1, "{other:?}");
    assert_eq!(stream.lock_holder(), Some(pid));
    assert!(stream.try_lock().unwrap().is_none());
    let error = Frames::open(stream.name()).unwrap_err();
    assert!(
        matches!(error, Error::TooManyParticipants { .. }),
        "{error}"
    );
}

/// The other participant is dead: all that it had can be had.
fn assert_dead(stream: &Frames, pid: u32) {
    eventually("its lock", || stream.try_lock().unwrap().is_some());
    eventually("its death", || !holder(stream, pid).alive);
    let writer = stream.lock().unwrap();
    let loans = [writer.loan().unwrap(), writer.loan().unwrap()];
    drop(loans);
    drop(writer);
    stream.write(&[2; 8]).unwrap();
    let other = Frames::open(stream.name()).unwrap();
    assert_eq!(*other.read().unwrap().unwrap(), [2; 8]);
}

#[test]
fn a_participant_in_another_namespace_lives_and_dies() {
    if !may_unshare("a_participant_in_another_namespace_lives_and_dies") {
        return;
    }
    let name = Name::new("inside");
    let stream = create(&name);
    let mut child = Child::start(Child::command_under(&APART, "hold", &[&name]));
    // Its number is that of a process which lives here, and stays alive.
    child.expect("1");
    assert_alive(&stream, 1);
    child.kill();
    assert_dead(&stream, 1);
}

/// Looks from inside a namespace at a participant outside.
fn judge(arguments: &[String]) {
    let pid: u32 = argument(arguments, 1);
    assert!(!exists(pid), "its number means nothing here");
    let stream = Frames::open(&arguments[0]).unwrap();
    assert_alive(&stream, pid);
    tell("alive");
    assert_eq!(hear(), "killed");
    assert_dead(&stream, pid);
}

#[test]
fn a_participant_outside_lives_and_dies_for_one_inside() {
    if !may_unshare("a_participant_outside_lives_and_dies_for_one_inside") {
        return;
    }
    let name = Name::new("outside");
    drop(create(&name));
    let mut outside = Child::spawn("hold", &[&name]);
    let pid: u32 = outside.line().parse().unwrap();
    let mut inside = Child::start(Child::command_under(&APART, "judge", &[&name, &pid]));
    inside.expect("alive");
    outside.kill();
    inside.say("killed");
    inside.finish();
}

/// Gives a dead participant's number to another process, in a namespace where it can choose numbers.
fn use_again(arguments: &[String]) {
    const LAST: &str = "/proc/sys/kernel/ns_last_pid";
    let stream = Frames::open(&arguments[0]).unwrap();
    let mut first = Child::spawn("hold", &[&arguments[0]]);
    let pid: u32 = first.line().parse().unwrap();
    assert_alive(&stream, pid);
    first.kill();
    if let Err(error) = std::fs::write(LAST, (pid - 1).to_string()) {
        return tell(format!("{LAST}: {error}"));
    }
    let second = Child::spawn("idle", &[]);
    second.expect("idle");
    assert_eq!(second.pid(), pid, "the number is used again");
    assert!(exists(pid));
    assert_dead(&stream, pid);
    tell("done");
}

#[test]
fn a_number_that_is_used_again_brings_nobody_back() {
    const TEST: &str = "a_number_that_is_used_again_brings_nobody_back";
    if !may_unshare(TEST) {
        return;
    }
    let name = Name::new("again");
    drop(create(&name));
    let child = Child::start(Child::command_under(&APART, "use_again", &[&name]));
    let said = child.line();
    if said != "done" {
        return skip(TEST, &said);
    }
    child.finish();
}
