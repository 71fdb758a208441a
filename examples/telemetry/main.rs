//! Telemetry of this machine over a shared-memory stream.
//!
//! The first process takes samples from `/proc` at a fixed rate and publishes them; it starts a
//! second one that waits for frames and shows them. See `telemetry --help` for the options, and
//! start another viewer with `--watch` and the name that the first line of the output gives.

mod display;
mod machine;
mod options;
mod publish;
mod sample;
mod statistics;
mod watch;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::options::{Command, USAGE};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let result = match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            print!("{USAGE}");
            Ok(())
        }
        Ok(Command::Publish(options)) => publish::publish(&options),
        Ok(Command::Watch(name)) => watch::watch(&name),
        Err(mistake) => {
            eprintln!("telemetry: {mistake}; see `telemetry --help`");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("telemetry: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

/// Becomes true when somebody asks the program to end, with Ctrl-C for instance.
#[derive(Clone)]
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn on_signals() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        Ok(Self(stop))
    }

    fn asked(&self) -> bool {
        // Relaxed: nothing else is passed on with the flag.
        self.0.load(Ordering::Relaxed)
    }
}
