//! The soak in short, and proof that it notices what goes wrong.
//!
//! The program is `tests/src/bin/soak`; run it for longer by itself.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use shmstream_tests::eventually;

fn soak(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soak"));
    command.args(arguments);
    command
}

/// Runs the soak to its end.
fn run(arguments: &[&str]) -> (Output, Value) {
    let output = soak(arguments).arg("--json").output().expect("run it");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("no report, {error}: {}\n{said}", output.status)
    });
    (output, report)
}

fn number(report: &Value, path: &str) -> u64 {
    let value = report.pointer(path).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("no number {path} in {report:#}"))
}

#[test]
fn nothing_fails_in_ten_seconds() {
    let (output, report) = run(&["--seconds", "10"]);
    let failures = report["failures"].as_object().expect("failures");
    let all_zero = failures.values().all(|count| count.as_u64() == Some(0));
    assert!(all_zero && output.status.success(), "{report:#}");
    assert_eq!(report["ok"], true);
    for path in [
        "/kills",
        "/written",
        "/read",
        "/checked_bytes",
        "/created",
        "/control/beats",
    ] {
        assert!(number(&report, path) > 0, "{path} in {report:#}");
    }
    for role in report["roles"].as_array().expect("roles") {
        let work = number(role, "/written") + number(role, "/read");
        assert!(work > 0, "{role:#}");
        let resident = role["role"] == "resident";
        assert!(resident || number(role, "/kills") > 0, "{role:#}");
    }
}

/// Has one process misbehave, and expects this kind of failure.
fn notices(sabotage: &str, failure: &str) {
    let (output, report) = run(&["--seconds", "1", "--sabotage", sabotage]);
    assert_eq!(output.status.code(), Some(1), "{sabotage}: {report:#}");
    assert_eq!(report["ok"], false);
    let path = format!("/failures/{failure}");
    assert!(number(&report, &path) > 0, "{sabotage}: {report:#}");
    let told = report["told"].as_array().expect("words");
    // The frames of others who read them may come first.
    assert!(!told.is_empty(), "{sabotage}: {report:#}");
}

#[test]
fn wrong_frames_are_noticed() {
    notices("torn", "torn");
    notices("count", "content");
    notices("lost", "lost");
}

#[test]
fn wrong_accounts_are_noticed() {
    notices("order", "order");
    notices("missed", "missed");
}

#[test]
fn hangs_and_crashes_are_noticed() {
    notices("hang", "hang");
    notices("crash", "crash");
}

#[test]
fn what_is_left_in_streams_is_noticed() {
    notices("slot", "slot");
    notices("row", "row");
    notices("lock", "lock");
    notices("file", "file");
}

#[test]
fn what_a_process_keeps_is_noticed() {
    notices("descriptor", "descriptor");
    notices("mapping", "mapping");
    notices("thread", "thread");
    notices("memory", "memory");
}

#[test]
fn a_seed_replays_the_schedule() {
    let schedule = |seed| {
        let output = soak(&["--schedule", "300", "--seed", seed]).output();
        output.expect("run it").stdout
    };
    let (once, again, another) = (schedule("7"), schedule("7"), schedule("8"));
    assert_eq!(once.split(|&byte| byte == b'\n').count(), 301);
    assert_eq!(once, again);
    assert_ne!(once, another);
}

/// A soak that runs until it is told otherwise, and its directory.
fn endless() -> (Child, PathBuf) {
    let mut command = soak(&["--seconds", "3600", "--json"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.expect("start it");
    let place = PathBuf::from(format!("/dev/shm/soak-{}", child.id()));
    eventually("it has children", || !children(&place).is_empty());
    (child, place)
}

/// Returns the processes that were started for a run.
fn children(place: &Path) -> Vec<u32> {
    let place = place.to_str().expect("plain");
    let processes = std::fs::read_dir("/proc").expect("look at the processes");
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0)
            .any(|word| word == place.as_bytes())
    })
    .collect()
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).expect("a pid");
    kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("it is there");
}

#[test]
fn ctrl_c_ends_it_and_leaves_nothing() {
    let (mut child, place) = endless();
    signal(&child, Signal::INT);
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(130), "nothing failed until then");
    assert!(!place.exists());
    assert!(children(&place).is_empty());
}

#[test]
fn its_children_die_with_it() {
    let (mut child, place) = endless();
    signal(&child, Signal::KILL);
    let status = child.wait().expect("it ends");
    assert_eq!(status.signal(), Some(9));
    eventually("its children end", || children(&place).is_empty());
    std::fs::remove_dir_all(&place).expect("remove what it left");
}
