//! A peer that writes over the words of reading in order, of observers, and of who does what: others
//! get errors, wrong or missed frames, and neither crash nor hang nor panic. `SHMSTREAM_SECONDS` says for
//! how long; the default is 3.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use shmstream::{Aligned, Observer, Result, Start, Stream, Subscription, stat};
use shmstream_tests::{Child, DEADLINE, Dice, Name, argument, play, tell};
use smol::future::or;

type Frames = Stream<u64, 40>;

const SLOTS: usize = 6;
const ROWS: usize = 48;
const SHORT: Duration = Duration::from_millis(2);
/// How often the words are made whole again at most.
const MENDS: u64 = 50;

/// Where the words are in the control block, by `docs/protocol.md`.
const HEAD: u64 = 512;
const LINE: u64 = 128;
const LATEST: u64 = 0;
const PUBLISHED: u64 = 128;
const NOTIFY: u64 = 136;
const FIRST: u64 = 140;
const AWAITED: u64 = 144;
const HOLDER: u64 = 256;
const RELEASED: u64 = 260;
const FREED: u64 = 264;
const FLAGS: u64 = 268;
const PUBLISHER: u64 = 272;
const NUDGE: u64 = 276;
const ATTACHED: u64 = 384;
const PINS: u64 = 0;
const NEEDS: u64 = 8;
const SEEN: u64 = 16;
const PID: u64 = 24;
const ROLES: u64 = 28;

#[test]
fn child_entry() {
    play(&[("use_it", use_it)]);
}

/// What a child has open.
struct Open {
    stream: Frames,
    plain: Subscription<Frames>,
    lossless: Subscription<Frames>,
    observer: Observer<Frames>,
}

impl Open {
    fn new(name: &str, dice: &mut Dice) -> Result<Self> {
        let stream = Frames::open(name)?;
        let start = match dice.below(4) {
            0 => Start::Oldest,
            1 => Start::Latest,
            2 => Start::New,
            _ => Start::Count(dice.next()),
        };
        Ok(Self {
            plain: stream.subscribe(start)?,
            lossless: stream.subscribe_lossless(Start::Latest)?,
            observer: Frames::observe(name)?,
            stream,
        })
    }
}

/// What is done with a stream; each returns whether it worked.
const ACTIONS: [fn(&mut Open, &mut Dice) -> Result<bool>; 10] = [
    |open, dice| Ok(open.stream.write_with_id(dice.below(4), &[1; 40])? > 0),
    |open, _| Ok(open.stream.write_timeout(&[2; 40], SHORT)? > 0),
    |open, _| read(&open.plain),
    |open, _| read(&open.lossless),
    |open, dice| {
        let frames = [&open.plain, &open.lossless][usize::from(dice.below(2) == 0)];
        Ok(frames.wait_timeout(SHORT)?.is_some())
    },
    |open, _| {
        let observed = open.observer.read_new()?;
        Ok(open.observer.info()?.is_some() | observed.is_some())
    },
    |open, _| Ok(open.observer.wait_timeout(SHORT)?.is_some()),
    |open, dice| {
        let status = match dice.below(3) {
            0 => open.stream.status()?,
            1 => open.observer.status()?,
            _ => stat(open.stream.name())?,
        };
        let _ = (status.age(), status.producer(SHORT), format!("{status:?}"));
        Ok(status.to_string().lines().count() > 8)
    },
    |open, dice| {
        let frames = vec![&open.plain, &open.lossless];
        let mut aligned = match dice.below(2) {
            0 => Aligned::by_frame_id(frames),
            _ => Aligned::within(Duration::from_micros(dice.below(1000)), frames),
        };
        let set = aligned.wait_timeout(SHORT)?;
        Ok(set.is_some_and(|set| set.frames.len() == 2 && set.unmatched.len() == 2))
    },
    |open, dice| match dice.below(2) {
        0 => finish(open.stream.wait_async()),
        _ => finish(open.lossless.wait_async()),
    },
];

fn read(frames: &Subscription<Frames>) -> Result<bool> {
    let found = frames.read()?.map(|frame| {
        let info = frame.info();
        let _ = (info.age(), info.published_at(), format!("{info:?}"));
        frame.iter().fold(0, |sum, &word| sum ^ word) != 5
    });
    let _ = (frames.gap().map(|gap| gap.frames()), frames.missed());
    let _ = (frames.behind(), frames.position(), format!("{frames:?}"));
    Ok(found.unwrap_or(false))
}

/// Polls a future until it is ready, for a short while at most.
fn finish<F>(wait: impl Future<Output = Result<F>>) -> Result<bool> {
    let timeout = async {
        smol::Timer::after(SHORT).await;
        Ok(false)
    };
    smol::block_on(or(async { wait.await.map(|_| true) }, timeout))
}

