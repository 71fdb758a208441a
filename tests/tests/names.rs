//! Names, and what works on all streams of a machine: list and purge.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, chown, symlink};

use shmstream::{Error, Stream, StreamName, list, purge, unlink};
use shmstream_tests::{Child, Name, PrivateDir, directory, path_of, play, skip};

type Byte = Stream<u8, 1>;

const NOBODY: u32 = 65534;

#[test]
fn child_entry() {
    play(&[
        ("odd_names", |_| odd_names()),
        ("purge", |_| purge_leaves_what_is_not_ours()),
        ("purge_others", |_| purge_leaves_other_users()),
        ("missing", |_| missing_directory()),
        ("list_damaged", |_| list_damaged()),
        ("relative", |_| relative_directory()),
    ]);
}

/// Plays a role that has a directory of streams for itself.
fn play_apart(role: &str) -> PrivateDir {
    let directory = PrivateDir::new();
    let mut command = Child::command(role, &[]);
    command.env("SHMSTREAM_DIR", directory.path());
    Child::start(command).finish();
    directory
}

fn names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "plain",
        "camera/left",
        "/leading",
        "a b",
        "%41",
        "100%",
        "..a",
        "a..",
        "...",
        "-rf",
        "~",
        "naïve-漢字",
        "new\nline",
        "tab\t",
        "*?[]",
        "\"quoted\"",
        "a\\b",
        "shmstream.twice",
        "$HOME",
    ]
    .map(|name| name.as_bytes().to_vec())
    .into();
    names.extend([vec![1], vec![0xff], b"half\xc3".to_vec(), vec![0x7f, 0x80]]);
    names.extend([
        vec![b'x'; 245],
        vec![0xfe; 81],
        [vec![b'y'; 242], vec![b'/']].concat(),
    ]);
    names
}

fn odd_names() {
    let mut handles = Vec::new();
    for name in names() {
        let stream = Byte::create(&name).unwrap();
        assert_eq!(stream.name().as_bytes(), name);
        assert_eq!(Byte::open(&name).unwrap().instance(), stream.instance());
        handles.push(stream);
    }
    let listed: Vec<_> = list()
        .unwrap()
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let wanted: BTreeSet<_> = names().into_iter().collect();
    assert_eq!(
        listed,
        wanted.iter().cloned().collect::<Vec<_>>(),
        "as given, and sorted"
    );
    for name in list().unwrap() {
        assert!(
            !name.to_string().contains(char::is_control),
            "{name} is fit for a terminal"
        );
    }
    for name in &wanted {
        unlink(name).unwrap();
        assert!(matches!(Byte::open(name), Err(Error::NotFound { .. })));
    }
    assert_eq!(list().unwrap(), []);
}

#[test]
fn odd_names_come_back_as_they_were_given() {
    assert_eq!(play_apart("odd_names").files(), Vec::<String>::new());
}

#[test]
fn bad_names_are_refused_with_the_reason() {
    let long = "x".repeat(246);
    let odd = "ä".repeat(41);
    for (name, reason) in [
        ("", "empty"),
        (".", "directories"),
        ("..", "directories"),
        ("a\0b", "NUL"),
        (&long, "246 bytes"),
        (&odd, "246 bytes"),
    ] {
        let results = [
            Byte::create(name).map(drop),
            Byte::open(name).map(drop),
            Byte::open_or_create(name).map(drop),
            unlink(name),
            StreamName::new(name).map(drop),
        ];
        for result in results {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::InvalidName { .. }));
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}

#[test]
fn no_name_reaches_outside_the_directory() {
    for name in ["../up", "/etc/passwd", "a/../../b"] {
        let name = StreamName::new(name).unwrap();
        assert!(!name.file_name().contains('/'));
    }
}

/// Puts into the directory what looks like a stream by its name and is none.
fn litter() -> BTreeSet<&'static str> {
    let directory = directory();
    fs::write(directory.join("shmstream.text"), "not a stream at all").unwrap();
    fs::write(directory.join("shmstream.empty"), "").unwrap();
    fs::write(directory.join("shmstream.%61"), "another spelling").unwrap();
    fs::write(directory.join("somebody's"), "file").unwrap();
    fs::create_dir(directory.join("shmstream.directory")).unwrap();
    symlink(path_of("mine"), directory.join("shmstream.link")).unwrap();
    [
        "shmstream.text",
        "shmstream.empty",
        "shmstream.%61",
        "somebody's",
        "shmstream.directory",
        "shmstream.link",
    ]
    .into()
}

