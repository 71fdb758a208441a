//! Writers: publish, loan, lock, and what happens when no slot is free.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use shmstream::{Error, Stream};
use shmstream_tests::{Child, DEADLINE, Name, argument, eventually, hear, play, tell};

type Counter = Stream<u64, 1>;

const SHORT: Duration = Duration::from_millis(30);

#[test]
fn child_entry() {
    play(&[
        ("hold_frames", hold_frames),
        ("hold_lock", hold_lock),
        ("try_lock", try_lock),
        ("add", add),
        ("write_when_told", write_when_told),
    ]);
}

#[test]
fn every_way_of_writing_counts_on() {
    let stream = Counter::temporary().unwrap();
    assert_eq!(stream.count(), 0);
    assert_eq!(stream.write(&[10]).unwrap(), 1);
    assert_eq!(stream.write_with_id(77, &[11]).unwrap(), 2);
    assert_eq!(stream.read().unwrap().unwrap().info().frame_id, 77);
    assert_eq!(stream.loan().unwrap().publish().unwrap(), 3);
    assert_eq!(stream.read().unwrap().unwrap().info().frame_id, 0);
    let mut loan = stream.loan().unwrap();
    loan[0] = 13;
    assert_eq!(loan.publish_with_id(u64::MAX).unwrap(), 4);
    let frame = stream.read().unwrap().unwrap();
    assert_eq!(
        (*frame, frame.info().frame_id, frame.info().count),
        ([13], u64::MAX, 4)
    );
    drop(frame);
    assert_eq!(stream.clear().unwrap(), 5);
    assert_eq!(*stream.read().unwrap().unwrap(), [0]);
    assert_eq!(stream.count(), 5);
}

#[test]
fn an_abandoned_loan_publishes_nothing() {
    let stream = Counter::temporary().unwrap();
    stream.write(&[1]).unwrap();
    for _ in 0..10 {
        stream.loan().unwrap()[0] = 99;
    }
    let frame = stream.read().unwrap().unwrap();
    assert_eq!((*frame, frame.info().count), ([1], 1));
    assert_eq!(stream.write(&[2]).unwrap(), 2, "no count is lost");
}

#[test]
fn several_loans_are_several_slots() {
    let stream = Counter::builder(Name::new("loans").as_str())
        .slots(4)
        .create()
        .unwrap();
    stream.write(&[1]).unwrap();
    let mut loans: Vec<_> = (0..3).map(|_| stream.loan().unwrap()).collect();
    let error = stream.loan().unwrap_err();
    assert!(
        matches!(error, Error::NoFreeSlot { slots: 4, loans: 3, ref holders, .. } if holders.is_empty())
    );
    assert!(matches!(stream.write(&[9]), Err(Error::NoFreeSlot { .. })));
    for (i, loan) in (20..).zip(&mut loans) {
        loan[0] = i;
    }
    // The order of publication is the order of counts, not that of the loans.
    let middle = loans.remove(1);
    assert_eq!(middle.publish().unwrap(), 2);
    assert_eq!(*stream.read().unwrap().unwrap(), [21]);
    drop(loans.remove(1));
    assert_eq!(
        stream.write(&[30]).unwrap(),
        3,
        "an abandoned slot is free again"
    );
    assert_eq!(*loans[0], [20], "and no other loan's");
    assert_eq!(loans.remove(0).publish().unwrap(), 4);
    assert_eq!(*stream.read().unwrap().unwrap(), [20]);
}

#[test]
fn the_first_loan_sees_zeros() {
    let stream = Stream::<[u8; 1000], 5>::temporary().unwrap();
    assert_eq!(*stream.loan().unwrap(), [[0; 1000]; 5]);
}

#[test]
fn a_loan_holds_the_lock() {
    let stream = Counter::temporary().unwrap();
    let loan = stream.loan().unwrap();
    let other = Counter::open(stream.name()).unwrap();
    let other = thread::spawn(move || {
        assert!(other.try_lock().unwrap().is_none());
        other
    });
    let other = other.join().unwrap();
    loan.publish().unwrap();
    let free = thread::spawn(move || other.try_lock().unwrap().is_some());
    assert!(free.join().unwrap());
}

