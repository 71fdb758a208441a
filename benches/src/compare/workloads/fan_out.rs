//! What a publish costs with readers attached: asleep elsewhere, and reading as fast as they can.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use super::exchange::nanoseconds;
use super::names::unique;
use crate::Outcome;
use crate::effort::Effort;
use crate::figures::{Figures, Workload};
use crate::interleave::Turns;
use crate::processes::{Child, serve};
use crate::sizes::SIZES;
use crate::statistics::Round;
use crate::transports::{Inlet, Kind, Outlet, Send, Transport, Visitor, visit};

/// The role of the children.
pub(crate) const ROLE: &str = "read";

const LEN: usize = SIZES[1];
/// How many processes are attached. All of them share the other processor.
const READERS: [usize; 4] = [0, 1, 8, 32];
const KINDS: [Kind; 3] = [Kind::Shmstream, Kind::Iceoryx2, Kind::Crossbar];
/// Publishes that are timed together: one takes little longer than to read the clock.
const BATCH: u32 = 64;

/// The number that ends a round of reading.
const END: u64 = u64::MAX;

/// What the readers do meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readers {
    Idle,
    Reading,
}

/// Names a case.
pub(crate) fn case(readers: usize, reading: bool) -> String {
    let state = if reading { "reading" } else { "idle" };
    format!("{readers} {state}")
}

/// Measures all numbers of readers.
pub(crate) fn fan_out(effort: Effort, figures: &mut Figures) {
    let mut turns = Turns::new(Workload::FanOut);
    for readers in READERS {
        for kind in KINDS {
            add(&mut turns, kind, readers, effort.batches);
        }
    }
    turns.run(effort.rounds, figures);
}

fn add(turns: &mut Turns<'_>, kind: Kind, readers: usize, batches: u64) {
    let contender = kind.contender();
    let group = match visit(kind, LEN, Gather { kind, readers }) {
        Ok(group) => Rc::new(RefCell::new(group)),
        Err(error) => {
            let failed: Outcome<fn(&mut Round) -> Outcome<()>> = Err(error);
            return turns.try_add(case(readers, false), contender, failed);
        }
    };
    let idle = Rc::clone(&group);
    turns.add(case(readers, false), contender, move |round: &mut Round| {
        idle.borrow_mut().round(Readers::Idle, batches, round)
    });
    if readers > 0 {
        turns.add(case(readers, true), contender, move |round: &mut Round| {
            group.borrow_mut().round(Readers::Reading, batches, round)
        });
    }
}

/// A publisher and its readers.
trait Group {
    fn round(&mut self, readers: Readers, batches: u64, round: &mut Round) -> Outcome<()>;
}

struct Gather {
    kind: Kind,
    readers: usize,
}

struct Gathered<T: Transport> {
    outlet: T::Outlet,
    children: Vec<Child>,
    next: u64,
}

impl Visitor for Gather {
    type Output = Box<dyn Group>;

    fn visit<T: Transport>(self) -> Outcome<Box<dyn Group>> {
        let name = unique();
        let most = READERS[READERS.len() - 1];
        let outlet = T::outlet(&name, LEN, most)?;
        let most = most.to_string();
        let attach = |_| {
            let mut child = Child::role(&[ROLE, &self.kind.argument(), &name, &most])?;
            child.hear()?;
            Ok(child)
        };
        let children = (0..self.readers).map(attach).collect::<Outcome<_>>()?;
        Ok(Box::new(Gathered::<T> {
            outlet,
            children,
            next: 1,
        }))
    }
}

impl<T: Transport> Group for Gathered<T> {
    fn round(&mut self, readers: Readers, batches: u64, round: &mut Round) -> Outcome<()> {
        if readers == Readers::Reading {
            for child in &mut self.children {
                child.ask("start")?;
            }
        }
        let mut outlet = self.outlet.open();
        for _ in 0..batches {
            let start = Instant::now();
            for _ in 0..BATCH {
                outlet.send(self.next);
                self.next += 1;
            }
            let mean = nanoseconds(start.elapsed()) / f64::from(BATCH);
            round.record_many(mean, BATCH.into());
        }
        if readers == Readers::Reading {
            outlet.send(END);
            for child in &mut self.children {
                child.hear()?;
            }
        }
        Ok(())
    }
}

/// A child: reads until the end whenever it is told to.
pub(crate) fn read(kind: Kind, name: &str, most: usize) -> Outcome<()> {
    let name = name.to_owned();
    visit(kind, LEN, Read { name, most })
}

struct Read {
    name: String,
    most: usize,
}

impl Visitor for Read {
    type Output = ();

    fn visit<T: Transport>(self) -> Outcome<()> {
        let mut inlet = T::inlet(&self.name, LEN, self.most)?;
        serve(|_| {
            // The answer to the order, before the one for the end.
            println!("reading");
            while inlet.receive() != END {}
            Ok("done".to_owned())
        })
    }
}
