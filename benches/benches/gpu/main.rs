//! Frames on a GPU: round trips, hand-overs between processes, a product through streams, bandwidth.
//!
//! `tests/gpu/run` runs it beside pyshmem. Without a GPU it says what is missing. Without `--bench` it
//! runs everything once with small frames, to see that it runs.

mod bandwidth;
mod hand_over;
mod peer;
mod product;
mod table;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use shmstream::gpu::availability;

use table::Table;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// How long a writer waits for a slot that is on its way back from a reader's queue.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much is measured.
#[derive(Clone, Copy)]
struct Scale {
    bench: bool,
}

impl Scale {
    /// Returns a dimension of a frame, made small where nothing is measured.
    const fn side(self, side: usize) -> usize {
        match self.bench {
            true => side,
            false => side.div_ceil(100),
        }
    }

    /// Returns how often something is done that moves so many bytes.
    const fn rounds(self, bytes: usize) -> usize {
        match (self.bench, bytes) {
            (false, _) => 3,
            (true, ..1_000_000) => 2000,
            (true, ..100_000_000) => 500,
            (true, _) => 50,
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let gpu = availability();
    if !gpu.is_ready() {
        println!("nothing is measured: {gpu}");
        // As a bench it is asked for, and as a test it is not.
        let asked = arguments.iter().any(|argument| argument == "--bench");
        return ExitCode::from(u8::from(asked) * 2);
    }
    if arguments.iter().any(|argument| argument == "--ask") {
        println!("{gpu}");
        return ExitCode::SUCCESS;
    }
    let outcome = match hand_over::role() {
        Some(role) => role.play(),
        None => measure(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpu: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &[String]) -> Outcome {
    let scale = Scale {
        bench: arguments.iter().any(|argument| argument == "--bench"),
    };
    println!("{}", availability());
    let mut table = Table::default();
    bandwidth::round_trips(scale, &mut table)?;
    hand_over::measure(scale, &mut table)?;
    product::measure(scale, &mut table)?;
    bandwidth::copies(scale, &mut table)?;
    match scale.bench {
        true => {
            peer::add(&mut table);
            table.print();
        }
        false => table.print_names(),
    }
    Ok(())
}

/// Returns how long a run of `operation` takes in seconds, in the middle of many.
fn median(rounds: usize, mut operation: impl FnMut() -> Outcome) -> Outcome<f64> {
    for _ in 0..rounds.div_ceil(10) {
        operation()?;
    }
    let mut times: Vec<Duration> = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        operation()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[rounds / 2].as_secs_f64())
}

/// Returns a name that no other run uses.
fn name(label: &str) -> String {
    format!("bench-gpu-{label}-{}", std::process::id())
}
