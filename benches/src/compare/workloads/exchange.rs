//! Two processes that answer each other: one-way latency, polled, asleep, and in tasks.
//!
//! Half of the time from sending a frame to having the answer. Each direction has a stream of its own.

use std::time::{Duration, Instant};

use super::names::unique;
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

/// The role of the child.
pub(crate) const ROLE: &str = "answer";

/// Measures polled latency for all sizes.
pub(crate) fn latency(effort: Effort, figures: &mut Figures) {
    let kinds = [
        Kind::Atomic,
        Kind::Shmstream,
        Kind::Iceoryx2,
        Kind::Crossbar,
        Kind::CrossbarPinned,
        Kind::MmapSync,
    ];
    let mut turns = Turns::new(Workload::Latency);
    for len in SIZES {
        add(&mut turns, &kinds, len, effort.exchanges);
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
    add(&mut turns, &kinds, SIZES[1], effort.wakes);
    turns.run(effort.rounds, figures);
}

/// Measures wake-ups of a task.
pub(crate) fn task(effort: Effort, figures: &mut Figures) {
    let mut turns = Turns::new(Workload::Task);
    let kinds = [Kind::Pipe, Kind::ShmstreamAsync];
    add(&mut turns, &kinds, SIZES[1], effort.wakes);
    turns.run(effort.rounds, figures);
}

fn add(turns: &mut Turns<'_>, kinds: &[Kind], len: usize, count: u64) {
    for kind in kinds {
        let caller = visit(*kind, len, Call { kind: *kind, len });
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
}

struct Ends<T: Transport> {
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
            outlet,
            inlet,
            child,
        }))
    }
}

impl<T: Transport> Caller for Ends<T> {
    fn round(&mut self, count: u64, round: &mut Round) -> Outcome<()> {
        self.child.tell(count + WARM_UP)?;
        let mut outlet = self.outlet.open();
        for number in 1..=count + WARM_UP {
            let start = Instant::now();
            outlet.send(number);
            let answer = self.inlet.receive();
            let elapsed = start.elapsed();
            if answer != number {
                return Err(format!("asked {number}, answered {answer}").into());
            }
            if number > WARM_UP {
                round.record(nanoseconds(elapsed) / 2.0);
            }
        }
        drop(outlet);
        self.child.hear()?;
        Ok(())
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

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
            let count: u64 = line.parse()?;
            let mut outlet = outlet.open();
            for _ in 0..count {
                let number = inlet.receive();
                outlet.send(number);
            }
            Ok("done".to_owned())
        })
    }
}
