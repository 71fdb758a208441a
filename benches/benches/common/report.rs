//! The table that says how far the figures are from what the machine allows.

use std::fmt;
use std::process::Command;

use super::interleave::{median, ratio};

/// What a figure should be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// Less than so many nanoseconds, on a 2.8 GHz Xeon.
    Below(f64),
    /// At most so many times the floor.
    Times(f64),
    /// Nothing was promised.
    Open,
}

/// One line of the table.
pub(crate) struct Row {
    figure: String,
    nanoseconds: f64,
    floor: String,
    floor_nanoseconds: f64,
    ratio: f64,
    target: Target,
}

impl Row {
    /// Compares two series of results that were measured in turns.
    pub(crate) fn new(
        (figure, measured): (impl Into<String>, &[f64]),
        (floor, measured_floor): (impl Into<String>, &[f64]),
        target: Target,
    ) -> Self {
        Self {
            figure: figure.into(),
            nanoseconds: median(measured),
            floor: floor.into(),
            floor_nanoseconds: median(measured_floor),
            ratio: ratio(measured, measured_floor),
            target,
        }
    }
}

/// A time with the unit that suits it.
struct Time(f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ..1e3 => write!(f, "{:.1} ns", self.0),
            ..1e6 => write!(f, "{:.1} µs", self.0 / 1e3),
            _ => write!(f, "{:.2} ms", self.0 / 1e6),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (figure, floor) = (Time(self.nanoseconds), Time(self.floor_nanoseconds));
        write!(
            f,
            "| {} | {figure} | {} | {floor} | {:.2} ",
            self.figure, self.floor, self.ratio
        )?;
        let met = |met| if met { "yes" } else { "no" };
        match self.target {
            Target::Below(most) => {
                write!(
                    f,
                    "| below {} on a 2.8 GHz Xeon | {} |",
                    Time(most),
                    met(self.nanoseconds < most)
                )
            }
            Target::Times(most) => {
                write!(
                    f,
                    "| ratio at most {most:.2} | {} |",
                    met(self.ratio <= most)
                )
            }
            Target::Open => f.write_str("| – | – |"),
        }
    }
}

/// Prints the machine, the date, the command and the table.
pub(crate) fn print(rows: &[Row]) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "Machine: {}, {cores} cores, Linux {}.",
        processor(),
        kernel()
    );
    println!("Date: {}.", today());
    println!("Command: `cargo bench -p shmstream-benches --bench ratios`.");
    println!("Times are medians of interleaved rounds; a ratio is the median of the ratios within");
    println!("the rounds.\n");
    println!("| figure | measured | floor | measured | ratio | target | met |");
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        println!("{row}");
    }
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    model
        .map_or("unknown processor", |line| {
            line.trim_start_matches([' ', '\t', ':'])
        })
        .to_owned()
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or("of unknown release".to_owned(), |release| {
        release.trim().to_owned()
    })
}

fn today() -> String {
    let date = Command::new("date").args(["-u", "+%F"]).output();
    date.map_or("unknown".to_owned(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}
