//! Who is killed when, and when which process takes its seat: all of it from the seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::Duration;

use shmstream_tests::Dice;

use crate::frame::mix;
use crate::plan::{KILLED, PLAN, Seat, Which};

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The processes in these seats are killed at once.
    Kill(Vec<usize>),
    /// A process takes a seat, and makes its choices by a seed.
    Start(usize, u64),
}

/// An event, and when it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) at: Duration,
    pub(crate) event: Event,
}

/// All events, in order and without end.
pub(crate) struct Schedule {
    dice: Dice,
    rate: u32,
    taken: [bool; KILLED],
    starts: BinaryHeap<Reverse<(Duration, usize, u64)>>,
    kill_at: Duration,
    /// Who is left alone until the end of the epoch.
    spared: [bool; KILLED],
    epoch: u64,
    epoch_ends: Duration,
}

/// How long the same seats are spared. A call that hangs shows only in a process that lives longer
/// than a call may last; so one writer of each stream and one other live that long.
const EPOCH: Duration = Duration::from_secs(3);
/// In one epoch of so many nobody is spared.
const STORM: u64 = 4;

impl Schedule {
    /// The schedule of a seed, with so many kills a second on average.
    pub(crate) fn new(seed: u64, rate: u32) -> Self {
        let mut dice = Dice::new(mix(seed));
        let starts = (0..KILLED).map(|seat| Reverse((Duration::ZERO, seat, dice.next())));
        let starts = starts.collect();
        Self {
            dice,
            rate,
            taken: [false; KILLED],
            starts,
            kill_at: Duration::from_millis(100),
            spared: [false; KILLED],
            epoch: 0,
            epoch_ends: Duration::ZERO,
        }
    }

    /// Chooses who is killed: mostly one, now and then several at the same time.
    fn choose(&mut self) -> Vec<usize> {
        let taken = (0..KILLED).filter(|&seat| self.taken[seat] && !self.spared[seat]);
        let taken: Vec<_> = taken.collect();
        let one = self.pick(&taken);
        let same_stream = |seat: &usize| PLAN[*seat].which == PLAN[one].which;
        let writes = |seat: &usize| PLAN[*seat].role.writes();
        let same_role = |seat: &usize| PLAN[*seat].role == PLAN[one].role;
        match self.dice.below(20) {
            0 => taken.into_iter().filter(same_stream).collect(),
            1 => taken.into_iter().filter(same_role).collect(),
            // Nobody is left to write.
            2 | 3 => {
                let at_stream = taken.into_iter().filter(same_stream);
                let mut killed: Vec<_> = at_stream.filter(writes).collect();
                if killed.is_empty() {
                    killed.push(one);
                }
                killed
            }
            4..8 => {
                let mut killed = vec![one, self.pick(&taken)];
                killed.dedup();
                killed
            }
            _ => vec![one],
        }
    }

    /// Chooses whom to leave alone from now on.
    fn spare(&mut self) {
        self.epoch += 1;
        self.epoch_ends = self.kill_at + EPOCH;
        self.spared = [false; KILLED];
        if self.epoch.is_multiple_of(STORM) {
            return;
        }
        for which in Which::ALL {
            for writes in [true, false] {
                let its = |seat: &usize| {
                    PLAN[*seat].which == which && PLAN[*seat].role.writes() == writes
                };
                let seats: Vec<_> = (0..KILLED).filter(its).collect();
                let seat = self.pick(&seats);
                self.spared[seat] = true;
            }
        }
    }

    fn pick(&mut self, seats: &[usize]) -> usize {
        let index = self.dice.below(seats.len() as u64);
        seats[usize::try_from(index).unwrap_or(0)]
    }

    /// Returns how long a seat stays empty: mostly not at all.
    fn pause(&mut self) -> Duration {
        let longest_us = match self.dice.below(10) {
            0..6 => return Duration::ZERO,
            6..9 => 10_000,
            _ => 100_000,
        };
        Duration::from_micros(self.dice.below(longest_us))
    }

    fn kill(&mut self) -> Due {
        let at = self.kill_at;
        if at >= self.epoch_ends {
            self.spare();
        }
        let killed = self.choose();
        for &seat in &killed {
            self.taken[seat] = false;
            let back = at + self.pause();
            self.starts.push(Reverse((back, seat, self.dice.next())));
        }
        // On average as many intervals as kills, whatever their length.
        let mean_us = 1_000_000 * killed.len() as u64 / u64::from(self.rate);
        self.kill_at += Duration::from_micros(self.dice.below(2 * mean_us + 1));
        let event = Event::Kill(killed);
        Due { at, event }
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let mut taken = (0..KILLED).filter(|&seat| self.taken[seat]);
        let nobody = taken.all(|seat| self.spared[seat]);
        match self.starts.peek() {
            Some(Reverse((at, ..))) if nobody || *at <= self.kill_at => {
                let Reverse((at, seat, seed)) = self.starts.pop()?;
                self.kill_at = self.kill_at.max(at);
                self.taken[seat] = true;
                let event = Event::Start(seat, seed);
                Some(Due { at, event })
            }
            _ => Some(self.kill()),
        }
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |seat: usize| {
            let Seat { which, role } = PLAN[seat];
            format!("{} {} ({seat})", which.name(), role.name())
        };
        write!(f, "{:>12.3} ms  ", self.at.as_secs_f64() * 1e3)?;
        match &self.event {
            Event::Kill(seats) => {
                let names: Vec<_> = seats.iter().map(|&seat| name(seat)).collect();
                write!(f, "kill   {}", names.join(", "))
            }
            Event::Start(seat, seed) => write!(f, "start  {} with {seed:016x}", name(*seat)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_from_the_seed() {
        let events = |seed| Schedule::new(seed, 100).take(5000).collect::<Vec<_>>();
        assert_eq!(events(7), events(7));
        assert_ne!(events(7), events(8));
    }

    #[test]
    fn kills_at_the_rate_and_only_who_is_there() {
        let mut taken = [false; KILLED];
        let (mut last, mut kills) = (Duration::ZERO, 0);
        let end = Duration::from_secs(100);
        for Due { at, event } in Schedule::new(1, 100).take_while(|due| due.at < end) {
            assert!(at >= last, "in order");
            last = at;
            match event {
                Event::Kill(seats) => {
                    kills += seats.len();
                    for seat in seats {
                        assert!(std::mem::replace(&mut taken[seat], false));
                    }
                }
                Event::Start(seat, _) => assert!(!std::mem::replace(&mut taken[seat], true)),
            }
        }
        assert!((9_000..11_000).contains(&kills), "{kills}");
    }
}
