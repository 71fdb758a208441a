//! Readers: the latest frame, in place or copied; waiting; what was missed; what is held.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use shmstream::{FrameInfo, Stream};
use shmstream_tests::checked::{Checked, WORDS, check, fill};
use shmstream_tests::{Child, DEADLINE, Dice, Name, argument, hear, play, tell};

type Counter = Stream<u64, 1>;

const SHORT: Duration = Duration::from_millis(30);

#[test]
fn child_entry() {
    play(&[
        ("publish", publish),
        ("echo", echo),
        ("follow", follow),
        ("hold", hold),
        ("write_once", write_once),
    ]);
}

#[test]
fn before_the_first_frame_there_is_none() {
    let stream = Counter::temporary().unwrap();
    let mut buffer = [9];
    assert!(stream.read().unwrap().is_none());
    assert!(stream.read_new().unwrap().is_none());
    assert!(stream.read_owned().unwrap().is_none());
    assert!(stream.read_into(&mut buffer).unwrap().is_none());
    assert_eq!(buffer, [9], "the buffer is as before");
    assert!(stream.wait_timeout(Duration::ZERO).unwrap().is_none());
    // An abandoned loan is no frame either.
    drop(stream.loan().unwrap());
    assert!(stream.read().unwrap().is_none());
}

#[test]
fn read_new_returns_each_frame_once() {
    let stream = Counter::temporary().unwrap();
    let reader = Counter::open(stream.name()).unwrap();
    stream.write(&[1]).unwrap();
    assert_eq!(*reader.read_new().unwrap().unwrap(), [1]);
    assert!(reader.read_new().unwrap().is_none());
    assert_eq!(*reader.read().unwrap().unwrap(), [1], "read does not mind");
    stream.write(&[2]).unwrap();
    assert_eq!(*reader.read().unwrap().unwrap(), [2]);
    assert!(reader.read_new().unwrap().is_none(), "seen by read");
    assert!(reader.wait_timeout(Duration::ZERO).unwrap().is_none());
}

#[test]
fn handles_do_not_affect_each_other() {
    let stream = Counter::temporary().unwrap();
    let [one, two] = [0; 2].map(|_| stream.try_clone().unwrap());
    stream.write(&[1]).unwrap();
    assert_eq!(*one.read_new().unwrap().unwrap(), [1]);
    assert_eq!(*two.read_new().unwrap().unwrap(), [1]);
    stream.write(&[2]).unwrap();
    stream.write(&[3]).unwrap();
    assert_eq!(one.read().unwrap().unwrap().info().missed, 1);
    let late = one.try_clone().unwrap();
    assert_eq!(
        late.read_new().unwrap().unwrap().info().missed,
        0,
        "has seen nothing yet"
    );
    assert_eq!(two.read().unwrap().unwrap().info().missed, 1);
    // The writer's own reading is a reader's like any other.
    assert_eq!(stream.read().unwrap().unwrap().info().missed, 0);
}

#[test]
fn a_frame_says_when_it_was_published() {
    let stream = Counter::temporary().unwrap();
    let before = SystemTime::now();
    stream.write(&[1]).unwrap();
    let after = SystemTime::now();
    let info = stream.read().unwrap().unwrap().info();
    // The two clocks are related once a millisecond.
    let slack = Duration::from_millis(2);
    assert!(info.published_at() + slack >= before && info.published_at() <= after + slack);
    assert!(info.age() < DEADLINE);
    thread::sleep(SHORT);
    assert!(info.age() >= SHORT);
}

#[test]
fn times_and_counts_never_run_backwards() {
    let stream = Counter::temporary().unwrap();
    let other = stream.try_clone().unwrap();
    let mut last = (0, 0);
    for i in 0..20_000 {
        // Writers in turn, so that no one's clock is what keeps the order.
        let writer = if i % 2 == 0 { &stream } else { &other };
        writer.write(&[i]).unwrap();
        let info = stream.read().unwrap().unwrap().info();
        assert!(
            info.count == last.0 + 1 && info.monotonic_ns >= last.1,
            "{info:?} after {last:?}"
        );
        last = (info.count, info.monotonic_ns);
    }
}

