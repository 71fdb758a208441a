//! Frames that are handed over by event, whose writer dies with its work undone: nobody waits for them.

#[path = "cuda/support.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::time::Duration;

use shmstream::cuda::{CudaFrame, CudaStream, Queue};
use shmstream::gpu::Problem;
use shmstream::{Error, Start, stat};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, DEADLINE, Name, argument, hear, play, tell};
use smol::block_on;
use support::{LEN, child, child_with, context, empty, fill, frame_of, value};

#[test]
fn child_entry() {
    play(&[
        ("serve", serve),
        ("never_done", never_done),
        ("follow", follow),
        ("write_one", write_one),
        ("wait_already", wait_already),
    ]);
}

/// Creates a stream with so many slots, and does what each line asks for.
fn serve(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let builder = CudaStream::<i64>::builder(&name).events();
    let builder = builder.slots(argument(arguments, 1));
    let mut stream = builder.create(&[LEN], &context).unwrap();
    tell("ready");
    loop {
        let wish = hear();
        let next = value(stream.count() + 1);
        match wish.as_str() {
            "write" => tell(format!("wrote {}", stream.write(&frame_of(next)).unwrap())),
            "publish" => {
                let count = stream.publish_copy(&queue, &fill(&queue, next)).unwrap();
                stream.flush().unwrap();
                tell(format!("wrote {count}"));
            }
            "read" => tell(match stream.read(&queue) {
                Ok(frame) => words(frame),
                Err(Error::Gpu { problem, .. }) => {
                    assert!(matches!(problem, Problem::WriterGone { .. }), "{problem}");
                    problem.to_string()
                }
                Err(error) => panic!("{error}"),
            }),
            "read new" => tell(words(stream.read_new(&queue).unwrap())),
            "look" => {
                let frame = stream.wait_timeout(&queue, Duration::from_millis(1));
                tell(words(frame.unwrap()));
            }
            "wait" => tell(words(stream.wait_timeout(&queue, DEADLINE).unwrap())),
            "wait in a task" => {
                tell("waits");
                tell(words(Some(block_on(stream.wait_async(&queue)).unwrap())));
            }
            _ => return,
        }
    }
}

/// Checks what a frame holds, which takes the queue to its end.
fn words(frame: Option<CudaFrame<'_, i64>>) -> String {
    let Some(frame) = frame else {
        return String::from("nothing");
    };
    let info = frame.info();
    assert!(*frame.copy_to_host().unwrap() == frame_of(value(info.count)));
    format!("frame {}, {} missed", info.count, info.missed)
}

/// Publishes frames that are never done; loses the context too if asked to.
fn never_done(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let source = empty(&queue);
    for _ in 0..argument(arguments, 1) {
        stream.publish_copy(&queue, &source).unwrap();
    }
    tell("on its way");
    if hear() == "lose" {
        let refused = stream.publish_copy(&queue, &source);
        assert!(matches!(refused, Err(Error::Gpu { .. })), "{refused:?}");
        tell("lost");
        let _ = hear();
        std::process::exit(0);
    }
}

fn slow(driver: &Driver, settings: &[(&str, String)], name: &Name, frames: u64) -> Child {
    let mut settings = settings.to_vec();
    settings.push(("STANDIN_DELAY_US", String::from("3600000000")));
    let writer = child_with(driver, &settings, "never_done", &[name, &frames]);
    writer.expect("on its way");
    writer
}

fn ask(server: &mut Child, wish: &str, answer: &str) {
    server.say(wish);
    server.expect(answer);
}

#[test]
fn the_frame_before_those_of_a_dead_writer_is_the_latest() {
    let name = Name::new("cuda-events-before");
    let driver = Driver::stand_in();
    let mut server = child(&driver, "serve", &[&name, &4]);
    server.expect("ready");
    ask(&mut server, "publish", "wrote 1");
    slow(&driver, &[], &name, 2).kill();
    assert_eq!(stat(&name).unwrap().count, 3);
    ask(&mut server, "read new", "frame 1, 0 missed");
    ask(&mut server, "read new", "nothing");
    ask(&mut server, "look", "nothing");
    ask(&mut server, "read", "frame 1, 0 missed");
    // Writers take the slots of those frames, and wait for nothing.
    ask(&mut server, "publish", "wrote 4");
    ask(&mut server, "read new", "frame 4, 2 missed");
    for i in 5..10 {
        let wish = if i % 2 == 0 { "publish" } else { "write" };
        ask(&mut server, wish, &format!("wrote {i}"));
        ask(&mut server, "wait", &format!("frame {i}, 0 missed"));
    }
}

#[test]
fn without_a_complete_frame_there_is_an_error_until_the_next() {
    let name = Name::new("cuda-events-none");
    let driver = Driver::stand_in();
    let mut server = child(&driver, "serve", &[&name, &4]);
    server.expect("ready");
    slow(&driver, &[], &name, 2).kill();
    server.say("read");
    let line = server.line();
    assert!(line.contains("writer of frame 2 is gone"), "{line}");
    ask(&mut server, "read new", "nothing");
    ask(&mut server, "look", "nothing");
    ask(&mut server, "wait in a task", "waits");
    let other = child(&driver, "write_one", &[&name]);
    other.expect("wrote 3");
    other.finish();
    server.expect("frame 3, 0 missed");
    // One that was complete when it was published, in a slot whose event may never come.
    for i in 4..8 {
        ask(&mut server, "write", &format!("wrote {i}"));
        ask(&mut server, "read", &format!("frame {i}, 0 missed"));
    }
}

