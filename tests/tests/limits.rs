//! Limits of the system: other users, too little memory, too few descriptors.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};
use shmstream::{Error, Stream, list, purge, unlink};
use shmstream_tests::{Child, Name, PrivateDir, argument, directory, play, skip};

type Byte = Stream<u8, 1>;
type Mebibytes = Stream<[u8; 1 << 20], 4>;

const NOBODY: u32 = 65534;

#[test]
fn child_entry() {
    play(&[
        ("other_user", other_user),
        ("as_nobody", |_| as_nobody()),
        ("no_space", |_| no_space()),
        ("unlimited", |_| unlimited()),
        ("refused_directory", |_| refused_directory()),
        ("memory_lock", |_| memory_lock()),
        ("descriptors", descriptors),
        ("file_size", |_| file_size()),
        ("address_space", address_space),
    ]);
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes this process, which has just begun and belongs to root, a process of `nobody`.
fn become_nobody() {
    // SAFETY: `setuid` may be called at any time; it changes all threads of this process.
    let result = unsafe { libc::setuid(NOBODY) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Tries a stream that belongs to root.
fn other_user(arguments: &[String]) {
    let name = &arguments[0];
    let admitted: bool = argument(arguments, 1);
    become_nobody();
    for (result, remedy) in [
        (Byte::open(name).map(drop), "allow_other_owner"),
        (Byte::open_or_create(name).map(drop), "allow_other_owner"),
        (Byte::create(name).map(drop), "choose another name"),
        (unlink(name), "only that user can unlink it"),
    ] {
        let error = result.unwrap_err();
        assert!(
            matches!(
                error,
                Error::OtherUser {
                    owner: 0,
                    user: NOBODY,
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(error.to_string().contains(remedy), "{error}");
    }
    let trusting = Byte::builder(name).allow_other_owner().open();
    if admitted {
        let stream = trusting.unwrap();
        assert_eq!(*stream.read().unwrap().unwrap(), [1]);
        assert_eq!(stream.write(&[2]).unwrap(), 2);
        let clone = stream.try_clone().unwrap();
        assert_eq!(*clone.read().unwrap().unwrap(), [2]);
    } else {
        trusting.unwrap_err();
    }
    assert!(
        list()
            .unwrap()
            .iter()
            .any(|listed| listed.as_bytes() == name.as_bytes())
    );
}

#[test]
fn a_stream_of_another_user_is_refused_unless_allowed() {
    if !is_root() {
        return skip(
            "a_stream_of_another_user_is_refused_unless_allowed",
            "needs two users",
        );
    }
    for (mode, admitted) in [(0o666, true), (0o600, false), (0o644, false)] {
        let name = Name::new("user");
        let stream = Byte::builder(&name).mode(mode).create().unwrap();
        stream.write(&[1]).unwrap();
        Child::spawn("other_user", &[&name, &admitted]).finish();
        assert_eq!(stream.count(), if admitted { 2 } else { 1 });
        assert!(name.path().exists());
    }
}

#[test]
fn root_is_refused_a_users_stream_unless_allowed() {
    if !is_root() {
        return skip(
            "root_is_refused_a_users_stream_unless_allowed",
            "needs root",
        );
    }
    let name = Name::new("given");
    drop(Byte::create(&name).unwrap());
    std::os::unix::fs::chown(name.path(), Some(NOBODY), None).unwrap();
    let error = Byte::open(&name).unwrap_err();
    assert!(
        matches!(
            error,
            Error::OtherUser {
                owner: NOBODY,
                user: 0,
                ..
            }
        ),
        "{error:?}"
    );
    let stream = Byte::builder(&name).allow_other_owner().open().unwrap();
    assert_eq!(stream.write(&[1]).unwrap(), 1);
}

/// Everything that an ordinary user does, among root's streams.
fn as_nobody() {
    let theirs = Byte::builder("theirs").mode(0o666).create().unwrap();
    become_nobody();
    let ours = Byte::create("ours").unwrap();
    let clone = ours.try_clone().unwrap();
    ours.write(&[1]).unwrap();
    assert_eq!(*clone.wait().unwrap(), [1]);
    assert_eq!(list().unwrap().len(), 2);
    let purged = purge().unwrap();
    assert_eq!(purged.unlinked, [ours.name().clone()]);
    assert!(purged.failed.is_empty());
    // Opened before the change of user.
    assert_eq!(theirs.write(&[1]).unwrap(), 1);
    drop(Byte::temporary().unwrap());
}

#[test]
fn an_ordinary_user_does_without_rights() {
    if !is_root() {
        return skip(
            "an_ordinary_user_does_without_rights",
            "only root can become another user",
        );
    }
    let directory = PrivateDir::new();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let mut command = Child::command("as_nobody", &[]);
    command.env("SHMSTREAM_DIR", directory.path());
    Child::start(command).finish();
    assert_eq!(directory.files(), ["shmstream.theirs"]);
}

/// Plays a role in a mount namespace of its own, where `SHMSTREAM_DIR` is an empty directory.
fn play_mounted(role: &str) {
    let may = Command::new("unshare").args(["-m", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        return skip(role, "`unshare -m` is not allowed here");
    }
    let directory = PrivateDir::new();
    let mut command = Child::command_under(&["unshare", "-m"], role, &[]);
    command.env("SHMSTREAM_DIR", directory.path());
    Child::start(command).finish();
    assert_eq!(directory.files(), Vec::<String>::new());
}

fn mount(options: &str) {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs"])
        .arg(directory())
        .status();
    assert!(mounted.expect("mount").success());
}

fn free(directory: &Path) -> u64 {
    let room = rustix::fs::statvfs(directory).unwrap();
    room.f_bavail * room.f_frsize
}

fn no_space() {
    mount("size=1m");
    let directory = directory();
    let before = free(&directory);
    for _ in 0..3 {
        let error = Mebibytes::create("large").unwrap_err();
        let text = error.to_string();
        let Error::NoSpace {
            needed,
            free,
            dir,
            remedy,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert!((16 << 20..17 << 20).contains(&needed), "{needed}");
        assert_eq!((free, &dir), (before, &directory));
        assert!(remedy.contains("size"), "{remedy}");
        for part in [
            &needed.to_string(),
            &free.to_string(),
            &dir.display().to_string(),
            &remedy,
        ] {
            assert!(text.contains(part.as_str()), "`{text}` lacks `{part}`");
        }
    }
    assert_eq!(self::free(&directory), before, "nothing is left behind");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    // What fits works, until it is full; and what works is reserved, so that nothing faults later.
    let streams: Vec<_> = (0..)
        .map_while(
            |i| match Stream::<[u8; 1000], 60>::create(format!("small{i}")) {
                Ok(stream) => Some(stream),
                Err(Error::NoSpace { .. }) => None,
                Err(error) => panic!("{error}"),
            },
        )
        .collect();
    assert!(!streams.is_empty());
    fs::write(directory.join("filler"), vec![1; 1 << 20]).unwrap_err();
    assert!(self::free(&directory) < 8192);
    for stream in &streams {
        for _ in 0..stream.slots() * 3 {
            stream.write(&[[7; 1000]; 60]).unwrap();
        }
        Stream::<[u8; 1000], 60>::open(stream.name()).unwrap();
    }
}

#[test]
fn too_little_shared_memory_is_an_error_of_create() {
    play_mounted("no_space");
}

fn unlimited() {
    // No limit, which such a file system reports as no space at all.
    mount("size=0");
    let stream = Mebibytes::create("large").unwrap();
    stream.clear().unwrap();
}

#[test]
fn a_tmpfs_without_a_limit_is_not_full() {
    play_mounted("unlimited");
}

fn refused_directory() {
    mount("ro");
    let error = Byte::create("a").unwrap_err();
    assert!(error.to_string().contains("SHMSTREAM_DIR"), "{error}");
    assert!(matches!(Byte::open("a"), Err(Error::NotFound { .. })));
    mount("nr_inodes=1");
    assert!(Byte::create("a").is_err(), "no room for a file");
    assert_eq!(list().unwrap(), []);
}

#[test]
fn a_directory_that_takes_no_files_is_an_error_that_says_so() {
    play_mounted("refused_directory");
}

#[test]
fn a_stream_beyond_the_machine_is_an_error() {
    let name = Name::new("huge");
    let error = Stream::<[u8; 1 << 30], 1024>::create(&name).unwrap_err();
    assert!(
        matches!(error, Error::NoSpace { .. } | Error::TooLarge { .. }),
        "{error:?}"
    );
    let error = Stream::<[u8; 1 << 40], 1024>::create(&name).unwrap_err();
    assert!(
        matches!(error, Error::NoSpace { .. } | Error::TooLarge { .. }),
        "{error:?}"
    );
    // More than an address can hold.
    let builder = Stream::<[u8; 1 << 40], { 1 << 18 }>::builder(&name).slots(64);
    assert!(matches!(builder.create(), Err(Error::TooLarge { .. })));
    assert!(!name.path().exists());
}

fn set_limit(resource: Resource, value: u64) {
    let limit = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(resource, limit).unwrap();
}

fn assert_limit(error: &Error, says: &str) {
    assert!(matches!(error, Error::Limit { .. }), "{error:?}");
    assert!(error.to_string().contains(says), "{error}");
    assert!(std::error::Error::source(error).is_some());
}

fn memory_lock() {
    set_limit(Resource::Memlock, 64 << 10);
    if is_root() {
        become_nobody();
    }
    let name = Name::new("memlock");
    let error = Mebibytes::builder(&name)
        .lock_memory()
        .create()
        .unwrap_err();
    assert_limit(&error, "RLIMIT_MEMLOCK");
    assert!(!name.path().exists(), "nothing is left behind");
    let stream = Mebibytes::create(&name).unwrap();
    assert_limit(
        &Mebibytes::builder(&name).lock_memory().open().unwrap_err(),
        "RLIMIT_MEMLOCK",
    );
    stream.clear().unwrap();
    drop(
        Byte::builder(Name::new("fits").as_str())
            .lock_memory()
            .create()
            .unwrap(),
    );
}

#[test]
fn the_limit_on_locked_memory_is_named() {
    Child::spawn("memory_lock", &[]).finish();
}

fn descriptors(arguments: &[String]) {
    let stream = Byte::open(&arguments[0]).unwrap();
    set_limit(Resource::Nofile, 32);
    let mut handles = Vec::new();
    let error = loop {
        match stream.try_clone() {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
    };
    assert!(!handles.is_empty());
    assert_limit(&error, "RLIMIT_NOFILE");
    assert_limit(&Byte::open(&arguments[0]).unwrap_err(), "RLIMIT_NOFILE");
    assert_limit(
        &Byte::create(Name::new("nofile").as_str()).unwrap_err(),
        "RLIMIT_NOFILE",
    );
    assert_limit(&unlink(&arguments[0]).unwrap_err(), "RLIMIT_NOFILE");
    // What is open goes on.
    for handle in &handles {
        handle.write(&[3]).unwrap();
        assert!(handle.read().unwrap().is_some());
    }
    drop(handles);
    stream.try_clone().unwrap();
}

#[test]
fn the_limit_on_descriptors_is_named() {
    let name = Name::new("descriptors");
    let stream = Byte::create(&name).unwrap();
    Child::spawn("descriptors", &[&name]).finish();
    assert!(stream.count() > 0);
}

fn file_size() {
    set_limit(Resource::Fsize, 1 << 20);
    let name = Name::new("fsize");
    let error = Mebibytes::create(&name).unwrap_err();
    assert!(error.to_string().contains("RLIMIT_FSIZE"), "{error}");
    assert!(
        matches!(
            error,
            Error::TooLarge {
                limit: 0x10_0000,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!name.path().exists());
}

#[test]
fn the_limit_on_the_size_of_files_is_named() {
    Child::spawn("file_size", &[]).finish();
}

/// The bytes of address space that this process uses.
fn address_space_used() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

fn address_space(arguments: &[String]) {
    set_limit(Resource::As, address_space_used() + (8 << 20));
    let error = Mebibytes::open(&arguments[0]).unwrap_err();
    assert_limit(&error, "RLIMIT_AS");
}

#[test]
fn the_limit_on_the_address_space_is_named() {
    let name = Name::new("address-space");
    let _stream = Mebibytes::builder(&name).participants(2).create().unwrap();
    Child::spawn("address_space", &[&name]).finish();
    Mebibytes::open(&name).expect("no row was lost");
}
