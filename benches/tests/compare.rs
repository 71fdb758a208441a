//! That the comparison runs to its end, children and all, and leaves nothing behind.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory that is gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(parent: &Path, name: &str) -> Self {
        let path = parent.join(format!("compare-test-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("the directory");
        entries
            .map(|entry| entry.expect("an entry").file_name().display().to_string())
            .collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn figure<'a>(results: &'a serde_json::Value, contender: &str) -> &'a serde_json::Value {
    let figures = results["figures"].as_array().expect("a list of figures");
    let found = figures
        .iter()
        .find(|figure| figure["contender"]["name"] == contender);
    found.unwrap_or_else(|| panic!("no figure of {contender}: {results:#}"))
}

#[test]
fn a_quick_run_writes_its_results_and_leaves_nothing_behind() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        eprintln!("skipped: two processors are needed");
        return;
    }
    let streams = Directory::new(Path::new("/dev/shm"), "streams");
    let out = Directory::new(&std::env::temp_dir(), "out");
    let output = Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(["--quick", "--only", "wake,growth", "--out"])
        .arg(&out.0)
        .env("SHMSTREAM_DIR", &streams.0)
        .output()
        .expect("a program that starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(streams.files(), [""; 0], "left behind; {errors}");

    let json = std::fs::read(out.0.join("compare.json")).expect("results");
    let results: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    for contender in ["bare futex", "shmstream, wait", "shmstream, open"] {
        let figure = figure(&results, contender);
        let median = figure["nanoseconds"]["p50"].as_f64().expect("a number");
        assert!(median > 0.0, "{figure}");
    }
    let targets = results["targets"].as_array().expect("a list of targets");
    assert!(!targets.is_empty(), "{results:#}");
    let files = out.files();
    for file in ["compare.md", "wake.svg", "growth.svg", "targets.svg"] {
        assert!(
            files.iter().any(|found| found == file),
            "{file} in {files:?}"
        );
    }
}
