//! A process that is killed at any moment loses nobody else anything.

use std::thread;
use std::time::{Duration, Instant};

use shmstream::{Error, list};
use shmstream_tests::checked::{WORDS, check, fill};
use shmstream_tests::whole::{Frames, assert_whole};
use shmstream_tests::{
    Child, DEADLINE, Dice, Name, PrivateDir, argument, eventually, hear, play, tell,
};

#[test]
fn child_entry() {
    play(&[
        ("hold_frames", hold_frames),
        ("hold_lock", hold_lock),
        ("hold_loans", hold_loans),
        ("park", park),
        ("write_forever", write_forever),
        ("attach_forever", attach_forever),
        ("create_forever", create_forever),
        ("inspect", inspect),
    ]);
}

fn write(stream: &Frames, number: u64) -> u64 {
    let mut frame = [0; WORDS];
    fill(&mut frame, 9, number);
    stream.write(&frame).unwrap()
}

fn hold_frames(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let mut held = Vec::new();
    for _ in 0..argument::<u32>(arguments, 1) {
        held.push(stream.wait().unwrap());
        tell("holding");
    }
    let _ = hear();
}

#[test]
fn slots_and_row_of_a_killed_reader_come_back() {
    let name = Name::new("reader");
    let stream = Frames::builder(&name)
        .slots(4)
        .participants(2)
        .create()
        .unwrap();
    for round in 0..5 {
        let mut reader = Child::spawn("hold_frames", &[&name, &3]);
        for i in 0..3 {
            // The first may be a frame of the round before.
            if round == 0 || i > 0 {
                write(&stream, 1);
            }
            reader.expect("holding");
        }
        write(&stream, 1);
        assert!(matches!(stream.loan(), Err(Error::NoFreeSlot { .. })));
        assert!(matches!(
            stream.try_clone(),
            Err(Error::TooManyParticipants { .. })
        ));
        reader.kill();
        assert_eq!(
            write(&stream, 7),
            stream.count(),
            "a writer frees the slots by itself"
        );
        assert_whole(&stream);
    }
}

#[test]
fn a_writer_that_waits_for_a_slot_learns_of_the_readers_death() {
    let name = Name::new("reader-wait");
    let stream = Frames::builder(&name).slots(2).create().unwrap();
    let mut reader = Child::spawn("hold_frames", &[&name, &1]);
    write(&stream, 1);
    reader.expect("holding");
    write(&stream, 2);
    let writer = stream.try_clone().unwrap();
    let writer = thread::spawn(move || writer.loan_timeout(DEADLINE).map(drop));
    thread::sleep(Duration::from_millis(10));
    assert!(!writer.is_finished());
    reader.kill();
    writer.join().unwrap().expect("the dead reader's slot");
    assert_whole(&stream);
}

fn hold_lock(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let guard = stream.lock().unwrap();
    write(&guard, 3);
    tell("held");
    let _ = hear();
}

#[test]
fn the_lock_of_a_killed_writer_is_free() {
    let name = Name::new("lock");
    let stream = Frames::builder(&name).participants(3).create().unwrap();
    for _ in 0..5 {
        let mut writer = Child::spawn("hold_lock", &[&name]);
        writer.expect("held");
        let before = stream.count();
        assert!(stream.try_lock().unwrap().is_none());
        // One that waits for the lock with a timeout, and so sleeps on a word that nobody fires.
        let waiter = stream.try_clone().unwrap();
        let waiter = thread::spawn(move || waiter.lock_timeout(DEADLINE).unwrap().is_some());
        thread::sleep(Duration::from_millis(5));
        writer.kill();
        assert!(waiter.join().unwrap());
        assert_eq!(stream.count(), before);
        assert_whole(&stream);
    }
}

fn hold_loans(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let mut loans: Vec<_> = (0..argument::<u32>(arguments, 1))
        .map(|_| stream.loan().unwrap())
        .collect();
    // Half filled.
    loans
        .iter_mut()
        .for_each(|loan| loan[..WORDS / 2].fill(u64::MAX));
    tell("held");
    let _ = hear();
}

#[test]
fn the_slots_that_a_killed_writer_had_on_loan_are_used_again() {
    let name = Name::new("loan");
    let stream = Frames::builder(&name)
        .slots(4)
        .participants(2)
        .create()
        .unwrap();
    for loans in [1, 3, 2, 3] {
        write(&stream, 5);
        let mut writer = Child::spawn("hold_loans", &[&name, &loans]);
        writer.expect("held");
        let count = stream.count();
        assert_eq!(
            check(&stream.read().unwrap().unwrap()),
            (9, 5),
            "readers do not notice"
        );
        writer.kill();
        let frame = stream.read().unwrap().unwrap();
        assert_eq!((check(&frame), frame.info().count), ((9, 5), count));
        drop(frame);
        assert_whole(&stream);
    }
}

fn park(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    tell("parked");
    let _ = stream.wait();
    tell("woken");
    let _ = hear();
}

#[test]
fn a_killed_sleeper_keeps_nobody_asleep() {
    let name = Name::new("park");
    let stream = Frames::builder(&name).participants(4).create().unwrap();
    let mut sleepers = [0; 3].map(|_| Child::spawn("park", &[&name]));
    sleepers.iter().for_each(|sleeper| sleeper.expect("parked"));
    thread::sleep(Duration::from_millis(20));
    sleepers[0].kill();
    write(&stream, 1);
    sleepers[1..]
        .iter()
        .for_each(|sleeper| sleeper.expect("woken"));
    drop(sleepers);
    assert_whole(&stream);
}

