//! Every frame of a stream on a GPU, in order.

#[path = "cuda/support.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::time::Duration;

use shmstream::cuda::CudaStream;
use shmstream::{Error, Start};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, DEADLINE, Name, argument, hear, play, tell};
use smol::block_on;
use support::{LEN, child, child_with, context, empty, fill, frame_of, value};

const FRAMES: u64 = 120;

#[test]
fn child_entry() {
    play(&[
        ("write", write),
        ("follow", follow),
        ("follow_async", follow),
        ("alone", alone),
        ("stand_still", stand_still),
    ]);
}

#[test]
fn a_stream_keeps_its_history() {
    let name = Name::new("cuda-history");
    child(&Driver::new(), "alone", &[&name]).finish();
}

fn alone(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let writer = CudaStream::<i64>::builder(&name).history(4);
    let writer = writer.create(&[LEN], &context).unwrap();
    assert_eq!((writer.history(), writer.slots()), (4, 7));
    for i in 1..=10 {
        writer.write_with_id(i, &frame_of(value(i))).unwrap();
    }
    let frames = writer.subscribe(Start::Oldest).unwrap();
    assert_eq!((frames.position(), frames.behind()), (7, 4));
    for i in 7..=10 {
        let frame = frames.read(&queue).unwrap().expect("kept");
        assert_eq!((frame.info().count, frame.info().missed), (i, 0));
        assert!(*frame.copy_to_host().unwrap() == frame_of(value(i)));
    }
    assert!(frames.read(&queue).unwrap().is_none());
    let none = frames.wait_timeout(&queue, Duration::from_millis(1));
    assert!(none.unwrap().is_none());

    // Far behind, it says what it missed.
    let late = writer.subscribe(Start::Count(2)).unwrap();
    let frame = late.read(&queue).unwrap().expect("the oldest");
    let info = frame.info();
    assert_eq!(info.count, 2 + info.missed);
    let gap = late.gap().expect("a gap");
    assert_eq!((gap.first, gap.last), (2, info.count - 1));
    assert_eq!(late.missed(), info.missed);
    drop(frame);

    // Writers keep what somebody who misses nothing has not read.
    let all = writer.subscribe_lossless(Start::New).unwrap();
    let mut written = 0;
    let full = loop {
        match writer.write(&frame_of(value(11 + written))) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    let Error::NoFreeSlot { subscribers, .. } = full else {
        panic!("{full}");
    };
    assert_eq!(subscribers, [std::process::id()]);
    for i in 0..written {
        let frame = all.read(&queue).unwrap().expect("kept");
        assert_eq!((frame.info().count, frame.info().missed), (11 + i, 0));
        assert!(*frame.copy_to_host().unwrap() == frame_of(value(11 + i)));
    }
    writer.write_timeout(&frame_of(0), DEADLINE).unwrap();
}

/// A writer that is fast and a reader that is slow: all frames, in order, right.
fn in_order(role: &str, handover: &str) {
    let name = Name::new("cuda-order");
    let driver = Driver::new();
    let mut writer = child(&driver, "write", &[&name, &handover]);
    writer.expect("created");
    let slow = [("STANDIN_DELAY_US", String::from("300"))];
    let reader = child_with(&driver, &slow, role, &[&name, &role]);
    reader.expect("opened");
    writer.say("go");
    reader.expect("right");
    reader.finish();
    writer.say("end");
    writer.finish();
}

#[test]
fn a_slow_reader_gets_every_frame() {
    in_order("follow", "callback");
}

#[test]
fn a_slow_reader_gets_every_frame_by_events() {
    in_order("follow", "events");
}

#[test]
fn a_slow_task_gets_every_frame() {
    in_order("follow_async", "callback");
}

#[test]
fn a_killed_subscriber_holds_nobody_up() {
    let name = Name::new("cuda-dead-subscriber");
    let driver = Driver::new();
    let mut writer = child(&driver, "write", &[&name, &"callback"]);
    writer.expect("created");
    let mut reader: Child = child(&driver, "stand_still", &[&name]);
    reader.expect("opened");
    writer.say("go");
    reader.expect("has the first");
    reader.kill();
    // It would wait for slots for ever otherwise.
    writer.say("end");
    writer.finish();
}

fn write(arguments: &[String]) {
    let (name, handover): (String, String) = (argument(arguments, 0), argument(arguments, 1));
    let context = context();
    let queue = context.new_stream().unwrap();
    let mut builder = CudaStream::<i64>::builder(&name).slots(5);
    if handover == "events" {
        builder = builder.events();
    }
    let stream = builder.create(&[LEN], &context).unwrap();
    let sources: Vec<_> = (1..=FRAMES).map(|i| fill(&queue, value(i))).collect();
    queue.synchronize().unwrap();
    tell("created");
    assert_eq!(hear(), "go");
    for source in &sources {
        let publish = stream.publish_timeout(DEADLINE, &queue, |slot, queue| {
            queue.memcpy_dtod(source, slot)
        });
        publish.unwrap();
    }
    assert_eq!(hear(), "end");
}

fn follow(arguments: &[String]) {
    let (name, role): (String, String) = (argument(arguments, 0), argument(arguments, 1));
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let mut frames = stream.subscribe_lossless(Start::New).unwrap();
    let mut copies = Vec::new();
    tell("opened");
    for count in 1..=FRAMES {
        let mut copy = empty(&queue);
        let frame = match role.as_str() {
            "follow_async" => block_on(frames.wait_async(&queue)).unwrap(),
            _ => frames.wait(&queue).unwrap(),
        };
        assert_eq!((frame.info().count, frame.info().missed), (count, 0));
        frame.copy_into(&mut copy).unwrap();
        drop(frame);
        copies.push(copy);
    }
    for (count, copy) in (1..).zip(copies) {
        let copy = queue.clone_dtoh(&copy).unwrap();
        assert!(copy == frame_of(value(count)), "{count}: {:?}", &copy[..4]);
    }
    tell("right");
}

fn stand_still(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let frames = stream.subscribe_lossless(Start::New).unwrap();
    tell("opened");
    let frame = frames.wait(&queue).unwrap();
    tell("has the first");
    let _ = hear();
    drop(frame);
}
