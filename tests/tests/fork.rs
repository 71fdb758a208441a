//! What holds after `fork`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use shmstream::{Error, Link, Start, Stream};
use shmstream_tests::{Child, Name, eventually, hear, play, tell};

type Counter = Stream<u64, 1>;

#[test]
fn child_entry() {
    play(&[
        ("refused", refused),
        ("harmless", harmless),
        ("anew", anew),
        ("onlookers", onlookers),
        ("temporary", temporary),
        ("orphan", orphan),
        ("exec", exec),
        ("exec_with_all", exec_with_all),
        ("reused", reused),
        ("in_their_place", in_their_place),
        ("hold_lock", hold_lock),
    ]);
}

/// Forks. Returns `None` in the child.
fn fork() -> Option<Pid> {
    // SAFETY: `fork` asks that the child of a process with several threads calls only what is
    // async-signal-safe. The children below allocate as well, which the C library here allows
    // after a fork, and no other thread of this test process holds a lock that they take.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    Pid::from_raw(pid)
}

/// Ends a forked child, with success unless `work` panics.
fn end_child(work: impl FnOnce()) -> ! {
    let failed = catch_unwind(AssertUnwindSafe(work)).is_err();
    // SAFETY: `_exit` may be called at any time; it runs nothing of the parent's.
    unsafe { libc::_exit(failed.into()) }
}

fn reap(child: Pid) {
    let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0), "the forked child failed");
}

fn forked<T>(what: &str, result: shmstream::Result<T>) {
    match result {
        Err(Error::Forked { .. }) => {}
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what} works in a forked child"),
    }
}

/// Calls every method of an inherited handle.
fn refused(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    let loan = stream.loan().unwrap();
    match fork() {
        None => end_child(|| {
            let short = Duration::from_millis(1);
            forked("write", stream.write(&[1]));
            forked("write_with_id", stream.write_with_id(1, &[1]));
            forked("clear", stream.clear());
            forked("loan", stream.loan());
            forked("loan_timeout", stream.loan_timeout(short));
            forked("lock", stream.lock());
            forked("try_lock", stream.try_lock());
            forked("lock_timeout", stream.lock_timeout(short));
            forked("read", stream.read());
            forked("read_new", stream.read_new());
            forked("read_into", stream.read_into(&mut [0]));
            forked("read_owned", stream.read_owned());
            forked("wait", stream.wait());
            forked("wait_timeout", stream.wait_timeout(short));
            forked("wait_after", stream.wait_after(0));
            forked("wait_after_timeout", stream.wait_after_timeout(0, short));
            forked("try_clone", stream.try_clone());
            forked("link", stream.link());
            forked("unlink", stream.unlink());
            forked("publish", loan.publish());
            // What cannot fail must not crash either.
            let _ = (
                stream.count(),
                stream.lock_holder(),
                stream.name(),
                stream.instance(),
            );
            let _ = format!("{stream:?}");
        }),
        Some(child) => reap(child),
    }
    assert_eq!(loan.publish().unwrap(), 2, "the parent's loan stands");
    tell("done");
    let _ = hear();
}

#[test]
fn an_inherited_handle_is_refused() {
    let name = Name::new("refused");
    let stream = Counter::create(&name).unwrap();
    stream.write(&[1]).unwrap();
    let child = Child::spawn("refused", &[&name]);
    child.expect("done");
    assert_eq!(stream.count(), 2, "nothing came from the forked child");
    assert!(name.path().exists());
}

/// Drops an inherited handle and its guards in a forked child.
fn harmless(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    let frame = stream.read().unwrap().unwrap();
    let guard = stream.lock().unwrap();
    match fork() {
        None => {
            drop(guard);
            drop(frame);
            drop(stream);
            end_child(|| {});
        }
        Some(child) => reap(child),
    }
    tell("forked");
    let _ = hear();
    drop(guard);
    tell("unlocked");
    let _ = hear();
    assert_eq!(*frame, [1]);
    drop(frame);
    tell("unpinned");
    let _ = hear();
}

#[test]
fn what_a_forked_child_drops_stays_the_parents() {
    let name = Name::new("harmless");
    let stream = Counter::builder(&name)
        .slots(2)
        .participants(2)
        .create()
        .unwrap();
    stream.write(&[1]).unwrap();
    let mut child = Child::spawn("harmless", &[&name]);
    child.expect("forked");
    assert!(
        stream.try_lock().unwrap().is_none(),
        "the parent's lock is held"
    );
    assert!(
        matches!(stream.try_clone(), Err(Error::TooManyParticipants { .. })),
        "and its row"
    );
    child.say("unlock");
    child.expect("unlocked");
    assert_eq!(stream.write(&[2]).unwrap(), 2);
    assert!(
        matches!(stream.write(&[3]), Err(Error::NoFreeSlot { .. })),
        "the parent's pin stands"
    );
    child.say("unpin");
    child.expect("unpinned");
    assert_eq!(stream.write(&[3]).unwrap(), 3);
}