fn write_forever(arguments: &[String]) {
    let stream = Frames::open(&arguments[0]).unwrap();
    let end = Instant::now() + DEADLINE;
    let mut frame = [0; WORDS];
    tell("ready");
    for number in 0.. {
        fill(&mut frame, 1, number);
        match number % 5 {
            0 => drop(stream.loan().unwrap()),
            1 => {
                let guard = stream.lock().unwrap();
                guard.write(&frame).unwrap();
                guard.write(&frame).unwrap();
            }
            2 => {
                let mut loan = stream.loan_timeout(DEADLINE).unwrap();
                *loan = frame;
                loan.publish().unwrap();
            }
            _ => drop(stream.write(&frame).unwrap()),
        }
        if let Some(frame) = stream.read().unwrap() {
            check(&frame);
        }
        if Instant::now() > end {
            break;
        }
    }
}

#[test]
fn a_writer_may_be_killed_at_any_moment() {
    let name = Name::new("writer");
    let stream = Frames::builder(&name)
        .slots(3)
        .participants(2)
        .create()
        .unwrap();
    let mut dice = Dice::new(std::process::id().into());
    for _ in 0..100 {
        let mut writer = Child::spawn("write_forever", &[&name]);
        writer.expect("ready");
        thread::sleep(Duration::from_micros(dice.below(3000)));
        writer.kill();
        let count = stream.count();
        let latest = stream
            .read()
            .unwrap()
            .map(|frame| (frame.info().count, check(&frame)));
        assert!(latest.is_none_or(|(latest, _)| latest == count));
        assert_whole(&stream);
    }
}

/// Attaches and detaches, with pins in between.
fn attach_forever(arguments: &[String]) {
    let end = Instant::now() + DEADLINE;
    tell("ready");
    while Instant::now() < end {
        match Frames::open(&arguments[0]) {
            Ok(stream) => drop(check(&stream.read().unwrap().unwrap())),
            Err(error) => {
                tell(format!("failed: {error}"));
                let _ = hear();
            }
        }
    }
}

#[test]
fn rows_never_run_out() {
    let name = Name::new("rows");
    // One for this test, three for as many children.
    let stream = Frames::builder(&name).participants(4).create().unwrap();
    write(&stream, 1);
    let mut dice = Dice::new(std::process::id().into());
    let spawn = || {
        let child = Child::spawn("attach_forever", &[&name]);
        child.expect("ready");
        child
    };
    let mut children = [0; 3].map(|_| spawn());
    for _ in 0..200 {
        #[expect(clippy::cast_possible_truncation, reason = "below 3")]
        let child = &mut children[dice.below(3) as usize];
        let said = child.line_within(Duration::from_micros(dice.below(3000)));
        assert_eq!(said, None, "a row was lost");
        child.kill();
        *child = spawn();
        let count = stream.count();
        assert_eq!(write(&stream, 1), count + 1);
    }
    drop(children);
    assert_whole(&stream);
}

/// Creates and unlinks streams, a few names in turn.
fn create_forever(_: &[String]) {
    let end = Instant::now() + DEADLINE;
    tell("ready");
    for i in 0.. {
        let name = format!("s/{}", i % 4);
        let stream = match Frames::builder(&name).slots(2 + i % 7).create() {
            Ok(stream) => stream,
            Err(Error::AlreadyExists { .. }) => match Frames::open(&name) {
                Ok(stream) => stream,
                Err(Error::NotFound { .. }) => continue,
                Err(error) => panic!("{error}"),
            },
            Err(error) => panic!("{error}"),
        };
        match stream.write(&[1; WORDS]) {
            Ok(_) | Err(Error::Replaced { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        if i % 2 == 0 {
            let _ = shmstream::unlink(&name);
        }
        drop(Frames::temporary().unwrap());
        if Instant::now() > end {
            break;
        }
    }
}

/// Checks that there are only whole streams in the directory, and unlinks them.
fn inspect(_: &[String]) {
    for name in list().unwrap() {
        let stream = Frames::open(&name).unwrap();
        let count = stream.count();
        assert_eq!(write(&stream, 1), count + 1);
        assert!(stream.try_lock().unwrap().is_some());
        stream.unlink().unwrap();
    }
}

#[test]
fn a_creator_may_be_killed_at_any_moment() {
    let directory = PrivateDir::new();
    let spawn = |role| {
        let mut command = Child::command(role, &[]);
        command.env("SHMSTREAM_DIR", directory.path());
        Child::start(command)
    };
    let mut dice = Dice::new(std::process::id().into());
    for _ in 0..25 {
        let mut creators = [0; 2].map(|_| spawn("create_forever"));
        for creator in &mut creators {
            creator.expect("ready");
            thread::sleep(Duration::from_micros(dice.below(4000)));
            assert!(creator.is_alive(), "it failed");
            creator.kill();
        }
        spawn("inspect").finish();
        assert_eq!(
            directory.files(),
            Vec::<String>::new(),
            "nothing but streams was left"
        );
    }
    let free = || {
        let room = rustix::fs::statvfs(directory.path()).unwrap();
        room.f_bfree
    };
    // Files without a name went with their creators: the numbers would show a leak of all of them.
    let before = free();
    eventually("memory is not lost", || free() + 25 * 1000 > before);
}
