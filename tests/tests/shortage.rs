//! A limit of the process is met at every step of every operation: an error that names it and what to raise,
//! and nothing left behind. `limits` has the cases of everyday.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use shmstream::{Error, Link, Result, Start, Stream, list, stat, unlink};
use shmstream_tests::{Child, DEADLINE, Name, PrivateDir, directory, hear, play, tell};
use smol::future::block_on;

type Mebibytes = Stream<[u8; 1 << 20], 4>;
type Number = Stream<u64, 1>;

#[test]
fn child_entry() {
    play(&[
        ("descriptors", |_| descriptors()),
        ("addresses", |_| addresses()),
        ("publish", publish),
        ("refused_unlink", |_| refused_unlink()),
        ("odd_directory", |_| odd_directory()),
    ]);
}

/// Plays a role that has a directory of streams for itself, and checks that it leaves nothing there.
fn play_apart(role: &str) {
    let directory = PrivateDir::new();
    let mut command = Child::command(role, &[]);
    command.env("SHMSTREAM_DIR", directory.path());
    Child::start(command).finish();
    assert_eq!(directory.files(), Vec::<String>::new());
}

/// Does something with a soft limit, which then is what it was.
fn with_limit<R>(resource: Resource, limit: u64, work: impl FnOnce() -> R) -> R {
    let before = getrlimit(resource);
    let current = Some(limit);
    setrlimit(resource, Rlimit { current, ..before }).unwrap();
    let result = work();
    setrlimit(resource, before).unwrap();
    result
}

/// What is tried, given a stream that exists. What it makes is gone when it returns.
type Operation = fn(&Mebibytes) -> Result<()>;

const OPERATIONS: [(&str, Operation); 13] = [
    ("create", |_| {
        let stream = Mebibytes::create("new")?;
        stream.clear()?;
        stream.unlink()
    }),
    ("create with huge pages", |_| {
        let stream = Mebibytes::builder("huge").huge_pages().create()?;
        stream.unlink()
    }),
    ("temporary", |_| Mebibytes::temporary().map(drop)),
    ("open", |old| Mebibytes::open(old.name()).map(drop)),
    ("open and prefault", |old| {
        Mebibytes::builder(old.name()).prefault().open().map(drop)
    }),
    ("open and write", |old| {
        Mebibytes::open(old.name())?.clear().map(drop)
    }),
    ("observe", |old| {
        let observer = Mebibytes::observe(old.name())?;
        observer.info().map(drop)
    }),
    ("clone", |old| old.try_clone().map(drop)),
    ("subscribe", |old| {
        old.subscribe_lossless(Start::Latest)?.read().map(drop)
    }),
    ("stat", |old| stat(old.name()).map(drop)),
    ("status", |old| old.status().map(drop)),
    ("list", |_| list().map(drop)),
    ("readiness", |old| old.readiness().map(drop)),
];

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Has each operation run with a limit that is raised step by step until it succeeds.
fn sweep(
    operations: &[(&str, Operation)],
    resource: Resource,
    says: &str,
    limits: impl Fn() -> Vec<u64>,
) {
    let stream = Mebibytes::builder("old").participants(3).create().unwrap();
    stream.clear().unwrap();
    // What the process makes once and keeps is there beforehand.
    drop(stream.readiness().unwrap());
    let (files, descriptors) = (
        fs::read_dir(directory()).unwrap().count(),
        open_descriptors(),
    );
    for (what, operation) in operations {
        let mut refusals = 0;
        let mut done = false;
        for limit in limits() {
            match with_limit(resource, limit, || operation(&stream)) {
                Ok(()) => {
                    done = true;
                    break;
                }
                Err(error) => {
                    assert!(error.to_string().contains(says), "{what}: {error}");
                    refusals += 1;
                }
            }
            let left = fs::read_dir(directory()).unwrap().count();
            assert_eq!(left, files, "{what} leaves files behind");
            assert_eq!(open_descriptors(), descriptors, "{what} leaves descriptors");
            assert!(!fs::exists(directory().join("shmstream.new")).unwrap());
        }
        assert!(done, "{what}: the limits are too low to show anything");
        println!("{what}: refused {refusals} times");
    }
    assert_eq!(open_descriptors(), descriptors);
    // No row was lost, and the stream is whole.
    let rows = [0; 2].map(|_| stream.try_clone().expect("no row is lost"));
    rows[0].clear().unwrap();
    assert_eq!(stream.read().unwrap().unwrap()[3][9], 0);
    stream.unlink().unwrap();
}

