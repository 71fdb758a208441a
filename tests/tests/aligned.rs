//! Frames of several streams that belong together, and several locks at once.

use std::cell::RefCell;
use std::thread;
use std::time::{Duration, Instant};

use shmstream::{
    Aligned, DType, DynStream, Error, Schema, Start, Stream, Subscription, lock_all,
    lock_all_timeout,
};
use shmstream_tests::{Child, DEADLINE, Dice, Name, argument, hear, play, tell};

type Number = Stream<u64, 1>;

#[test]
fn child_entry() {
    play(&[
        ("write_some", write_some),
        ("lock_pairs", lock_pairs),
        ("hold", hold),
    ]);
}

/// Makes streams with a history, and a subscription to each.
fn streams<const N: usize>(label: &str) -> [(Name, Number, Subscription<Number>); N] {
    std::array::from_fn(|_| {
        let name = Name::new(label);
        let stream = Number::builder(&name).history(32).create().unwrap();
        let frames = stream.subscribe(Start::New).unwrap();
        (name, stream, frames)
    })
}

#[test]
fn yields_frames_with_the_same_id_and_reports_the_others() {
    let [(_, a, a_frames), (_, b, b_frames), (_, c, c_frames)] = streams("same-id");
    for id in [1, 2, 3, 5, 8, 9] {
        a.write_with_id(id, &[id]).unwrap();
    }
    for id in [2, 3, 4, 8] {
        b.write_with_id(id, &[10 * id]).unwrap();
    }
    for id in [1, 2, 8, 9] {
        c.write_with_id(id, &[100 * id]).unwrap();
    }
    let passed_over = RefCell::new(Vec::new());
    let mut aligned = Aligned::by_frame_id((&a_frames, &b_frames, &c_frames))
        .on_unmatched(|member, info| passed_over.borrow_mut().push((member, info.frame_id)));
    for (id, unmatched) in [(2, [1, 0, 1]), (8, [2, 2, 0])] {
        let set = aligned.read().unwrap().unwrap();
        let (a, b, c) = set.frames;
        assert_eq!((a.get(), b.get(), c.get()), (id, 10 * id, 100 * id));
        assert_eq!(set.unmatched, unmatched);
    }
    assert!(aligned.read().unwrap().is_none());
    // Counterparts may come later.
    b.write_with_id(9, &[90]).unwrap();
    let set = aligned.wait_timeout(DEADLINE).unwrap().unwrap();
    assert_eq!((set.frames.0.get(), set.frames.1.get()), (9, 90));
    assert_eq!(set.unmatched, [0, 0, 0]);
    drop((set, aligned));
    let mut passed_over = passed_over.into_inner();
    passed_over.sort_unstable();
    assert_eq!(
        passed_over,
        [(0, 1), (0, 3), (0, 5), (1, 3), (1, 4), (2, 1)]
    );
}

#[test]
fn yields_frames_that_were_published_within_a_span() {
    let [(_, a, a_frames), (_, b, b_frames)] = streams("span");
    let pause = || thread::sleep(Duration::from_millis(300));
    a.write(&[1]).unwrap();
    b.write(&[1]).unwrap();
    pause();
    b.write(&[2]).unwrap();
    pause();
    b.write(&[3]).unwrap();
    a.write(&[3]).unwrap();
    let mut aligned = Aligned::within(Duration::from_millis(150), vec![&a_frames, &b_frames]);
    for (number, unmatched) in [(1, [0, 0]), (3, [0, 1])] {
        let set = aligned.read().unwrap().unwrap();
        let numbers: Vec<_> = set.frames.iter().map(|frame| frame.get()).collect();
        assert_eq!(
            (numbers, set.unmatched),
            (vec![number, number], unmatched.to_vec())
        );
    }
    let begun = Instant::now();
    let short = Duration::from_millis(20);
    assert!(aligned.wait_timeout(short).unwrap().is_none());
    assert!(begun.elapsed() >= short);
}

/// Writes frames of which each has an id, and leaves some out.
fn write_some(arguments: &[String]) {
    let stream = DynStream::open(&arguments[0]).unwrap();
    let mut dice = Dice::new(argument(arguments, 1));
    tell("ready");
    let _ = hear();
    for id in 1..=1000_u64 {
        if id == 1000 || dice.below(10) > 0 {
            stream.write_bytes_with_id(id, &id.to_ne_bytes()).unwrap();
        }
        if dice.below(20) == 0 {
            thread::yield_now();
        }
    }
    tell(stream.count());
    let _ = hear();
}

