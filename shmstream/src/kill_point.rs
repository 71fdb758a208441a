//! Steps at which a test can have the process killed.
//!
//! `kill_point!(ClaimMarked)` stands behind the step of that name. It expands to nothing, unless the
//! crate is compiled with `--cfg shmstream_kill_points`. Then a process that has
//!
//! - `SHMSTREAM_KILL_POINT=ClaimMarked`, or `ClaimMarked:3` for the third passage, says so on its
//!   standard output, and sends itself SIGKILL there;
//! - `SHMSTREAM_KILL_POINT=*` says so at each passage of every point, and lives.
//!
//! `tests/tests/crash_matrix` kills a process in each role at every point that the role passes, and
//! fails when a point of the list below is passed by none.

#[cfg(not(all(shmstream_kill_points, not(shmstream_loom))))]
macro_rules! kill_point {
    ($point:ident) => {};
}

#[cfg(all(shmstream_kill_points, not(shmstream_loom)))]
macro_rules! kill_point {
    ($point:ident) => {
        $crate::kill_point::pass($crate::kill_point::KillPoint::$point)
    };
}

#[cfg(all(shmstream_kill_points, not(shmstream_loom)))]
pub use compiled::{KillPoint, pass};

#[cfg(all(shmstream_kill_points, not(shmstream_loom)))]
mod compiled {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    const VARIABLE: &str = "SHMSTREAM_KILL_POINT";

