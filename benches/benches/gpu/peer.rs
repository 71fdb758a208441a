//! The same with pyshmem and PyTorch, where Python has them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::table::Table;

const PROGRAM: &str = "pyshmem_gpu.py";

/// Finds the program beside this one, where both were packed for another machine, or where it was built.
fn program() -> PathBuf {
    let beside = std::env::current_exe().map(|path| path.with_file_name(PROGRAM));
    match beside {
        Ok(beside) if beside.exists() => beside,
        _ => Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("benches/gpu")
            .join(PROGRAM),
    }
}

/// Adds what pyshmem takes to the rows that it has.
pub(crate) fn add(table: &mut Table) {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| String::from("python3"));
    let mut command = Command::new(&python);
    command.arg(program()).stderr(Stdio::inherit());
    let printed = match command.output() {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => {
            return println!(
                "pyshmem is not measured: {python} ended with {}",
                output.status
            );
        }
        Err(error) => return println!("pyshmem is not measured: {python}: {error}"),
    };
    let text = String::from_utf8_lossy(&printed);
    let times: HashMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.rsplit_once(": "))
        .filter_map(|(what, seconds)| Some((what, seconds.parse().ok()?)))
        .collect();
    for row in &mut table.rows {
        // Both hand-overs of a size are compared with the one that it has.
        let named = times
            .iter()
            .find(|(what, _)| row.what == **what || row.what.starts_with(&format!("{what},")));
        row.peer = named.map(|(_, seconds)| *seconds);
    }
}
