//! Streams on a GPU in a process without one: what they are, their frames' headers, their lock.

#[path = "cuda/support.rs"]
#[allow(dead_code)]
mod support;

use std::time::Duration;

use shmstream::cuda::{CudaStream, DeviceOnly, Mirrored, Placement};
use shmstream::gpu::{self, HostHandle, Problem};
use shmstream::{Error, Schema, Stream, stat};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, DEADLINE, Name, argument, hear, play, tell};
use support::{LEN, child, context, frame_of, value};

#[test]
fn child_entry() {
    play(&[("create", create)]);
}

/// Creates a stream and does as it is told.
fn create(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    match argument::<String>(arguments, 1).as_str() {
        "mirrored" => serve::<Mirrored>(&name),
        _ => serve::<DeviceOnly>(&name),
    }
}

fn serve<P: Placement>(name: &str) {
    let stream = CudaStream::<i64, P>::create(name, &[LEN], &context()).unwrap();
    tell("created");
    loop {
        match hear().as_str() {
            "write" => {
                let count = stream.write(&frame_of(value(stream.count() + 1))).unwrap();
                tell(format!("wrote {count}"));
            }
            "try" => tell(match stream.try_lock().unwrap() {
                Some(_) => "free",
                None => "taken",
            }),
            _ => return,
        }
    }
}

fn started(name: &Name, placement: &str) -> (Driver, Child) {
    let driver = Driver::new();
    let creator = child(&driver, "create", &[&name, &placement]);
    creator.expect("created");
    (driver, creator)
}

#[test]
fn a_process_without_a_gpu_sees_what_a_stream_is() {
    let name = Name::new("cuda-host-look");
    let (_driver, mut creator) = started(&name, "device");
    let stream = HostHandle::open(&name).unwrap();
    assert_eq!(
        *stream.schema(),
        Schema::tensor(shmstream::DType::I64, &[LEN])
    );
    assert_eq!(
        (stream.slots(), stream.history(), stream.count()),
        (4, 1, 0)
    );
    let device = stream.device().unwrap();
    assert!(device.shared && device.uuid.starts_with("GPU-"), "{device}");
    assert_eq!(device.placement, gpu::Placement::DeviceOnly);
    assert!(device.memory >= (LEN * 8 * 4) as u64);
    assert!(stream.latest().unwrap().is_none());

    creator.say("write");
    let first = stream.wait_timeout(DEADLINE).unwrap().expect("a frame");
    assert_eq!((first.count, first.missed), (1, 0));
    creator.expect("wrote 1");
    for i in 2..=4 {
        creator.say("write");
        creator.expect(&format!("wrote {i}"));
    }
    assert_eq!(stream.wait().unwrap().missed, 2);
    assert_eq!(stream.missed(), 2);
    let none = stream.wait_timeout(Duration::from_millis(1)).unwrap();
    assert!(none.is_none(), "nothing newer");
    let Err(Error::Gpu { problem, .. }) = stream.mirror() else {
        panic!("a stream without a mirror has one");
    };
    assert_eq!(problem, Problem::OnDevice);

    creator.kill();
    let device = stat(&name).unwrap().device.expect("a device");
    assert!(!device.shared, "{device}");
}

#[test]
fn a_process_without_a_gpu_takes_the_lock() {
    let name = Name::new("cuda-host-lock");
    let (_driver, mut creator) = started(&name, "device");
    let stream = HostHandle::open(&name).unwrap();
    let lock = stream.lock().unwrap();
    assert_eq!(stream.lock_holder(), Some(std::process::id()));
    creator.say("try");
    creator.expect("taken");
    drop(lock);
    creator.say("try");
    creator.expect("free");
    creator.say("write");
    creator.expect("wrote 1");
    assert!(stream.try_lock().unwrap().is_some());
}

#[test]
fn a_mirror_is_an_ordinary_stream() {
    let name = Name::new("cuda-host-mirror");
    let (_driver, mut creator) = started(&name, "mirrored");
    let stream = HostHandle::open(&name).unwrap();
    creator.say("write");
    creator.expect("wrote 1");
    let mirror = stream.mirror().unwrap();
    let frame = mirror.read().unwrap().expect("a frame");
    assert_eq!(frame.as_slice::<i64>().unwrap(), frame_of(value(1)));
}

#[test]
fn host_streams_are_sent_elsewhere() {
    let stream = Stream::<i64, 4>::temporary().unwrap();
    let Err(Error::Gpu { problem, .. }) = HostHandle::open(stream.name()) else {
        panic!("a host stream was opened as one on a device");
    };
    assert_eq!(problem, Problem::OnHost);
}