#[test]
fn the_lock_is_re_entrant_in_its_thread_through_any_handle() {
    let stream = Counter::temporary().unwrap();
    let second = stream.try_clone().unwrap();
    let third = Counter::open(stream.name()).unwrap();
    let outer = stream.lock().unwrap();
    assert_eq!(outer.write(&[1]).unwrap(), 1);
    let inner = second.try_lock().unwrap().expect("re-entrant");
    assert_eq!(inner.write(&[2]).unwrap(), 2);
    assert_eq!(third.write(&[3]).unwrap(), 3);
    let innermost = third.lock_timeout(SHORT).unwrap().expect("re-entrant");
    // Out of order: the lock is free with the last guard, whichever that is.
    drop(outer);
    drop(inner);
    let waiter = stream.try_clone().unwrap();
    let waiter = thread::spawn(move || {
        assert!(waiter.try_lock().unwrap().is_none());
        assert!(waiter.lock_timeout(SHORT).unwrap().is_none());
        waiter
    });
    let waiter = waiter.join().unwrap();
    // The handle that took the lock first may go before the last guard.
    drop(stream);
    assert_eq!(innermost.write(&[4]).unwrap(), 4);
    drop(innermost);
    let free = thread::spawn(move || waiter.try_lock().unwrap().is_some());
    assert!(free.join().unwrap());
}

#[test]
fn the_lock_keeps_other_threads_out() {
    let stream = Counter::temporary().unwrap();
    let other = stream.try_clone().unwrap();
    let guard = stream.lock().unwrap();
    let (send, receive) = channel();
    let thread = thread::spawn(move || {
        assert!(other.try_lock().unwrap().is_none());
        let before = Instant::now();
        assert!(other.lock_timeout(SHORT).unwrap().is_none());
        assert!(before.elapsed() >= SHORT);
        send.send(()).unwrap();
        other.write(&[1]).unwrap();
        other
    });
    receive.recv_timeout(DEADLINE).unwrap();
    thread::sleep(SHORT);
    assert!(!thread.is_finished(), "write waits for the lock");
    assert_eq!(stream.count(), 0);
    drop(guard);
    let other = thread.join().unwrap();
    assert_eq!(other.count(), 1);
}

/// Holds the write lock until it is told to let go.
fn hold_lock(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    let guard = stream.lock().unwrap();
    tell("held");
    let _ = hear();
    drop(guard);
    tell("released");
    let _ = hear();
}

#[test]
fn the_lock_keeps_other_processes_out() {
    let name = Name::new("lock");
    let stream = Counter::create(&name).unwrap();
    assert_eq!(stream.lock_holder(), None);
    let mut child = Child::spawn("hold_lock", &[&name]);
    child.expect("held");
    assert!(stream.try_lock().unwrap().is_none());
    assert_eq!(stream.lock_holder(), Some(child.pid()));
    let before = Instant::now();
    assert!(stream.lock_timeout(SHORT).unwrap().is_none());
    assert!(before.elapsed() >= SHORT);
    let waiter = stream.try_clone().unwrap();
    let waiter = thread::spawn(move || waiter.lock_timeout(DEADLINE).unwrap().is_some());
    thread::sleep(SHORT);
    child.say("release");
    child.expect("released");
    assert!(waiter.join().unwrap(), "woken by the release");
    assert!(stream.try_lock().unwrap().is_some());
    assert_eq!(stream.lock_holder(), None);
}

/// Tells for each line whether the write lock is free.
fn try_lock(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    loop {
        let free = stream.try_lock().unwrap().is_some();
        tell(if free { "free" } else { "held" });
        let _ = hear();
    }
}

#[test]
fn a_lock_that_was_tried_for_is_held_like_any_other() {
    let name = Name::new("tried");
    let stream = Counter::create(&name).unwrap();
    let tried = stream.try_lock().unwrap().expect("nobody has it");
    let mut child = Child::spawn("try_lock", &[&name]);
    child.expect("held");
    drop(tried);
    child.say("again");
    child.expect("free");
    let waited = stream.lock_timeout(SHORT).unwrap().expect("nobody has it");
    child.say("again");
    child.expect("held");
    drop(waited);
}