/// Opens the stream anew in a forked child, and in a child of that.
fn anew(arguments: &[String]) {
    let name = &arguments[0];
    let stream = Counter::open(name).unwrap();
    let guard = stream.lock().unwrap();
    let second = Counter::open(name).unwrap();
    match fork() {
        None => end_child(|| {
            forked("the second handle", second.write(&[1]));
            let own = Counter::open(name).unwrap();
            assert!(own.try_lock().unwrap().is_none(), "the parent holds it");
            assert_eq!(*own.read().unwrap().unwrap(), [1]);
            tell("waiting");
            // Until the parent lets go.
            assert_eq!(own.write(&[2]).unwrap(), 2);
            let guard = own.lock().unwrap();
            match fork() {
                None => end_child(|| {
                    forked("the child's handle", own.write(&[3]));
                    let own = Counter::open(name).unwrap();
                    assert!(own.try_lock().unwrap().is_none());
                }),
                Some(grandchild) => reap(grandchild),
            }
            assert_eq!(guard.write(&[3]).unwrap(), 3);
        }),
        Some(child) => {
            assert_eq!(hear(), "unlock");
            drop(guard);
            reap(child);
        }
    }
    assert_eq!(second.write(&[4]).unwrap(), 4);
}

#[test]
fn a_forked_child_opens_the_stream_anew() {
    let name = Name::new("anew");
    let stream = Counter::create(&name).unwrap();
    stream.write(&[1]).unwrap();
    let mut child = Child::spawn("anew", &[&name]);
    child.expect("waiting");
    child.say("unlock");
    child.finish();
    assert_eq!(*stream.read().unwrap().unwrap(), [4]);
}

/// Uses and drops an inherited observer and subscription in a forked child.
fn onlookers(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    let observer = Counter::observe(&arguments[0]).unwrap();
    let frames = stream.subscribe_lossless(Start::Latest).unwrap();
    assert!(observer.read().unwrap().is_some());
    match fork() {
        None => end_child(|| {
            let short = Duration::from_millis(1);
            forked("read", observer.read());
            forked("read_new", observer.read_new());
            forked("read_into", observer.read_into(&mut [0]));
            forked("info", observer.info());
            forked("wait", observer.wait());
            forked("wait_timeout", observer.wait_timeout(short));
            forked("wait_timeout_info", observer.wait_timeout_info(short));
            forked("link", observer.link());
            forked("status", observer.status());
            assert_eq!(observer.count(), 1, "what it saw last");
            let _ = format!("{observer:?}");
            forked("status of a handle", stream.status());
            forked("subscribe", stream.subscribe(Start::New));
            forked("read in order", frames.read());
            forked("wait in order", frames.wait_timeout(short));
            let _ = (frames.behind(), frames.position(), format!("{frames:?}"));
            drop((observer, frames));
            drop(stream);
        }),
        Some(child) => reap(child),
    }
    assert_eq!(stream.write(&[2]).unwrap(), 2);
    assert!(
        matches!(stream.write(&[3]), Err(Error::NoFreeSlot { .. })),
        "the parent's subscription stands"
    );
    assert_eq!(*frames.read().unwrap().unwrap(), [1]);
    assert_eq!(*observer.wait().unwrap(), [2]);
}

#[test]
fn observers_and_subscriptions_of_a_parent_are_refused() {
    let name = Name::new("onlookers");
    let stream = Counter::builder(&name).slots(2).create().unwrap();
    stream.write(&[1]).unwrap();
    Child::spawn("onlookers", &[&name]).finish();
}

fn temporary(_: &[String]) {
    let stream = Counter::temporary().unwrap();
    match fork() {
        None => {
            drop(stream);
            end_child(|| {});
        }
        Some(child) => reap(child),
    }
    assert_eq!(stream.link().unwrap(), Link::Current);
}

#[test]
fn a_forked_child_does_not_unlink_a_temporary_stream() {
    Child::spawn("temporary", &[]).finish();
}

/// Holds the lock, a loan and a frame, and leaves a forked child that outlives it.
fn orphan(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    let _frame = stream.read().unwrap().unwrap();
    let _guard = stream.lock().unwrap();
    match fork() {
        None => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        Some(child) => tell(child.as_raw_nonzero()),
    }
    let _ = hear();
}

/// A process that is no child of ours, killed on drop.
struct Stranger(Pid);

