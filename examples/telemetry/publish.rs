//! The process that takes the samples.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shmstream::{Stream, StreamName};

use crate::machine::Machine;
use crate::options::Options;
use crate::sample::Sample;
use crate::{Result, Stop};

/// The longest sleep without a look at the signals and the viewer.
const LOOK_UP: Duration = Duration::from_millis(50);
/// How long a viewer may take to end after Ctrl-C.
const GRACE: Duration = Duration::from_secs(2);

pub(crate) fn publish(options: &Options) -> Result<()> {
    let stop = Stop::on_signals()?;
    let mut machine = Machine::new(&options.proc);
    // Reports what this machine does not have before the viewer begins its table.
    let known = machine.sample().known;
    if ![known.cpu, known.memory, known.network, known.load].contains(&true.into()) {
        return Err(format!("there is nothing to show in {}", options.proc.display()).into());
    }

    // Temporary: unlinked when `stream` goes, also by way of a `?`.
    let name = format!("telemetry-{}", std::process::id());
    let stream = Stream::<Sample, 1>::builder(name).temporary().create()?;
    // Held for as long as there is something to come: no write has to take it, and a viewer that
    // gets it knows that this process is gone.
    let writer = stream.lock()?;
    let mut viewer = Viewer::start(stream.name())?;

    let mut schedule = Schedule::new(options.period);
    let samples = schedule.ticks_in(options.duration);
    loop {
        let tick = schedule.next();
        let ended = wait(&schedule, tick, &stop, &mut viewer)?;
        let last = ended || tick >= samples;
        let mut sample = machine.sample();
        sample.last = last.into();
        writer.write_with_id(tick, &[sample])?;
        if last {
            return viewer.wait(&stop);
        }
    }
}

/// Sleeps until a tick, or returns `true` when the program is to end before.
fn wait(schedule: &Schedule, tick: u64, stop: &Stop, viewer: &mut Viewer) -> Result<bool> {
    loop {
        if stop.asked() || viewer.has_ended(stop)? {
            return Ok(true);
        }
        match schedule.until(tick) {
            Some(pause) => std::thread::sleep(pause.min(LOOK_UP)),
            None => return Ok(false),
        }
    }
}

/// Moments at a fixed distance from the first, whatever the time between them is spent on.
struct Schedule {
    start: Instant,
    period_ns: u64,
    tick: u64,
}

impl Schedule {
    fn new(period: Duration) -> Self {
        Self {
            start: Instant::now(),
            period_ns: nanoseconds(period),
            tick: 0,
        }
    }

    /// Returns how many ticks lie in a duration, at least one.
    fn ticks_in(&self, duration: Duration) -> u64 {
        nanoseconds(duration).div_ceil(self.period_ns)
    }

    /// Returns the next tick; the first is 1 and comes at once. Those that are over are skipped.
    fn next(&mut self) -> u64 {
        let over = nanoseconds(self.start.elapsed()) / self.period_ns;
        self.tick = over.max(self.tick) + 1;
        self.tick
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

/// The viewer that this process has started, ended and reaped at the latest when dropped.
struct Viewer(Child);

impl Viewer {
    fn start(stream: &StreamName) -> Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .arg("--watch")
            .arg(stream.to_string())
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start the viewer: {error}"))?;
        Ok(Self(child))
    }

    /// Says whether the viewer has ended in order, and fails if it ended otherwise.
    fn has_ended(&mut self, stop: &Stop) -> Result<bool> {
        let Some(status) = self.0.try_wait()? else {
            return Ok(false);
        };
        // Ctrl-C reaches both processes, and this one may not have been ready for it yet.
        if status.success() || (status.signal().is_some() && stop.asked()) {
            return Ok(true);
        }
        Err(format!("the viewer (process {}) ended with {status}", self.0.id()).into())
    }

    /// Waits for the viewer to end.
    ///
    /// That can take long, when it writes into a pager for instance; so only Ctrl-C ends this early.
    fn wait(mut self, stop: &Stop) -> Result<()> {
        let mut asked = None;
        while !self.has_ended(stop)? {
            if stop.asked() && asked.get_or_insert_with(Instant::now).elapsed() > GRACE {
                return Err("the viewer did not end".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        // Both do nothing when it has ended and was reaped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_keep_their_distance_and_skip_what_is_over() {
        let period = Duration::from_millis(100);
        let mut schedule = Schedule::new(period);
        assert_eq!(schedule.ticks_in(Duration::from_secs(1)), 10);
        assert_eq!(schedule.ticks_in(Duration::from_nanos(1)), 1);
        assert_eq!(schedule.next(), 1);
        assert_eq!(schedule.until(1), None);
        schedule.start -= period * 7 + period / 2;
        assert_eq!((schedule.next(), schedule.until(8)), (8, None));
        assert_eq!(schedule.next(), 9);
        assert!(schedule.until(9).is_some_and(|left| left <= period / 2));
    }
}
