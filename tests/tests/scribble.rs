//! A peer that writes over the words that processes share: others get errors or wrong frames, and
//! neither crash nor hang nor panic.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use shmstream::Stream;
use shmstream_tests::{Child, Dice, Name, play, tell};

type Frames = Stream<u32, 700>;

const SHORT: Duration = Duration::from_millis(2);

#[test]
fn child_entry() {
    play(&[("use_it", use_it), ("wait_for_it", wait_for_it)]);
}

/// Uses a stream in every way until the test is over, whatever comes of it.
fn use_it(arguments: &[String]) {
    let stop = Stream::<u8, 1>::open(&arguments[1]).unwrap();
    let mut dice = Dice::new(std::process::id().into());
    let mut streams = vec![Frames::open(&arguments[0]).unwrap()];
    let mut buffer = [0; 700];
    let mut done = [0_u32; 12];
    tell("ready");
    while stop.count() == 0 {
        #[expect(clippy::cast_possible_truncation, reason = "at most three")]
        let stream = &streams[dice.below(streams.len() as u64) as usize];
        let action = usize::try_from(dice.below(12)).unwrap();
        let worked = match action {
            0 => stream.write(&[1; 700]).is_ok(),
            1 => stream.loan().is_ok_and(|loan| loan.publish().is_ok()),
            2 => stream.loan_timeout(SHORT).is_ok_and(|mut loan| {
                loan.fill(7);
                true
            }),
            3 => stream.clear().is_ok(),
            4 => stream.try_lock().is_ok_and(|guard| {
                guard.is_some_and(|guard| guard.write(&[2; 700]).is_ok() & guard.read().is_ok())
            }),
            5 => stream
                .lock_timeout(SHORT)
                .is_ok_and(|guard| guard.is_some()),
            6 => stream.read().is_ok_and(|frame| {
                frame.is_some_and(|frame| {
                    let info = frame.info();
                    let _ = (info.age(), info.published_at(), format!("{info:?}"));
                    frame.iter().fold(0, |sum, &word| sum ^ word) != 5
                })
            }),
            7 => stream
                .read_into(&mut buffer)
                .is_ok_and(|info| info.is_some()),
            8 => stream.read_new().is_ok_and(|frame| frame.is_some()),
            9 => stream
                .wait_timeout(SHORT)
                .is_ok_and(|frame| frame.is_some()),
            10 => {
                let _ = (stream.count(), stream.lock_holder(), format!("{stream:?}"));
                stream.read_owned().is_ok_and(|frame| frame.is_some())
            }
            _ => {
                if streams.len() > 2 {
                    streams.remove(0);
                }
                match Frames::open(&arguments[0]) {
                    Ok(stream) => {
                        streams.push(stream);
                        true
                    }
                    Err(_) => false,
                }
            }
        };
        done[action] += u32::from(worked);
    }
    tell(format!("{done:?}"));
}

/// Waits for a frame that is there, and then is not, over and over.
fn wait_for_it(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let stop = Stream::<u8, 1>::open(&arguments[1]).unwrap();
    tell("ready");
    while stop.count() == 0 {
        if stream.count() > 0 {
            drop(stream.wait_after(0));
            drop(stream.wait_after_timeout(0, SHORT));
            drop(stream.read_new());
        }
    }
}

#[test]
fn a_frame_that_vanishes_panics_nobody() {
    let (name, stop_name) = (Name::new("vanish"), Name::new("vanish-stop"));
    let stream = Frames::create(&name).unwrap();
    stream.write(&[0; 700]).unwrap();
    let stop = Stream::<u8, 1>::create(&stop_name).unwrap();
    let mut child = Child::spawn("wait_for_it", &[&name, &stop_name]);
    child.expect("ready");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.path())
        .unwrap();
    let (latest, _) = control_block(&file);
    let mut there = [0; 8];
    file.read_exact_at(&mut there, latest).unwrap();
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        file.write_all_at(&[0; 8], latest).unwrap();
        file.write_all_at(&there, latest).unwrap();
        assert!(child.is_alive(), "it went down");
    }
    stop.write(&[1]).unwrap();
    child.finish();
}

/// The offsets of the control block and of its end.
fn control_block(file: &File) -> (u64, u64) {
    let at = |offset| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, offset).unwrap();
        u64::from_ne_bytes(bytes)
    };
    (at(40), at(48))
}

#[test]
fn a_peer_that_scribbles_over_the_shared_words_brings_nobody_down() {
    let (name, stop_name) = (Name::new("scribble"), Name::new("scribble-stop"));
    let stream = Frames::builder(&name)
        .slots(3)
        .participants(16)
        .create()
        .unwrap();
    stream.write(&[0; 700]).unwrap();
    let stop = Stream::<u8, 1>::create(&stop_name).unwrap();
    let mut children = [0; 3].map(|_| Child::spawn("use_it", &[&name, &stop_name]));
    children.iter().for_each(|child| child.expect("ready"));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.path())
        .unwrap();
    let (start, end) = control_block(&file);
    let used = 512 + 128 * (3 + 16);
    assert!(start > 0 && start + used <= end);
    let mut dice = Dice::new(0xdead);
    let until = Instant::now() + Duration::from_secs(3);
    let mut rounds = 0_u32;
    while Instant::now() < until {
        rounds += 1;
        // Mostly the head, which everybody uses; and small values, which are nearly right.
        let offset = match dice.below(3) {
            0 => [0, 128, 136, 144][usize::try_from(dice.below(4)).unwrap()],
            1 => dice.below(512 / 8) * 8,
            _ => dice.below(used / 8) * 8,
        };
        let value = match dice.below(5) {
            0 => 0,
            1 => u64::MAX,
            2 => dice.below(256),
            3 => dice.below(1 << 40),
            _ => dice.next(),
        };
        file.write_all_at(&value.to_ne_bytes(), start + offset)
            .unwrap();
        if dice.below(50) == 0 {
            // Time to recover in, so that the deeper paths are reached as well.
            let zeros = vec![0; usize::try_from(used).unwrap()];
            file.write_all_at(&zeros, start).unwrap();
            std::thread::sleep(Duration::from_micros(dice.below(500)));
        }
        for child in &mut children {
            assert!(child.is_alive(), "a child went down");
        }
    }
    stop.write(&[1]).unwrap();
    for child in children {
        let done = child.line();
        assert!(
            !done.contains("[0, 0, 0, 0, 0, 0, 0, 0"),
            "nothing worked: {done}"
        );
        child.finish();
    }
    assert!(rounds > 100, "{rounds} rounds show nothing");
}
