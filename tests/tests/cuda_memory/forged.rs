//! Headers that say what they should not.

use std::os::unix::fs::FileExt;

use shmstream::Error;
use shmstream::cuda::CudaStream;
use shmstream::gpu::{Holders, Problem};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Name, argument, hear, tell};

use super::support::{LEN, child, context, frame_of, value};
use super::{ask, end, started};

/// Writes a header into a stream's file as somebody who means harm: with its checksum.
fn forge(name: &Name, header: &[u8]) {
    let mut header = header.to_vec();
    header[16..20].fill(0);
    let schema = u32::from_ne_bytes(header[104..108].try_into().unwrap());
    let end = 256 + usize::try_from(schema).unwrap();
    let checksum = crc32fast::hash(&header[..end]);
    header[16..20].copy_from_slice(&checksum.to_ne_bytes());
    let file = std::fs::File::options().write(true).open(name.path());
    file.unwrap().write_all_at(&header[..end], 0).unwrap();
}

fn header_of(name: &Name) -> Vec<u8> {
    let file = std::fs::File::open(name.path()).unwrap();
    let mut header = vec![0; 4096];
    file.read_exact_at(&mut header, 0).unwrap();
    header
}

#[test]
fn another_stream_with_the_same_number_is_another_stream() {
    let driver = Driver::stand_in();
    for (ours, theirs) in [
        ("create", "create_with_handle"),
        ("create_with_handle", "create_with_handle"),
        ("create_with_handle", "create"),
    ] {
        let (name, other) = (
            Name::new("cuda-memory-ours"),
            Name::new("cuda-memory-theirs"),
        );
        let mut creator = started(&driver, ours, &name);
        ask(&mut creator, "write", "wrote 1");
        let mut stranger = started(&driver, theirs, &other);
        ask(&mut stranger, "write", "wrote 1");
        ask(&mut stranger, "write", "wrote 2");
        let mut header = header_of(&other);
        header[72..88].copy_from_slice(&header_of(&name)[72..88]);
        forge(&other, &header);
        let both = child(&driver, "open_two", &[&name, &other]);
        both.expect(match theirs {
            "create" => "nothing",
            _ => "its own",
        });
        both.finish();
    }
}

pub(super) fn open_two(arguments: &[String]) {
    let (name, other): (String, String) = (argument(arguments, 0), argument(arguments, 1));
    let context = context();
    let queue = context.new_stream().unwrap();
    let first = CudaStream::<i64>::open(&name, &context).unwrap();
    match CudaStream::<i64>::open(&other, &context) {
        Ok(second) => {
            let frame = second.read(&queue).unwrap().expect("a frame");
            assert!(*frame.copy_to_host().unwrap() == frame_of(value(2)));
            tell("its own");
        }
        // Its creator listens under the number that it drew.
        Err(Error::Gpu { problem, .. }) => {
            assert_eq!(problem, Problem::Unreachable(Holders::Elsewhere));
            tell("nothing");
        }
        Err(error) => panic!("{error}"),
    }
    let frame = first.read(&queue).unwrap().expect("a frame");
    assert!(*frame.copy_to_host().unwrap() == frame_of(value(1)));
}

#[test]
fn a_header_that_changes_under_an_open_stream_is_damage() {
    let (name, larger) = (
        Name::new("cuda-memory-small"),
        Name::new("cuda-memory-large"),
    );
    let driver = Driver::stand_in();
    let creator = started(&driver, "create", &name);
    let mut twice = child(&driver, "open_twice", &[&name, &larger]);
    twice.expect("ready");
    let mut header = header_of(&larger);
    header[72..88].copy_from_slice(&header_of(&name)[72..88]);
    forge(&name, &header);
    twice.say("again");
    twice.expect("Corrupt");
    twice.finish();
    end(creator);
}

pub(super) fn open_twice(arguments: &[String]) {
    let (name, larger): (String, String) = (argument(arguments, 0), argument(arguments, 1));
    let context = context();
    let _larger = CudaStream::<i64>::create(&larger, &[LEN * 1024], &context).unwrap();
    let _first = CudaStream::<i64>::open(&name, &context).unwrap();
    tell("ready");
    let _ = hear();
    match CudaStream::<i64>::open(&name, &context) {
        Err(error @ Error::Corrupt { .. }) => {
            assert!(error.to_string().contains("the header"), "{error}");
            tell("Corrupt");
        }
        other => panic!("{other:?}"),
    }
}
