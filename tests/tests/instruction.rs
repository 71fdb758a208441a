//! A process that is killed behind any one instruction loses nobody else anything.
//!
//! The victim runs under `ptrace`, one instruction at a time, and is killed behind the first, behind
//! some later one, and so on through the whole operation. Which ones differs from run to run;
//! `SHMSTREAM_STEPS` sets how many for each operation.

use std::process::Command;

use shmstream::{Error, Link, Start, Stream};
use shmstream_tests::{Child, DEADLINE, Dice, Name, hear, play, skip, tell};

type Frames = Stream<u64, 4>;

#[test]
fn child_entry() {
    play(&[("victim", victim)]);
}

fn stop() {
    // SAFETY: `raise` asks for nothing; the signal goes to this thread, whose tracer catches it.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Does one thing between two stops.
fn victim(arguments: &[String]) {
    let [operation, name] = [&arguments[0], &arguments[1]];
    let stream =
        (operation != "attach" && operation != "create").then(|| Frames::open(name).unwrap());
    let stream = || stream.as_ref().expect("attached before");
    // SAFETY: `gettid` asks for nothing.
    tell(unsafe { libc::gettid() });
    let _ = hear();
    match operation.as_str() {
        "write" => {
            stop();
            stream().write(&[7; 4]).unwrap();
        }
        "loan" => {
            stream().write(&[7; 4]).unwrap();
            stop();
            let mut loan = stream().loan().unwrap();
            loan.fill(8);
            loan.publish().unwrap();
        }
        "lock" => {
            stop();
            drop(stream().lock_timeout(DEADLINE).unwrap().expect("free"));
        }
        "read" => {
            stop();
            let frame = stream().read().unwrap().unwrap();
            let again = stream().wait_after(0).unwrap();
            assert_eq!(*frame, *again);
        }
        "subscribe" => {
            stop();
            let frames = stream().subscribe_lossless(Start::Oldest).unwrap();
            let frame = frames.wait().unwrap();
            assert_eq!(*frame, [6; 4]);
        }
        "begin" => {
            stop();
            let frames = stream().subscribe_lossless(Start::Latest).unwrap();
            tell(frames.wait().unwrap().info().missed);
            // Still subscribed.
            stop();
            return;
        }
        "clone" => {
            stop();
            drop(stream().try_clone().unwrap());
        }
        "attach" => {
            stop();
            drop(Frames::open(name).unwrap());
        }
        "create" => {
            stop();
            builder(name).create().unwrap().write(&[7; 4]).unwrap();
        }
        "unlink" => {
            stop();
            stream().unlink().unwrap();
        }
        other => panic!("{other}"),
    }
    stop();
}

fn builder(name: impl AsRef<[u8]>) -> shmstream::Builder<Frames> {
    Frames::builder(name).slots(3).participants(3)
}

/// One thread of a child, traced by this thread.
struct Traced {
    child: Child,
    thread: libc::pid_t,
}

impl Traced {
    /// Starts a victim and lets it run to its first stop.
    fn start(operation: &str, name: &Name) -> Self {
        let child = Child::spawn("victim", &[&operation, name]);
        let thread = child.line().parse().unwrap();
        let mut traced = Self { child, thread };
        // The victim dies with this thread.
        traced.ptrace(libc::PTRACE_SEIZE, libc::PTRACE_O_EXITKILL);
        traced.child.say("go");
        assert_eq!(traced.stopped(), Some(libc::SIGSTOP));
        traced
    }

    fn ptrace(&self, request: libc::c_uint, data: libc::c_int) {
        // SAFETY: the requests used here, `PTRACE_SEIZE` and `PTRACE_SINGLESTEP`, take numbers and
        // no pointers, and fail for a thread that is not there.
        let result = unsafe { libc::ptrace(request, self.thread, 0_usize, i64::from(data)) };
        assert_eq!(result, 0, "ptrace: {}", std::io::Error::last_os_error());
    }

    /// Waits until the thread stops, and returns the signal; `None` when it ended.
    fn stopped(&self) -> Option<libc::c_int> {
        let mut status = 0;
        // SAFETY: `waitpid` asks for room for a status: `status` has it.
        let pid = unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL) };
        (pid == self.thread && libc::WIFSTOPPED(status)).then(|| libc::WSTOPSIG(status))
    }

    /// Lets the victim go on for `steps` instructions, or to its second stop, and kills it. Returns
    /// how many instructions it had.
    fn run(self, steps: usize) -> usize {
        let done = self.step(steps);
        self.end();
        done
    }

    /// Lets the victim go on for `steps` instructions, has something happen, and lets it go on to its
    /// second stop. Returns what it has told.
    fn interrupt(self, steps: usize, happen: impl FnOnce()) -> String {
        let done = self.step(steps);
        happen();
        if done == steps {
            self.ptrace(libc::PTRACE_CONT, 0);
            assert_eq!(self.stopped(), Some(libc::SIGSTOP));
        }
        let told = self.child.line();
        self.end();
        told
    }

    /// Lets the victim go on for `steps` instructions, or to its second stop. Returns how many it had.
    fn step(&self, steps: usize) -> usize {
        let mut done = 0;
        while done < steps {
            self.ptrace(libc::PTRACE_SINGLESTEP, 0);
            match self.stopped() {
                Some(libc::SIGTRAP) => done += 1,
                Some(libc::SIGSTOP) => break,
                other => panic!("the victim stopped with {other:?} behind {done} instructions"),
            }
        }
        done
    }

    fn end(mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.pid().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        // A traced thread is gone when its tracer has seen it end.
        while self.stopped().is_some() {}
        self.child.kill();
    }
}

