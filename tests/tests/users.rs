//! Two users on one machine: who may only read cannot disturb, and a name that somebody else took first is
//! nobody's stream. `limits`, `observer` and `names` have what goes well between users.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use shmstream::{Error, Observer, Result, Stream, list, purge, stat, unlink};
use shmstream_tests::{Child, Name, PrivateDir, argument, hear, path_of, play, skip, tell};

type Number = Stream<u64, 1>;

/// Users and a group that own nothing.
const READER: u32 = 40_001;
const OTHER: u32 = 40_002;
const GROUP: u32 = 40_003;

#[test]
fn child_entry() {
    play(&[
        ("read_only", read_only),
        ("not_admitted", not_admitted),
        ("squat", squat),
        ("find_squatted", |_| find_squatted()),
    ]);
}

/// Makes this process, which has just begun and belongs to root, one of another user and group.
fn become_user(user: u32, group: u32) {
    // SAFETY: `setgroups` asks for as many groups as it is told: none.
    let groups = unsafe { libc::setgroups(0, std::ptr::null()) };
    // SAFETY: `setgid` and `setuid` may be called at any time; they change all threads of this process.
    let group = unsafe { libc::setgid(group) };
    // SAFETY: as above.
    let user = unsafe { libc::setuid(user) };
    let error = io::Error::last_os_error();
    assert_eq!((groups, group, user), (0, 0, 0), "{error}");
}

/// Returns whether there can be two users, and says so if not.
fn can_change_user(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(test, "only root can become another user");
    }
    root
}

fn refused(result: io::Result<()>) {
    let error = result.expect_err("it is refused");
    let kinds = [io::ErrorKind::PermissionDenied, io::ErrorKind::InvalidInput];
    let bad_descriptor = error.raw_os_error() == Some(libc::EBADF);
    assert!(kinds.contains(&error.kind()) || bad_descriptor, "{error}");
}

/// Reads by permission, and then tries to change something without.
fn read_only(arguments: &[String]) {
    let name = &arguments[0];
    become_user(argument(arguments, 1), GROUP);
    let observer: Observer<Number> = Number::builder(name).allow_other_owner().observe().unwrap();
    assert_eq!(*observer.read().unwrap().unwrap(), [1]);
    assert_eq!(stat(name).unwrap().count, 1);

    let error = Number::builder(name)
        .allow_other_owner()
        .open()
        .unwrap_err();
    assert!(matches!(error, Error::OtherUser { .. }), "{error}");
    assert!(error.to_string().contains("observe"), "{error}");
    assert!(matches!(unlink(name), Err(Error::OtherUser { .. })));
    assert_eq!(purge().unwrap().unlinked, []);

    // Past the library.
    let path = path_of(name);
    let write = |path: &Path| OpenOptions::new().write(true).open(path).map(drop);
    refused(write(&path));
    let file = File::open(&path).unwrap();
    // The same file once more, by its descriptor.
    let number = std::os::fd::AsRawFd::as_raw_fd(&file);
    refused(write(Path::new(&format!("/proc/self/fd/{number}"))));
    refused(file.write_all_at(&[0xff; 8], 4096));
    refused(file.set_len(0));
    refused(fs::set_permissions(&path, Permissions::from_mode(0o666)));
    refused(fs::remove_file(&path));
    refused(fs::rename(&path, path.with_extension("old")));
    refused(map_for_writing(&file));

    tell("observing");
    let frame = observer.wait().unwrap();
    tell(frame[0]);
    let _ = hear();
}