/// Adds one to the latest value under the lock, many times.
fn add(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    for _ in 0..argument::<u32>(arguments, 1) {
        let guard = stream.lock().unwrap();
        let value = guard.read().unwrap().map_or(0, |frame| frame[0]);
        guard.write(&[value + 1]).unwrap();
    }
}

#[test]
fn under_the_lock_read_and_write_are_one_step() {
    const EACH: u64 = 2000;
    let name = Name::new("add");
    let stream = Counter::builder(&name).slots(8).create().unwrap();
    let children: Vec<_> = (0..3)
        .map(|_| Child::spawn("add", &[&name, &EACH]))
        .collect();
    let arguments = [name.to_string(), EACH.to_string()];
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| add(&arguments));
        }
    });
    children.into_iter().for_each(Child::finish);
    let frame = stream.read().unwrap().unwrap();
    assert_eq!((frame[0], frame.info().count), (5 * EACH, 5 * EACH));
}

/// Holds as many of the latest frames as it is told, and lets one go for each further line.
fn hold_frames(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    let mut frames = Vec::new();
    for _ in 0..argument::<usize>(arguments, 1) {
        frames.push(stream.wait().unwrap());
        tell("holding");
    }
    while !frames.is_empty() {
        let _ = hear();
        drop(frames.remove(0));
        tell("let go");
    }
    let _ = hear();
}

