//! Two processes that answer each other: one-way latency, polled, asleep, and in tasks.
//!
//! Where both poll: half of the time from sending a frame to having the answer. Where the other sleeps: the
//! frame carries the time at which it was sent, after a pause that lets the other fall asleep, and the
//! answer is how old it was. Each direction has a stream of its own.

use std::time::{Duration, Instant};

use super::names::unique;
use super::paced::now;
use crate::Outcome;
use crate::effort::Effort;
use crate::figures::{Figures, Workload};
use crate::interleave::Turns;
use crate::processes::{Child, serve};
use crate::sizes::{SIZES, bytes};
use crate::statistics::Round;
use crate::transports::{Inlet, Kind, Outlet, Send, Transport, Visitor, visit};

/// Exchanges before those that count: the child has just been woken, its caches are cold.
const WARM_UP: u64 = 20;

/// Whether whoever is to answer is left the time to fall asleep.
#[derive(Clone, Copy)]
enum Pace {
    AtOnce,
    Asleep,
}

/// Long enough for everybody: all poll for some microseconds at most before they sleep.
const PAUSE: Duration = Duration::from_micros(200);

/// The role of the child.
pub(crate) const ROLE: &str = "answer";

/// Measures polled latency for all sizes.
pub(crate) fn latency(effort: Effort, figures: &mut Figures) {
    let kinds = [
        Kind::Atomic,
        Kind::Lines,
        Kind::LinesTimed,
        Kind::Shmstream,
        Kind::Iceoryx2,
        Kind::Crossbar,
        Kind::CrossbarPinned,
        Kind::MmapSync,
    ];
    let mut turns = Turns::new(Workload::Latency);
    for len in SIZES {
        add(&mut turns, &kinds, len, Pace::AtOnce, effort.exchanges);
    }
    turns.run(effort.rounds, figures);
}

/// Measures wake-ups of a process that sleeps.
pub(crate) fn wake(effort: Effort, figures: &mut Figures) {
    let kinds = [
        Kind::Futex,
        Kind::ShmstreamWait,
        Kind::Iceoryx2Wait,
        Kind::CrossbarWait,
    ];
    let mut turns = Turns::new(Workload::Wake);
    add(&mut turns, &kinds, SIZES[1], Pace::Asleep, effort.wakes);
    turns.run(effort.rounds, figures);
}

/// Measures wake-ups of a task.
pub(crate) fn task(effort: Effort, figures: &mut Figures) {
    let mut turns = Turns::new(Workload::Task);
    let kinds = [Kind::Pipe, Kind::ShmstreamAsync];
    add(&mut turns, &kinds, SIZES[1], Pace::Asleep, effort.wakes);
    turns.run(effort.rounds, figures);
}

fn add(turns: &mut Turns<'_>, kinds: &[Kind], len: usize, pace: Pace, count: u64) {
    for &kind in kinds {
        let caller = visit(kind, len, Call { kind, len, pace });
        let measure = caller.map(|mut caller| move |round: &mut Round| caller.round(count, round));
        turns.try_add(bytes(len), kind.contender(), measure);
    }
}

fn there(name: &str) -> String {
    format!("{name}-there")
}

fn back(name: &str) -> String {
    format!("{name}-back")
}

/// Whoever asks and takes the time.
trait Caller {
    fn round(&mut self, count: u64, round: &mut Round) -> Outcome<()>;
}

struct Call {
    kind: Kind,
    len: usize,
    pace: Pace,
}

struct Ends<T: Transport> {
    pace: Pace,
    outlet: T::Outlet,
    inlet: T::Inlet,
    child: Child,
}

impl Visitor for Call {
    type Output = Box<dyn Caller>;

    fn visit<T: Transport>(self) -> Outcome<Box<dyn Caller>> {
        let name = unique();
        let outlet = T::outlet(&there(&name), self.len, 1)?;
        let len = self.len.to_string();
        let mut child = Child::role(&[ROLE, &self.kind.argument(), &name, &len])?;
        // By now it has made the way back.
        child.hear()?;
        let inlet = T::inlet(&back(&name), self.len, 1)?;
        Ok(Box::new(Ends::<T> {
            pace: self.pace,
            outlet,
            inlet,
            child,
        }))
    }
}

impl<T: Transport> Caller for Ends<T> {
    fn round(&mut self, count: u64, round: &mut Round) -> Outcome<()> {
        let asked = match self.pace {
            Pace::AtOnce => EXCHANGE,
            Pace::Asleep => AGE,
        };
        self.child.tell(format!("{asked} {}", count + WARM_UP))?;
        let mut outlet = self.outlet.open();
        for number in 1..=count + WARM_UP {
            let took = match self.pace {
                Pace::AtOnce => exchange(&mut outlet, &mut self.inlet, number)?,
                Pace::Asleep => age(&mut outlet, &mut self.inlet),
            };
            if number > WARM_UP {
                round.record(took);
            }
        }
        drop(outlet);
        self.child.hear()?;
        Ok(())
    }
}

/// Returns how long a frame takes one way, given how long it takes there and back.
fn exchange(outlet: &mut impl Send, inlet: &mut impl Inlet, number: u64) -> Outcome<f64> {
    let start = Instant::now();
    outlet.send(number);
    let answer = inlet.receive();
    let elapsed = start.elapsed();
    if answer != number {
        return Err(format!("asked {number}, answered {answer}").into());
    }
    Ok(nanoseconds(elapsed) / 2.0)
}

/// Returns how old a frame was when somebody had it who slept.
fn age(outlet: &mut impl Send, inlet: &mut impl Inlet) -> f64 {
    std::thread::sleep(PAUSE);
    outlet.send(now());
    #[expect(clippy::cast_precision_loss, reason = "an age has fewer than 53 bits")]
    let age = inlet.receive() as f64;
    age
}

pub(crate) fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

/// What the child answers: the number that it got, or how long ago that was the time.
const EXCHANGE: &str = "exchange";
const AGE: &str = "age";

/// The child: answers as many frames as it is told.
pub(crate) fn answer(kind: Kind, name: &str, len: usize) -> Outcome<()> {
    let name = name.to_owned();
    visit(kind, len, Answer { name, len })
}

struct Answer {
    name: String,
    len: usize,
}

impl Visitor for Answer {
    type Output = ();

    fn visit<T: Transport>(self) -> Outcome<()> {
        let mut outlet = T::outlet(&back(&self.name), self.len, 1)?;
        let mut inlet = T::inlet(&there(&self.name), self.len, 1)?;
        serve(|line| {
            let (asked, count) = line.split_once(' ').ok_or("what to do")?;
            let count: u64 = count.parse()?;
            let mut outlet = outlet.open();
            for _ in 0..count {
                let number = inlet.receive();
                outlet.send(match asked {
                    AGE => now().saturating_sub(number),
                    _ => number,
                });
            }
            Ok("done".to_owned())
        })
    }
}
