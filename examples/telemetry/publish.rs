//! The process that takes the samples.

use common::{Other, Result, Schedule, Stop};
use shmstream::Stream;

use crate::machine::Machine;
use crate::options::Options;
use crate::sample::Sample;

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
    let mut viewer = Other::start("viewer", ["--watch", &stream.name().to_string()])?;

    let mut schedule = Schedule::new(options.period);
    let samples = schedule.ticks_in(options.seconds);
    loop {
        let tick = schedule.next_tick();
        let ended = schedule.sleep_until(tick, || Ok(stop.asked() || viewer.has_ended(&stop)?))?;
        let last = ended || tick >= samples;
        let mut sample = machine.sample();
        sample.last = last.into();
        writer.write_with_id(tick, &[sample])?;
        if last {
            return viewer.wait(&stop);
        }
    }
}
