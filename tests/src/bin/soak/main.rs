//! The soak: processes that write, read and wait, killed at random, and every frame checked.
//!
//! ```text
//! cargo run --release -p shmstream-tests --bin soak -- --seconds 300 --seed 42
//! ```
//!
//! The supervisor starts one process for each seat of `plan`, kills and restarts them as `schedule`
//! says, which follows from the seed alone, and watches that none of them hangs. The processes check
//! what they read, and count on the `board`, a page that all of them map. At the end nothing may be
//! left: `leaks` takes every slot, every row and the lock, and looks at the files; `usage` compares
//! the descriptors, mappings and memory of the processes that lived through all of it.
//!
//! What the seed decides: who is killed when, in which order and together with whom, how long the seat
//! stays empty, and what the next process in it will choose to do. What it does not decide: where in
//! its code a process is when the kill reaches it, how long the kernel takes to take it down (nobody
//! takes its seat before), which processes run when, and so what each finds.

mod account;
mod board;
mod cli;
mod control;
mod failures;
mod fleet;
mod follow;
mod frame;
mod leaks;
mod life;
mod make;
mod observe;
mod order;
mod place;
mod plan;
mod read;
mod report;
mod resident;
mod sabotage;
mod saboteur;
mod schedule;
mod supervise;
mod table;
mod tasks;
mod units;
mod usage;
mod watch;
mod write;

use std::process::ExitCode;

use clap::Parser;

use cli::{Arguments, Command};

fn main() -> ExitCode {
    let Arguments { command, options } = Arguments::parse();
    match command {
        Some(Command::Child(child)) => life::live(&child),
        None => supervise::run(&options),
    }
}