fn descriptors() {
    sweep(&OPERATIONS, Resource::Nofile, "RLIMIT_NOFILE", || {
        // Descriptors are given from below: so many are in use without a gap, or nearly.
        let used = open_descriptors() as u64 - 1;
        (used..used + 20).collect()
    });
}

#[test]
fn without_descriptors_each_step_fails_by_name_and_leaves_nothing() {
    play_apart("descriptors");
}

/// The bytes of address space that this process uses.
fn address_space_used() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

fn addresses() {
    // What the allocator is given now it need not ask for later, when an answer of no would end the program.
    drop(vec![1_u8; 1 << 20]);
    sweep(&OPERATIONS, Resource::As, "RLIMIT_AS", || {
        let used = address_space_used();
        (1..80).map(|step| used + (step << 20)).collect()
    });
}

#[test]
fn without_addresses_each_step_fails_by_name_and_leaves_nothing() {
    play_apart("addresses");
}

/// Publishes as a process that may not write to files at all.
fn publish(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    tell("ready");
    let _ = hear();
    let count = with_limit(Resource::Fsize, 0, || stream.write(&[7]));
    assert_eq!(count.unwrap(), 1);
}

#[test]
fn a_writer_that_may_not_write_files_publishes_and_tasks_wake() {
    let name = Name::new("fsize");
    let mut stream = Number::create(&name).unwrap();
    let mut child = Child::spawn("publish", &[&name]);
    child.expect("ready");
    let readiness = stream.readiness().unwrap();
    child.say("go");
    // The task that waits makes the writer want to leave word in the file.
    let value = block_on(async { stream.wait_async().await.map(|frame| frame[0]) });
    assert_eq!(value.unwrap(), 7);
    child.finish();
    drop(readiness);
    assert!(stream.wait_timeout(Duration::ZERO).unwrap().is_none());
    assert_eq!(
        stream.wait_after_timeout(0, DEADLINE).unwrap().unwrap()[0],
        7
    );
}

fn refused_unlink() {
    let stream = Number::create("kept").unwrap();
    for result in [
        with_limit(Resource::Fsize, 0, || stream.unlink()),
        with_limit(Resource::Fsize, 4096, || unlink("kept")),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Limit { .. }), "{error:?}");
        assert!(error.to_string().contains("RLIMIT_FSIZE"), "{error}");
    }
    assert_eq!(stream.link().unwrap(), Link::Current);
    unlink("kept").unwrap();
}

#[test]
fn a_name_that_cannot_be_taken_away_properly_stays() {
    play_apart("refused_unlink");
}

fn odd_directory() {
    let error = Number::create("a").unwrap_err();
    assert!(matches!(error, Error::Directory { .. }), "{error:?}");
    assert!(error.to_string().contains("SHMSTREAM_DIR"), "{error}");
    assert!(matches!(Number::open("a"), Err(Error::NotFound { .. })));
    assert_eq!(list().unwrap(), []);
}

#[test]
fn a_file_system_that_cannot_hold_streams_is_named() {
    // Not one of them can make a file without a name.
    for directory in ["/proc", "/sys"] {
        let mut command = Child::command("odd_directory", &[]);
        command.env("SHMSTREAM_DIR", directory);
        Child::start(command).finish();
    }
}
