//! The process that takes the commands, and measures.

use std::io::{self, Write};
use std::time::Duration;

use common::{Durations, Result, Stop, Writer, bytes_text, duration_text, writer};
use shmstream::FrameInfo;

use crate::histogram::histogram;
use crate::payload::{ACTUATORS, Command, SLOPES, gain, wavefront};
use crate::streams::{PATIENCE, Streams, remove};

pub(crate) fn mirror(base: &str) -> Result<()> {
    let stop = Stop::on_signals()?;
    let streams = Streams::open(base)?;
    let mut report = Report::default();
    let mut end = Writer::Done;
    while !stop.asked() {
        let Some(command) = streams.commands.wait_timeout(PATIENCE)? else {
            match writer(&streams.commands.status()?, report.seen) {
                Writer::Writing => continue,
                other => end = other,
            }
            break;
        };
        let info = command.info();
        report.add(&command[0], info, info.age());
    }
    report.print()?;
    if end == Writer::Dead {
        remove(base)?;
        return Err("the controller died; the streams are unlinked".into());
    }
    Ok(())
}

/// What is known of the commands.
#[derive(Default)]
struct Report {
    /// The count of the last one.
    seen: u64,
    /// The number of the first, and of the last, which are ticks of the sensor.
    first: u64,
    last: u64,
    received: u64,
    missed_here: u64,
    missed_by_controller: u64,
    /// How often the controller had another matrix than before.
    matrix: u64,
    changes: u64,
    /// How far a command was from the right one, at the most.
    error: f32,
    /// From the publication of the slopes to the controller, for the product, from there to here,
    /// and all in all.
    stages: [Durations; 4],
}

impl Report {
    fn add(&mut self, command: &Command, info: FrameInfo, age: Duration) {
        if self.received == 0 {
            self.first = info.frame_id;
        }
        self.seen = info.count;
        self.last = info.frame_id;
        self.received += 1;
        self.missed_here += info.missed;
        self.missed_by_controller = command.missed;
        if command.matrix != self.matrix {
            self.changes += u64::from(self.matrix != 0);
            self.matrix = command.matrix;
        }

        let between = |from: u64, to: u64| Duration::from_nanos(to.saturating_sub(from));
        let wake = between(command.sensed_ns, command.taken_ns);
        let product = between(command.taken_ns, info.monotonic_ns);
        for (stage, took) in self
            .stages
            .iter_mut()
            .zip([wake, product, age, wake + product + age])
        {
            stage.extend([took]);
        }

        let gain = gain(command.matrix);
        let errors = command.actuators.iter().zip(wavefront(info.frame_id));
        let error = errors.map(|(actuator, wave)| (actuator - gain * wave).abs());
        self.error = error.fold(self.error, f32::max);
    }

    fn print(&mut self) -> Result<()> {
        let mut out = io::stdout();
        if self.received == 0 {
            writeln!(out, "no commands came")?;
            return Ok(());
        }
        let ticks = self.last - self.first + 1;
        let made = self.received + self.missed_here;
        let sensed = made + self.missed_by_controller;
        writeln!(
            out,
            "{ticks} ticks, {} skipped by the sensor; {} frames of slopes missed by the controller; \
             {} commands received, {} missed by the mirror",
            ticks.saturating_sub(sensed),
            self.missed_by_controller,
            self.received,
            self.missed_here,
        )?;
        writeln!(
            out,
            "{} new matrices taken up on the way; commands are right to {:.0e}",
            self.changes, self.error,
        )?;
        writeln!(out)?;
        self.print_stages(&mut out)?;
        writeln!(out)?;
        writeln!(out, "slopes published to command received:")?;
        for line in histogram(self.stages[3].sorted()) {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    fn print_stages(&mut self, out: &mut impl Write) -> Result<()> {
        const NAMES: [&str; 4] = [
            "slopes reach the controller",
            "product of matrix and slopes",
            "command reaches the mirror",
            "all in all",
        ];
        let [p50, p99, p999, max] = ["p50", "p99", "p99.9", "max"];
        writeln!(out, "{:<30}{p50:>9}{p99:>9}{p999:>9}{max:>9}", "")?;
        for (name, stage) in NAMES.into_iter().zip(&mut self.stages) {
            let Some(figures) = stage.permille([500, 990, 999, 1000]) else {
                continue;
            };
            let [p50, p99, p999, max] = figures.map(duration_text);
            writeln!(out, "{name:<30}{p50:>9}{p99:>9}{p999:>9}{max:>9}")?;
        }
        if let Some([median]) = self.stages[1].permille([500]) {
            let bytes = size_of::<[[f32; SLOPES]; ACTUATORS]>() as f64;
            let rate = bytes_text(bytes / median.as_secs_f64());
            writeln!(out, "the product reads its matrix at {rate}/s")?;
        }
        Ok(())
    }
}
