//! Files that are no streams, or not any more: each is refused with a reason, and none does harm.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use shmstream::{Error, Stream, unlink};
use shmstream_tests::{Dice, Name, eventually};

type Byte = Stream<u8, 3>;

/// Where the fields of a header are, by `docs/protocol.md`.
const BYTE_ORDER: usize = 8;
const VERSION: usize = 12;
const CHECKSUM: usize = 16;
const PAGE: usize = 24;
const SCHEMA_LEN: usize = 104;
const HEADER: usize = 256;

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The bytes of a stream's file.
fn stream_bytes() -> Vec<u8> {
    let name = Name::new("template");
    let stream = Byte::create(&name).unwrap();
    stream.write(&[1, 2, 3]).unwrap();
    fs::read(name.path()).unwrap()
}

/// The length of the header with the schema.
fn described(bytes: &[u8]) -> usize {
    HEADER + usize::try_from(number(bytes, SCHEMA_LEN)).unwrap()
}

/// Gives a header the checksum of what it holds, as a program would that means harm.
fn sign(bytes: &mut [u8]) {
    let len = described(bytes).min(bytes.len());
    bytes[CHECKSUM..CHECKSUM + 4].fill(0);
    let mut sum = !0_u32;
    for &byte in &bytes[..len] {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        }
    }
    bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&(!sum).to_ne_bytes());
}

/// Opens what lies under a name; if it passes for a stream, uses it.
fn open(name: &Name) -> Option<Error> {
    match Byte::open(name) {
        Err(error) => {
            assert!(error.to_string().contains(name.as_str()), "{error}");
            Some(error)
        }
        Ok(stream) => {
            let _ = stream.read().map(|frame| frame.map(|frame| *frame));
            let _ = stream.write(&[1; 3]);
            let _ = format!("{stream:?}");
            None
        }
    }
}

fn foreign(name: &Name, says: &str) {
    let results = [
        Byte::open(name).map(drop),
        Byte::create(name).map(drop),
        Byte::open_or_create(name).map(drop),
        Byte::builder(name).allow_other_owner().open().map(drop),
        unlink(name),
    ];
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains(says) && text.contains(name.as_str()),
            "{text}"
        );
    }
    assert!(
        fs::symlink_metadata(name.path()).is_ok(),
        "it stays where it is"
    );
}

#[test]
fn what_is_no_stream_is_refused_and_left_alone() {
    let files = [
        (&b""[..], "empty"),
        (b"ten bytes.", "does not begin as a stream does"),
        (b"SHMSTR", "does not begin as a stream does"),
        (&[0; 100_000], "does not begin as a stream does"),
    ];
    for (content, says) in files {
        let name = Name::new("file");
        fs::write(name.path(), content).unwrap();
        foreign(&name, says);
        assert_eq!(fs::read(name.path()).unwrap(), content);
    }
}

#[test]
fn a_directory_is_refused() {
    let name = Name::new("directory");
    fs::create_dir(name.path()).unwrap();
    foreign(&name, "directory");
}

#[test]
fn a_symbolic_link_is_refused_wherever_it_leads() {
    let target = Name::new("target");
    let stream = Byte::create(&target).unwrap();
    for target in [
        target.path().as_path(),
        Path::new("/nowhere/at/all"),
        Path::new("/etc/passwd"),
    ] {
        let name = Name::new("link");
        symlink(target, name.path()).unwrap();
        foreign(&name, "symbolic link");
    }
    assert_eq!(stream.count(), 0);
}

