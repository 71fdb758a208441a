//! What a builder takes, refuses and does.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use rustix::fs::Mode;
use shmstream::{Builder, DType, DynStream, Error, Schema, Stream};
use shmstream_tests::{Child, Name, argument, play};

type Byte = Stream<u8, 1>;

#[test]
fn child_entry() {
    play(&[("umask", umask)]);
}

fn refused(builder: Builder<Stream<u8, 1>>, says: &[&str]) {
    let error = builder.create().unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    for word in says {
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn options_out_of_range_are_refused_and_leave_nothing() {
    let name = Name::new("range");
    let builder = || Byte::builder(&name);
    for slots in [0, 1, 65, usize::MAX] {
        refused(
            builder().slots(slots),
            &["slots", "2", "64", &slots.to_string()],
        );
    }
    for participants in [0, 1025, usize::MAX] {
        let says = ["participants", "1", "1024", &participants.to_string()];
        refused(builder().participants(participants), &says);
    }
    for mode in [0, 0o400, 0o200, 0o777, 0o700, 0o4600, 0o1666, u32::MAX] {
        refused(builder().mode(mode), &["mode", &format!("0o{mode:o}")]);
    }
    assert!(!name.path().exists());
}

#[test]
fn options_at_the_ends_of_their_ranges_work() {
    for (slots, participants) in [(2, 1), (2, 1024), (64, 1), (64, 1024), (3, 65)] {
        let name = Name::new("ends");
        let stream = Byte::builder(&name)
            .slots(slots)
            .participants(participants)
            .create()
            .unwrap();
        assert_eq!(
            (stream.slots(), stream.max_participants()),
            (slots, participants)
        );
        for i in 0..200_u8 {
            stream.write(&[i]).unwrap();
            assert_eq!(*stream.read().unwrap().unwrap(), [i]);
        }
        let more: Vec<_> = (1..participants)
            .map(|_| Byte::open(&name).unwrap())
            .collect();
        let error = Byte::open(&name).unwrap_err();
        let full = u32::try_from(participants).unwrap();
        assert!(
            matches!(error, Error::TooManyParticipants { participants, .. } if participants == full)
        );
        assert!(matches!(
            stream.try_clone(),
            Err(Error::TooManyParticipants { .. })
        ));
        // Every handle can read, whichever row it has.
        for reader in &more {
            assert_eq!(*reader.read().unwrap().unwrap(), [199]);
        }
        drop(more);
        drop(stream);
        Byte::open(&name).unwrap();
    }
}

#[test]
fn a_row_that_comes_free_at_once_is_waited_for() {
    const TRIES: usize = 20;
    let name = Name::new("soon-free");
    let stream = Byte::builder(&name).participants(2).create().unwrap();
    let had = (0..TRIES).filter(|_| {
        let other = Byte::open(&name).unwrap();
        let leaving = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(3));
            drop(other);
        });
        let row = stream.try_clone();
        leaving.join().unwrap();
        match row {
            Ok(_) => true,
            Err(Error::TooManyParticipants { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    });
    // Machines are busy, and the one that leaves may be late.
    assert!(had.count() > TRIES / 2);
}

#[test]
fn opening_ignores_what_is_for_creating() {
    let name = Name::new("ignored");
    let stream = Byte::builder(&name)
        .slots(5)
        .participants(7)
        .create()
        .unwrap();
    let opened = Byte::builder(&name)
        .slots(1000)
        .participants(0)
        .mode(0o777)
        .open()
        .unwrap();
    assert_eq!((opened.slots(), opened.max_participants()), (5, 7));
    assert_eq!(stream.instance(), opened.instance());
}

#[test]
fn a_file_takes_the_memory_that_the_builder_documents() {
    let name = Name::new("size");
    let stream = Stream::<u8, 1000>::builder(&name)
        .slots(3)
        .participants(40)
        .create()
        .unwrap();
    let page = rustix::param::page_size();
    let control = (512_usize + 128 * (3 + 40)).next_multiple_of(page);
    let data = (3 * 1024_usize).next_multiple_of(page);
    let metadata = fs::metadata(name.path()).unwrap();
    assert_eq!(metadata.len(), (page + control + data) as u64);
    assert_eq!(
        metadata.blocks() * 512,
        metadata.len(),
        "reserved at creation"
    );
    drop(stream);
}

/// Creates a stream under a umask.
fn umask(arguments: &[String]) {
    let parse = |index: usize| u32::from_str_radix(&arguments[index], 8).unwrap();
    rustix::process::umask(Mode::from_raw_mode(parse(1)));
    let builder = Byte::builder(&arguments[0]);
    let builder = if argument::<String>(arguments, 2) == "default" {
        builder
    } else {
        builder.mode(parse(2))
    };
    builder.create().unwrap();
}

#[test]
fn the_mode_is_the_one_asked_for_whatever_the_umask() {
    for (umask, mode, expected) in [
        ("077", "660", 0o660),
        ("077", "666", 0o666),
        ("000", "default", 0o600),
        ("022", "640", 0o640),
        ("777", "default", 0o600),
    ] {
        let name = Name::new("mode");
        Child::spawn("umask", &[&name, &umask, &mode]).finish();
        let metadata = fs::metadata(name.path()).unwrap();
        assert_eq!(
            metadata.permissions().mode() & 0o7777,
            expected,
            "umask {umask}, mode {mode}"
        );
    }
}

#[test]
fn residency_options_change_nothing_that_can_be_read() {
    type Large = Stream<[u8; 4096], 300>;
    let name = Name::new("residency");
    let stream = Large::builder(&name)
        .huge_pages()
        .prefault()
        .slots(2)
        .create()
        .unwrap();
    let frame = Box::new([[7; 4096]; 300]);
    stream.write(&frame).unwrap();
    for builder in [Large::builder(&name), Large::builder(&name).prefault()] {
        let reader = builder.open().unwrap();
        if stream.count() == 1 {
            // The first slot: where it begins, in the file and in memory, decides about huge pages.
            let first = reader.read().unwrap().unwrap();
            assert_eq!(first.as_ptr().addr() % (2 << 20), 0);
        }
        assert_eq!(*reader.read().unwrap().unwrap(), *frame);
        assert_eq!(reader.write(&frame).unwrap(), reader.count());
    }
    assert!(stream.name().as_bytes() == name.as_str().as_bytes());
}

#[test]
fn a_program_for_another_payload_takes_no_row() {
    let name = Name::new("mismatch");
    let _stream = Stream::<f32, 4>::builder(&name)
        .participants(1)
        .create()
        .unwrap();
    // The only row is taken, so attaching at all would be another error.
    let open = || Stream::<f64, 4>::builder(&name);
    assert!(matches!(open().open(), Err(Error::Type { .. })));
    assert!(matches!(open().open_or_create(), Err(Error::Type { .. })));
    let schema = Schema::tensor(DType::F32, &[5]);
    let error = DynStream::open_or_create(&name, schema).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
}