/// Checks that nothing was lost: the latest frame, the lock, the slots and the rows.
fn assert_whole(stream: &Frames) {
    let count = stream.count();
    let latest = stream
        .read()
        .unwrap()
        .map(|frame| (*frame, frame.info().count));
    if let Some((frame, number)) = latest {
        assert!(
            frame == [frame[0]; 4] && number == count,
            "{frame:?} is {number} of {count}"
        );
    }
    drop(
        stream
            .lock_timeout(DEADLINE)
            .unwrap()
            .expect("the lock is free"),
    );
    assert_eq!(stream.write(&[1; 4]).unwrap(), count + 1);
    let first = stream.read().unwrap().unwrap();
    assert_eq!(stream.write(&[2; 4]).unwrap(), count + 2);
    let second = stream.read().unwrap().unwrap();
    assert_eq!(stream.write(&[3; 4]).unwrap(), count + 3);
    assert_eq!((*first, *second), ([1; 4], [2; 4]));
    assert!(matches!(stream.loan(), Err(Error::NoFreeSlot { .. })));
    drop((first, second));
    let rows = [0; 2].map(|_| stream.try_clone().expect("no row is lost"));
    assert!(matches!(
        stream.try_clone(),
        Err(Error::TooManyParticipants { .. })
    ));
    for row in rows {
        row.write(&[4; 4]).unwrap();
        assert_eq!(*row.read().unwrap().unwrap(), [4; 4]);
    }
}

fn is_traceable(test: &str) -> bool {
    // The tool asks for the same permission.
    let traced = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    let allowed = traced.is_ok_and(|output| output.status.success());
    if !allowed {
        skip(test, "strace is not there, or tracing is not allowed");
    }
    allowed
}

/// Kills victims all through an operation. Before each, `prepare` is called, and `check` behind it.
fn kill_throughout<S>(operation: &str, prepare: impl Fn(&Name) -> S, check: impl Fn(&Name, S)) {
    if !is_traceable(operation) {
        return;
    }
    let kill_behind = |steps| {
        let name = Name::new(operation);
        let state = prepare(&name);
        let had = Traced::start(operation, &name).run(steps);
        check(&name, state);
        had
    };
    let all = kill_behind(usize::MAX);
    assert!(all > 100, "an operation of {all} instructions");
    let kills = std::env::var("SHMSTREAM_STEPS").ok();
    let kills = kills.map_or(10, |kills| kills.parse().expect("a number of instructions"));
    let mut dice = Dice::new(u64::from(std::process::id()) ^ 0xabcd);
    for i in 0..kills {
        // One in each of as many equal parts.
        let part = (all / kills).max(1);
        #[expect(clippy::cast_possible_truncation, reason = "below `part`")]
        let offset = dice.below(part as u64) as usize;
        kill_behind(i * part + offset);
    }
}