    macro_rules! kill_points {
        ($($point:ident: $done:literal,)*) => {
            /// A step, and what has just been done when it is passed.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub enum KillPoint { $(#[doc = $done] $point,)* }

            impl KillPoint {
                /// Every point, in the order of the declaration.
                pub const ALL: &[Self] = &[$(Self::$point,)*];

                /// Returns what has just been done.
                #[must_use]
                pub const fn done(self) -> &'static str {
                    match self { $(Self::$point => $done,)* }
                }
            }
        };
    }

    kill_points! {
        // The file, from its making to its name.
        CreateMade: "the file is made, without a name",
        CreateModeSet: "its mode is set",
        CreateReserved: "it has its size, and memory is reserved for it",
        CreateHeaderWritten: "its header is written",
        CreateMapped: "its payloads are mapped for writing",
        CreateNamed: "it has its name",
        // A participant comes.
        OpenFile: "the file is open",
        OpenHeader: "its header is read and checked",
        CloneOpened: "the file is open once more",
        AttachMapped: "the stream is mapped",
        AttachLocked: "a row's lock is taken",
        AttachForgotten: "the row's last owner is no publisher any more",
        AttachUnpinned: "the row's pins are cleared",
        AttachCleared: "the row is clear",
        AttachNumbered: "the row has the PID",
        AttachListed: "the row's bit is set: writers look at it",
        // A participant goes.
        DropBegun: "the handle is being dropped",
        DetachForgotten: "its owner is no publisher any more",
        RowUnpinned: "the row's pins are cleared",
        RowNeedsNothing: "the row awaits nothing",
        RowCleared: "the row is clear",
        RowDelisted: "the row's bit is clear",
        DropUnlocked: "the row's lock is given back",
        // The write lock.
        LockWanted: "this thread has its turn for the lock",
        LockArmed: "`released` is armed",
        LockSleeps: "the lock is still taken, and sleep comes next",
        LockWoken: "awake, for the lock or the time",
        LockTaken: "the kernel's lock is held",
        LockSigned: "the lock is signed",
        RecoverSettled: "one slot is put right after a dead writer",
        Recovered: "all slots are put right",
        RecoverTold: "readers are woken on behalf of the dead writer",
        RecoverDone: "writers are woken on behalf of the dead writer",
        LockNamed: "the publisher is named",
        LockHeld: "the lock is held, in the caller's code",
        ReleaseBegun: "the lock is to be released",
        ReleaseSigned: "the signature is taken back",
        ReleaseUnlocked: "the kernel's lock is given back",
        ReleaseTold: "who wants the lock is woken",
        // A slot to write into.
        ClaimBegun: "a slot is to be chosen",
        AwaitReset: "`awaited` is back at zero, since nobody awaits anything",
        ClaimMarked: "a slot is marked, and its frame whole",
        ClaimRefused: "the mark is to be taken back: somebody needs the slot",
        ClaimRestored: "the mark is taken back",
        ClaimScanned: "nobody needs the slot",
        ClaimTaken: "the frame in the slot is given up",
        RoomWanted: "no slot is free",
        ReclaimLocked: "the lock of a dead participant's row is taken",
        ReclaimForgotten: "the dead participant is no publisher any more",
        ReclaimUnlocked: "the lock of its row is given back",
        RoomArmed: "`freed` is armed",
        RoomSleeps: "still no slot is free, and sleep comes next",
        // Writing into it.
        FillBegun: "the payload is to be copied into the slot",
        LoanHalfFilled: "half of the payload is written, in the caller's code",
        FillDone: "the payload is in the slot",
        PublishStamped: "the frame header is written",
        PublishNumbered: "the slot's state has the count",
        PublishTurned: "the slot to try first next time is noted",
        Published: "the frame is the latest",
        SignalCleared: "a signal's bits are cleared, and nobody is woken",
        SignalAnnounced: "`notify` is counted up for observers",
        TellWoken: "sleepers are woken",
        TellNudged: "an event is made for those who watch the file",
        ClaimedAhead: "the slot for the next frame is claimed",
        ClaimDropped: "the slot is not on loan any more",
        // The latest frame.
        ReadObserved: "the latest frame is known",
        ReadPinned: "its slot is pinned",
        ReadValidated: "the slot holds that frame",
        ReadNoted: "the row says that the frame is seen",
        FrameHeld: "the frame is held, in the caller's code",
        Unpinned: "the slot is not pinned any more",
        UnpinTold: "writers that want a slot are woken",
        // Frames in order.
        SubscribeNoted: "the row says that it reads in order",
        AwaitStored: "the row says from where on it awaits frames",
        AwaitCounted: "it is counted in `awaited`",
        AwaitMoved: "the row awaits later frames only",
        NextObserved: "the latest frame is known",
        NextPinned: "the slot of the next frame is pinned",
        NextValidated: "the slot holds that frame",
        NextNoted: "the row says that the frame is seen",
        NextTold: "writers that want a slot are woken",
        NextUnsettled: "a marked slot holds the next frame, and is to be put right",
        // Waiting for a frame.
        WaitArmed: "`notify` is armed",
        WaitRechecked: "there is still nothing new, and sleep comes next",
        WaitWoken: "awake, for a frame or the time",
        Asleep: "asleep in the kernel",
        TaskEnrolled: "`notify` is armed for events on the file",
        TasksLooked: "it is armed again, for others that await frames",
        // Without a trace.
        ObserveLooked: "the latest frame is known",
        ObserveCopied: "it is copied",
        ObserveChecked: "the copy is known to be whole",
        ObserveGlanced: "there is nothing new, and sleep comes next",
        ObserveWoken: "awake, for a frame or the time",
        // The name goes.
        UnlinkLocked: "the right to unlink is held",
        UnlinkLooked: "the name stands for this file",
        UnlinkMarked: "writers are told that the name goes",
        UnlinkRemoved: "the name is gone",
        UnlinkUnlocked: "the right to unlink is given back",
    }

    /// Where to die, as the environment has it.
    enum Plan {
        Live,
        Say,
        Die { point: String, passage: u32 },
    }

    impl Plan {
        fn of_environment() -> Self {
            let Ok(text) = std::env::var(VARIABLE) else {
                return Self::Live;
            };
            if text == "*" {
                return Self::Say;
            }
            let (point, passage) = text.split_once(':').unwrap_or((&text, "1"));
            Self::Die {
                point: point.to_owned(),
                passage: passage.parse().unwrap_or(1),
            }
        }
    }

    /// Passes a point.
    #[cold]
    pub fn pass(point: KillPoint) {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        static PASSED: AtomicU32 = AtomicU32::new(0);
        match PLAN.get_or_init(Plan::of_environment) {
            Plan::Live => {}
            Plan::Say => say("passes", point),
            Plan::Die { point: at, passage } => {
                if *at == format!("{point:?}")
                    && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *passage
                {
                    say("dies at", point);
                    let _ = kill_process(getpid(), Signal::KILL);
                }
            }
        }
    }

    /// Says so on the standard output, in one piece, with the time on the monotonic clock.
    fn say(what: &str, point: KillPoint) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let ns = now.tv_sec * 1_000_000_000 + now.tv_nsec;
        // A mark as the tests' lines have it; whoever does not read it loses nothing.
        let line = format!("\n@ {what} {point:?} {ns}\n");
        let _ = rustix::io::write(std::io::stdout(), line.as_bytes());
    }
}