impl Stranger {
    fn new(line: &str) -> Self {
        Self(Pid::from_raw(line.parse().unwrap()).unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// Kills a process whose child goes on, and checks that what it held is free.
fn freed_by_death(role: &str) {
    let name = Name::new(role);
    let stream = Counter::builder(&name)
        .slots(2)
        .participants(2)
        .create()
        .unwrap();
    stream.write(&[1]).unwrap();
    let mut child = Child::spawn(role, &[&name]);
    let survivor = Stranger::new(&child.line());
    assert!(stream.try_lock().unwrap().is_none());
    child.kill();
    rustix::process::test_kill_process(survivor.0).expect("the grandchild lives");
    let free = std::cell::Cell::new(false);
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while !free.get() && std::time::Instant::now() < deadline {
        free.set(stream.try_lock().unwrap().is_some());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(
        free.get(),
        "the dead parent's write lock is not free while its child lives"
    );
    assert_eq!(stream.write(&[2]).unwrap(), 2);
    assert_eq!(
        stream.write(&[3]).unwrap(),
        3,
        "the dead parent's pin is gone"
    );
    Counter::open(&name).expect("the dead parent's row is free");
    rustix::process::test_kill_process(survivor.0).expect("the grandchild still lives");
}

#[test]
fn the_death_of_a_parent_is_noticed_although_its_child_lives() {
    freed_by_death("orphan");
}

/// As `orphan`, with a child that runs another program.
fn exec(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    let _frame = stream.read().unwrap().unwrap();
    let _guard = stream.lock().unwrap();
    tell(Command::new("sleep").arg("60").spawn().unwrap().id());
    let _ = hear();
}

#[test]
fn a_program_started_by_a_participant_holds_nothing() {
    freed_by_death("exec");
}

/// Starts a program, with one handle of each making.
fn exec_with_all(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    let _clone = stream.try_clone().unwrap();
    let _created = Counter::temporary().unwrap();
    let _observer = Counter::observe(&arguments[0]).unwrap();
    let _frames = stream.subscribe(Start::New).unwrap();
    // What it shows of its own descriptors: the streams of a test lie where streams lie.
    let shown = Command::new("ls").args(["-l", "/proc/self/fd"]).output();
    let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
    let here = shmstream_tests::directory();
    let streams = || {
        shown
            .lines()
            .filter(|line| line.contains(here.to_str().unwrap()))
    };
    assert_eq!(streams().count(), 0, "{shown}");
    assert!(shown.lines().count() > 3, "{shown}");
}

#[test]
fn a_program_that_is_started_has_no_streams_file() {
    let name = Name::new("exec-all");
    let _stream = Counter::builder(&name).observers(true).create().unwrap();
    Child::spawn("exec_with_all", &[&name]).finish();
}

/// Closes handles, opens files that get their descriptors, and forks.
fn reused(arguments: &[String]) {
    let handles = [(); 3].map(|()| Counter::open(&arguments[0]).unwrap());
    drop(handles);
    let file = std::env::current_exe().unwrap();
    let files: Vec<_> = (0..6)
        .map(|_| std::fs::File::open(&file).unwrap())
        .collect();
    match fork() {
        None => end_child(|| {
            for mut file in files {
                let mut start = [0; 4];
                std::io::Read::read_exact(&mut file, &mut start).unwrap();
                assert_eq!(&start, b"\x7fELF");
            }
        }),
        Some(child) => reap(child),
    }
}

#[test]
fn a_forked_child_keeps_files_with_the_numbers_of_closed_handles() {
    let name = Name::new("reused");
    let _stream = Counter::create(&name).unwrap();
    Child::spawn("reused", &[&name]).finish();
}

/// In a forked child, opens handles where its parent's were, and only then drops those.
fn in_their_place(arguments: &[String]) {
    let handles = [(); 4].map(|()| Counter::open(&arguments[0]).unwrap());
    match fork() {
        None => end_child(|| {
            let own = [(); 8].map(|()| Counter::open(&arguments[0]).unwrap());
            drop(handles);
            for (number, stream) in (1..).zip(&own) {
                stream.write(&[number]).unwrap();
                assert_eq!(*stream.read().unwrap().unwrap(), [number]);
            }
        }),
        Some(child) => reap(child),
    }
    assert_eq!(handles[0].write(&[9]).unwrap(), 9);
}

#[test]
fn a_forked_child_that_drops_its_parents_handles_keeps_its_own() {
    let name = Name::new("in-place");
    let _stream = Counter::builder(&name).participants(16).create().unwrap();
    Child::spawn("in_their_place", &[&name]).finish();
}

fn hold_lock(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    let _guard = stream.lock().unwrap();
    tell("held");
    let _ = hear();
}

#[test]
fn a_fork_in_a_writer_leaves_the_lock_with_the_parent_alone() {
    let name = Name::new("after");
    let stream = Counter::create(&name).unwrap();
    let mut child = Child::spawn("hold_lock", &[&name]);
    child.expect("held");
    // This process has threads; its child does nothing but end.
    match fork() {
        None => end_child(|| {}),
        Some(forked) => reap(forked),
    }
    assert!(stream.try_lock().unwrap().is_none());
    child.kill();
    eventually("the lock is free", || stream.try_lock().unwrap().is_some());
    assert_eq!(stream.write(&[1]).unwrap(), 1);
}
