//! Writing a frame and reading it in one process: copied in and out, and in place.

pub(crate) mod floor;
pub(crate) mod streams;

#[cfg(feature = "peers")]
mod crossbar;
#[cfg(feature = "peers")]
mod iceoryx2;
#[cfg(feature = "peers")]
mod mmap_sync;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use memmap2::MmapMut;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::exchange::nanoseconds;
use super::python::{Order, Python};
use crate::Outcome;
use crate::contender::Contender;
use crate::effort::Effort;
use crate::figures::{Figures, Workload};
use crate::interleave::Turns;
use crate::shared::{Pages, private};
use crate::sizes::{SIDES, square};
use crate::statistics::Round;

pub(crate) const PYSHMEM: Contender = Contender::pyshmem("pyshmem, write and read");
pub(crate) const PYSHMEM_OUT: Contender = Contender::pyshmem("pyshmem, locked, read into").shade(1);
pub(crate) const PYSHMEM_IN_PLACE: Contender = Contender::pyshmem("pyshmem, views").shade(2);

/// Measures all sizes. The largest take gigabytes, so sizes follow one another.
pub(crate) fn round_trip(effort: Effort, python: Option<&Python>, figures: &mut Figures) {
    for side in SIDES {
        let result = match side {
            100 => size::<10_000>(side, effort, python, figures),
            1_000 => size::<1_000_000>(side, effort, python, figures),
            _ => size::<100_000_000>(side, effort, python, figures),
        };
        if let Err(error) = result {
            eprintln!("  {}: {error}", square(side));
        }
    }
}

fn size<const N: usize>(
    side: usize,
    effort: Effort,
    python: Option<&Python>,
    figures: &mut Figures,
) -> Outcome<()>
where
    [f32; N]: FromBytes + IntoBytes + Immutable + KnownLayout,
{
    let ends = Rc::new(RefCell::new(Ends::new(N)?));
    let mut size = Size {
        turns: Turns::new(Workload::RoundTrip),
        case: square(side),
        time: Duration::from_millis(effort.milliseconds),
        ends,
    };
    floor::add::<N>(&mut size)?;
    streams::add::<N>(&mut size);
    #[cfg(feature = "peers")]
    {
        iceoryx2::add::<N>(&mut size);
        crossbar::add::<N>(&mut size);
        mmap_sync::add::<N>(&mut size);
    }
    if let Some(python) = python {
        for (contender, style) in [
            (PYSHMEM, "copy"),
            (PYSHMEM_OUT, "into"),
            (PYSHMEM_IN_PLACE, "views"),
        ] {
            let order = Order::new("round_trip", side, style);
            let measure = python.subject(order, effort.milliseconds);
            size.turns.try_add(size.case.clone(), contender, measure);
        }
    }
    // A round of the largest takes half a second for each.
    let rounds = if N > 10_000_000 {
        effort.rounds.div_ceil(2)
    } else {
        effort.rounds
    };
    size.turns.run(rounds, figures);
    Ok(())
}

/// The contenders at one size.
struct Size<'a> {
    turns: Turns<'a>,
    case: String,
    time: Duration,
    ends: Rc<RefCell<Ends>>,
}

impl<'a> Size<'a> {
    /// Adds a contender that makes trips from the source to the sink.
    fn add<const N: usize, F>(&mut self, contender: Contender, trips: Outcome<F>)
    where
        F: FnMut(Trips<'_, N>) -> Outcome<()> + 'a,
        [f32; N]: FromBytes + IntoBytes + Immutable + KnownLayout,
    {
        let (ends, time) = (Rc::clone(&self.ends), self.time);
        let measure = trips.map(|mut trips| {
            move |round: &mut Round| {
                let mut ends = ends.borrow_mut();
                let Ends { source, sink } = &mut *ends;
                trips(Trips {
                    source: FromBytes::ref_from_bytes(source).map_err(|_| "misaligned")?,
                    sink: FromBytes::mut_from_bytes(sink).map_err(|_| "misaligned")?,
                    time,
                    round,
                })
            }
        });
        self.turns.try_add(self.case.clone(), contender, measure);
    }

    /// Says why a contender is left out.
    fn leave_out(&mut self, contender: Contender, error: Box<dyn std::error::Error>) {
        let failed: Outcome<fn(&mut Round) -> Outcome<()>> = Err(error);
        self.turns.try_add(self.case.clone(), contender, failed);
    }
}

/// The trips of one round.
struct Trips<'a, const N: usize> {
    source: &'a [f32; N],
    sink: &'a mut [f32; N],
    time: Duration,
    round: &'a mut Round,
}

impl<const N: usize> Trips<'_, N> {
    fn each(self, mut trip: impl FnMut(&[f32; N], &mut [f32; N]) -> Outcome<()>) -> Outcome<()> {
        for_a_while(self.time, self.round, || trip(self.source, self.sink))
    }
}

/// An operation that takes less than this is timed with others, or the clock would be what is measured.
const SHORT: f64 = 1_000.0;
const BATCH: u32 = 64;

/// Runs an operation as often as the time allows, each time timed by itself, or in batches if it is short.
///
/// The first few bring memory into the caches and do not count.
pub(crate) fn for_a_while(
    time: Duration,
    round: &mut Round,
    mut operation: impl FnMut() -> Outcome<()>,
) -> Outcome<()> {
    let mut count = 0_u32;
    let start = Instant::now();
    while count == 0 || start.elapsed() < time / 10 {
        operation()?;
        count += 1;
    }
    let typical = nanoseconds(start.elapsed()) / f64::from(count);
    let batch = if typical < SHORT { BATCH } else { 1 };
    let begin = Instant::now();
    while begin.elapsed() < time {
        let start = Instant::now();
        for _ in 0..batch {
            operation()?;
        }
        let mean = nanoseconds(start.elapsed()) / f64::from(batch);
        round.record_many(mean, batch.into());
    }
    Ok(())
}

/// The buffers that frames come from and go to, the same for all contenders of this process.
///
/// They are of the kind that NumPy takes for arrays of this size: how buffers lie to each other, and in
/// pages of which size, changes the time.
struct Ends {
    source: MmapMut,
    sink: MmapMut,
}

impl Ends {
    fn new(elements: usize) -> Outcome<Self> {
        let len = elements * size_of::<f32>();
        Ok(Self {
            source: private(len, Pages::for_len(len))?,
            sink: private(len, Pages::for_len(len))?,
        })
    }
}
