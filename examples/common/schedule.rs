//! Ticks at a fixed rate.

use std::time::{Duration, Instant};

use crate::Result;

/// The longest sleep without a look at what may end the program.
const LOOK_UP: Duration = Duration::from_millis(50);

/// Moments at a fixed distance from the first, whatever the time between them is spent on.
#[derive(Debug)]
pub struct Schedule {
    start: Instant,
    period_ns: u64,
    tick: u64,
}

impl Schedule {
    /// Begins now.
    #[must_use]
    pub fn new(period: Duration) -> Self {
        Self {
            start: Instant::now(),
            period_ns: nanoseconds(period).max(1),
            tick: 0,
        }
    }

    /// Returns how many ticks lie in a duration, at least one.
    #[must_use]
    pub fn ticks_in(&self, duration: Duration) -> u64 {
        nanoseconds(duration).div_ceil(self.period_ns).max(1)
    }

    /// Returns the next tick; the first is 1 and comes at once. Those that are over are skipped.
    pub fn next_tick(&mut self) -> u64 {
        let over = nanoseconds(self.start.elapsed()) / self.period_ns;
        self.tick = over.max(self.tick) + 1;
        self.tick
    }

    /// Sleeps until a tick, or returns `true` when the program is to end before.
    ///
    /// # Errors
    ///
    /// Those of `ended`, which says whether the program is to end.
    pub fn sleep_until(&self, tick: u64, mut ended: impl FnMut() -> Result<bool>) -> Result<bool> {
        loop {
            if ended()? {
                return Ok(true);
            }
            match self.until(tick) {
                Some(pause) => std::thread::sleep(pause.min(LOOK_UP)),
                None => return Ok(false),
            }
        }
    }

    /// Returns the time until a tick, or `None` when it has come.
    fn until(&self, tick: u64) -> Option<Duration> {
        let due = Duration::from_nanos(self.period_ns.saturating_mul(tick - 1));
        due.checked_sub(self.start.elapsed())
            .filter(|left| !left.is_zero())
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_keep_their_distance_and_skip_what_is_over() {
        let period = Duration::from_secs(1000);
        let mut schedule = Schedule::new(period);
        assert_eq!(schedule.ticks_in(period * 10), 10);
        assert_eq!(schedule.ticks_in(Duration::from_nanos(1)), 1);
        assert_eq!(schedule.next_tick(), 1);
        assert_eq!(schedule.until(1), None);
        schedule.start -= period * 7 + period / 2;
        assert_eq!((schedule.next_tick(), schedule.until(8)), (8, None));
        assert_eq!(schedule.next_tick(), 9);
        assert!(schedule.until(9).is_some_and(|left| left <= period / 2));
    }

    #[test]
    fn a_sleep_ends_early_when_the_program_does() {
        let mut schedule = Schedule::new(Duration::from_secs(1000));
        let first = schedule.next_tick();
        assert!(!schedule.sleep_until(first, || Ok(false)).unwrap());
        let second = schedule.next_tick();
        let mut looks = 0;
        let ended = schedule.sleep_until(second, || {
            looks += 1;
            Ok(looks == 2)
        });
        assert!(ended.unwrap());
    }
}
