//! Who dies: each role of the protocol, with what it does while it may be killed, and who else there
//! is.

use std::time::Duration;

use shmstream::__private::{KillPoint, pass};
use shmstream::Start;
use shmstream_tests::checked::{WORDS, check, fill};
use shmstream_tests::whole::Frames;
use shmstream_tests::{DEADLINE, hear, tell};

use super::scene::Scene;
use super::sleep::tell_when_asleep;

/// Who writes what victims publish.
const VICTIM: u64 = 1;
/// Rows of every stream.
pub(crate) const ROWS: usize = 8;

/// What becomes of the stream's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The stream stands before and after.
    User,
    /// The victim creates it.
    Creator,
    /// The victim takes its name away.
    Unlinker,
    /// The victim creates it before, and takes its name away.
    Owner,
}

/// A process that dies, in a scene with others.
pub(crate) struct Role {
    pub(crate) name: &'static str,
    /// The words of the page.
    pub(crate) what: &'static str,
    pub(crate) kind: Kind,
    pub(crate) slots: usize,
    pub(crate) history: usize,
    pub(crate) observers: bool,
    /// What the test does before the victim starts.
    pub(crate) prepare: fn(&mut Scene),
    /// What the victim does: [`ready`], then what it may be killed in, then [`done`].
    pub(crate) play: fn(&str),
    /// What the test does when the victim is ready.
    pub(crate) ready: fn(&mut Scene),
    /// What the test does when the victim sleeps.
    pub(crate) asleep: fn(&mut Scene),
    /// What the test does after the death to let others go on.
    pub(crate) settle: fn(&mut Scene),
    /// What the test does once others have published.
    pub(crate) finish: fn(&mut Scene),
    /// Others go on by themselves when the victim dies, so what it left is looked for behind that.
    pub(crate) raced: bool,
    /// How often to try, where others can now and then do first what the victim would have done.
    pub(crate) attempts: usize,
    /// Others sleep on `notify` meanwhile.
    pub(crate) awaited: bool,
    /// How many frames the victim publishes.
    pub(crate) frames: u64,
    /// At how many passages of the same point to kill.
    pub(crate) passages: usize,
}

const NOTHING: fn(&mut Scene) = |_| {};
const ATTEMPTS: usize = 5;

const ROLE: Role = Role {
    name: "",
    what: "",
    kind: Kind::User,
    slots: 4,
    history: 1,
    observers: false,
    prepare: NOTHING,
    play: |_| {},
    ready: NOTHING,
    asleep: NOTHING,
    settle: NOTHING,
    finish: NOTHING,
    raced: false,
    attempts: 1,
    awaited: false,
    frames: 0,
    passages: 1,
};