#[test]
fn of_two_processes_every_frame_is_matched_passed_over_or_missed() {
    let (typed, dynamic) = (Name::new("typed"), Name::new("dynamic"));
    let a = Number::builder(&typed).history(60).create().unwrap();
    let b = DynStream::builder(&dynamic)
        .history(60)
        .schema(Schema::tensor(DType::U64, &[1]))
        .create()
        .unwrap();
    let (a_frames, b_frames) = (
        a.subscribe(Start::New).unwrap(),
        b.subscribe(Start::New).unwrap(),
    );
    let mut writers = [
        Child::spawn("write_some", &[&typed, &11]),
        Child::spawn("write_some", &[&dynamic, &12]),
    ];
    writers.iter().for_each(|writer| writer.expect("ready"));
    writers.iter_mut().for_each(|writer| writer.say("go"));
    let mut aligned = Aligned::by_frame_id((&a_frames, &b_frames));
    let mut matched = 0;
    let mut passed_over = [0, 0];
    loop {
        let set = aligned.wait_timeout(DEADLINE).unwrap().expect("frame 1000");
        let (one, other) = set.frames;
        let id = one.info().frame_id;
        assert_eq!(other.info().frame_id, id);
        assert_eq!(
            (one.get(), other.as_slice::<u64>().unwrap()),
            (id, &[id][..])
        );
        matched += 1;
        passed_over[0] += set.unmatched[0];
        passed_over[1] += set.unmatched[1];
        if id == 1000 {
            break;
        }
    }
    let missed = [a_frames.missed(), b_frames.missed()];
    for i in 0..2 {
        let written: u64 = writers[i].line().parse().unwrap();
        assert_eq!(matched + passed_over[i] + missed[i], written);
    }
}

/// Locks two streams together again and again, in the order in which they are named.
fn lock_pairs(arguments: &[String]) {
    let streams = [&arguments[0], &arguments[1]].map(|name| Number::open(name).unwrap());
    tell("ready");
    for _ in 0..2000 {
        let locks = lock_all_timeout(&[&streams[0], &streams[1]], DEADLINE).unwrap();
        let counts = [&streams[0], &streams[1]].map(|stream| stream.write(&[1]).unwrap());
        assert_eq!(counts[0], counts[1], "both at once");
        drop(locks);
    }
    tell("done");
}

#[test]
fn two_that_lock_in_different_orders_do_not_wait_for_each_other() {
    let [(a, a_stream, _), (b, _b_stream, _)] = streams("locks");
    let pairs = [
        Child::spawn("lock_pairs", &[&a, &b]),
        Child::spawn("lock_pairs", &[&b, &a]),
    ];
    for child in &pairs {
        child.expect("ready");
    }
    for child in pairs {
        child.expect("done");
        child.finish();
    }
    assert_eq!(a_stream.count(), 4000);
}

/// Holds the write lock of a stream.
fn hold(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    let _lock = stream.lock().unwrap();
    tell("held");
    let _ = hear();
}

#[test]
fn a_lock_that_is_held_elsewhere_is_named_and_the_others_are_given_back() {
    let [(_, a, _), (b_name, b, _)] = streams("held");
    let dynamic = DynStream::temporary(Schema::tensor(DType::F32, &[4])).unwrap();
    let mut child = Child::spawn("hold", &[&b_name]);
    child.expect("held");
    let short = Duration::from_millis(20);
    let error = lock_all_timeout(&[&a, &b, &dynamic], short).unwrap_err();
    let Error::Busy { name, holder } = &error else {
        panic!("{error}");
    };
    assert_eq!((name, *holder), (b.name(), Some(child.pid())));
    thread::scope(|scope| {
        let (a, dynamic) = (a.try_clone().unwrap(), dynamic.try_clone().unwrap());
        scope.spawn(move || {
            assert!(a.try_lock().unwrap().is_some());
            assert!(dynamic.try_lock().unwrap().is_some());
        });
    });
    child.kill();
    // Also one stream twice, and while one is held already.
    let held = a.lock().unwrap();
    let locks = lock_all(&[&a, &b, &a, &dynamic]).unwrap();
    drop(held);
    let other = a.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || assert!(other.try_lock().unwrap().is_none()));
    });
    drop(locks);
    assert!(a.try_clone().unwrap().try_lock().unwrap().is_some());
}
