//! Streams on a GPU that are mirrored on the host, and what host streams make of streams on a GPU.

#[path = "cuda/support.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod support;

use shmstream::cuda::{CudaStream, Mirrored};
use shmstream::gpu::Problem;
use shmstream::{DynStream, Error, Stream, list, stat};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, DEADLINE, Name, argument, hear, play, tell};
use support::{LEN, child_with, context, fill, frame_of, value};

const FRAMES: u64 = 100;

#[test]
fn child_entry() {
    play(&[
        ("mirror_slowly", mirror_slowly),
        ("write", write),
        ("wrong", wrong),
        ("no_gpu", no_gpu),
    ]);
}

fn write(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let builder = CudaStream::<i64, Mirrored>::builder(&name).slots(6);
    let stream = builder.create(&[LEN], &context).unwrap();
    let sources: Vec<_> = (1..=FRAMES).map(|i| fill(&queue, value(i))).collect();
    queue.synchronize().unwrap();
    tell("created");
    assert_eq!(hear(), "go");
    let wrong = fill(&queue, 0);
    for (i, source) in (1..).zip(&sources) {
        // In two steps, so that a copy to the mirror that comes too early is not right by chance.
        let publish = stream.publish_with_id(i, &queue, |slot, queue| {
            queue.memcpy_dtod(&wrong, slot)?;
            queue.memcpy_dtod(source, slot)
        });
        publish.unwrap();
    }
    assert_eq!(hear(), "end");
    let mirror = stream.mirror().unwrap();
    assert_eq!(
        mirror.read().unwrap().expect("a frame").info().count,
        FRAMES
    );
    let frame = stream.read(&queue).unwrap().expect("a frame");
    assert!(*frame.copy_to_host().unwrap() == frame_of(value(FRAMES)));
}

/// The reader is this process, which has no GPU.
#[test]
fn a_program_without_a_gpu_reads_whole_frames() {
    let name = Name::new("cuda-mirror");
    let driver = Driver::new();
    let slow = [("STANDIN_DELAY_US", String::from("200"))];
    let mut writer = child_with(&driver, &slow, "write", &[&name]);
    writer.expect("created");
    let stream = Stream::<i64, LEN>::open(&name).unwrap();
    writer.say("go");
    loop {
        let frame = stream.wait_timeout(DEADLINE).unwrap().expect("a frame");
        let id = frame.info().frame_id;
        assert!(
            frame[..] == frame_of(value(id)),
            "frame {id} holds {:?}",
            &frame[..4]
        );
        if id == FRAMES {
            break;
        }
    }
    // On the host it is for reading.
    let Err(Error::Gpu { problem, .. }) = stream.write(&[0; LEN]) else {
        panic!("a host stream wrote to a mirror");
    };
    assert_eq!(problem, Problem::Mirrored);
    assert!(stream.loan().is_err() && stream.lock().is_err());
    let seen = Stream::<i64, LEN>::observe(&name).unwrap();
    assert!(seen.read().unwrap().expect("a frame")[..] == frame_of(value(FRAMES)));
    writer.say("end");
    writer.finish();
}

#[test]
fn the_callers_queue_does_not_wait_for_the_mirror() {
    let name = Name::new("cuda-mirror-beside");
    let driver = Driver::stand_in();
    // Everything that touches memory takes an hour.
    let slow = [("STANDIN_DELAY_US", String::from("3600000000"))];
    let mut writer = child_with(&driver, &slow, "mirror_slowly", &[&name]);
    writer.expect("done");
    assert_eq!(stat(&name).unwrap().count, 0, "its mirror is not filled");
    writer.kill();
}

fn mirror_slowly(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64, Mirrored>::create(&name, &[LEN], &context).unwrap();
    // No work but the copy to the mirror.
    stream.publish(&queue, |_, _| Ok(())).unwrap();
    queue.synchronize().unwrap();
    tell("done");
    let _ = hear();
}

#[test]
fn misuse_is_refused_with_the_way_out() {
    let name = Name::new("cuda-misuse");
    let driver = Driver::stand_in();
    let devices = [("STANDIN_DEVICES", String::from("2"))];
    let mut child = child_with(&driver, &devices, "wrong", &[&name]);
    child.expect("created");
    // A host stream, and tools, without a GPU.
    let opened = [
        Stream::<i64, LEN>::open(&name).map(drop),
        DynStream::open(&name).map(drop),
        Stream::<i64, LEN>::observe(&name).map(drop),
    ];
    for opened in opened {
        let error = opened.expect_err("a stream on a device");
        assert!(error.to_string().contains("CudaStream"), "{error}");
    }
    assert_eq!(stat(&name).unwrap().count, 1);
    assert!(
        list()
            .unwrap()
            .iter()
            .any(|each| each.to_string() == name.as_str())
    );
    child.say("end");
    child.finish();
}

fn wrong(arguments: &[String]) {
    use shmstream::cuda::cudarc::driver::CudaContext;
    let name: String = argument(arguments, 0);
    let first = context();
    let stream = CudaStream::<i64>::create(&name, &[LEN], &first).unwrap();
    stream.write(&frame_of(1)).unwrap();
    tell("created");
    assert_eq!(hear(), "end");

    let problem_of = |result: Result<(), Error>| match result {
        Err(Error::Gpu { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    let second = CudaContext::new(1).unwrap();
    let opened = CudaStream::<i64>::open(&name, &second).map(drop);
    assert!(matches!(problem_of(opened), Problem::WrongDevice { .. }));
    let opened = CudaStream::<i64, Mirrored>::open(&name, &first).map(drop);
    let expected = Problem::Placement {
        stream: "DeviceOnly",
        program: "Mirrored",
    };
    assert_eq!(problem_of(opened), expected);
    let queue = second.new_stream().unwrap();
    assert_eq!(
        problem_of(stream.read(&queue).map(drop)),
        Problem::WrongContext
    );
    let opened = CudaStream::<f64>::open(&name, &first).map(drop);
    assert!(matches!(opened, Err(Error::Type { .. })), "{opened:?}");
    let created = CudaStream::<i64>::create(&name, &[LEN], &first).map(drop);
    assert!(
        matches!(created, Err(Error::AlreadyExists { .. })),
        "{created:?}"
    );

    let host = format!("{name}-host");
    let on_host = Stream::<i64, 4>::builder(&host)
        .temporary()
        .create()
        .unwrap();
    let opened = CudaStream::<i64>::open(&host, &first).map(drop);
    assert_eq!(problem_of(opened), Problem::OnHost);
    drop(on_host);
}

#[test]
fn a_driver_that_shares_nothing_is_reported() {
    let name = Name::new("cuda-unshared");
    let driver = Driver::stand_in();
    for (fault, expected) in [
        ("cuIpcGetMemHandle=801", "Unsupported"),
        ("cuMemAlloc_v2=2", "Driver"),
    ] {
        let faults = format!("cuMemExportToShareableHandle=801,{fault}");
        let settings = [("STANDIN_FAIL", faults)];
        let child: Child = child_with(&driver, &settings, "no_gpu", &[&name]);
        assert!(child.line().starts_with(expected));
        child.finish();
    }
    assert!(stat(&name).is_err(), "nothing was left under the name");
}

fn no_gpu(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    match CudaStream::<i64>::create(&name, &[LEN], &context()) {
        Err(Error::Gpu { problem, .. }) => tell(format!("{problem:?}")),
        other => panic!("{other:?}"),
    }
}