/// Every role. Streams have two frames, unless the victim creates them.
pub(crate) const ROLES: &[Role] = &[
    Role {
        name: "write",
        what: "`write`",
        play: |name| write(&Frames::open(name).unwrap()),
        frames: 1,
        passages: 3,
        ..ROLE
    },
    Role {
        name: "write-awaited",
        what: "`write`, a reader sleeps",
        prepare: |scene| scene.start_asleep("wait"),
        play: |name| write(&Frames::open(name).unwrap()),
        finish: |scene| scene.expect_woken(),
        awaited: true,
        frames: 1,
        ..ROLE
    },
    Role {
        name: "write-task",
        what: "`write`, a task awaits",
        prepare: |scene| scene.start_asleep("await"),
        play: |name| write(&Frames::open(name).unwrap()),
        finish: |scene| scene.expect_woken(),
        awaited: true,
        frames: 1,
        ..ROLE
    },
    Role {
        name: "write-observed",
        what: "`write`, an observer sleeps",
        observers: true,
        prepare: |scene| scene.start_asleep("observe"),
        play: |name| write(&Frames::open(name).unwrap()),
        finish: |scene| scene.expect_woken(),
        frames: 1,
        ..ROLE
    },
    Role {
        name: "write-history",
        what: "`write` with a history",
        slots: 6,
        history: 3,
        play: |name| write(&Frames::open(name).unwrap()),
        frames: 1,
        ..ROLE
    },
    Role {
        name: "write-lossless",
        what: "`write`, frames are awaited",
        slots: 9,
        history: 2,
        prepare: |scene| scene.start("subscribe", "subscribed"),
        play: |name| write(&Frames::open(name).unwrap()),
        finish: |scene| scene.expect_drained(),
        frames: 1,
        ..ROLE
    },
    Role {
        name: "write-forgotten",
        what: "`write`, frames were awaited before",
        prepare: |scene| drop(scene.stream().subscribe_lossless(Start::New).unwrap()),
        play: |name| write(&Frames::open(name).unwrap()),
        frames: 1,
        ..ROLE
    },
    Role {
        name: "write-after-mark",
        what: "`write` after a writer died with a mark",
        prepare: |scene| scene.kill_another("write", KillPoint::ClaimMarked),
        play: |name| write(&Frames::open(name).unwrap()),
        frames: 1,
        ..ROLE
    },
    Role {
        name: "write-after-count",
        what: "`write` after a writer died before publishing",
        prepare: |scene| scene.kill_another("write", KillPoint::PublishTurned),
        play: |name| write(&Frames::open(name).unwrap()),
        frames: 1,
        passages: 4,
        ..ROLE
    },
    Role {
        name: "write-reclaiming",
        what: "`write`, a dead reader has the slots",
        slots: 2,
        prepare: |scene| {
            scene.start("hold", "held");
            scene.publish();
            scene.kill_started();
        },
        play: |name| write(&Frames::open(name).unwrap()),
        frames: 1,
        ..ROLE
    },
    Role {
        name: "write-waiting",
        what: "`write_timeout`, waiting for a slot",
        slots: 2,
        prepare: |scene| {
            scene.start("hold", "held");
            scene.publish();
        },
        play: write_waiting,
        asleep: |scene| scene.tell_started("release", "released"),
        settle: |scene| scene.tell_started("release", "released"),
        frames: 1,
        ..ROLE
    },
    Role {
        name: "write-contended",
        what: "`write` with the lock, another waits in `lock`",
        play: write_contended,
        ready: |scene| scene.start_asleep("want lock"),
        settle: |scene| scene.expect_written(),
        raced: true,
        attempts: ATTEMPTS,
        frames: 1,
        ..ROLE
    },
    Role {
        name: "write-contended-timeout",
        what: "`write` with the lock, another waits in `lock_timeout`",
        play: write_contended,
        ready: |scene| scene.start_asleep("want lock for a while"),
        settle: |scene| scene.expect_written(),
        raced: true,
        attempts: ATTEMPTS,
        frames: 1,
        ..ROLE
    },
    Role {
        name: "loan",
        what: "`loan`, filled, published",
        play: loan,
        frames: 1,
        ..ROLE
    },
    Role {
        name: "loan-dropped",
        what: "`loan`, dropped",
        play: loan_dropped,
        ..ROLE
    },
    Role {
        name: "lock",
        what: "`lock`, two writes, release",
        play: lock,
        frames: 2,
        passages: 2,
        ..ROLE
    },
    Role {
        name: "lock-wanted",
        what: "`lock`, while another has it",
        prepare: |scene| scene.start("lock", "locked"),
        play: |name| lock_for(name, None),
        asleep: |scene| scene.tell_started("unlock", "unlocked"),
        settle: |scene| scene.tell_started("unlock", "unlocked"),
        ..ROLE
    },
    Role {
        name: "lock-timeout",
        what: "`lock_timeout`, while another has it",
        prepare: |scene| scene.start("lock", "locked"),
        play: |name| lock_for(name, Some(DEADLINE)),
        asleep: |scene| scene.tell_started("unlock", "unlocked"),
        settle: |scene| scene.tell_started("unlock", "unlocked"),
        ..ROLE
    },
    Role {
        name: "read",
        what: "`read`",
        play: read,
        ..ROLE
    },
    Role {
        name: "read-wanted",
        what: "dropping a frame, a writer wants its slot",
        slots: 2,
        play: read_wanted,
        ready: |scene| {
            scene.publish();
            scene.start_asleep("want slot");
        },
        settle: |scene| scene.expect_written(),
        raced: true,
        attempts: ATTEMPTS,
        ..ROLE
    },
    Role {
        name: "wait",
        what: "`wait`",
        play: wait,
        asleep: |scene| scene.publish(),
        ..ROLE
    },
    Role {
        name: "await",
        what: "a task and a descriptor, for later frames",
        play: wait_async,
        asleep: |scene| scene.publish(),
        attempts: ATTEMPTS,
        ..ROLE
    },
    Role {
        name: "subscribe",
        what: "a subscription",
        history: 2,
        play: |name| subscribe(name, false),
        ..ROLE
    },
    Role {
        name: "subscribe-lossless",
        what: "a lossless subscription",
        history: 2,
        slots: 6,
        play: |name| subscribe(name, true),
        ..ROLE
    },
    Role {
        name: "subscribe-wanted",
        what: "a lossless subscription, a writer wants a slot",
        slots: 2,
        play: subscribe_wanted,
        ready: |scene| {
            scene.publish();
            scene.start_asleep("want slot");
        },
        settle: |scene| scene.expect_written(),
        raced: true,
        attempts: ATTEMPTS,
        ..ROLE
    },
    Role {
        name: "subscribe-unsettled",
        what: "a lossless subscription at a dead writer's mark",
        slots: 2,
        prepare: |scene| scene.kill_another("write", KillPoint::ClaimMarked),
        play: subscribe_unsettled,
        ..ROLE
    },
    Role {
        name: "subscribe-wait",
        what: "`wait` of a subscription",
        play: subscribe_wait,
        asleep: |scene| scene.publish(),
        ..ROLE
    },
    Role {
        name: "observe",
        what: "`read` of an observer",
        play: observe,
        ..ROLE
    },
    Role {
        name: "observe-wait",
        what: "`wait` of an observer",
        observers: true,
        play: observe_wait,
        asleep: |scene| scene.publish(),
        ..ROLE
    },
    Role {
        name: "create",
        what: "`create`",
        kind: Kind::Creator,
        // Large enough for a leak of all of them to show.
        slots: 64,
        play: create,
        ..ROLE
    },
    Role {
        name: "open",
        what: "`open` and drop",
        play: open,
        ..ROLE
    },
    Role {
        name: "open-after-death",
        what: "`open` into a dead participant's row",
        prepare: |scene| {
            scene.start("crowd", "crowded");
            scene.kill_started();
            // Into the first of the rows, which has no pins and awaits nothing.
            scene.attach();
        },
        play: open,
        ..ROLE
    },
    Role {
        name: "clone",
        what: "`try_clone` and drop",
        play: clone,
        ..ROLE
    },
    Role {
        name: "drop-publisher",
        what: "drop of the handle that published",
        play: drop_publisher,
        ..ROLE
    },
    Role {
        name: "unlink",
        what: "`unlink` of a handle",
        kind: Kind::Unlinker,
        play: unlink,
        ..ROLE
    },
    Role {
        name: "unlink-by-name",
        what: "`unlink` by name",
        kind: Kind::Unlinker,
        play: unlink_by_name,
        ..ROLE
    },
    Role {
        name: "drop-temporary",
        what: "drop of a temporary stream",
        kind: Kind::Owner,
        play: drop_temporary,
        ..ROLE
    },
];

