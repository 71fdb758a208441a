//! pyshmem with NumPy: a Python process that does what it is told by lines.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::processes::Child;
use crate::statistics::Round;

const PROGRAM: &str = include_str!("pyshmem.py");

/// A Python that has pyshmem and NumPy.
pub(crate) struct Python {
    program: PathBuf,
    core: usize,
    pub(crate) versions: Versions,
}

/// What the Python process says of itself.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Versions {
    pub(crate) python: String,
    pub(crate) numpy: String,
    pub(crate) pyshmem: String,
}

/// What a Python process is to do.
#[derive(Clone, Serialize)]
pub(crate) struct Order {
    workload: &'static str,
    side: usize,
    style: &'static str,
    name: String,
}

impl Order {
    pub(crate) fn new(workload: &'static str, side: usize, style: &'static str) -> Self {
        let name = super::names::unique();
        Self {
            workload,
            side,
            style,
            name,
        }
    }
}

impl Python {
    /// Looks whether a Python has what is needed, and on which processor it is to run.
    pub(crate) fn find(program: &Path, core: usize) -> Outcome<Self> {
        let mut child = start(program, core)?;
        Ok(Self {
            program: program.to_owned(),
            core,
            versions: serde_json::from_str(&child.hear()?)?,
        })
    }

    /// Sets up a process, and returns how a round of it is measured.
    pub(crate) fn subject(
        &self,
        order: Order,
        milliseconds: u64,
    ) -> Outcome<impl FnMut(&mut Round) -> Outcome<()> + use<>> {
        let mut child = start(&self.program, self.core)?;
        child.hear()?;
        child.ask(serde_json::to_string(&order)?)?;
        let child = Rc::new(RefCell::new(child));
        Ok(move |round: &mut Round| {
            let answer = child.borrow_mut().ask(milliseconds)?;
            let durations: Vec<f64> = serde_json::from_str(&answer)?;
            durations
                .iter()
                .for_each(|duration| round.record(*duration));
            Ok(())
        })
    }
}

fn start(program: &Path, core: usize) -> Outcome<Child> {
    let mut command = Command::new(program);
    command.args(["-c", PROGRAM, &core.to_string()]);
    // One thread, as everybody else.
    for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
        command.env(variable, "1");
    }
    Child::start(&mut command)
}
