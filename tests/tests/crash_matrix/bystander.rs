//! The processes beside the one that dies: they live, and must not be disturbed.

use std::time::{Duration, Instant};

use shmstream::{Frame, FrameInfo, Start, Subscription};
use shmstream_tests::checked::{Checked, WORDS, check};
use shmstream_tests::whole::{Frames, publish};
use shmstream_tests::{DEADLINE, hear, tell};

use super::sleep::tell_when_asleep;

/// Who writes what bystanders publish.
const BYSTANDER: u64 = 3;

/// Does what it is told, line by line. Arguments: the stream.
pub(crate) fn bystander(arguments: &[String]) {
    let name = &arguments[0];
    let stream = Frames::open(name).unwrap();
    let mut held: Option<(Frame<'_, u64, WORDS>, Checked)> = None;
    let mut lock = None;
    let mut frames = None;
    let mut crowd = Vec::new();
    tell("attached");
    loop {
        match hear().as_str() {
            "read" => tell(format!("read {}", read(&stream))),
            "write" => {
                let begun = Instant::now();
                let count = publish(&stream, BYSTANDER);
                tell(format!("wrote {count} {}", begun.elapsed().as_nanos()));
            }
            "hold" => {
                let frame = stream.read().unwrap().unwrap();
                check(&frame);
                let copy = *frame;
                held = Some((frame, copy));
                tell("held");
            }
            "check" => {
                let (frame, copy) = held.as_ref().expect("a frame");
                assert!(**frame == *copy, "the frame changed under its guard");
                tell("same");
            }
            "release" => {
                held = None;
                tell("released");
            }
            "lock" => {
                lock = Some(stream.lock().unwrap());
                tell("locked");
            }
            "unlock" => {
                lock = None;
                tell("unlocked");
            }
            "subscribe" => {
                frames = Some(stream.subscribe_lossless(Start::New).unwrap());
                tell("subscribed");
            }
            "drain" => {
                let last = drain(&frames.take().expect("a subscription"));
                tell(format!("drained to {last}"));
            }
            "crowd" => {
                // Each with a row that awaits frames and pins one.
                let subscribe = || stream.subscribe_lossless(Start::New).ok();
                crowd.extend(std::iter::from_fn(subscribe));
                for one in &crowd {
                    std::mem::forget(one.stream().read().unwrap());
                }
                tell("crowded");
            }
            "end" => break,
            sleeping => sleep(&stream, name, sleeping),
        }
    }
    drop((held, lock, frames, crowd));
    drop(stream);
    tell("ended");
}

/// Does what makes a process sleep, and says so while it does.
fn sleep(stream: &Frames, name: &str, what: &str) {
    let woke = |info: FrameInfo| tell(format!("woke {} {}", info.count, info.age().as_nanos()));
    let wrote = |count: u64| tell(format!("wrote {count} {}", super::now_ns()));
    if let Some(frame) = stream.read().unwrap() {
        check(&frame);
    }
    let asleep = || tell_when_asleep(|| {});
    match what {
        "wait" => {
            asleep();
            let frame = stream.wait().unwrap();
            let info = frame.info();
            woke(info);
            assert_eq!(check(&frame).1, info.count);
        }
        "observe" => {
            let observer = Frames::observe(name).unwrap();
            check(&observer.read().unwrap().unwrap());
            asleep();
            let frame = observer.wait().unwrap();
            woke(frame.info());
            assert_eq!(check(&frame).1, frame.info().count);
        }
        "await" => {
            let mut own = stream.try_clone().unwrap();
            drop(own.read().unwrap().unwrap());
            // The thread is asleep in the executor, behind the look after arming.
            asleep();
            let frame = smol::block_on(own.wait_owned_async()).unwrap();
            woke(frame.info());
            assert_eq!(check(&frame).1, frame.info().count);
        }
        "want lock" => {
            asleep();
            drop(stream.lock().unwrap());
            wrote(publish(stream, BYSTANDER));
        }
        "want lock for a while" => {
            asleep();
            drop(stream.lock_timeout(DEADLINE).unwrap().unwrap());
            wrote(publish(stream, BYSTANDER));
        }
        "want slot" => {
            let mut frame = [0; WORDS];
            let number = stream.count() + 1;
            shmstream_tests::checked::fill(&mut frame, BYSTANDER, number);
            asleep();
            let count = stream.write_timeout(&frame, DEADLINE).unwrap();
            assert_eq!(count, number);
            wrote(count);
        }
        other => panic!("{other}"),
    }
}

fn read(stream: &Frames) -> u64 {
    let count = stream.count();
    let Some(frame) = stream.read().unwrap() else {
        return 0;
    };
    assert_eq!(frame.info().count, count);
    assert_eq!(check(&frame).1, count);
    count
}

/// Reads everything that a lossless subscription has to give, and returns the last count.
fn drain(frames: &Subscription<Frames>) -> u64 {
    let mut last = frames.position() - 1;
    while let Some(frame) = frames.wait_timeout(Duration::ZERO).unwrap() {
        let info = frame.info();
        assert_eq!((info.count, info.missed), (last + 1, 0));
        assert_eq!(check(&frame).1, info.count);
        last = info.count;
    }
    assert_eq!(frames.missed(), 0);
    last
}
