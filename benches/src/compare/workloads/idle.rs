//! What a reader costs that waits for a frame which does not come: processor time in a second.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::exchange::nanoseconds;
use super::names::unique;
use crate::Outcome;
use crate::effort::Effort;
use crate::figures::{Fact, Figures, LeftOut, Workload};
use crate::processes::{Child, serve};
use crate::sizes::SIZES;
use crate::transports::{Inlet, Kind, Outlet, Send, Transport, Visitor, visit};

/// The role of the child.
pub(crate) const ROLE: &str = "wait";

const LEN: usize = SIZES[1];
const KINDS: [Kind; 7] = [
    Kind::Futex,
    Kind::FutexLight,
    Kind::ShmstreamWait,
    Kind::ShmstreamAsync,
    Kind::Pipe,
    Kind::Iceoryx2Wait,
    Kind::CrossbarWait,
];
pub(crate) const CASE: &str = "waiting for a frame";

/// Lets a reader of each kind wait, all at once.
pub(crate) fn idle(effort: Effort, figures: &mut Figures) {
    let mut waiting = Vec::new();
    for kind in KINDS {
        match visit(kind, LEN, Start { kind }) {
            Ok(waiter) => waiting.push((kind, waiter)),
            Err(error) => leave_out(kind, &*error, figures),
        }
    }
    // Long, since the one wake-up at the end counts as well.
    let time = Duration::from_millis(effort.milliseconds * 100);
    std::thread::sleep(time);
    for (kind, mut waiter) in waiting {
        match waiter.stop() {
            Ok(value) => {
                eprintln!("  {CASE} {:<34} {value:>10.1} µs/s", kind.contender().name);
                figures.facts.push(Fact {
                    workload: Workload::Idle,
                    case: CASE.to_owned(),
                    contender: kind.contender().name,
                    value,
                    unit: "µs of processor time per second",
                });
            }
            Err(error) => leave_out(kind, &*error, figures),
        }
    }
}

fn leave_out(kind: Kind, error: &dyn std::error::Error, figures: &mut Figures) {
    figures.left_out.push(LeftOut {
        workload: Workload::Idle,
        case: CASE.to_owned(),
        contender: kind.contender().name,
        reason: error.to_string(),
    });
}

/// Somebody who waits until told otherwise.
trait Waiter {
    /// Returns how many microseconds of processor time a second of waiting took.
    fn stop(&mut self) -> Outcome<f64>;
}

struct Start {
    kind: Kind,
}

struct Waiting<T: Transport> {
    outlet: T::Outlet,
    child: Child,
}

impl Visitor for Start {
    type Output = Box<dyn Waiter>;

    fn visit<T: Transport>(self) -> Outcome<Box<dyn Waiter>> {
        let name = unique();
        let outlet = T::outlet(&name, LEN, 1)?;
        let mut child = Child::role(&[ROLE, &self.kind.argument(), &name])?;
        child.hear()?;
        child.tell("wait")?;
        Ok(Box::new(Waiting::<T> { outlet, child }))
    }
}

impl<T: Transport> Waiter for Waiting<T> {
    fn stop(&mut self) -> Outcome<f64> {
        self.outlet.open().send(1);
        Ok(self.child.hear()?.parse()?)
    }
}

/// The child: waits for one frame.
pub(crate) fn wait(kind: Kind, name: &str) -> Outcome<()> {
    visit(kind, LEN, Wait(name.to_owned()))
}

struct Wait(String);

impl Visitor for Wait {
    type Output = ();

    fn visit<T: Transport>(self) -> Outcome<()> {
        let mut inlet = T::inlet(&self.0, LEN, 1)?;
        serve(|_| {
            let before = times()?;
            inlet.receive();
            let after = times()?;
            let [processor, elapsed] = [0, 1].map(|i| nanoseconds(after[i] - before[i]));
            Ok(format!("{}", processor / elapsed * 1e6))
        })
    }
}

/// Returns the processor time of this process, and the time.
fn times() -> Outcome<[Duration; 2]> {
    let clock = |id| Duration::try_from(clock_gettime(id));
    Ok([clock(ClockId::ProcessCPUTime)?, clock(ClockId::Monotonic)?])
}