/// Uses a stream in every way until the test is over, whatever comes of it.
fn use_it(arguments: &[String]) {
    let stop = Stream::<u8, 1>::open(&arguments[1]).unwrap();
    let mut dice = Dice::new(argument(arguments, 2));
    let mut open = Open::new(&arguments[0], &mut dice).unwrap();
    let mut done = [0_u32; ACTIONS.len()];
    tell("ready");
    while stop.count() == 0 {
        let action = usize::try_from(dice.below(ACTIONS.len() as u64)).unwrap();
        done[action] += u32::from(ACTIONS[action](&mut open, &mut dice).unwrap_or(false));
        // Positions that the scribbler drove to the end of all counts come to nothing any more.
        if dice.below(100) == 0
            && let Ok(other) = Open::new(&arguments[0], &mut dice)
        {
            open = other;
        }
    }
    let done: Vec<_> = done.iter().map(ToString::to_string).collect();
    tell(done.join(" "));
}

fn row_at(row: u64) -> u64 {
    HEAD + LINE * (SLOTS as u64 + row)
}

/// A word: where it is, and how long.
fn word(dice: &mut Dice) -> (u64, usize) {
    let slot = HEAD + LINE * dice.below(SLOTS as u64);
    // The first rows are those that are in use.
    let rows = if dice.below(4) == 0 { ROWS } else { 12 };
    let row = row_at(dice.below(rows as u64));
    match dice.below(19) {
        0 => (LATEST, 8),
        1 => (NOTIFY, 4),
        2 => (FIRST, 4),
        3 | 4 => (AWAITED, 4),
        5 => (HOLDER, 4),
        6 => (RELEASED, 4),
        7 => (FREED, 4),
        8 => (FLAGS, 4),
        9 => (PUBLISHER, 4),
        10 => (NUDGE, 4),
        11 => (ATTACHED, 8),
        12 | 13 => (slot, 8),
        14 => (row + NEEDS, 8),
        15 => (row + SEEN, 8),
        16 => (row + ROLES, 4),
        17 => (PUBLISHED, 8),
        _ => (row + [PINS, PID][usize::from(dice.below(2) == 0)], 4),
    }
}

/// A value: small ones are nearly right, and so are those near the count of the latest frame.
fn value(dice: &mut Dice, latest: u64) -> u64 {
    match dice.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => u64::MAX - dice.below(3),
        3 => dice.below(256),
        4 => (latest >> 6).wrapping_add(dice.below(9)).wrapping_sub(4),
        5 => (latest >> 6).wrapping_mul(2).wrapping_add(dice.below(9)),
        6 => 1 << dice.below(64),
        _ => dice.next(),
    }
}

fn number(file: &File, at: u64) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at).unwrap();
    u64::from_ne_bytes(bytes)
}

#[test]
fn scribbled_words_of_order_bring_nobody_down() {
    let (name, stop_name) = (Name::new("order"), Name::new("order-stop"));
    let stream = Frames::builder(&name)
        .history(3)
        .slots(SLOTS)
        .participants(ROWS)
        .observers(true)
        .create()
        .unwrap();
    stream.write(&[0; 40]).unwrap();
    let stop = Stream::<u8, 1>::create(&stop_name).unwrap();
    let mut children = [1, 2, 3].map(|seed| Child::spawn("use_it", &[&name, &stop_name, &seed]));
    children.iter().for_each(|child| child.expect("ready"));
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(name.path()).unwrap();
    let (control, data) = (number(&file, 40), number(&file, 48));
    assert!(control + row_at(ROWS as u64) <= data);
    let seconds = std::env::var("SHMSTREAM_SECONDS").map_or(3, |value| value.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut dice = Dice::new(0x0dde);
    let mut rounds = 0_u32;
    while Instant::now() < until {
        rounds += 1;
        let (at, len) = word(&mut dice);
        let value = value(&mut dice, number(&file, control + LATEST));
        file.write_all_at(&value.to_ne_bytes()[..len], control + at)
            .unwrap();
        if dice.below(MENDS) == 0 {
            mend(&file, control, &mut dice);
        }
        for child in &mut children {
            assert!(child.is_alive(), "a child went down after {rounds} rounds");
        }
    }
    stop.write(&[1]).unwrap();
    let mut worked = [0_u64; ACTIONS.len()];
    for child in children {
        let line = child.line_within(DEADLINE).expect("it ends");
        for (sum, done) in worked.iter_mut().zip(line.split(' ')) {
            *sum += done.parse::<u64>().unwrap();
        }
        child.finish();
    }
    println!("{rounds} words; what worked: {worked:?}");
    assert!(worked.iter().all(|&times| times > 0), "{worked:?}");
    assert!(rounds > 100, "{rounds} words show nothing");
}

/// Makes most words whole again, so that the deeper paths are reached as well. Rows stay attached.
fn mend(file: &File, control: u64, dice: &mut Dice) {
    let zeros = [0; 128 * SLOTS];
    file.write_all_at(&zeros[..usize::try_from(ATTACHED).unwrap()], control)
        .unwrap();
    file.write_all_at(&[0xff; 8], control + ATTACHED).unwrap();
    file.write_all_at(&zeros, control + HEAD).unwrap();
    for row in 0..ROWS as u64 {
        file.write_all_at(&[0; 16], control + row_at(row)).unwrap();
    }
    std::thread::sleep(Duration::from_micros(dice.below(2000)));
}
