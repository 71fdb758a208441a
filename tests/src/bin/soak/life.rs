//! The life of a child: what it is told, and what it does about calls, frames and failures.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use shmstream::{Error, FrameInfo};
use shmstream_tests::Dice;

use crate::account::Account;
use crate::board::{Board, Call, Count, SeatWords, Stop, StreamWords};
use crate::cli::Child;
use crate::failures::Failure;
use crate::frame::{self, Label};
use crate::plan::{LARGE, MIDDLE, PLAN, Role, SMALL, Seat, Which};
use crate::sabotage::Sabotage;
use crate::{control, follow, make, observe, order, place, read, resident, saboteur, tasks, write};

/// What a child ends with that has counted the failure for which it ends.
pub(crate) const REPORTED: u8 = 9;
/// How many failures a child tells in words.
const TELLS: u32 = 3;

/// A process in its seat.
pub(crate) struct Life {
    pub(crate) board: &'static Board,
    pub(crate) words: &'static SeatWords,
    pub(crate) stream: &'static StreamWords,
    pub(crate) which: Which,
    pub(crate) role: Role,
    pub(crate) sabotage: Option<Sabotage>,
    seat: usize,
    dice: RefCell<Dice>,
    told: Cell<u32>,
    published: Cell<u64>,
}

/// What a role does until it has to end.
pub(crate) type Play = fn(&Life) -> shmstream::Result<()>;

/// Lives in a seat.
pub(crate) fn live(child: &Child) -> ExitCode {
    // Nobody survives the supervisor, however it ends.
    let armed = set_parent_process_death_signal(Some(Signal::KILL));
    if armed.is_err() || getppid() != Pid::from_raw(child.parent) {
        return ExitCode::FAILURE;
    }
    let Ok(board) = Board::open(&place::board(&child.place)) else {
        return ExitCode::FAILURE;
    };
    let Seat { which, role } = PLAN[child.seat];
    let life = Life {
        board,
        words: &board.seats[child.seat],
        stream: &board.streams[which.index()],
        which,
        role,
        sabotage: child.sabotage,
        seat: child.seat,
        dice: RefCell::new(Dice::new(frame::mix(child.seed))),
        told: Cell::new(0),
        published: Cell::new(0),
    };
    life.words.begin(Call::Idle);
    match (play_of(which, role))(&life) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            life.fail(Failure::Error, format_args!("{error:?}"));
            ExitCode::from(REPORTED)
        }
    }
}

fn play_of(which: Which, role: Role) -> Play {
    let [small, middle, large]: [Play; 3] = match role {
        Role::Writer => [
            write::write::<SMALL>,
            write::write::<MIDDLE>,
            write::write::<LARGE>,
        ],
        Role::Reader => [
            read::read::<SMALL>,
            read::read::<MIDDLE>,
            read::read::<LARGE>,
        ],
        Role::Waiter => [
            read::wait::<SMALL>,
            read::wait::<MIDDLE>,
            read::wait::<LARGE>,
        ],
        Role::Subscriber | Role::Lossless => [
            order::subscribe::<SMALL>,
            order::subscribe::<MIDDLE>,
            order::subscribe::<LARGE>,
        ],
        Role::Task => [
            tasks::latest::<SMALL>,
            tasks::in_order::<MIDDLE>,
            tasks::latest::<LARGE>,
        ],
        Role::Observer => [
            observe::observe::<SMALL>,
            observe::observe::<MIDDLE>,
            observe::observe::<LARGE>,
        ],
        Role::Maker => [make::make; 3],
        Role::Follower => [follow::follow; 3],
        Role::Resident => [resident::reside; 3],
        Role::Control => [control::beat; 3],
        Role::Saboteur => [saboteur::misbehave; 3],
    };
    match which.words() {
        SMALL => small,
        MIDDLE => middle,
        _ => large,
    }
}

impl Life {
    /// Returns whether it is time to end.
    pub(crate) fn must_end(&self) -> bool {
        self.board.must_end(self.role.stop())
    }

