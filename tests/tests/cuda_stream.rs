//! Streams on a GPU between processes: over the stand-in driver, or a real one with
//! `SHMSTREAM_TEST_GPU=1`.

#[path = "cuda/support.rs"]
mod support;

use std::fmt::Debug;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use shmstream::cuda::cudarc::driver::{DriverError, sys::CUresult};
use shmstream::cuda::{CudaFrame, CudaStream};
use shmstream::gpu::{Problem, Sharing};
use shmstream::{Error, GpuPayload, ShmPayload, Stream, bf16, f16, stat};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, DEADLINE, Name, argument, hear, play, tell};
use support::{LEN, child, child_with, context, fill, frame_of, log_of, value};

const FRAMES: u64 = 200;

#[test]
fn child_entry() {
    play(&[
        ("all_alone", all_alone),
        ("every_kind", every_kind),
        ("write", write),
        ("read", read),
        ("hold", hold),
        ("publish_slowly", publish_slowly),
        ("publish_long", publish_long),
        ("keep", keep),
        ("refusals", refusals),
        ("create", create),
    ]);
}

#[test]
fn one_process_writes_and_reads_through_two_handles() {
    let name = Name::new("cuda-alone");
    let driver = Driver::new();
    child(&driver, "all_alone", &[&name]).finish();
}

fn all_alone(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let writer = CudaStream::<f32>::create(&name, &[2, 3], &context).unwrap();
    assert_eq!(
        (writer.shape(), writer.len(), writer.slots()),
        (&[2, 3][..], 6, 4)
    );
    let reader = CudaStream::<f32>::open(&name, &context).unwrap();
    assert!(reader.read(&queue).unwrap().is_none());
    let sent = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    assert_eq!(writer.write_with_id(7, &sent).unwrap(), 1);
    let frame = reader.read(&queue).unwrap().expect("a frame");
    assert_eq!((frame.info().count, frame.info().frame_id), (1, 7));
    assert_eq!(*frame.copy_to_host().unwrap(), sent);
    let mut buffer = queue.alloc_zeros::<f32>(6).unwrap();
    frame.copy_into(&mut buffer).unwrap();
    drop(frame);
    assert_eq!(queue.clone_dtoh(&buffer).unwrap(), sent);
    assert!(reader.read_new(&queue).unwrap().is_none());

    // From a buffer on the device, and from one queue after the other.
    let other = context.new_stream().unwrap();
    for i in 2..20 {
        let queue = if i % 2 == 0 { &queue } else { &other };
        let count = writer.publish(queue, |slot, queue| queue.memcpy_dtod(&buffer, slot));
        assert_eq!(count.unwrap(), i);
    }
    writer.flush().unwrap();
    let frame = reader
        .wait_timeout(&queue, DEADLINE)
        .unwrap()
        .expect("a frame");
    assert_eq!((frame.info().count, frame.info().missed), (19, 17));
    assert_eq!(reader.missed(), 17);
    assert_eq!(*frame.copy_to_host().unwrap(), sent);
    drop(frame);

    // What fails is not published, and gives its slot back.
    for _ in 0..10 {
        let failed = writer.publish(&queue, |_, _| {
            Err(DriverError(CUresult::CUDA_ERROR_NOT_FOUND))
        });
        assert!(matches!(failed, Err(Error::Gpu { .. })), "{failed:?}");
    }
    assert!(matches!(writer.write(&[0.0]), Err(Error::Invalid { .. })));
    assert_eq!(writer.write(&sent).unwrap(), 20);

    // Guards hold slots, and the lock is somebody's.
    let held: Vec<CudaFrame<'_, f32>> = (0..3)
        .map(|_| {
            writer.write(&sent).unwrap();
            reader.read(&queue).unwrap().expect("a frame")
        })
        .collect();
    writer.write(&sent).unwrap();
    let full = writer.write(&sent);
    assert!(matches!(full, Err(Error::NoFreeSlot { .. })), "{full:?}");
    drop(held);
    writer.flush().unwrap();
    reader.flush().unwrap();
    writer.write(&sent).unwrap();
    let lock = writer.lock().unwrap();
    assert!(reader.try_lock().unwrap().is_none());
    drop(lock);
    assert!(reader.try_lock().unwrap().is_some());

    // Without a GPU there is what the file says.
    assert_eq!(stat(&name).unwrap().count, 25);
    let on_host = Stream::<f32, 6>::open(&name);
    let Err(Error::Gpu { problem, .. }) = on_host else {
        panic!("{on_host:?}");
    };
    assert_eq!(problem, Problem::OnDevice);
}

