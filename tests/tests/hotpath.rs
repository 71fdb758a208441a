//! The hot path makes no system call.

use std::process::Command;

use shmstream::{DynStream, Start, Stream};
use shmstream_tests::{Child, Name, argument, play, skip};

type Frames = Stream<u64, 64>;

const OPERATIONS: u64 = 100_000;

#[test]
fn child_entry() {
    play(&[
        ("publish", publish),
        ("read", read),
        ("both", both),
        ("unlinked", unlinked),
        ("in_order", in_order),
        ("observe", observe),
        ("dynamic", dynamic),
    ]);
}

fn publish(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let guard = stream.lock().unwrap();
    for i in 0..argument::<u64>(arguments, 1) {
        if i % 2 == 0 {
            guard.write(&[i; 64]).unwrap();
        } else {
            let mut loan = stream.loan().unwrap();
            loan[0] = i;
            loan.publish().unwrap();
        }
    }
}

fn read(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let mut buffer = [0; 64];
    for i in 0..argument::<u64>(arguments, 1) {
        match i % 3 {
            0 => assert_eq!(stream.read().unwrap().unwrap()[0], 5),
            1 => drop(stream.read_new().unwrap()),
            _ => drop(stream.read_into(&mut buffer).unwrap()),
        }
    }
}

/// Publishes and reads in turn, in which a wait finds its frame at once.
fn both(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let second = stream.try_clone().unwrap();
    let _guard = stream.lock().unwrap();
    for i in 0..argument::<u64>(arguments, 1) {
        second.write(&[i; 64]).unwrap();
        assert_eq!(stream.wait().unwrap()[0], i);
    }
}

/// As `both`, in a stream without a name.
fn unlinked(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    stream.unlink().unwrap();
    both_of(&stream, argument(arguments, 1));
}

fn both_of(stream: &Frames, operations: u64) {
    let guard = stream.lock().unwrap();
    for i in 0..operations {
        guard.write(&[i; 64]).unwrap();
        assert_eq!(stream.read().unwrap().unwrap()[0], i);
    }
}

/// Publishes and reads in order, as a subscription that writers wait for and as one that they do not.
fn in_order(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let lossless = stream.subscribe_lossless(Start::New).unwrap();
    let frames = stream.subscribe(Start::New).unwrap();
    let guard = stream.lock().unwrap();
    for i in 0..argument::<u64>(arguments, 1) {
        guard.write(&[i; 64]).unwrap();
        assert_eq!(lossless.wait().unwrap()[0], i);
        assert_eq!(frames.read().unwrap().unwrap()[0], i);
    }
}

/// Copies without leaving a trace.
fn observe(arguments: &[String]) {
    let observer = Frames::observe(&arguments[0]).unwrap();
    let mut buffer = [0; 64];
    for _ in 0..argument::<u64>(arguments, 1) {
        observer.read_into(&mut buffer).unwrap().unwrap();
        assert_eq!(buffer[0], 5);
        assert!(observer.read_new().unwrap().is_none());
    }
}

/// Publishes and reads in place what is known at run time.
fn dynamic(arguments: &[String]) {
    let stream = DynStream::open(&arguments[0]).unwrap();
    let guard = stream.lock().unwrap();
    for i in 0..argument::<u64>(arguments, 1) {
        let mut frame = guard.loan().unwrap();
        frame.as_mut_slice::<u64>().unwrap()[0] = i;
        frame.publish().unwrap();
        assert_eq!(
            stream.read().unwrap().unwrap().as_slice::<u64>().unwrap()[0],
            i
        );
    }
}

/// Counts the system calls of a child that plays a role.
fn system_calls(role: &str, operations: u64) -> u64 {
    let name = Name::new(role);
    let stream = Frames::create(&name).unwrap();
    stream.write(&[5; 64]).unwrap();
    let report = std::env::temp_dir().join(format!("{name}.strace"));
    let path = report.to_str().expect("a path that is text");
    let tracer = ["strace", "-f", "-c", "-U", "calls,name", "-o", path];
    Child::start(Child::command_under(&tracer, role, &[&name, &operations])).finish();
    let counted = std::fs::read_to_string(&report).unwrap();
    std::fs::remove_file(&report).unwrap();
    let mut totals = counted
        .lines()
        .filter_map(|line| line.trim().strip_suffix("total"));
    let total = totals.next().and_then(|total| total.trim().parse().ok());
    total.unwrap_or_else(|| panic!("no total in {counted}"))
}

fn is_traceable(test: &str) -> bool {
    let traced = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    let why = match traced {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => format!("strace: {error}"),
    };
    skip(test, &why);
    false
}

/// Checks that a role makes as many system calls for many operations as for one.
fn assert_quiet(role: &str) {
    if !is_traceable(role) {
        return;
    }
    let base = system_calls(role, 1);
    let many = system_calls(role, OPERATIONS);
    // Starting a process takes a hundred or two, not always the same.
    assert!(
        many < base + 50,
        "{many} system calls for {OPERATIONS} operations, {base} for one"
    );
}

#[test]
fn publishing_under_the_lock_makes_no_system_call() {
    assert_quiet("publish");
}

#[test]
fn reading_makes_no_system_call() {
    assert_quiet("read");
}

#[test]
fn waiting_for_what_is_there_makes_no_system_call() {
    assert_quiet("both");
}

#[test]
fn a_stream_without_a_name_is_as_fast() {
    assert_quiet("unlinked");
}

#[test]
fn reading_in_order_makes_no_system_call() {
    assert_quiet("in_order");
}

#[test]
fn observing_makes_no_system_call() {
    assert_quiet("observe");
}

#[test]
fn run_time_payloads_make_no_system_call() {
    assert_quiet("dynamic");
}