// What victims do.

/// Plays a victim. Arguments: the role, the stream.
pub(crate) fn victim(arguments: &[String]) {
    let role = ROLES.iter().find(|role| role.name == arguments[0]);
    (role.expect("a role").play)(&arguments[1]);
}

/// Waits for the word to begin.
fn ready() {
    tell("ready");
    let _ = hear();
}

/// Waits to be killed with everything as it is.
fn done() -> ! {
    tell("done");
    loop {
        let _ = hear();
    }
}

/// Passes a point of the caller's code.
fn here(point: KillPoint) {
    pass(point);
}

/// Has the process pass a point while the calling thread sleeps.
fn here_asleep() {
    tell_when_asleep(|| pass(KillPoint::Asleep));
}

/// Returns the frame that comes after `before` others.
fn frame_after(stream: &Frames, before: u64) -> [u64; WORDS] {
    let mut frame = [0; WORDS];
    fill(&mut frame, VICTIM, stream.count() + before + 1);
    frame
}

fn write(stream: &Frames) {
    let frame = frame_after(stream, 0);
    ready();
    stream.write(&frame).unwrap();
    done();
}

fn write_waiting(name: &str) {
    let stream = Frames::open(name).unwrap();
    let frame = frame_after(&stream, 0);
    ready();
    here_asleep();
    stream.write_timeout(&frame, DEADLINE).unwrap();
    done();
}

fn write_contended(name: &str) {
    let stream = Frames::open(name).unwrap();
    let frame = frame_after(&stream, 0);
    let lock = stream.lock().unwrap();
    ready();
    lock.write(&frame).unwrap();
    here(KillPoint::LockHeld);
    drop(lock);
    done();
}

fn loan(name: &str) {
    let stream = Frames::open(name).unwrap();
    let frame = frame_after(&stream, 0);
    ready();
    let mut loan = stream.loan().unwrap();
    loan[..WORDS / 2].copy_from_slice(&frame[..WORDS / 2]);
    here(KillPoint::LoanHalfFilled);
    loan[WORDS / 2..].copy_from_slice(&frame[WORDS / 2..]);
    loan.publish().unwrap();
    done();
}

fn loan_dropped(name: &str) {
    let stream = Frames::open(name).unwrap();
    ready();
    let mut loan = stream.loan().unwrap();
    loan.fill(u64::MAX);
    here(KillPoint::LoanHalfFilled);
    drop(loan);
    done();
}

fn lock(name: &str) {
    let stream = Frames::open(name).unwrap();
    let frames = [0, 1].map(|before| frame_after(&stream, before));
    ready();
    let lock = stream.lock().unwrap();
    here(KillPoint::LockHeld);
    for frame in &frames {
        lock.write(frame).unwrap();
    }
    drop(lock);
    done();
}

