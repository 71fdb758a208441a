//! The comparison with other libraries, and with what the machine itself needs.
//!
//! One run measures all contenders in turns and writes a table, the figures and plots. See the README
//! of this package.

mod contender;
mod effort;
mod figures;
mod interleave;
mod machine;
mod plots;
mod processes;
mod report;
mod shared;
mod sizes;
mod statistics;
mod targets;
mod text;
mod transports;
mod workloads;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

use effort::Effort;
use figures::{Figures, Workload};
use machine::Machine;
use processes::Cores;
use transports::Kind;
use workloads::python::Python;
use workloads::{exchange, fan_out, growth, idle, paced, product, round_trip};

/// Nothing here recovers: an error is reported and ends the process, or leaves a contender out.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Compares shmstream with other libraries on this machine.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// A minute instead of ten, and rough figures.
    #[arg(long)]
    quick: bool,
    /// Only these workloads.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Workload>,
    /// Where the results go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    out: PathBuf,
    /// Write the table of targets into `shmstream/docs/performance.md`, too.
    #[arg(long)]
    publish: bool,
    /// A Python that has pyshmem and NumPy.
    ///
    /// Unless given, that of the virtual environment `benches/.venv`, or `python3`.
    #[arg(long)]
    python: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What children do.
#[derive(Subcommand)]
#[command(hide = true)]
enum Role {
    Answer {
        kind: Kind,
        name: String,
        len: usize,
    },
    Publish {
        kind: Kind,
        name: String,
    },
    Read {
        kind: Kind,
        name: String,
        most: usize,
    },
    Wait {
        kind: Kind,
        name: String,
    },
    Grow {
        streams: usize,
    },
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let Some(role) = arguments.role else {
        let cores = Cores::choose()?;
        processes::pin(cores.here)?;
        return compare(&arguments, cores);
    };
    processes::begin()?;
    match role {
        Role::Answer { kind, name, len } => exchange::answer(kind, &name, len),
        Role::Publish { kind, name } => paced::publish(kind, &name),
        Role::Read { kind, name, most } => fan_out::read(kind, &name, most),
        Role::Wait { kind, name } => idle::wait(kind, &name),
        Role::Grow { streams } => growth::grow(streams),
    }
}

fn compare(arguments: &Arguments, cores: Cores) -> Outcome<()> {
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let python = find_python(arguments, cores);
    let mut figures = Figures::default();
    for workload in Workload::value_variants() {
        if arguments.only.is_empty() || arguments.only.contains(workload) {
            eprintln!("{workload:?}");
            measure(*workload, effort, python.as_ref(), &mut figures);
        }
    }
    let machine = Machine::this(cores, python.as_ref().map(|python| &python.versions));
    report::write_all(&arguments.out, arguments.quick, &machine, &figures)?;
    if arguments.publish {
        let page = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../shmstream/docs/performance.md"
        );
        report::publish(Path::new(page), arguments.quick, &machine, &figures)?;
    }
    Ok(())
}

fn measure(workload: Workload, effort: Effort, python: Option<&Python>, figures: &mut Figures) {
    match workload {
        Workload::RoundTrip => round_trip::round_trip(effort, python, figures),
        Workload::Latency => exchange::latency(effort, figures),
        Workload::Wake => exchange::wake(effort, figures),
        Workload::Task => exchange::task(effort, figures),
        Workload::Paced => paced::paced(effort, figures),
        Workload::FanOut => fan_out::fan_out(effort, figures),
        Workload::Product => product::product(effort, python, figures),
        Workload::Growth => growth::growth(effort, figures),
        Workload::Idle => idle::idle(effort, figures),
    }
}

/// Looks for a Python that can take part; without one, pyshmem is left out.
fn find_python(arguments: &Arguments, cores: Cores) -> Option<Python> {
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let program = match &arguments.python {
        Some(program) => program.clone(),
        None if environment.exists() => environment,
        None => "python3".into(),
    };
    match Python::find(&program, cores.here) {
        Ok(python) => Some(python),
        Err(error) => {
            eprintln!("pyshmem left out: {}: {error}", program.display());
            None
        }
    }
}
