//! Where, when and with what it was measured.

use std::fs::read_to_string;
use std::process::Command;

use serde::Serialize;

use crate::processes::Cores;
use crate::workloads::python::Versions;

/// The versions that the program was built with.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// What has to be known of a run to repeat it.
#[derive(Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: u32,
    pinned: [usize; 2],
    memory_gib: u64,
    linux: String,
    huge_pages: String,
    shared_huge_pages: String,
    date: String,
    command: String,
    versions: Vec<(String, String)>,
}

impl Machine {
    pub(crate) fn this(cores: Cores, python: Option<&Versions>) -> Self {
        Self {
            processor: processor(),
            cores: cores.count,
            pinned: [cores.here, cores.there],
            memory_gib: field("/proc/meminfo", "MemTotal")
                .split_whitespace()
                .next()
                .and_then(|kib| kib.parse::<u64>().ok())
                .map_or(0, |kib| kib >> 20),
            linux: line("/proc/sys/kernel/osrelease"),
            huge_pages: chosen("enabled"),
            shared_huge_pages: chosen("shmem_enabled"),
            date: output("date", &["-u", "+%F"]),
            command: command(),
            versions: versions(python),
        }
    }

    /// Says all of it in a few lines of Markdown.
    pub(crate) fn markdown(&self) -> String {
        let versions: Vec<_> = self
            .versions
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        format!(
            "Machine: {}, {} cores, {} GiB, Linux {}; transparent huge pages: {}, shared: {}.\n\
             Pinned: whoever is timed to core {}, the others to core {}.\n\
             Date: {}.\n\
             Command: `{}`.\n\
             Versions: {}.\n",
            self.processor,
            self.cores,
            self.memory_gib,
            self.linux,
            self.huge_pages,
            self.shared_huge_pages,
            self.pinned[0],
            self.pinned[1],
            self.date,
            self.command,
            versions.join(", ")
        )
    }

    /// Says the least of it in one line, for a plot.
    pub(crate) fn caption(&self) -> String {
        format!(
            "{}, {} cores, Linux {}, {}",
            self.processor, self.cores, self.linux, self.date
        )
    }
}

fn processor() -> String {
    let [model, family] = ["model name", "cpu family"].map(|name| field("/proc/cpuinfo", name));
    format!("{model} (family {family})")
}

/// Returns the value of the first line of the form `name : value`.
fn field(path: &str, name: &str) -> String {
    let text = read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    });
    value.unwrap_or_else(|| "unknown".to_owned())
}

fn line(path: &str) -> String {
    read_to_string(path).map_or_else(|_| "unknown".to_owned(), |line| line.trim().to_owned())
}

/// Returns the setting of transparent huge pages that is in brackets.
fn chosen(file: &str) -> String {
    let settings = line(&format!("/sys/kernel/mm/transparent_hugepage/{file}"));
    let chosen = settings
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or(settings.clone(), |(chosen, _)| chosen.to_owned())
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// Returns the command that repeats this run.
fn command() -> String {
    let mut command = "cargo run --release -p shmstream-benches".to_owned();
    if cfg!(feature = "peers") {
        command.push_str(" --features peers");
    }
    command.push_str(" --bin compare");
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if !arguments.is_empty() {
        command.push_str(" -- ");
        command.push_str(&arguments.join(" "));
    }
    command
}

fn versions(python: Option<&Versions>) -> Vec<(String, String)> {
    let mut versions = vec![("shmstream".to_owned(), locked("shmstream"))];
    if cfg!(feature = "peers") {
        for name in ["iceoryx2", "crossbar", "mmap-sync"] {
            versions.push((name.to_owned(), locked(name)));
        }
    }
    if let Some(python) = python {
        for (name, version) in [
            ("pyshmem", &python.pyshmem),
            ("NumPy", &python.numpy),
            ("Python", &python.python),
        ] {
            versions.push((name.to_owned(), version.clone()));
        }
    }
    for name in ["gemm", "tokio"] {
        versions.push((name.to_owned(), locked(name)));
    }
    let rustc = output("rustc", &["--version"]);
    let rustc = rustc.split_whitespace().nth(1).unwrap_or("unknown");
    versions.push(("rustc".to_owned(), rustc.to_owned()));
    versions
}

/// Returns the version of a package in the lock file.
fn locked(name: &str) -> String {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let version = LOCK
        .split_once(&entry)
        .and_then(|(_, rest)| rest.split_once('"'));
    version.map_or_else(|| "unknown".to_owned(), |(version, _)| version.to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_those_of_the_lock_file() {
        assert_eq!(super::locked("shmstream"), env!("CARGO_PKG_VERSION"));
        assert_eq!(super::locked("no-such-package"), "unknown");
    }
}
