//! What the program is asked for.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::sabotage::Sabotage;

/// Kills and restarts processes that use streams, and checks every frame and what is left.
///
/// Ends with exit code 0 if nothing failed, 1 if anything did, 130 if it was interrupted before.
#[derive(Debug, Parser)]
#[command(name = "soak", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long to kill and restart
    #[arg(long, default_value_t = 60, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// Replay the schedule of this seed; drawn and printed if not given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How often to kill, on average
    #[arg(long, default_value_t = 200, value_name = "PER SECOND",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// Write the result as JSON to the standard output instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the first events of the schedule and do nothing
    #[arg(long, value_name = "EVENTS")]
    pub(crate) schedule: Option<usize>,
    /// Have one process misbehave, to prove that it is noticed
    #[arg(long, hide = true)]
    pub(crate) sabotage: Option<Sabotage>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One of the processes that the soak starts
    #[command(hide = true)]
    Child(Child),
}

/// What a child is told.
#[derive(Debug, Args)]
pub(crate) struct Child {
    /// Its seat
    pub(crate) seat: usize,
    /// What its choices follow from
    pub(crate) seed: u64,
    /// The process that started it
    pub(crate) parent: i32,
    /// The directory of the run
    pub(crate) place: PathBuf,
    #[arg(long)]
    pub(crate) sabotage: Option<Sabotage>,
}