fn lock_for(name: &str, timeout: Option<Duration>) {
    let stream = Frames::open(name).unwrap();
    ready();
    here_asleep();
    let lock = match timeout {
        Some(timeout) => stream.lock_timeout(timeout).unwrap().unwrap(),
        None => stream.lock().unwrap(),
    };
    here(KillPoint::LockHeld);
    drop(lock);
    done();
}

fn read(name: &str) {
    let stream = Frames::open(name).unwrap();
    ready();
    let frame = stream.read().unwrap().unwrap();
    check(&frame);
    here(KillPoint::FrameHeld);
    drop(frame);
    done();
}

fn read_wanted(name: &str) {
    let stream = Frames::open(name).unwrap();
    let frame = stream.read().unwrap().unwrap();
    ready();
    here(KillPoint::FrameHeld);
    drop(frame);
    done();
}

fn wait(name: &str) {
    let stream = Frames::open(name).unwrap();
    drop(stream.read().unwrap());
    ready();
    here_asleep();
    let frame = stream.wait().unwrap();
    here(KillPoint::FrameHeld);
    drop(frame);
    done();
}

fn wait_async(name: &str) {
    let mut stream = Frames::open(name).unwrap();
    let count = stream.count();
    let later = stream.subscribe(Start::Count(count + 100)).unwrap();
    let descriptor = later.readiness().unwrap();
    ready();
    here_asleep();
    let frame = smol::block_on(stream.wait_after_async(count)).unwrap();
    here(KillPoint::FrameHeld);
    drop(frame);
    drop(descriptor);
    done();
}

fn subscribe(name: &str, lossless: bool) {
    let stream = Frames::open(name).unwrap();
    ready();
    let frames = match lossless {
        true => stream.subscribe_lossless(Start::Oldest).unwrap(),
        false => stream.subscribe(Start::Oldest).unwrap(),
    };
    let frame = frames.read().unwrap().unwrap();
    assert_eq!(check(&frame).1, 1);
    here(KillPoint::FrameHeld);
    drop(frame);
    assert_eq!(check(&frames.read().unwrap().unwrap()).1, 2);
    drop(frames);
    done();
}

fn subscribe_wanted(name: &str) {
    let stream = Frames::open(name).unwrap();
    let frames = stream.subscribe_lossless(Start::Latest).unwrap();
    ready();
    let frame = frames.read().unwrap().unwrap();
    assert_eq!(check(&frame).1, 2);
    here(KillPoint::FrameHeld);
    drop(frame);
    done();
}

fn subscribe_unsettled(name: &str) {
    let stream = Frames::open(name).unwrap();
    ready();
    let frames = stream.subscribe_lossless(Start::Count(1)).unwrap();
    let frame = frames.read().unwrap().unwrap();
    assert_eq!((check(&frame).1, frame.info().missed), (1, 0));
    done();
}

fn subscribe_wait(name: &str) {
    let stream = Frames::open(name).unwrap();
    let frames = stream.subscribe(Start::New).unwrap();
    ready();
    here_asleep();
    let frame = frames.wait().unwrap();
    here(KillPoint::FrameHeld);
    drop(frame);
    done();
}

fn observe(name: &str) {
    ready();
    let observer = Frames::observe(name).unwrap();
    check(&observer.read().unwrap().unwrap());
    done();
}

fn observe_wait(name: &str) {
    let observer = Frames::observe(name).unwrap();
    check(&observer.read().unwrap().unwrap());
    ready();
    here_asleep();
    check(&observer.wait().unwrap());
    done();
}

fn create(name: &str) {
    ready();
    let role = ROLES.iter().find(|role| role.kind == Kind::Creator);
    let _stream = role.expect("this one").builder(name).create().unwrap();
    done();
}

fn open(name: &str) {
    ready();
    drop(Frames::open(name).unwrap());
    done();
}

fn clone(name: &str) {
    let stream = Frames::open(name).unwrap();
    ready();
    drop(stream.try_clone().unwrap());
    done();
}

fn drop_publisher(name: &str) {
    let stream = Frames::open(name).unwrap();
    drop(stream.lock().unwrap());
    ready();
    drop(stream);
    done();
}

fn unlink(name: &str) {
    let stream = Frames::open(name).unwrap();
    ready();
    stream.unlink().unwrap();
    done();
}

fn unlink_by_name(name: &str) {
    ready();
    shmstream::unlink(name).unwrap();
    done();
}

fn drop_temporary(name: &str) {
    let role = ROLES.iter().find(|role| role.kind == Kind::Owner);
    let builder = role.expect("this one").builder(name).temporary();
    let stream = builder.create().unwrap();
    ready();
    drop(stream);
    done();
}

impl Role {
    /// Returns the options of the stream.
    pub(crate) fn builder(&self, name: impl AsRef<[u8]>) -> shmstream::Builder<Frames> {
        Frames::builder(name)
            .slots(self.slots)
            .history(self.history)
            .observers(self.observers)
            .participants(ROWS)
    }
}
