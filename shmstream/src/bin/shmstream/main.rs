//! `shmstream`: looks into streams from a shell.
//!
//! `cli` is the command line, a file for each command does what it asks for, and `failure` says how
//! the program ends. `value` decodes frames by their schema.

mod cli;
#[cfg(test)]
mod damaged;
mod doctor;
mod dump;
mod failure;
mod header;
mod info;
mod list;
mod manifest;
mod output;
mod process;
mod remove;
mod style;
mod survey;
mod table;
mod units;
mod value;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};
use failure::{Exit, Failure};
use output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.color {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    let mut out = Output::new();
    let result = run(&cli.command, &mut out);
    // What was found before a failure is worth reading.
    let flushed = out.flush().map_err(Failure::from);
    match result.and(flushed) {
        Ok(()) => Exit::Done.into(),
        Err(failure) if failure.is_closed_pipe() => Exit::Done.into(),
        Err(failure) => {
            let text = failure.to_string();
            // Empty for what has been said already.
            if !text.is_empty() {
                output::complain(text);
            }
            failure.exit().into()
        }
    }
}

fn run(command: &Command, out: &mut Output) -> Result<(), Failure> {
    match command {
        Command::List(options) => list::run(options, out),
        Command::Info(options) => info::run(options, out),
        Command::Watch(options) => watch::run(options, out),
        Command::Dump(options) => dump::run(options, out),
        Command::Unlink(options) => remove::unlink(options, out),
        Command::Purge(options) => remove::purge(*options, out),
        Command::Apply(options) => manifest::apply(options, out),
        Command::Check(options) => manifest::check(options, out),
        Command::Doctor(json) => doctor::run(*json, out),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "shmstream", &mut script);
            Ok(out.write_all(&script)?)
        }
    }
}