/// Publishes checked frames as fast as it can, until the last of the number it is told.
fn publish(arguments: &[String]) {
    let stream = Stream::<u64, WORDS>::open(&arguments[0]).unwrap();
    let last: u64 = argument(arguments, 1);
    tell("ready");
    let _ = hear();
    for number in 1..=last {
        let mut loan = stream.loan_timeout(DEADLINE).unwrap();
        fill(&mut loan, 1, number);
        loan.publish_with_id(number).unwrap();
    }
}

/// Reads until the last frame, by any way of reading, and adds up what it missed.
fn follow_until(stream: &Stream<u64, WORDS>, last: u64) {
    fn checked(frame: &Checked, info: FrameInfo) -> FrameInfo {
        assert_eq!(check(frame), (1, info.count));
        assert_eq!(info.frame_id, info.count);
        info
    }
    let deadline = Instant::now() + DEADLINE;
    let mut dice = Dice::new(std::process::id().into());
    let mut buffer: Checked = [0; WORDS];
    let (mut first, mut frames, mut missed, mut newest) = (0, 0, 0, 0);
    while newest < last {
        assert!(Instant::now() < deadline, "at frame {newest} of {last}");
        let info = match dice.below(4) {
            0 => stream
                .wait_timeout(SHORT)
                .unwrap()
                .map(|frame| checked(&frame, frame.info())),
            1 => stream
                .read_new()
                .unwrap()
                .map(|frame| checked(&frame, frame.info())),
            2 => stream
                .read_into(&mut buffer)
                .unwrap()
                .map(|info| checked(&buffer, info)),
            _ => stream
                .read_owned()
                .unwrap()
                .map(|frame| checked(&frame, frame.info())),
        };
        let Some(info) = info else {
            continue;
        };
        assert!(info.count >= newest, "counts never run backwards");
        if info.count == newest {
            assert_eq!(info.missed, 0, "the same frame again");
            continue;
        }
        if first == 0 {
            first = info.count;
        }
        newest = info.count;
        missed += info.missed;
        frames += 1;
        assert_eq!(frames + missed, newest - first + 1);
        assert_eq!(stream.missed(), missed);
    }
}

fn follow(arguments: &[String]) {
    let stream = Stream::<u64, WORDS>::open(&arguments[0]).unwrap();
    let last: u64 = argument(arguments, 1);
    tell("ready");
    follow_until(&stream, last);
}

#[test]
fn what_is_read_and_what_was_missed_make_up_all() {
    const LAST: u64 = 30_000;
    let name = Name::new("missed");
    let stream = Stream::<u64, WORDS>::builder(&name)
        .slots(8)
        .create()
        .unwrap();
    let mut publisher = Child::spawn("publish", &[&name, &LAST]);
    let readers: Vec<_> = (0..2)
        .map(|_| Child::spawn("follow", &[&name, &LAST]))
        .collect();
    publisher.expect("ready");
    readers.iter().for_each(|reader| reader.expect("ready"));
    publisher.say("go");
    follow_until(&stream, LAST);
    readers.into_iter().for_each(Child::finish);
    publisher.finish();
    assert_eq!(stream.count(), LAST);
}

/// Holds one frame while thousands are published, and says whether it changed.
fn hold(arguments: &[String]) {
    let stream = Stream::<u64, WORDS>::open(&arguments[0]).unwrap();
    let frame = stream.wait().unwrap();
    let (before, info) = (*frame, frame.info());
    tell(info.count);
    while hear() == "look" {
        assert_eq!(*frame, before);
        assert_eq!(check(&frame), (1, info.count));
        assert_eq!(frame.info(), info);
        tell("same");
    }
}

#[test]
fn a_frame_that_is_held_does_not_change() {
    let name = Name::new("held");
    let stream = Stream::<u64, WORDS>::builder(&name)
        .slots(6)
        .create()
        .unwrap();
    let mut holders: Vec<_> = (0..3).map(|_| Child::spawn("hold", &[&name])).collect();
    let mut frame = [0; WORDS];
    fill(&mut frame, 1, 1);
    stream.write(&frame).unwrap();
    holders.iter().for_each(|holder| holder.expect("1"));
    let own = stream.read().unwrap().unwrap();
    let again = stream.read().unwrap().unwrap();
    for number in 2..5000 {
        fill(&mut frame, 1, number);
        stream.write(&frame).unwrap();
        if number % 1000 == 0 {
            holders.iter_mut().for_each(|holder| holder.say("look"));
            holders.iter().for_each(|holder| holder.expect("same"));
        }
    }
    assert_eq!(check(&own), (1, 1));
    // Two guards of one handle on one slot: the pin stays until the second is gone.
    drop(own);
    for number in 5000..6000 {
        fill(&mut frame, 1, number);
        stream.write(&frame).unwrap();
    }
    assert_eq!(check(&again), (1, 1));
    holders.iter_mut().for_each(|holder| holder.say("look"));
    holders.iter().for_each(|holder| holder.expect("same"));
}