    /// Notes that the work begins, on this stream.
    pub(crate) fn begin(&self, instance: u128) {
        self.words.instance.store(half(instance), Ordering::SeqCst);
        self.words.add(Count::Lives, 1);
    }

    /// Makes a call that must end soon.
    pub(crate) fn call<R>(&self, call: Call, make: impl FnOnce() -> R) -> R {
        self.words.begin(call);
        let result = make();
        self.words.begin(Call::Idle);
        result
    }

    /// Makes a call that must end soon after there is a frame with a count above `awaits`.
    pub(crate) fn wait<R>(&self, awaits: u64, make: impl FnOnce() -> R) -> R {
        self.words.awaits.store(awaits, Ordering::SeqCst);
        self.call(Call::Wait, make)
    }

    /// Draws a number below `limit`.
    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.dice.borrow_mut().below(limit)
    }

    /// Draws a duration of up to so many microseconds.
    pub(crate) fn up_to(&self, micros: u64) -> Duration {
        Duration::from_micros(self.below(micros + 1))
    }

    /// Lets others run, or not.
    pub(crate) fn rest(&self) {
        match self.below(8) {
            0 => std::thread::yield_now(),
            1 | 2 => std::thread::sleep(self.up_to(1000)),
            _ => {}
        }
    }

    /// Returns a number for the next frame that nobody else gives.
    pub(crate) fn number(&self) -> u64 {
        self.published.set(self.published.get() + 1);
        let seat = self.seat as u64;
        seat << 56 | u64::from(std::process::id()) << 24 | self.published.get() & 0xff_ffff
    }

    /// Checks a frame that was read. `instance` is the stream's.
    pub(crate) fn check(&self, frame: &[u64], info: FrameInfo, instance: u128) {
        let label = Label {
            instance: half(instance),
            count: info.count,
            number: info.frame_id,
        };
        self.found(frame::check(frame, label));
        self.words.add(Count::Bytes, size_of_val(frame) as u64);
    }

    /// Takes down a frame in an account, with what `pass` says.
    pub(crate) fn account(
        &self,
        account: &mut Account,
        pass: impl FnOnce(&mut Account) -> Result<(), (Failure, String)>,
    ) {
        let (read, missed) = (account.read(), account.missed());
        self.found(pass(account));
        self.words.add(Count::Read, account.read() - read);
        self.words.add(Count::Missed, account.missed() - missed);
    }

    /// Counts what a check found.
    pub(crate) fn found(&self, checked: Result<(), (Failure, String)>) {
        if let Err((failure, text)) = checked {
            self.fail(failure, text);
        }
    }

    /// Compares a number of missed frames with the account.
    pub(crate) fn agree(&self, missed: u64, account: &Account) {
        if missed != account.missed() {
            let text = format!("{missed} missed in all, by the frames {}", account.missed());
            self.fail(Failure::Missed, text);
        }
    }

    /// Counts a failure, and tells the first few.
    pub(crate) fn fail(&self, failure: Failure, text: impl std::fmt::Display) {
        self.words.fail(failure, 1);
        self.told.set(self.told.get() + 1);
        if self.told.get() <= TELLS {
            let line = format!(
                "{} {} ({}): {}: {text}\n",
                self.role.name(),
                self.which.name(),
                std::process::id(),
                failure.what()
            );
            // In one piece, so that no other process's line comes between.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }
}

impl Role {
    /// Returns with whom its processes end.
    pub(crate) const fn stop(self) -> Stop {
        match self {
            Self::Writer | Self::Maker => Stop::Writers,
            Self::Resident => Stop::Resident,
            Self::Control | Self::Saboteur => Stop::Everybody,
            _ => Stop::Readers,
        }
    }
}

/// Returns the half of an instance number that frames carry.
pub(crate) const fn half(instance: u128) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "half of a random number")]
    let half = instance as u64;
    half
}

/// Says whether an error means that the stream's name stands for another stream, or none.
pub(crate) const fn is_replaced(error: &Error) -> bool {
    matches!(error, Error::Replaced { .. } | Error::NotFound { .. })
}
