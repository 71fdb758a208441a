//! What changes with the number of streams on the machine, and what a stream takes besides its frames.
//!
//! All of it happens in a child whose streams lie in a directory of their own.

use std::path::{Path, PathBuf};
use std::time::Instant;

use shmstream::Stream;

use super::exchange::nanoseconds;
use super::names::unique;
use crate::Outcome;
use crate::contender::Contender;
use crate::effort::Effort;
use crate::figures::{Fact, Figures, Workload};
use crate::interleave::Turns;
use crate::processes::{Child, serve};
use crate::shared::directory;
use crate::statistics::Round;

/// The role of the child.
pub(crate) const ROLE: &str = "grow";

const OPERATIONS: [(&str, Contender); 4] = [
    ("create", Contender::shmstream("shmstream, create")),
    ("open", Contender::shmstream("shmstream, open").shade(1)),
    ("stat", Contender::shmstream("shmstream, stat").shade(2)),
    ("list", Contender::shmstream("shmstream, list").shade(3)),
];
/// How often an operation is measured in one round.
const REPETITIONS: usize = 20;

/// A frame of a page, so that no payload is rounded up.
type Page = Stream<u8, 4096>;
const PAGE: u64 = 4096;

pub(crate) const OVERHEAD: &str = "beyond the payload";
pub(crate) const HANDLES: &str = "of an open stream";

/// Names a case.
pub(crate) fn case(streams: usize) -> String {
    match streams {
        1_000.. => format!("{},000 streams", streams / 1_000),
        _ => format!("{streams} streams"),
    }
}

/// Measures all numbers of streams, and what one takes.
pub(crate) fn growth(effort: Effort, figures: &mut Figures) {
    let places: Vec<_> = effort
        .populations
        .iter()
        .map(|streams| (*streams, Place::populated(*streams)))
        .collect();
    let mut turns = Turns::new(Workload::Growth);
    for (streams, place) in &places {
        for (operation, contender) in OPERATIONS {
            let measure = match place {
                Ok(place) => Ok(move |round: &mut Round| place.round(operation, round)),
                Err(error) => Err(error.to_string().into()),
            };
            turns.try_add(case(*streams), contender, measure);
        }
    }
    turns.run(effort.rounds, figures);
    if let Err(error) = one_stream(figures) {
        eprintln!("  what a stream takes: {error}");
    }
}

/// A directory with streams in it, and the process that made them.
struct Place {
    child: std::cell::RefCell<Child>,
    directory: PathBuf,
}

impl Place {
    fn populated(streams: usize) -> Outcome<Self> {
        let directory = directory().join(unique());
        std::fs::create_dir(&directory)?;
        let child = Child::role_in(&directory, &[ROLE, &streams.to_string()])?;
        let place = Self {
            child: child.into(),
            directory,
        };
        place.child.borrow_mut().hear()?;
        Ok(place)
    }

    fn round(&self, operation: &str, round: &mut Round) -> Outcome<()> {
        let answer = self.child.borrow_mut().ask(operation)?;
        let durations: Vec<f64> = serde_json::from_str(&answer)?;
        durations
            .iter()
            .for_each(|duration| round.record(*duration));
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The child, which was started with the directory as that of all streams.
pub(crate) fn grow(streams: usize) -> Outcome<()> {
    for number in 0..streams {
        Page::create(format!("stream-{number}"))?;
    }
    let mut next = 0;
    serve(|operation| {
        let durations: Vec<f64> = (0..REPETITIONS)
            .map(|_| {
                next += 1;
                // Spread over all of them.
                let name = format!("stream-{}", next * 7919 % streams);
                time(operation, &name)
            })
            .collect::<Outcome<_>>()?;
        Ok(serde_json::to_string(&durations)?)
    })
}

fn time(operation: &str, name: &str) -> Outcome<f64> {
    let start = Instant::now();
    let elapsed = match operation {
        "create" => {
            let stream = Page::create(format!("{name}-new"))?;
            let elapsed = start.elapsed();
            stream.unlink()?;
            elapsed
        }
        "open" => {
            let stream = Page::open(name)?;
            let elapsed = start.elapsed();
            drop(stream);
            elapsed
        }
        "stat" => {
            shmstream::stat(name)?;
            start.elapsed()
        }
        "list" => {
            shmstream::list()?;
            start.elapsed()
        }
        _ => return Err(format!("there is no operation {operation}").into()),
    };
    Ok(nanoseconds(elapsed))
}

/// Looks at what a stream takes, with all settings as they are.
fn one_stream(figures: &mut Figures) -> Outcome<()> {
    let before = descriptors()?;
    let stream = Page::builder(unique()).temporary().create()?;
    let descriptors = descriptors()? - before;
    let payload = PAGE * stream.slots() as u64;
    let size = allocated(&stream.path())?;
    let mut fact = |case: &str, value: u64, unit| {
        eprintln!("  {case}: {value} {unit}");
        figures.facts.push(Fact {
            workload: Workload::Growth,
            case: case.to_owned(),
            contender: "shmstream",
            #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
            value: value as f64,
            unit,
        });
    };
    fact(OVERHEAD, size - payload, "bytes of shared memory");
    fact(HANDLES, descriptors, "file descriptors");
    Ok(())
}

/// Returns how much memory a file takes.
fn allocated(path: &Path) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(path)?.blocks() * 512)
}

/// Counts the open files of this process.
fn descriptors() -> Outcome<u64> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count() as u64)
}