fn map_for_writing(file: &File) -> io::Result<()> {
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(file);
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: `mmap` without an address maps where nothing else is; nobody uses what it returns.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            protection,
            libc::MAP_SHARED,
            descriptor,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn not_admitted(arguments: &[String]) {
    let name = &arguments[0];
    become_user(OTHER, OTHER);
    let builder = || Number::builder(name).allow_other_owner();
    let results = [
        builder().open().map(drop),
        builder().observe().map(drop),
        stat(name).map(drop),
        Number::create(name).map(drop),
        unlink(name),
    ];
    for result in results {
        let error = result.unwrap_err();
        assert!(
            matches!(error, Error::OtherUser { owner: 0, .. }),
            "{error}"
        );
    }
}

#[test]
fn who_may_read_observes_and_cannot_disturb() {
    if !can_change_user("who_may_read_observes_and_cannot_disturb") {
        return;
    }
    for (mode, in_group) in [(0o640, true), (0o644, false)] {
        let name = Name::new("reader");
        let stream = Number::builder(&name).mode(mode).slots(2).create().unwrap();
        if in_group {
            chown(name.path(), None, Some(GROUP)).unwrap();
            Child::spawn("not_admitted", &[&name]).finish();
        }
        stream.write(&[1]).unwrap();
        let mut child = Child::spawn("read_only", &[&name, &READER]);
        child.expect("observing");
        assert_eq!(stream.status().unwrap().participants.len(), 1);
        assert_eq!(*stream.read().unwrap().unwrap(), [1]);
        for value in 2..=1000 {
            assert_eq!(stream.write(&[value]).unwrap(), value);
        }
        let seen: u64 = child.line().parse().unwrap();
        assert!((2..=1000).contains(&seen));
        child.say("end");
        child.finish();
    }
}

/// What is under a name before its rightful user comes.
const SQUATTED: [&str; 7] = [
    "stream",
    "empty",
    "garbage",
    "link",
    "fifo",
    "directory",
    "socket",
];

/// Takes names away from others.
fn squat(arguments: &[String]) {
    become_user(OTHER, OTHER);
    for what in SQUATTED {
        let path = path_of(what);
        match what {
            "stream" => {
                let stream = Number::builder(what).mode(0o666).create().unwrap();
                stream.write(&[13]).unwrap();
            }
            "empty" => fs::write(&path, "").unwrap(),
            "garbage" => fs::write(&path, [7; 10_000]).unwrap(),
            "link" => symlink(&arguments[0], &path).unwrap(),
            "fifo" => mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap(),
            "directory" => fs::create_dir(&path).unwrap(),
            "socket" => drop(UnixListener::bind(&path).unwrap()),
            other => panic!("{other}"),
        }
        if what != "link" {
            fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        }
    }
}

fn find_squatted() {
    for what in SQUATTED {
        let results: [Result<()>; 6] = [
            Number::create(what).map(drop),
            Number::open(what).map(drop),
            Number::open_or_create(what).map(drop),
            Number::observe(what).map(drop),
            Number::builder(what).temporary().create().map(drop),
            unlink(what),
        ];
        for result in results {
            let error = result.unwrap_err();
            match error {
                Error::OtherUser { owner: OTHER, .. } | Error::Foreign { .. } => {}
                _ => panic!("{what}: {error}"),
            }
        }
    }
    // Only what is a stream, and only by leave.
    let stream = Number::builder("stream")
        .allow_other_owner()
        .open()
        .unwrap();
    assert_eq!(*stream.read().unwrap().unwrap(), [13]);
    let names: Vec<_> = list().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["stream"]);
    let purged = purge().unwrap();
    assert!(purged.unlinked.is_empty() && purged.failed.is_empty());
}

#[test]
fn a_name_that_another_user_took_is_refused_whatever_is_there() {
    if !can_change_user("a_name_that_another_user_took_is_refused_whatever_is_there") {
        return;
    }
    let directory = PrivateDir::new();
    // As `/dev/shm` is.
    fs::set_permissions(directory.path(), Permissions::from_mode(0o1777)).unwrap();
    // A stream of the rightful user's, to which a link leads.
    let target = Name::new("target");
    let stream = Number::create(&target).unwrap();
    stream.write(&[1]).unwrap();
    let play_here = |role: &str| {
        let mut command = Child::command(role, &[&target.path().display()]);
        command.env("SHMSTREAM_DIR", directory.path());
        Child::start(command).finish();
    };
    play_here("squat");
    let before = directory.files();
    play_here("find_squatted");
    assert_eq!(directory.files(), before, "nothing is taken away");
    assert_eq!(stream.count(), 1, "nobody followed the link");
}