/// Answers each frame of one stream with one in another.
fn echo(arguments: &[String]) {
    let [there, back] = [0, 1].map(|i| Counter::open(&arguments[i]).unwrap());
    tell("ready");
    loop {
        let value = there.wait().unwrap()[0];
        back.write(&[value]).unwrap();
    }
}

#[test]
fn those_who_wait_wake() {
    let (there, back) = (Name::new("there"), Name::new("back"));
    let [ask, answer] = [&there, &back].map(|name| Counter::create(name).unwrap());
    let child = Child::spawn("echo", &[&there, &back]);
    child.expect("ready");
    let mut slow = 0;
    for i in 1..=2000 {
        let before = Instant::now();
        ask.write(&[i]).unwrap();
        assert_eq!(
            *answer.wait_timeout(DEADLINE).unwrap().expect("an answer"),
            [i]
        );
        // A sleeper that is missed finds the frame by itself after 100 ms.
        slow += u32::from(before.elapsed() > Duration::from_millis(90));
        if i % 100 == 0 {
            thread::sleep(Duration::from_millis(2));
        }
    }
    assert!(
        slow < 100,
        "{slow} of 2000 answers took as long as a missed wake call"
    );
}

#[test]
fn wait_sees_what_was_published_before() {
    let name = Name::new("wait-before");
    let stream = Counter::create(&name).unwrap();
    stream.write(&[8]).unwrap();
    let reader = Counter::open(&name).unwrap();
    assert_eq!(*reader.wait().unwrap(), [8]);
    assert!(reader.wait_timeout(SHORT).unwrap().is_none());
}

/// Writes one frame when told to.
fn write_once(arguments: &[String]) {
    let stream = Counter::open(&arguments[0]).unwrap();
    tell("ready");
    let value = hear().parse().unwrap();
    stream.write(&[value]).unwrap();
    let _ = hear();
}

#[test]
fn wait_after_asks_for_a_count() {
    let name = Name::new("wait-after");
    let stream = Counter::create(&name).unwrap();
    let mut child = Child::spawn("write_once", &[&name]);
    child.expect("ready");
    for i in 1..=3 {
        stream.write(&[i]).unwrap();
    }
    assert_eq!(
        *stream.wait_after(0).unwrap(),
        [3],
        "the latest, not the next"
    );
    assert_eq!(*stream.wait_after(2).unwrap(), [3], "whether seen or not");
    let before = Instant::now();
    assert!(stream.wait_after_timeout(3, SHORT).unwrap().is_none());
    assert!(before.elapsed() >= SHORT);
    assert!(
        stream
            .wait_after_timeout(u64::MAX, Duration::ZERO)
            .unwrap()
            .is_none()
    );
    child.say("4");
    assert_eq!(
        *stream
            .wait_after_timeout(3, DEADLINE)
            .unwrap()
            .expect("in time"),
        [4]
    );
    assert_eq!(
        *stream
            .wait_after_timeout(0, Duration::MAX)
            .unwrap()
            .expect("there is one"),
        [4]
    );
}

#[test]
fn a_timeout_is_kept_while_frames_come_that_do_not_count() {
    let stream = Counter::temporary().unwrap();
    let writer = stream.try_clone().unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let writer = writer;
            while !stop.load(Ordering::Relaxed) {
                writer.write(&[1]).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        });
        let before = Instant::now();
        assert!(
            stream
                .wait_after_timeout(1 << 40, SHORT * 3)
                .unwrap()
                .is_none()
        );
        let waited = before.elapsed();
        stop.store(true, Ordering::Relaxed);
        assert!(waited >= SHORT * 3);
    });
}

#[test]
fn many_sleepers_wake_together() {
    let stream = Counter::temporary().unwrap();
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let reader = stream.try_clone().unwrap();
            thread::spawn(move || reader.wait_timeout(DEADLINE).unwrap().map(|frame| *frame))
        })
        .collect();
    thread::sleep(SHORT);
    stream.write(&[5]).unwrap();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Some([5]));
    }
}
