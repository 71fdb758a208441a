//! Streams that cannot be looked into: each reason has its exit code and its words.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::geteuid;
use shmstream::Stream;

use crate::support::{Dir, Name, Run, skip, tool};

/// Commands that look into one stream.
const LOOKS: [&[&str]; 3] = [&["info"], &["dump"], &["watch", "-n", "1"]];

#[track_caller]
fn refused(name: &str, code: i32, words: &str) {
    for look in LOOKS {
        Run::new(&[look, &[name]].concat()).complains(code, words);
    }
}

/// Overwrites a few bytes of a stream's file.
fn scribble(name: &Name, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(name.path()).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

#[test]
fn absent() {
    let name = Name::new("absent");
    refused(&name.0, 3, "does not exist in /dev/shm");
    for arguments in [
        &["info", ""][..],
        &["info"],
        &["dump", "a", "--format", "xml"],
    ] {
        Run::new(arguments).exits(2);
    }
}

#[test]
fn foreign() {
    let name = Name::new("foreign");
    fs::write(name.path(), "hello").unwrap();
    refused(&name.0, 4, "not a stream");
    fs::remove_file(name.path()).unwrap();
    fs::create_dir(name.path()).unwrap();
    refused(&name.0, 4, "directory");
    fs::remove_dir(name.path()).unwrap();
    symlink("/etc/passwd", name.path()).unwrap();
    refused(&name.0, 4, "symbolic link");
}

#[test]
fn damaged() {
    let name = Name::new("damaged");
    let stream = Stream::<f32, 4>::create(&name).unwrap();
    stream.write(&[1.0; 4]).unwrap();
    scribble(&name, 64, &[9]);
    refused(&name.0, 5, "damaged");
    let list = Run::new(&["list", "--json"]).exits(0).json();
    let list = list.as_array().unwrap();
    let found = list.iter().find(|entry| entry["name"] == name.0).unwrap();
    assert_eq!(found["state"], "damaged");
    assert!(found["error"].as_str().unwrap().contains("checksum"));
    // A file that is too short for what it says. Nobody may have it mapped.
    drop(stream);
    fs::write(name.path(), b"SHMSTRM\n").unwrap();
    refused(&name.0, 5, "damaged");
}

#[test]
fn damaged_in_the_latest_word() {
    let name = Name::new("latest");
    let stream = Stream::<f32, 4>::create(&name).unwrap();
    stream.write(&[1.0; 4]).unwrap();
    // The first word of the control block: frame 7 in slot 3, which does not hold it.
    scribble(&name, 4096, &(7_u64 << 6 | 3).to_ne_bytes());
    refused(&name.0, 5, "the latest word holds 0x1c3");
    let list = Run::new(&["list", "--json"]).exits(0).json();
    let list = list.as_array().unwrap();
    let found = list.iter().find(|entry| entry["name"] == name.0).unwrap();
    assert_eq!(found["state"], "damaged");
}

#[test]
fn of_another_version() {
    let name = Name::new("version");
    let _stream = Stream::<f32, 4>::create(&name).unwrap();
    scribble(&name, 12, &999_u32.to_ne_bytes());
    refused(&name.0, 6, "format version 999");
    let list = Run::new(&["list"]).exits(0).out();
    let line = list.lines().find(|line| line.contains(&name.0)).unwrap();
    assert!(line.contains("other version"), "{line}");
}

const NOBODY: u32 = 65_534;

/// Runs the program as a user who owns nothing here; `None` where that is not possible.
fn as_nobody(mut command: Command) -> Option<Run> {
    if !geteuid().is_root() {
        return None;
    }
    let output = command.uid(NOBODY).gid(NOBODY).output().ok()?;
    Some(Run(output))
}

#[test]
fn of_another_user() {
    if as_nobody(tool(&["--version"])).is_none() {
        return skip(
            "of_another_user",
            "needs root, and a target directory that others can read",
        );
    }
    let look = |arguments: &[&str]| as_nobody(tool(arguments)).unwrap();

    let closed = Name::new("closed");
    let stream = Stream::<f32, 4>::create(&closed).unwrap();
    stream.write(&[1.0; 4]).unwrap();
    for arguments in LOOKS {
        look(&[arguments, &[&closed.0]].concat()).complains(7, "belongs to user root");
    }
    look(&["unlink", &closed.0]).complains(7, "belongs to user root");
    let list = look(&["list"]).exits(0).out();
    let line = list.lines().find(|line| line.contains(&closed.0)).unwrap();
    assert!(
        line.contains("no permission") && line.contains("root"),
        "{line}"
    );

    let open = Name::new("open");
    let stream = Stream::<f32, 4>::builder(&open)
        .mode(0o644)
        .create()
        .unwrap();
    stream.write(&[0.25; 4]).unwrap();
    look(&["info", &open.0]).exits(0);
    look(&["watch", "-n", "1", &open.0]).exits(0);
    let dumped = look(&["dump", &open.0]).exits(0).out();
    assert!(dumped.contains("[0.25, 0.25, 0.25, 0.25]"), "{dumped}");
    look(&["unlink", &open.0]).complains(7, "run this as root");
    assert!(open.path().exists());
}

#[test]
fn purge_leaves_other_users_streams_alone() {
    let dir = Dir::new();
    dir.create(&["theirs"]);
    fs::set_permissions(&dir.0, Permissions::from_mode(0o777)).unwrap();
    let mut command = tool(&["purge", "--yes", "--force", "--json"]);
    command.env("SHMSTREAM_DIR", &dir.0);
    let Some(run) = as_nobody(command) else {
        return skip("purge_leaves_other_users_streams_alone", "needs root");
    };
    let outcome = run.exits(0).json();
    assert_eq!(outcome["unlinked"].as_array().map(Vec::len), Some(0));
    assert!(dir.file("theirs").exists());
}

#[test]
fn leftovers_are_this_users() {
    if !geteuid().is_root() {
        return skip("leftovers_are_this_users", "needs root");
    }
    let dir = Dir::new();
    dir.create(&["theirs"]);
    chown(dir.file("theirs"), Some(NOBODY), Some(NOBODY)).unwrap();
    let report = dir.tool(&["doctor", "--json"]).json();
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|one| one["check"] == "leftovers");
    assert_eq!(found.unwrap()["verdict"], "ok", "{report}");
}

#[test]
fn a_directory_that_is_missing() {
    let missing = |arguments: &[&str]| Run::of(tool(arguments).env("SHMSTREAM_DIR", "/nowhere"));
    missing(&["list"]).complains(8, "/nowhere");
    missing(&["info", "imu"]).complains(8, "/nowhere");
    missing(&["purge", "--yes"]).complains(8, "/nowhere");
}