#[test]
fn a_fifo_is_refused_and_holds_nobody_up() {
    let name = Name::new("fifo");
    mknodat(CWD, name.path(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert!(fs::metadata(name.path()).unwrap().file_type().is_fifo());
    foreign(&name, "regular file");
    // Opening one for reading alone is what waits for somebody to write.
    let path = name.to_string();
    let onlookers = std::thread::spawn(move || {
        let observed = Byte::observe(&path).map(drop).unwrap_err();
        let looked_at = shmstream::stat(&path).map(drop).unwrap_err();
        [observed, looked_at]
    });
    eventually("nobody is held up", || onlookers.is_finished());
    for error in onlookers.join().unwrap() {
        assert!(error.to_string().contains("regular file"), "{error}");
    }
}

#[test]
fn a_socket_is_refused() {
    let name = Name::new("socket");
    let _listener = UnixListener::bind(name.path()).unwrap();
    foreign(&name, "socket");
}

#[test]
fn a_file_of_any_wrong_length_is_refused() {
    let bytes = stream_bytes();
    let page = rustix::param::page_size();
    let described = described(&bytes);
    let mut lens: Vec<_> = (1..=described + 1).collect();
    lens.extend((page..bytes.len()).step_by(page));
    lens.extend([page - 1, page + 1, bytes.len() - 1]);
    for len in lens {
        let name = Name::new("cut");
        fs::write(name.path(), &bytes[..len]).unwrap();
        let error = open(&name).unwrap_or_else(|| panic!("{len} of {} bytes", bytes.len()));
        if len >= 8 {
            assert!(matches!(error, Error::Corrupt { .. }), "{len}: {error:?}");
            assert!(matches!(
                Byte::create(&name),
                Err(Error::AlreadyExists { .. })
            ));
            unlink(&name).unwrap();
        }
    }
    let name = Name::new("longer");
    fs::write(name.path(), [&bytes[..], &[0]].concat()).unwrap();
    assert!(matches!(open(&name), Some(Error::Corrupt { .. })));
    // And as it was, it is a stream again: the test's method is sound.
    fs::write(name.path(), &bytes).unwrap();
    assert!(open(&name).is_none());
}

#[test]
fn any_flipped_bit_in_the_header_is_found() {
    let bytes = stream_bytes();
    let name = Name::new("flip");
    for at in 0..described(&bytes) {
        for flip in [1, 0x10, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            fs::write(name.path(), &damaged).unwrap();
            match open(&name) {
                Some(Error::Foreign { .. }) => assert!(at < 8),
                Some(Error::Version { .. }) => assert!((BYTE_ORDER..PAGE + 8).contains(&at)),
                Some(Error::Corrupt { .. }) => {}
                other => panic!("byte {at}: {other:?}"),
            }
        }
    }
}

#[test]
fn another_version_byte_order_or_page_size_is_named() {
    let bytes = stream_bytes();
    let name = Name::new("version");
    for (at, value, what) in [
        (VERSION, 1_u32.to_ne_bytes(), "format version"),
        (VERSION, u32::MAX.to_ne_bytes(), "format version"),
        (
            BYTE_ORDER,
            0x0102_0304_u32.swap_bytes().to_ne_bytes(),
            "byte order",
        ),
        (PAGE, 65_536_u32.to_ne_bytes(), "page size"),
    ] {
        let mut other = bytes.clone();
        other[at..at + 4].copy_from_slice(&value);
        sign(&mut other);
        fs::write(name.path(), &other).unwrap();
        let error = open(&name).expect("refused");
        assert!(error.to_string().contains(what), "{error}");
        assert!(matches!(error, Error::Version { .. }), "{error:?}");
        unlink(&name).expect("streams of other versions can be unlinked");
    }
}

/// Damages the header in a way that the checksum does not show.
fn forge(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut forged = bytes.to_vec();
    let end = described(bytes) as u64;
    for _ in 0..=dice.below(3) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "below the length of the header"
        )]
        let at = dice.below(end - 16) as usize + 8;
        let value = match dice.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << dice.below(64),
            3 => u64::from(number(bytes, at & !3))
                .wrapping_add(dice.below(5))
                .wrapping_sub(2),
            4 => (1 << dice.below(64)) - 1,
            _ => dice.next(),
        };
        let width = [1, 2, 4, 8][(dice.next() % 4) as usize];
        forged[at..at + width].copy_from_slice(&value.to_ne_bytes()[..width]);
    }
    sign(&mut forged);
    forged
}

#[test]
fn a_forged_header_does_no_harm() {
    let bytes = stream_bytes();
    let mut signed = bytes.clone();
    sign(&mut signed);
    assert_eq!(signed, bytes, "the forger knows the checksum");
    let mut dice = Dice::new(0x5eed);
    let name = Name::new("forged");
    let mut refused = 0;
    const TIMES: u32 = 20_000;
    for _ in 0..TIMES {
        let forged = forge(&bytes, &mut dice);
        // Only the header differs, so the file is written anew where it passed for a stream.
        fs::write(name.path(), &forged).unwrap();
        refused += u32::from(open(&name).is_some());
    }
    assert!(
        refused > TIMES / 2 && refused < TIMES,
        "{refused}: both kinds are tried"
    );
}
