//! What the tests of streams on a GPU share.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shmstream::cuda::Queue;
use shmstream::cuda::cudarc::driver::{CudaContext, CudaSlice};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, Name};

/// Elements of a frame.
pub(crate) const LEN: usize = 4096;

pub(crate) fn context() -> Arc<CudaContext> {
    CudaContext::new(0).expect("a context")
}

/// What the frame of this number holds.
pub(crate) fn value(frame: u64) -> i64 {
    i64::try_from(frame * 1000 + 7).expect("a small number")
}

pub(crate) fn frame_of(value: i64) -> Vec<i64> {
    vec![value; LEN]
}

/// Makes a buffer on the device.
pub(crate) fn empty(queue: &Arc<Queue>) -> CudaSlice<i64> {
    queue.alloc_zeros(LEN).expect("a buffer")
}

/// Makes a buffer on the device with a value everywhere.
pub(crate) fn fill(queue: &Arc<Queue>, value: i64) -> CudaSlice<i64> {
    queue.clone_htod(&frame_of(value)).expect("a buffer")
}

/// Starts a child that has a GPU.
pub(crate) fn child(driver: &Driver, role: &str, arguments: &[&dyn Display]) -> Child {
    child_with(driver, &[], role, arguments)
}

/// Starts a child that has a GPU, with settings of the stand-in.
pub(crate) fn child_with(
    driver: &Driver,
    settings: &[(&str, String)],
    role: &str,
    arguments: &[&dyn Display],
) -> Child {
    let mut command = Child::command(role, arguments);
    driver.apply(&mut command);
    command.envs(settings.iter().map(|(key, value)| (key, value)));
    Child::start(command)
}

/// The log of the stand-in's calls.
pub(crate) struct Log(PathBuf);

pub(crate) fn log_of(name: &Name) -> Log {
    let log = Log(std::env::temp_dir().join(format!("{name}.log")));
    log.clear();
    log
}

/// Adds a line to the log that the environment names.
pub(crate) fn mark(line: &str) {
    if let Some(path) = std::env::var_os("STANDIN_LOG") {
        let mut file = std::fs::File::options()
            .append(true)
            .open(path)
            .expect("the log");
        // In one piece, since other processes write too.
        let line = format!("{} {line}\n", std::process::id());
        file.write_all(line.as_bytes()).expect("write to the log");
    }
}

impl Log {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn clear(&self) {
        std::fs::write(&self.0, "").expect("clear the log");
    }

    /// Returns the names of the calls that processes made until each of them wrote a mark; those of
    /// processes that wrote none in full.
    pub(crate) fn calls_until(&self, mark: &str) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).expect("the log");
        let mut done = Vec::new();
        let mut calls = Vec::new();
        for line in text.lines() {
            let Some((process, rest)) = line.split_once(' ') else {
                continue;
            };
            if rest == mark {
                done.push(process);
            } else if !done.contains(&process) {
                assert!(!rest.starts_with("violation"), "{line}");
                calls.extend(rest.strip_prefix("call ").map(str::to_owned));
            }
        }
        calls
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