/// Kills users of a stream that stands before and after.
fn kill_users(operation: &str) {
    let create = |name: &Name| {
        let stream = builder(name).create().unwrap();
        stream.write(&[5; 4]).unwrap();
        stream.write(&[6; 4]).unwrap();
        stream
    };
    kill_throughout(operation, create, |_, stream| assert_whole(&stream));
}

#[test]
fn a_writer_is_killed_in_write() {
    kill_users("write");
}

#[test]
fn a_writer_is_killed_with_a_loan() {
    kill_users("loan");
}

#[test]
fn a_writer_is_killed_around_the_lock() {
    kill_users("lock");
}

#[test]
fn a_reader_is_killed_in_read() {
    kill_users("read");
}

#[test]
fn a_subscriber_that_writers_wait_for_is_killed() {
    kill_users("subscribe");
}

#[test]
fn a_writer_is_killed_and_a_subscriber_misses_nothing() {
    let prepare = |name: &Name| {
        let stream = builder(name).create().unwrap();
        let frames = stream.subscribe_lossless(Start::New).unwrap();
        stream.write(&[1; 4]).unwrap();
        // Two slots are awaited or the latest: the victim gets the third.
        stream.write(&[2; 4]).unwrap();
        (stream, frames)
    };
    let check = |_: &Name, (stream, frames): (Frames, shmstream::Subscription<Frames>)| {
        drop(stream.lock_timeout(DEADLINE).unwrap().expect("free"));
        let count = stream.count();
        let values: Vec<_> = std::iter::from_fn(|| frames.read().unwrap())
            .map(|frame| {
                assert_eq!(frame.info().missed, 0);
                frame[3]
            })
            .collect();
        assert_eq!(values.len() as u64, count);
        assert_eq!(values, [1, 2, 7][..values.len()]);
        drop(frames);
        assert_whole(&stream);
    };
    kill_throughout("write", prepare, check);
}

/// Not a death: a writer comes round while a subscription begins, a little before and behind the instruction
/// by which writers know what it awaits.
#[test]
fn a_lossless_subscription_misses_nothing_from_its_beginning() {
    const PART: usize = 25;
    const PARTS: usize = 12;
    if !is_traceable("begin") {
        return;
    }
    // Behind so many instructions, up to seven frames. Returns whether they fit, as they do as long as none
    // is awaited.
    let begun = |steps| {
        let name = Name::new("begin");
        let stream = builder(&name).create().unwrap();
        stream.write(&[0; 4]).unwrap();
        let write = || (1..8).all(|number| stream.write(&[number; 4]).is_ok());
        let mut fit = false;
        let missed = Traced::start("begin", &name).interrupt(steps, || fit = write());
        assert_eq!(missed, "0", "behind {steps} instructions");
        fit
    };
    let (mut before, mut after) = (0, 1000);
    while begun(after) {
        (before, after) = (after, 2 * after);
    }
    while after - before > PART {
        let middle = before.midpoint(after);
        if begun(middle) {
            before = middle;
        } else {
            after = middle;
        }
    }
    for part in 1..=PARTS {
        begun(before.saturating_sub(part * PART));
        begun(after + part * PART);
    }
}

#[test]
fn a_participant_is_killed_as_it_opens_and_closes() {
    kill_users("attach");
}

#[test]
fn a_participant_is_killed_as_it_clones_and_closes() {
    kill_users("clone");
}

#[test]
fn a_creator_is_killed() {
    let check = |name: &Name, ()| match Frames::open(name) {
        Ok(stream) => {
            assert_eq!((stream.slots(), stream.max_participants()), (3, 3));
            assert_whole(&stream);
        }
        Err(Error::NotFound { .. }) => assert_whole(&builder(name).create().unwrap()),
        Err(error) => panic!("half a stream: {error}"),
    };
    kill_throughout("create", |_| (), check);
}

#[test]
fn one_that_unlinks_is_killed() {
    let check = |name: &Name, stream: Frames| match stream.link().unwrap() {
        Link::Current => {
            assert_whole(&stream);
            stream.unlink().unwrap();
        }
        Link::Unlinked => {
            assert_whole(&stream);
            let new = builder(name).create().unwrap();
            // The victim may have died before it told anybody but the directory.
            assert!(matches!(stream.write(&[9; 4]), Err(Error::Replaced { .. })));
            assert_whole(&new);
        }
        Link::Replaced => panic!("by whom?"),
    };
    kill_throughout("unlink", |name| builder(name).create().unwrap(), check);
}
