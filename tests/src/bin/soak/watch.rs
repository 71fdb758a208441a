//! Calls that should have ended and did not.
//!
//! A call that does not depend on others must end: opening, publishing, reading, unlinking. One that
//! waits for a frame must end once there is one, or another stream under the name. From then on it
//! has a second, by the clock and by the beats of the control process both.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use shmstream::{DynStream, Error, Observer, Result};

use crate::board::{Board, Call};
use crate::control::BEATS;
use crate::fleet::Fleet;
use crate::life::half;
use crate::plan::{PLAN, SEATS, Seat, Which};

const LONGEST: Duration = Duration::from_secs(1);

pub(crate) struct Watch {
    board: &'static Board,
    /// Of the streams that last, in the order of [`Which::LASTING`].
    observers: Vec<Observer<DynStream>>,
    seen: [Seen; SEATS],
    /// When somebody was dying last, in beats as well.
    forgiven: Instant,
    forgiven_beat: u64,
}

/// The call that a seat was last seen in.
#[derive(Clone, Copy)]
struct Seen {
    number: u64,
    /// Since when it should have ended, in beats as well.
    since: Instant,
    beat: u64,
    reported: bool,
}

/// Where a stream is: its instance, and the count of its latest frame.
type Standing = Option<(u64, u64)>;

impl Watch {
    pub(crate) fn new(board: &'static Board) -> Result<Self> {
        let observers = Which::LASTING
            .iter()
            .map(|which| DynStream::observe(which.name()));
        let seen = Seen {
            number: 0,
            since: Instant::now(),
            beat: 0,
            reported: false,
        };
        Ok(Self {
            board,
            observers: observers.collect::<Result<_>>()?,
            seen: [seen; SEATS],
            forgiven: Instant::now(),
            forgiven_beat: 0,
        })
    }

    /// Returns the calls that have lasted too long by now and not before, in words.
    pub(crate) fn look(&mut self, fleet: &Fleet<'_>) -> Result<Vec<String>> {
        let standings = self.standings()?;
        let (now, beat) = (Instant::now(), self.board.beats.load(Ordering::SeqCst));
        let mut found = Vec::new();
        for (seat, seen) in self.seen.iter_mut().enumerate() {
            let words = &self.board.seats[seat];
            let (number, call) = words.call();
            let due = match (call, standings[PLAN[seat].which.index()]) {
                (Call::Idle, _) | (Call::Wait, None) => false,
                (Call::Wait, Some((instance, count))) => {
                    count > words.awaits.load(Ordering::SeqCst)
                        || instance != words.instance.load(Ordering::SeqCst)
                }
                _ => true,
            };
            let Some(pid) = fleet.pid(seat).filter(|_| due && seen.number == number) else {
                (seen.number, seen.since, seen.beat, seen.reported) = (number, now, beat, false);
                continue;
            };
            let lasted = now.duration_since(seen.since.max(self.forgiven));
            // Still the same call: what was compared belongs to it.
            let same = words.call() == (number, call);
            let beats = beat.saturating_sub(seen.beat.max(self.forgiven_beat));
            if same && lasted > LONGEST && beats > BEATS && !seen.reported {
                seen.reported = true;
                found.push(describe(seat, pid, call, lasted, beats));
            }
        }
        Ok(found)
    }

    /// Notes for how long somebody has been dying. Until the kernel has taken that process down, its
    /// locks are held and others may wait for them; that time is left out of account.
    pub(crate) fn note_dying(&mut self, lasted: Duration) {
        if lasted > LONGEST / 10 {
            self.forgiven = Instant::now();
            self.forgiven_beat = self.board.beats.load(Ordering::SeqCst);
        }
    }

    fn standings(&self) -> Result<[Standing; Which::ALL.len()]> {
        let mut standings = [None; Which::ALL.len()];
        for (which, observer) in Which::LASTING.iter().zip(&self.observers) {
            standings[which.index()] = Some((half(observer.instance()), observer.count()));
        }
        standings[Which::Brief.index()] = match shmstream::stat(Which::Brief.name()) {
            Ok(status) => Some((half(status.instance), status.count)),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(standings)
    }
}

/// Says who hangs where, with what the kernel and the stream tell.
fn describe(seat: usize, pid: u32, call: Call, lasted: Duration, beats: u64) -> String {
    let Seat { which, role } = PLAN[seat];
    let of = |file: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        text.lines().next().unwrap_or_default().to_owned()
    };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    let stream = match shmstream::stat(which.name()) {
        Ok(status) => format!(
            "{:?}",
            (status.count, status.lock_holder, status.participants)
        ),
        Err(error) => error.to_string(),
    };
    format!(
        "{} {} ({pid}): hangs in {call:?} for {} ms and {beats} beats; state{}, in {}, system call {}; {stream}",
        role.name(),
        which.name(),
        lasted.as_millis(),
        state.unwrap_or_default(),
        of("wchan"),
        of("syscall"),
    )
}
