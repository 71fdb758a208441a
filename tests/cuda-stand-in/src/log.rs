//! A file that tells a test which calls were made.
//!
//! One line each: `PID call NAME`, `PID waits NAME` when that call waits for a queue, `PID refused NAME
//! CODE`, `PID violation NAME` for a call from inside a host function, `PID lost` for a context that was
//! lost. Lines are appended whole, so all processes
//! of a test can share a file, and a test can add marks of its own.

use std::fmt::Arguments;
use std::fs::File;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::{config, malformed};
use crate::status::Status;

static VIOLATIONS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn call(name: &str) {
    line(format_args!("call {name}"));
}

pub(crate) fn wait(name: &str) {
    line(format_args!("waits {name}"));
}

pub(crate) fn refusal(name: &str, status: Status) {
    line(format_args!("refused {name} {}", status.0));
}

pub(crate) fn violation(name: &str) {
    VIOLATIONS.fetch_add(1, Ordering::Relaxed);
    line(format_args!("violation {name}"));
}

/// Returns how many violations this process made.
pub(crate) fn violations() -> u32 {
    VIOLATIONS.load(Ordering::Relaxed)
}

pub(crate) fn lost() {
    line(format_args!("lost"));
}

fn line(what: Arguments<'_>) {
    if let Some(mut file) = file() {
        let line = format!("{} {what}\n", std::process::id());
        // One call of the system, so that lines do not mix. A full disk is no matter of a driver.
        let _ = file.write_all(line.as_bytes());
    }
}

fn file() -> Option<&'static File> {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let open = || {
        let path = config().log.as_ref()?;
        let file = File::options().append(true).create(true).open(path);
        Some(file.unwrap_or_else(|_| malformed("STANDIN_LOG", &path.to_string_lossy())))
    };
    FILE.get_or_init(open).as_ref()
}
