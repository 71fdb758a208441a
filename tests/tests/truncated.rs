//! A file that is truncated while handles to its stream are open.
//!
//! Touching memory behind its end ends a process with SIGBUS. Whatever looks at the file first gets an
//! error instead.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use shmstream::{DynStream, Error, Start, Stream};
use shmstream_tests::{Child, DEADLINE, Name, argument, eventually, hear, play, tell};

type Frames = Stream<u64, 600>;

#[test]
fn child_entry() {
    play(&[("look", look), ("sleep", sleep)]);
}

/// Says whether the thread that plays the child's role sleeps on a futex.
fn is_asleep(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut tasks = tasks.map(|task| task.unwrap().path());
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    let futex = format!("{} ", libc::SYS_futex);
    tasks.any(|task| {
        read(task.join("comm")).trim() == "child_entry"
            && read(task.join("syscall")).starts_with(&futex)
    })
}

fn truncate(name: &Name, len: u64) {
    let file = OpenOptions::new().write(true).open(name.path()).unwrap();
    file.set_len(len).unwrap();
}

fn assert_truncated(error: &Error, len: u64) {
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    let says = error.to_string();
    assert!(says.contains(&format!("{len} bytes of ")), "{says}");
}

/// Has everything open, and looks again when the file has another length.
fn look(arguments: &[String]) {
    let (name, len): (&String, u64) = (&arguments[0], argument(arguments, 1));
    let stream = Frames::open(name).unwrap();
    let other = DynStream::open(name).unwrap();
    let observer = Frames::observe(name).unwrap();
    tell("open");
    let _: String = hear();
    let error = |error: Option<Error>| assert_truncated(&error.expect("an error"), len);
    error(stream.try_clone().err());
    error(stream.status().err());
    error(stream.subscribe(Start::Oldest).err());
    error(stream.subscribe_lossless(Start::Latest).err());
    error(other.to_typed::<u64, 600>().err());
    error(other.status().err());
    error(observer.status().err());
    assert!(matches!(
        Frames::open(name),
        Err(Error::Foreign { .. } | Error::Corrupt { .. })
    ));
    // Nothing of that, nor what is dropped here, ends the process.
}

/// Sleeps in one way or another until the file has another length.
fn sleep(arguments: &[String]) {
    let (name, len): (&String, u64) = (&arguments[0], argument(arguments, 2));
    let stream = Frames::open(name).unwrap();
    let seen = stream.count();
    tell("asleep");
    let woken = match arguments[1].as_str() {
        "for the latest" => stream.wait_after_timeout(seen, DEADLINE).map(drop),
        "in order" => {
            let frames = stream.subscribe(Start::New).unwrap();
            frames.wait_timeout(DEADLINE).map(drop)
        }
        "as an observer" => {
            let observer = Frames::observe(name).unwrap();
            observer.read_new().unwrap();
            observer.wait_timeout(DEADLINE).map(drop)
        }
        other => panic!("{other}"),
    };
    assert_truncated(&woken.expect_err("no frame came"), len);
}

#[test]
fn whoever_looks_is_told() {
    for len in [0, 100, 4096, 8192] {
        let name = Name::new("truncated");
        let stream = Frames::create(&name).unwrap();
        stream.write(&[1; 600]).unwrap();
        let mut child = Child::spawn("look", &[&name, &len]);
        child.expect("open");
        drop(stream);
        truncate(&name, len);
        child.say("truncated");
        child.finish();
    }
}

#[test]
fn whoever_sleeps_is_told() {
    for way in ["for the latest", "in order", "as an observer"] {
        let name = Name::new("asleep");
        let stream = Frames::create(&name).unwrap();
        stream.write(&[1; 600]).unwrap();
        let child = Child::spawn("sleep", &[&name, &way, &0]);
        child.expect("asleep");
        // By now it sleeps: it would be ended if it touched the memory.
        eventually("a sleeper", || is_asleep(child.pid()));
        drop(stream);
        truncate(&name, 0);
        child.finish();
    }
}