#[test]
fn a_writer_that_loses_its_context_holds_no_reader_up() {
    let name = Name::new("cuda-events-lost");
    let driver = Driver::stand_in();
    let mut server = child(&driver, "serve", &[&name, &4]);
    server.expect("ready");
    ask(&mut server, "publish", "wrote 1");
    let fault = [("STANDIN_FAIL", String::from("cuMemcpyDtoDAsync_v2:2=lost"))];
    let mut loser = slow(&driver, &fault, &name, 1);
    ask(&mut loser, "lose", "lost");
    ask(&mut server, "read", "frame 1, 0 missed");
    ask(&mut server, "publish", "wrote 3");
    ask(&mut server, "read", "frame 3, 1 missed");
    loser.say("end");
    loser.finish();
}

fn write_one(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let stream = CudaStream::<i64>::open(&name, &context()).unwrap();
    let next = frame_of(value(stream.count() + 1));
    tell(format!("wrote {}", stream.write(&next).unwrap()));
}

/// Follows a stream and misses nothing.
fn follow(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let mut frames = stream.subscribe_lossless(Start::Latest).unwrap();
    tell("ready");
    let words = |queue: &std::sync::Arc<Queue>, frame: Option<CudaFrame<'_, i64>>| {
        let words = words(frame);
        queue.synchronize().unwrap();
        words
    };
    loop {
        match hear().as_str() {
            "read" => {
                let frame = frames.read(&queue).unwrap();
                let read = words(&queue, frame);
                tell(format!("{read}, {} behind", frames.behind()));
            }
            "wait in a task" => {
                tell("waits");
                let frame = block_on(frames.wait_async(&queue)).unwrap();
                let read = words(&queue, Some(frame));
                let gap = frames.gap().map(|gap| (gap.first, gap.last));
                tell(format!("{read}, gap {gap:?}"));
            }
            _ => return,
        }
    }
}

#[test]
fn who_misses_nothing_goes_past_the_frames_of_a_dead_writer() {
    let name = Name::new("cuda-events-order");
    let driver = Driver::stand_in();
    let mut server = child(&driver, "serve", &[&name, &4]);
    server.expect("ready");
    ask(&mut server, "publish", "wrote 1");
    let mut follower = child(&driver, "follow", &[&name]);
    follower.expect("ready");
    ask(&mut follower, "read", "frame 1, 0 missed, 0 behind");
    slow(&driver, &[], &name, 3).kill();
    // All slots but that of frame 1 are kept for it, and it lets go of them.
    ask(&mut follower, "read", "nothing, 0 behind");
    for i in 5..=7 {
        ask(&mut server, "publish", &format!("wrote {i}"));
    }
    ask(&mut follower, "wait in a task", "waits");
    follower.expect("frame 5, 3 missed, gap Some((2, 4))");
    ask(&mut follower, "read", "frame 6, 0 missed, 1 behind");
    ask(&mut follower, "read", "frame 7, 0 missed, 0 behind");
    // And where it waits already when there is nothing but lost frames.
    slow(&driver, &[], &name, 2).kill();
    ask(&mut follower, "wait in a task", "waits");
    ask(&mut server, "publish", "wrote 10");
    follower.expect("frame 10, 2 missed, gap Some((8, 9))");
    for i in 11..16 {
        ask(&mut server, "publish", &format!("wrote {i}"));
        let answer = format!("frame {i}, 0 missed, 0 behind");
        ask(&mut follower, "read", &answer);
    }
}

#[test]
fn a_queue_that_waits_already_holds_up_nobody_else() {
    let name = Name::new("cuda-events-stuck");
    let driver = Driver::stand_in();
    let mut server = child(&driver, "serve", &[&name, &3]);
    server.expect("ready");
    ask(&mut server, "publish", "wrote 1");
    let mut writer = slow(&driver, &[], &name, 1);
    let mut stuck = child(&driver, "wait_already", &[&name]);
    stuck.expect("has 2");
    writer.kill();
    // It keeps its slot, and the others go on with two.
    for i in 3..8 {
        ask(&mut server, "publish", &format!("wrote {i}"));
        server.say("read");
        assert!(server.line().starts_with(&format!("frame {i}, ")));
    }
    ask(&mut stuck, "another queue", "frame 7, 4 missed");
    stuck.kill();
    for i in 8..14 {
        ask(&mut server, "publish", &format!("wrote {i}"));
    }
}

/// Has a queue wait for a frame that is never done, and reads with another.
fn wait_already(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let (waiting, other) = (context.new_stream().unwrap(), context.new_stream().unwrap());
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let frame = stream.read(&waiting).unwrap().expect("a frame");
    tell(format!("has {}", frame.info().count));
    let _ = hear();
    tell(words(stream.read(&other).unwrap()));
    let _ = hear();
    drop(frame);
}