#[test]
fn payloads_are_what_a_gpu_computes_with() {
    let name = Name::new("cuda-kinds");
    child(&Driver::new(), "every_kind", &[&name]).finish();
}

/// What a camera knows of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, ShmPayload)]
#[repr(C)]
#[shm(gpu)]
struct Pixel {
    colour: [f32; 3],
    depth: f32,
}

fn every_kind(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    there_and_back(&name, &[f16::from_f32(1.5), f16::from_f32(-2.0)]);
    there_and_back(&name, &[bf16::from_f32(0.25); 3]);
    there_and_back(&name, &[1.0_f64, f64::MIN]);
    there_and_back(&name, &[-1_i8, 2]);
    there_and_back(&name, &[i16::MIN, 7]);
    there_and_back(&name, &[i32::MIN, 7]);
    there_and_back(&name, &[0_u8, 255, 3]);
    there_and_back(&name, &[[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    let pixel = |depth| Pixel {
        colour: [0.5; 3],
        depth,
    };
    there_and_back(&name, &[pixel(1.0), pixel(2.0), pixel(3.0)]);
}

fn there_and_back<T: GpuPayload + PartialEq + Debug>(name: &str, sent: &[T]) {
    let context = context();
    let queue = context.new_stream().unwrap();
    let writer = CudaStream::<T>::create(name, &[sent.len()], &context).unwrap();
    let reader = CudaStream::<T>::open(name, &context).unwrap();
    writer.write(sent).unwrap();
    let frame = reader.read(&queue).unwrap().expect("a frame");
    assert_eq!(*frame.copy_to_host().unwrap(), *sent);
    // Once more, from the device.
    assert_eq!(writer.publish_copy(&queue, &frame.view()).unwrap(), 2);
    let part = frame.view();
    let refused = writer.publish_copy(&queue, &part.slice(1..));
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    drop(frame);
    let frame = reader.wait_timeout(&queue, DEADLINE).unwrap();
    assert_eq!(*frame.expect("a frame").copy_to_host().unwrap(), *sent);
    writer.unlink().unwrap();
}

/// Three readers and a writer, slow where the caller says; no frame may be wrong.
fn exchange(label: &str, handover: &str, writer_us: u64, reader_us: u64) {
    let name = Name::new(label);
    let driver = Driver::new();
    let log = log_of(&name);
    let delay = |us: u64| ("STANDIN_DELAY_US", us.to_string());
    let logged = ("STANDIN_LOG", log.path().display().to_string());
    let settings = [delay(writer_us), logged.clone()];
    let mut writer = child_with(&driver, &settings, "write", &[&name, &FRAMES, &handover]);
    writer.expect("created");
    let settings = [delay(reader_us), logged];
    let start = |_| child_with(&driver, &settings, "read", &[&name, &FRAMES]);
    let readers: Vec<Child> = (0..3).map(start).collect();
    readers.iter().for_each(|reader| reader.expect("opened"));
    log.clear();
    writer.say("go");
    for reader in readers {
        reader.expect("right");
        reader.finish();
    }
    let calls = log.calls_until("-- handed over");
    if !driver.is_real() {
        assert!(
            calls.iter().any(|call| call == "cuLaunchHostFunc"),
            "{calls:?}"
        );
        for waiting in [
            "cuStreamSynchronize",
            "cuCtxSynchronize",
            "cuEventSynchronize",
        ] {
            assert!(
                !calls.iter().any(|call| call == waiting),
                "{waiting} in a hand-over"
            );
        }
    }
    writer.say("end");
    writer.finish();
}

#[test]
fn frames_are_right_with_a_slow_writer() {
    exchange("cuda-slow-writer", "callback", 300, 0);
}

#[test]
fn frames_are_right_with_slow_readers() {
    exchange("cuda-slow-readers", "callback", 0, 700);
}

#[test]
fn frames_are_right_by_memory_handles() {
    exchange("cuda-handles", "handles", 300, 700);
}

#[test]
fn frames_are_right_by_events_with_a_slow_writer() {
    exchange("cuda-events-writer", "events", 300, 0);
}

#[test]
fn frames_are_right_by_events_with_slow_readers() {
    exchange("cuda-events-readers", "events", 0, 700);
}

fn write(arguments: &[String]) {
    let (name, frames): (String, u64) = (argument(arguments, 0), argument(arguments, 1));
    let handover: String = argument(arguments, 2);
    let context = context();
    let queue = context.new_stream().unwrap();
    let mut builder = CudaStream::<i64>::builder(&name).slots(6);
    match handover.as_str() {
        "events" => builder = builder.events(),
        "handles" => builder = builder.sharing(Sharing::Handle),
        _ => {}
    }
    let stream = builder.create(&[LEN], &context).unwrap();
    let sources: Vec<_> = (1..=frames).map(|i| fill(&queue, value(i))).collect();
    queue.synchronize().unwrap();
    tell("created");
    assert_eq!(hear(), "go");
    for (i, source) in (1..).zip(&sources) {
        loop {
            let publish =
                stream.publish_with_id(i, &queue, |slot, queue| queue.memcpy_dtod(source, slot));
            match publish {
                Ok(_) => break,
                Err(Error::NoFreeSlot { .. }) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!(hear(), "end");
}

fn read(arguments: &[String]) {
    let (name, frames): (String, u64) = (argument(arguments, 0), argument(arguments, 1));
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    // Copies behind which nobody waits until the end: the slot must be kept for them.
    let mut copies = Vec::new();
    tell("opened");
    loop {
        let frame = stream
            .wait_timeout(&queue, DEADLINE)
            .unwrap()
            .expect("a frame");
        let info = frame.info();
        let mut copy = support::empty(&queue);
        frame.copy_into(&mut copy).unwrap();
        drop(frame);
        copies.push((info.frame_id, copy));
        if info.frame_id == frames {
            break;
        }
    }
    support::mark("-- handed over");
    for (id, copy) in copies {
        let copy = queue.clone_dtoh(&copy).unwrap();
        assert!(
            copy == frame_of(value(id)),
            "frame {id} holds {:?}",
            &copy[..4]
        );
    }
    tell("right");
}

#[test]
fn a_killed_reader_gives_its_slots_back() {
    let name = Name::new("cuda-dead-reader");
    let driver = Driver::new();
    let mut creator = child(&driver, "create", &[&name]);
    creator.expect("created");
    let mut readers: Vec<Child> = Vec::new();
    for i in 1..=3 {
        creator.say("write");
        creator.expect(&format!("wrote {i}"));
        let reader = child(&driver, "hold", &[&name]);
        reader.expect(&format!("holds {i}"));
        readers.push(reader);
    }
    creator.say("write");
    creator.expect("wrote 4");
    creator.say("write");
    creator.expect("full");
    readers[1].kill();
    creator.say("write");
    creator.expect("wrote 5");
}

fn create(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let mut builder = CudaStream::<i64>::builder(&name);
    if arguments.get(1).is_some_and(|how| how == "by handle") {
        builder = builder.sharing(Sharing::Handle);
    }
    if arguments.get(1).is_some_and(|how| how == "roomy") {
        builder = builder.slots(8).history(2);
    }
    let stream = builder.create(&[LEN], &context).unwrap();
    tell("created");
    loop {
        match hear().as_str() {
            "write" => match stream.write(&frame_of(value(stream.count() + 1))) {
                Ok(count) => tell(format!("wrote {count}")),
                Err(Error::NoFreeSlot { .. }) => tell("full"),
                Err(error) => panic!("{error}"),
            },
            _ => return,
        }
    }
}

fn hold(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let frame = stream.read(&queue).unwrap().expect("a frame");
    tell(format!("holds {}", frame.info().count));
    let _ = hear();
}

#[test]
fn a_killed_writer_publishes_nothing_half_done() {
    let name = Name::new("cuda-dead-writer");
    let driver = Driver::stand_in();
    let mut creator = child(&driver, "create", &[&name]);
    creator.expect("created");
    creator.say("write");
    creator.expect("wrote 1");
    let reader = child(&driver, "hold", &[&name]);
    reader.expect("holds 1");
    let slow = [("STANDIN_DELAY_US", String::from("3600000000"))];
    let mut writer = child_with(&driver, &slow, "publish_slowly", &[&name]);
    writer.expect("on its way");
    assert_eq!(stat(&name).unwrap().count, 1);
    writer.kill();
    // Its lock is free and its slots are, and the count goes on.
    for i in 2..10 {
        creator.say("write");
        creator.expect(&format!("wrote {i}"));
    }
}

fn publish_slowly(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let source = support::empty(&queue);
    for i in 2..=3 {
        let publish = stream.publish(&queue, |slot, queue| queue.memcpy_dtod(&source, slot));
        assert_eq!(publish.unwrap(), i);
    }
    tell("on its way");
    let _ = hear();
}

/// The locks of a process are gone before its work on the device is. So who takes over fills other slots for
/// a while, as long as there are some, and what arrives late reaches no frame.
#[test]
fn slots_that_a_killed_writer_was_filling_are_left_alone_for_a_while() {
    let name = Name::new("cuda-left-alone");
    let driver = Driver::new();
    let mut creator = child(&driver, "create", &[&name, &"roomy"]);
    creator.expect("created");
    creator.say("write");
    creator.expect("wrote 1");
    let slow = [("STANDIN_DELAY_US", String::from("3600000000"))];
    let mut writer = child_with(&driver, &slow, "publish_long", &[&name]);
    writer.expect("on its way");
    writer.kill();
    let killed = Instant::now();
    let states = words_of(&name, 0);
    let left: Vec<_> = (0..8).filter(|&slot| states[slot] == 1).collect();
    let mut last = stat(&name).unwrap().count;
    if !driver.is_real() {
        // On a device they may have arrived.
        assert_eq!((left.len(), last), (2, 1));
    }
    let mut keeper = child(&driver, "keep", &[&name]);
    keeper.expect(&format!("frame {last}"));
    while killed.elapsed() < Duration::from_millis(500) {
        last += 1;
        creator.say("write");
        creator.expect(&format!("wrote {last}"));
        keeper.say("read");
        keeper.expect(&format!("frame {last}"));
        let now = words_of(&name, 0);
        assert!(left.iter().all(|&slot| now[slot] == 1), "{left:?}: {now:?}");
    }
    std::thread::sleep(Duration::from_secs(1));
    // With history, slots take turns.
    for _ in 0..8 {
        last += 1;
        creator.say("write");
        creator.expect(&format!("wrote {last}"));
    }
    assert!(!words_of(&name, 0).contains(&1));
    assert_eq!(words_of(&name, 40), [0; 8]);
}

/// Returns a word of each of eight slots, as `docs/protocol.md` has them.
fn words_of(name: &Name, offset: u64) -> [u64; 8] {
    let file = std::fs::File::open(name.path()).unwrap();
    let word = |at: u64| {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, at).unwrap();
        u64::from_ne_bytes(word)
    };
    let control = word(40);
    std::array::from_fn(|slot| word(control + 512 + 128 * slot as u64 + offset))
}

/// Has two frames on their way, with much to do for each.
fn publish_long(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    for i in 2..=3 {
        let source = fill(&queue, value(i));
        let publish = stream.publish(&queue, |slot, queue| {
            (0..2000).try_for_each(|_| queue.memcpy_dtod(&source, slot))
        });
        publish.unwrap();
    }
    tell("on its way");
    let _ = hear();
}

#[test]
fn a_killed_creator_leaves_a_clear_state() {
    let name = Name::new("cuda-dead-creator");
    let driver = Driver::new();
    let mut creator = child(&driver, "create", &[&name, &"by handle"]);
    creator.expect("created");
    creator.say("write");
    creator.expect("wrote 1");
    let mut keeper = child(&driver, "keep", &[&name]);
    keeper.expect("frame 1");
    creator.kill();
    keeper.say("read");
    keeper.expect("frame 1");
    let refused = child(&driver, "refusals", &[&name]);
    refused.expect("ExporterGone");
    refused.finish();
    let mut heir = child(&driver, "create", &[&name]);
    heir.expect("created");
    heir.say("write");
    heir.expect("wrote 1");
    keeper.say("look");
    keeper.expect("Replaced");
}

fn keep(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    loop {
        let frame = stream.read(&queue).unwrap().expect("a frame");
        let count = frame.info().count;
        assert!(*frame.copy_to_host().unwrap() == frame_of(value(count)));
        drop(frame);
        tell(format!("frame {count}"));
        if hear() == "look" {
            tell(format!("{:?}", stream.link().unwrap()));
            return;
        }
    }
}

fn refusals(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    match CudaStream::<i64>::open(&name, &context()) {
        Err(Error::Gpu { problem, .. }) => tell(format!("{problem:?}")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_orderly_end_frees_the_memory_only_when_nobody_has_it() {
    let driver = Driver::new();
    for kept in [false, true] {
        let name = Name::new("cuda-orderly");
        let log = log_of(&name);
        let logged = [("STANDIN_LOG", log.path().display().to_string())];
        let mut creator = child_with(&driver, &logged, "create", &[&name, &"by handle"]);
        creator.expect("created");
        creator.say("write");
        creator.expect("wrote 1");
        let keeper = kept.then(|| {
            let keeper = child(&driver, "keep", &[&name]);
            keeper.expect("frame 1");
            keeper
        });
        creator.say("end");
        creator.finish();
        if !driver.is_real() {
            let freed = log
                .calls_until("")
                .iter()
                .any(|call| call == "cuMemFree_v2");
            assert_eq!(freed, !kept);
        }
        let refused = child(&driver, "refusals", &[&name]);
        refused.expect("ExporterGone");
        refused.finish();
        if let Some(mut keeper) = keeper {
            keeper.say("read");
            keeper.expect("frame 1");
        }
        assert_eq!(stat(&name).unwrap().count, 1, "the file stays for its heir");
    }
}
