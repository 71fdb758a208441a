//! A publisher that keeps time: how old each frame is at the reader, and how many it misses.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::names::unique;
use crate::Outcome;
use crate::effort::Effort;
use crate::figures::{Fact, Figures, Workload};
use crate::interleave::Turns;
use crate::processes::{Child, serve};
use crate::sizes::SIZES;
use crate::statistics::Round;
use crate::transports::{Inlet, Kind, Outlet, Send, Transport, Visitor, visit};

/// The role of the child.
pub(crate) const ROLE: &str = "publish";

const LEN: usize = SIZES[2];
const RATES: [u64; 3] = [1_000, 10_000, 100_000];
const KINDS: [Kind; 7] = [
    Kind::Shmstream,
    Kind::ShmstreamWait,
    Kind::Iceoryx2,
    Kind::Iceoryx2Wait,
    Kind::Crossbar,
    Kind::CrossbarWait,
    Kind::MmapSync,
];

/// The number that ends a round.
const END: u64 = u64::MAX;

fn case(rate: u64) -> String {
    format!("{} kHz", rate / 1_000)
}

/// What came of the frames of one contender at one rate, all rounds together.
#[derive(Default)]
struct Account {
    published: Cell<u64>,
    received: Cell<u64>,
}

/// Measures all rates.
pub(crate) fn paced(effort: Effort, figures: &mut Figures) {
    let mut turns = Turns::new(Workload::Paced);
    let mut accounts = Vec::new();
    for rate in RATES {
        for kind in KINDS {
            let account = Rc::new(Account::default());
            let reader = visit(kind, LEN, Attach { kind });
            let measure = reader.map(|mut reader| {
                let account = Rc::clone(&account);
                let count = rate * effort.milliseconds / 1_000;
                move |round: &mut Round| reader.round(rate, count, &account, round)
            });
            turns.try_add(case(rate), kind.contender(), measure);
            accounts.push((rate, kind, account));
        }
    }
    turns.run(effort.rounds, figures);
    for (rate, kind, account) in accounts {
        let (published, received) = (account.published.get(), account.received.get());
        if published > 0 {
            #[expect(clippy::cast_precision_loss, reason = "counts have fewer than 53 bits")]
            let missed = 100.0 * published.saturating_sub(received) as f64 / published as f64;
            figures.facts.push(Fact {
                workload: Workload::Paced,
                case: case(rate),
                contender: kind.contender().name,
                value: missed,
                unit: "% missed",
            });
        }
    }
}

/// Whoever reads and takes the time.
trait Reader {
    fn round(&mut self, rate: u64, count: u64, account: &Account, round: &mut Round)
    -> Outcome<()>;
}

struct Attach {
    kind: Kind,
}

struct Attached<T: Transport> {
    inlet: T::Inlet,
    child: Child,
}

impl Visitor for Attach {
    type Output = Box<dyn Reader>;

    fn visit<T: Transport>(self) -> Outcome<Box<dyn Reader>> {
        let name = unique();
        let mut child = Child::role(&[ROLE, &self.kind.argument(), &name])?;
        child.hear()?;
        let inlet = T::inlet(&name, LEN, 1)?;
        Ok(Box::new(Attached::<T> { inlet, child }))
    }
}

impl<T: Transport> Reader for Attached<T> {
    fn round(
        &mut self,
        rate: u64,
        count: u64,
        account: &Account,
        round: &mut Round,
    ) -> Outcome<()> {
        self.child.tell(format!("{rate} {count}"))?;
        let mut received = 0;
        loop {
            let sent = self.inlet.receive();
            let now = now();
            if sent == END {
                break;
            }
            #[expect(clippy::cast_precision_loss, reason = "an age has fewer than 53 bits")]
            round.record(now.saturating_sub(sent) as f64);
            received += 1;
        }
        self.child.hear()?;
        account.published.update(|published| published + count);
        account.received.update(|before| before + received);
        Ok(())
    }
}

/// Returns the time of the clock that all processes share, in nanoseconds.
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let time = Duration::try_from(now).expect("a clock that does not go back");
    u64::try_from(time.as_nanos()).expect("less than 584 years")
}

/// The child: publishes as told.
pub(crate) fn publish(kind: Kind, name: &str) -> Outcome<()> {
    visit(kind, LEN, Publish(name.to_owned()))
}

struct Publish(String);

impl Visitor for Publish {
    type Output = ();

    fn visit<T: Transport>(self) -> Outcome<()> {
        let mut outlet = T::outlet(&self.0, LEN, 1)?;
        serve(|line| {
            let (rate, count) = line.split_once(' ').ok_or("two numbers are expected")?;
            let (rate, count): (u64, u64) = (rate.parse()?, count.parse()?);
            publish_at(rate, count, outlet.open());
            Ok("done".to_owned())
        })
    }
}

/// Publishes the time, `count` times at a rate, and the end.
fn publish_at(rate: u64, count: u64, mut outlet: impl Send) {
    let period = 1_000_000_000 / rate;
    // The reader has to be there.
    let start = now() + 1_000_000;
    for tick in 0..count {
        while now() < start + tick * period {}
        outlet.send(now());
    }
    // The last frame is for the reader to see, too.
    let end = start + count * period + 1_000_000;
    while now() < end {}
    outlet.send(END);
}
