//! Streams on a GPU in a process without one: what they are, their frames' headers, their lock.

#[path = "cuda/support.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::time::Duration;

use shmstream::config::{Manifest, StreamConfig};
use shmstream::cuda::{CudaStream, Mirrored, Placement};
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
        "declared" => serve(declared(&name)),
        sharing @ ("handle" | "descriptor") => {
            let config = &shared_manifest(&name, Some(sharing)).streams[0];
            serve(CudaStream::<i64>::create_declared(config, &context()).unwrap());
        }
        "mirrored" => {
            serve(CudaStream::<i64, Mirrored>::create(&name, &[LEN], &context()).unwrap())
        }
        _ => serve(CudaStream::<i64>::create(&name, &[LEN], &context()).unwrap()),
    }
}

fn serve<P: Placement>(stream: CudaStream<i64, P>) {
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

fn manifest(name: &str) -> Manifest {
    let text = format!(
        "[[stream]]\nname = \"{name}\"\ndtype = \"i64\"\nshape = [{LEN}]\nhistory = 3\n\
         placement = \"device-only\"\nhandover = \"event\"\n"
    );
    Manifest::from_toml(&text).unwrap()
}

/// Creates the stream that is declared, and is refused others.
fn declared(name: &str) -> CudaStream<i64> {
    let context = context();
    let config = &manifest(name).streams[0];
    let refused = CudaStream::<i64, Mirrored>::create_declared(config, &context);
    let Err(Error::Gpu { problem, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(matches!(problem, Problem::Placement { .. }), "{problem}");
    let refused = CudaStream::<f64>::create_declared(config, &context);
    assert!(matches!(refused, Err(Error::Type { .. })), "{refused:?}");
    let mut on_host = config.clone();
    (on_host.placement, on_host.handover) = (None, None);
    let refused = CudaStream::<i64>::create_declared(&on_host, &context);
    let Err(Error::Gpu { problem, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(problem, Problem::OnHost);
    CudaStream::create_declared(config, &context).unwrap()
}

#[test]
fn a_declared_stream_is_created_and_compared() {
    let name = Name::new("cuda-declared");
    let manifest = manifest(name.as_str());
    // Not without a GPU.
    let applied = manifest.apply();
    let [(_, Error::Gpu { problem, .. })] = &applied.failed[..] else {
        panic!("{applied:?}");
    };
    assert_eq!(*problem, Problem::Declared);
    let (_driver, mut creator) = started(&name, "declared");
    assert!(manifest.check().is_empty(), "{:?}", manifest.check());
    assert_eq!(manifest.apply().present.len(), 1);
    let status = stat(&name).unwrap();
    assert_eq!(StreamConfig::of(&status), manifest.streams[0].resolved());
    assert_eq!((status.history, status.slots), (3, 6));
    let text = status.to_string();
    let device = status.device.expect("a device");
    assert_eq!(device.handover, gpu::Handover::Event);
    for words in [&device.uuid, "on a GPU", "by event"] {
        assert!(text.contains(words), "{text}");
    }
    let mut other = manifest.streams[0].clone();
    (other.placement, other.handover) = (None, None);
    let differences: Vec<_> = other.difference(&stat(&name).unwrap());
    let what: Vec<_> = differences.iter().map(|each| each.what).collect();
    assert_eq!(what, ["placement", "handover"]);
    let mut other = manifest.streams[0].clone();
    (other.handover, other.sharing) = (None, Some(gpu::Sharing::Descriptor));
    let differences: Vec<_> = other.difference(&stat(&name).unwrap());
    let what: Vec<_> = differences.iter().map(|each| each.what).collect();
    assert_eq!(what, ["handover", "sharing"]);
    creator.say("write");
    creator.expect("wrote 1");
}

/// Declares a stream whose memory is shared in this way, or as it can be.
fn shared_manifest(name: &str, sharing: Option<&str>) -> Manifest {
    let sharing = sharing.map_or(String::new(), |how| format!("sharing = \"{how}\"\n"));
    let text = format!(
        "[[stream]]\nname = \"{name}\"\ndtype = \"i64\"\nshape = [{LEN}]\n\
         placement = \"device-only\"\n{sharing}"
    );
    Manifest::from_toml(&text).unwrap()
}

#[test]
fn how_memory_is_shared_can_be_declared() {
    for (declared, other, sharing) in [
        ("handle", "descriptor", gpu::Sharing::Handle),
        ("descriptor", "handle", gpu::Sharing::Descriptor),
    ] {
        let name = Name::new("cuda-declared-sharing");
        let (_driver, _creator) = started(&name, declared);
        let status = stat(&name).unwrap();
        assert_eq!(status.device.as_ref().expect("a device").sharing, sharing);
        let manifest = |how| shared_manifest(name.as_str(), how);
        let config = &manifest(Some(declared)).streams[0];
        assert_eq!(StreamConfig::of(&status), config.resolved());
        // Not declared, it may be either.
        for (how, differences) in [(None, 0), (Some(declared), 0), (Some(other), 1)] {
            let found = manifest(how).streams[0].difference(&status);
            assert_eq!(found.len(), differences, "{found:?}");
        }
    }
}
