//! A control loop of three processes, in the style of adaptive optics.
//!
//! A sensor publishes the slopes of a wavefront at a fixed rate, a controller multiplies them with a
//! matrix, and a mirror takes the commands that come out. Slopes, matrix and commands are streams of
//! their own, and nothing is copied from one process to another: the sensor computes the slopes in a
//! slot on loan, the controller reads slopes and matrix in place and computes the commands in a slot
//! on loan. Now and then a new matrix is published; the controller goes on with it from the next
//! frame.
//!
//! A command has the frame number of the slopes that it comes from, and the times since their
//! publication. In the end the mirror tells how long the loop takes, and where the time goes.
//!
//! ```sh
//! cargo run --release --example control_loop
//! cargo run --release --example control_loop -- --rate 500 --seconds 20
//! ```
//!
//! See `control_loop --help` for more. For latencies without outliers, a machine needs a processor for
//! each process, and processes with real-time priority.

mod controller;
mod histogram;
mod mirror;
mod options;
mod payload;
mod product;
mod sensor;
mod streams;

use std::process::ExitCode;

use clap::Parser;

use crate::options::{Options, Role};

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match options.role {
        Role::Sensor => sensor::sense(&options),
        Role::Controller => controller::control(&options.base),
        Role::Mirror => mirror::mirror(&options.base),
    };
    common::report("control_loop", result)
}