fn purge_leaves_what_is_not_ours() {
    let held = Byte::create("mine").unwrap();
    held.write(&[4]).unwrap();
    drop(Byte::create("unused").unwrap());
    let damaged = Byte::create("damaged").unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(path_of("damaged"))
        .unwrap();
    file.write_all_at(&[0xff; 8], 64).unwrap();
    drop(damaged);
    litter();
    let listed: Vec<_> = list().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["damaged", "mine", "unused"]);
    let purged = purge().unwrap();
    let unlinked: Vec<_> = purged.unlinked.iter().map(ToString::to_string).collect();
    assert_eq!(unlinked, ["damaged", "mine", "unused"]);
    assert!(purged.failed.is_empty(), "{:?}", purged.failed);
    assert_eq!(
        *held.read().unwrap().unwrap(),
        [4],
        "who has it open goes on"
    );
    assert!(matches!(unlink("text"), Err(Error::Foreign { .. })));
    assert!(matches!(unlink("directory"), Err(Error::Foreign { .. })));
    assert!(matches!(unlink("link"), Err(Error::Foreign { .. })));
    assert_eq!(list().unwrap(), []);
}

#[test]
fn purge_removes_streams_and_leaves_foreign_files() {
    let left: BTreeSet<_> = play_apart("purge").files().into_iter().collect();
    let litter = [
        "shmstream.text",
        "shmstream.empty",
        "shmstream.%61",
        "somebody's",
        "shmstream.directory",
        "shmstream.link",
    ];
    assert_eq!(left, litter.map(str::to_owned).into());
}

fn purge_leaves_other_users() {
    for name in ["ours", "theirs"] {
        drop(Byte::create(name).unwrap());
    }
    chown(path_of("theirs"), Some(NOBODY), None).unwrap();
    assert!(matches!(
        unlink("theirs"),
        Err(Error::OtherUser { owner: NOBODY, .. })
    ));
    let listed: Vec<_> = list().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        listed,
        ["ours", "theirs"],
        "list shows those of other users as well"
    );
    let purged = purge().unwrap();
    assert_eq!(purged.unlinked.len(), 1);
    assert!(purged.failed.is_empty());
}

#[test]
fn purge_leaves_streams_of_other_users() {
    if !rustix::process::geteuid().is_root() {
        return skip(
            "purge_leaves_streams_of_other_users",
            "only root can give a file away",
        );
    }
    assert_eq!(play_apart("purge_others").files(), ["shmstream.theirs"]);
}

/// Lists and unlinks what cannot be opened.
fn list_damaged() {
    let full = {
        let stream = Byte::create("whole").unwrap();
        let bytes = fs::read(path_of("whole")).unwrap();
        drop(stream);
        bytes
    };
    fs::write(path_of("cut"), &full[..100]).unwrap();
    fs::write(path_of("short"), &full[..full.len() - 1]).unwrap();
    let mut other = full.clone();
    other[12] ^= 0x7f;
    fs::write(path_of("version"), &other).unwrap();
    for name in ["cut", "short", "version"] {
        assert!(Byte::open(name).is_err());
        assert!(
            list()
                .unwrap()
                .iter()
                .any(|listed| listed.as_bytes() == name.as_bytes())
        );
        unlink(name).unwrap();
    }
    unlink("whole").unwrap();
}

#[test]
fn damaged_streams_are_listed_and_can_be_unlinked() {
    assert_eq!(play_apart("list_damaged").files(), Vec::<String>::new());
}

fn missing_directory() {
    let directory = directory();
    for result in [
        Byte::create("a").map(drop),
        Byte::open("a").map(drop),
        Byte::open_or_create("a").map(drop),
        unlink("a"),
    ] {
        let error = result.unwrap_err();
        let Error::Directory { dir, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(dir, &directory);
        assert!(error.to_string().contains("SHMSTREAM_DIR"), "{error}");
    }
    assert!(list().is_err());
    assert!(purge().is_err());
    assert!(!directory.exists(), "nobody made it");
}

#[test]
fn a_missing_directory_is_an_error_that_says_how_to_get_one() {
    let directory = PrivateDir::new();
    let mut command = Child::command("missing", &[]);
    command.env("SHMSTREAM_DIR", directory.path().join("missing"));
    Child::start(command).finish();
}

/// A handle made with a relative directory means the same file after a change of directory.
fn relative_directory() {
    let stream = Byte::create("here").unwrap();
    std::env::set_current_dir("/").unwrap();
    assert_eq!(stream.link().unwrap(), shmstream::Link::Current);
    stream.unlink().unwrap();
}

#[test]
fn a_relative_directory_is_kept() {
    let directory = PrivateDir::new();
    fs::create_dir(directory.path().join("sub")).unwrap();
    let mut command = Child::command("relative", &[]);
    command
        .env("SHMSTREAM_DIR", "sub")
        .current_dir(directory.path());
    Child::start(command).finish();
    assert_eq!(
        fs::read_dir(directory.path().join("sub")).unwrap().count(),
        0
    );
}

#[test]
fn the_name_guard_of_these_tests_works() {
    let name = Name::new("guard");
    let path = name.path();
    let _stream = Byte::create(&name).unwrap();
    assert!(path.exists());
    drop(name);
    assert!(!path.exists());
}
