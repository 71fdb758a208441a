//! Waiting for frames, slots and locks of streams on a GPU.

#[path = "cuda/support.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use shmstream::cuda::{CudaStream, Queue};
use shmstream::gpu::HostHandle;
use shmstream::{AsyncSource, Error, unlink};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, DEADLINE, Name, argument, hear, play, tell};
use smol::block_on;
use smol::stream::StreamExt;
use support::{LEN, child, child_with, context, fill, frame_of, value};

const SHORT: Duration = Duration::from_millis(5);

#[test]
fn child_entry() {
    play(&[
        ("publish", publish),
        ("wait", wait),
        ("wait_async", wait_async),
        ("hold_lock", hold_lock),
        ("lock", lock),
        ("room", room),
        ("replaced", replaced),
        ("temporary", temporary),
    ]);
}

/// Creates a stream and publishes as it is told: each line is a frame_id.
fn publish(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let mut builder = CudaStream::<i64>::builder(&name);
    if argument::<String>(arguments, 1) == "events" {
        builder = builder.events();
    }
    let stream = builder.create(&[LEN], &context).unwrap();
    tell("created");
    loop {
        let id: u64 = hear().parse().unwrap();
        let source = fill(&queue, value(id));
        let published =
            stream.publish_with_id(id, &queue, |slot, queue| queue.memcpy_dtod(&source, slot));
        tell(format!("published {}", published.unwrap()));
    }
}

fn publisher(name: &Name, driver: &Driver, handover: &str) -> Child {
    // Slow, so that a reader which waits too little sees that.
    let slow = [("STANDIN_DELAY_US", String::from("3000"))];
    let publisher = child_with(driver, &slow, "publish", &[name, &handover]);
    publisher.expect("created");
    publisher
}

fn check(frame: &shmstream::cuda::CudaFrame<'_, i64>) {
    let info = frame.info();
    assert!(*frame.copy_to_host().unwrap() == frame_of(value(info.frame_id)));
    let count = info.count;
    tell(format!("{} {} {}", count, info.frame_id, info.missed));
}

/// Says what each frame is that it waited for.
fn wait(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    assert!(stream.wait_timeout(&queue, SHORT).unwrap().is_none());
    tell("waits");
    loop {
        check(&stream.wait(&queue).unwrap());
        let _ = hear();
    }
}

fn wait_async(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let mut stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let readiness = stream.readiness().unwrap();
    tell("waits");
    loop {
        check(&block_on(stream.wait_async(&queue)).unwrap());
        readiness.clear().unwrap();
        let _ = hear();
    }
}

fn readers_wake(role: &str, handover: &str) {
    let name = Name::new("cuda-waits");
    let driver = Driver::new();
    let mut publisher = publisher(&name, &driver, handover);
    let mut readers: Vec<Child> = (0..2).map(|_| child(&driver, role, &[&name])).collect();
    readers.iter().for_each(|reader| reader.expect("waits"));
    publisher.say(41);
    publisher.expect("published 1");
    readers.iter().for_each(|reader| reader.expect("1 41 0"));
    // Two frames while nobody looks: one of them is missed. Events make a frame the latest at once.
    for (id, count) in [(42, 2), (43, 3)] {
        publisher.say(id);
        publisher.expect(&format!("published {count}"));
    }
    let seen = HostHandle::open(&name).unwrap();
    while seen.count() < 3 {
        assert!(seen.wait_timeout(DEADLINE).unwrap().is_some());
    }
    for reader in &mut readers {
        reader.say("go on");
        reader.expect("3 43 1");
    }
}

#[test]
fn blocked_readers_wake() {
    readers_wake("wait", "callback");
}

#[test]
fn blocked_readers_wake_by_events() {
    readers_wake("wait", "events");
}

#[test]
fn tasks_wake() {
    readers_wake("wait_async", "callback");
}

#[test]
fn tasks_wake_by_events() {
    readers_wake("wait_async", "events");
}

#[test]
fn tasks_without_a_gpu_wake() {
    let name = Name::new("cuda-waits-host");
    let driver = Driver::new();
    let mut publisher = publisher(&name, &driver, "callback");
    let mut stream = HostHandle::open(&name).unwrap();
    let readiness = stream.readiness().unwrap();
    let other = HostHandle::open(&name).unwrap();
    let waiting = thread::spawn(move || block_on(other.into_frames().next()));
    publisher.say(5);
    let info = block_on(stream.wait_async()).unwrap();
    assert_eq!((info.count, info.frame_id, info.missed), (1, 5, 0));
    let there = waiting.join().unwrap().expect("a frame").unwrap();
    assert_eq!((there.count, there.frame_id), (1, 5));
    readiness.clear().unwrap();
    assert_eq!(stream.passed(), 1);
}