#[test]
fn no_free_slot_names_who_holds_them() {
    let name = Name::new("holders");
    let stream = Counter::builder(&name).slots(4).create().unwrap();
    let mut children = [1, 2].map(|frames| Child::spawn("hold_frames", &[&name, &frames]));
    // One frame for each of both, then another for the second.
    stream.write(&[1]).unwrap();
    children.iter().for_each(|child| child.expect("holding"));
    stream.write(&[2]).unwrap();
    children[1].expect("holding");
    stream.write(&[3]).unwrap();
    let own = stream.read().unwrap().unwrap();
    stream.write(&[4]).unwrap();
    let mut pids = vec![children[0].pid(), children[1].pid(), std::process::id()];
    pids.sort_unstable();
    let error = stream.write(&[5]).unwrap_err();
    for pid in &pids {
        assert!(error.to_string().contains(&pid.to_string()), "{error}");
    }
    let Error::NoFreeSlot {
        slots: 4,
        holders,
        loans: 0,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(holders, pids);
    assert_eq!(stream.count(), 4, "nothing is published");
    assert_eq!(*stream.read().unwrap().unwrap(), [4]);
    assert_eq!(*own, [3]);

    let before = Instant::now();
    assert!(matches!(
        stream.loan_timeout(SHORT),
        Err(Error::NoFreeSlot { .. })
    ));
    assert!(before.elapsed() >= SHORT);
    // Frame 1 has two holders.
    children[0].say("let go");
    children[0].expect("let go");
    assert!(
        matches!(stream.write(&[5]), Err(Error::NoFreeSlot { holders, .. }) if holders.len() == 2)
    );
    children[1].say("let go");
    children[1].expect("let go");
    assert_eq!(stream.write(&[5]).unwrap(), 5);
    drop(own);
    assert_eq!(stream.write(&[6]).unwrap(), 6);
}

#[test]
fn loan_timeout_gets_the_slot_that_another_process_lets_go() {
    let name = Name::new("loan-timeout");
    let stream = Counter::builder(&name).slots(2).create().unwrap();
    stream.write(&[0]).unwrap();
    for round in 1..20 {
        let mut child = Child::spawn("hold_frames", &[&name, &1]);
        child.expect("holding");
        // With two slots, the frame held is the other one now.
        stream.write(&[round]).unwrap();
        assert!(matches!(
            stream.loan_timeout(Duration::ZERO),
            Err(Error::NoFreeSlot { .. })
        ));
        let writer = stream.try_clone().unwrap();
        let writer = thread::spawn(move || {
            let mut loan = writer.loan_timeout(DEADLINE)?;
            loan[0] = round;
            loan.publish()
        });
        if round % 2 == 0 {
            thread::sleep(Duration::from_millis(round));
        }
        child.say("let go");
        assert_eq!(writer.join().unwrap().unwrap(), stream.count());
    }
}

#[test]
fn a_lock_that_is_held_does_not_outlast_the_patience_of_loan_timeout() {
    let name = Name::new("loan-lock");
    let stream = Counter::create(&name).unwrap();
    let child = Child::spawn("hold_lock", &[&name]);
    child.expect("held");
    let writer = stream.try_clone().unwrap();
    let writer = thread::spawn(move || writer.loan_timeout(SHORT).map(|loan| loan[0]));
    let deadline = Instant::now() + Duration::from_secs(5);
    while !writer.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    let in_time = writer.is_finished();
    drop(child);
    eventually("the writer ends", || writer.is_finished());
    assert!(
        in_time,
        "loan_timeout waited for the lock beyond its timeout"
    );
}

#[test]
fn a_writer_that_waits_for_a_slot_is_not_held_up_by_other_loans() {
    let stream = Counter::builder(Name::new("own-loans").as_str())
        .slots(2)
        .create()
        .unwrap();
    stream.write(&[1]).unwrap();
    let _loan = stream.loan().unwrap();
    let error = stream.loan_timeout(SHORT).unwrap_err();
    assert!(
        matches!(error, Error::NoFreeSlot { loans: 1, .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("1 are on loan") || error.to_string().contains("1 is on loan")
    );
}

#[test]
fn a_slot_claimed_ahead_is_used_or_free_again() {
    let name = Name::new("ahead");
    let stream = Stream::<u64, 1>::builder(&name).slots(3).create().unwrap();
    let other = Stream::<u64, 1>::open(&name).unwrap();
    for i in 0..100 {
        // Kept for more than one write, the lock has a slot ready for a frame that never comes.
        let writer = stream.lock().unwrap();
        writer.write(&[2 * i]).unwrap();
        writer.write(&[2 * i + 1]).unwrap();
        drop(writer);
        // The other handle finds it free again: all but the latest.
        let frame = other.read().unwrap().unwrap();
        assert_eq!(*frame, [2 * i + 1]);
        let loans = [other.loan().unwrap(), other.loan().unwrap()];
        assert!(matches!(other.loan(), Err(Error::NoFreeSlot { .. })));
        drop(loans);
    }
}

/// Writes a frame for each line.
fn write_when_told(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    loop {
        tell("ready");
        let value = hear().parse().unwrap();
        stream.write(&[value]).unwrap();
    }
}

#[test]
fn a_slot_claimed_ahead_is_forgotten_with_the_lock() {
    let name = Name::new("forgotten");
    let stream = Counter::builder(&name).slots(3).create().unwrap();
    let mut other = Child::spawn("write_when_told", &[&name]);
    other.expect("ready");
    for i in 0..20 {
        let writer = stream.lock().unwrap();
        writer.write(&[3 * i]).unwrap();
        drop(writer);
        // Into the slot that was ready for the next frame, as likely as not.
        other.say(3 * i + 1);
        other.expect("ready");
        let held = stream.read().unwrap().unwrap();
        assert_eq!(*held, [3 * i + 1]);
        let writer = stream.lock().unwrap();
        writer.write(&[3 * i + 2]).unwrap();
        assert_eq!(*held, [3 * i + 1], "a frame changed in a reader's hands");
        assert_eq!(*writer.read().unwrap().unwrap(), [3 * i + 2]);
    }
}

#[test]
fn each_frame_written_under_one_lock_has_its_own_slot() {
    let stream = Counter::temporary().unwrap();
    let writer = stream.lock().unwrap();
    for i in 0..10 {
        // With nobody in the way there is a slot ready for each frame but the first ones.
        for value in 4 * i..4 * i + 3 {
            writer.write(&[value]).unwrap();
        }
        let held = stream.read().unwrap().unwrap();
        writer.write(&[4 * i + 3]).unwrap();
        assert_eq!(*held, [4 * i + 2], "the next frame went into its slot");
        assert_eq!(*stream.read().unwrap().unwrap(), [4 * i + 3]);
    }
}

#[test]
fn loans_that_are_dropped_under_a_lock_can_be_had_again() {
    let stream = Counter::temporary().unwrap();
    let writer = stream.lock().unwrap();
    writer.write(&[1]).unwrap();
    for _ in 0..20 {
        drop(writer.loan().expect("the slot of the loan before"));
    }
    assert_eq!(writer.write(&[2]).unwrap(), 2);
}
