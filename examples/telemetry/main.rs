//! Telemetry of this machine over a shared-memory stream.
//!
//! The first process takes samples from `/proc` at a fixed rate and publishes them; it starts a
//! second one that waits for frames and shows them. See `telemetry --help` for the options, and
//! start another viewer with `--watch` and the name that the first line of the output gives.
//!
//! ```sh
//! cargo run --release --example telemetry
//! ```

mod display;
mod machine;
mod options;
mod publish;
mod sample;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.watch {
        Some(name) => watch::watch(name),
        None => publish::publish(&options),
    };
    common::report("telemetry", result)
}