#[test]
fn the_lock_is_waited_for_as_long_as_asked() {
    let name = Name::new("cuda-lock");
    let driver = Driver::new();
    let mut publisher = publisher(&name, &driver, "callback");
    let mut holder = child(&driver, "hold_lock", &[&name]);
    holder.expect("holds");
    let waiting = child(&driver, "lock", &[&name, &holder.pid()]);
    waiting.expect("busy");
    // A holder that dies gives it up, and whoever waits goes on.
    holder.kill();
    waiting.expect("has it");
    waiting.finish();
    publisher.say(1);
    publisher.expect("published 1");
}

fn hold_lock(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let stream = CudaStream::<i64>::open(&name, &context()).unwrap();
    let lock = stream.lock().unwrap();
    tell("holds");
    let _ = hear();
    drop(lock);
}

fn lock(arguments: &[String]) {
    let (name, expected): (String, u32) = (argument(arguments, 0), argument(arguments, 1));
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    assert!(stream.try_lock().unwrap().is_none());
    assert!(stream.lock_timeout(SHORT).unwrap().is_none());
    let on_host = HostHandle::open(&name).unwrap();
    assert!(on_host.lock_timeout(SHORT).unwrap().is_none());
    let source = fill(&queue, 0);
    let refused = [
        stream.write_timeout(&frame_of(0), SHORT),
        stream.publish_timeout(SHORT, &queue, |slot, queue| {
            queue.memcpy_dtod(&source, slot)
        }),
    ];
    for refused in refused {
        let Err(Error::Busy { holder, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(holder, Some(expected));
    }
    tell("busy");
    drop(stream.lock_timeout(DEADLINE).unwrap().expect("the lock"));
    tell("has it");
}

#[test]
fn writers_wait_for_slots_as_long_as_asked() {
    let name = Name::new("cuda-room");
    child(&Driver::new(), "room", &[&name]).finish();
}

fn room(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let writer = CudaStream::<i64>::builder(&name).slots(2);
    let writer = writer.create(&[LEN], &context).unwrap();
    let reader = CudaStream::<i64>::open(&name, &context).unwrap();
    writer.write(&frame_of(1)).unwrap();
    let held = reader.read(&queue).unwrap().expect("a frame");
    writer.write(&frame_of(2)).unwrap();
    let publish = |timeout, queue: &Arc<Queue>| {
        let source = fill(queue, 3);
        writer.publish_timeout(timeout, queue, |slot, queue| {
            queue.memcpy_dtod(&source, slot)
        })
    };
    let full = publish(SHORT, &queue);
    assert!(matches!(full, Err(Error::NoFreeSlot { .. })), "{full:?}");
    let full = writer.write_timeout(&frame_of(3), SHORT);
    assert!(matches!(full, Err(Error::NoFreeSlot { .. })), "{full:?}");
    drop(held);
    assert_eq!(publish(DEADLINE, &queue).unwrap(), 3);
    writer.flush().unwrap();
    assert_eq!(writer.count(), 3);
}

#[test]
fn a_wait_ends_when_the_name_is_another_streams() {
    let name = Name::new("cuda-replaced");
    child(&Driver::new(), "replaced", &[&name]).finish();
}

fn replaced(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let first = CudaStream::<i64>::create(&name, &[LEN], &context).unwrap();
    unlink(&name).unwrap();
    let _second = CudaStream::<i64>::create(&name, &[LEN], &context).unwrap();
    let waited = first.wait_timeout(&queue, DEADLINE).map(drop);
    assert!(matches!(waited, Err(Error::Replaced { .. })), "{waited:?}");
}

#[test]
fn a_temporary_stream_is_found_and_goes_with_its_creator() {
    let name = Name::new("cuda-temporary");
    child(&Driver::new(), "temporary", &[&name]).finish();
    assert!(matches!(unlink(&name), Err(Error::NotFound { .. })));
}

fn temporary(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let builder = || CudaStream::<i64>::builder(&name).temporary();
    let created = builder().open_or_create(&[LEN], &context).unwrap();
    let opened = builder().open_or_create(&[LEN], &context).unwrap();
    assert_eq!(created.instance(), opened.instance());
    assert_eq!(
        (created.path(), created.schema()),
        (opened.path(), opened.schema())
    );
    assert!(created.path().exists());
    let refused = builder().open_or_create(&[LEN, 1], &context);
    assert!(matches!(refused, Err(Error::Shape { .. })), "{refused:?}");

    for i in 1..=3 {
        let written = created.write_with_id_timeout(i, &frame_of(value(i)), DEADLINE);
        assert_eq!(written.unwrap(), i);
    }
    let frame = opened.wait_after(&queue, 0).unwrap();
    assert_eq!((frame.info().count, frame.info().frame_id), (3, 3));
    drop(frame);
    // Once more, although it was read already.
    let again = opened.wait_after_timeout(&queue, 2, DEADLINE).unwrap();
    assert_eq!(again.expect("a frame").info().count, 3);
    let none = opened.wait_after_timeout(&queue, 3, SHORT);
    assert!(none.unwrap().is_none());
    drop(opened);
    assert!(created.path().exists());
    drop(created);
}
