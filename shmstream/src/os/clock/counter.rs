//! The monotonic clock between two readings, by the processor's own counter.
//!
//! Reading the clock takes 20 to 30 ns, half of a publish. Where the kernel makes its clock of the processor's
//! counter, a program may look at the counter itself, which takes a third of that: time is the last reading
//! of the clock, and what the counter has gone on since then.
//!
//! The kernel alone knows the rate between the two, and changes it: by 500 ppm at most. So the
//! rate is measured, over a millisecond to a second, taken for a thousandth less, and good for ten
//! microseconds behind a reading. What comes out is never late: not later than the clock would have said. It is
//! early by at most ten nanoseconds for the rate, and by what lay between the reading of the clock and that of
//! the counter, which is looked at: a reading with more than [`TIGHT_NS`] around it is used by itself alone.

use std::cell::Cell;
use std::sync::OnceLock;

use super::{monotonic_ns, ticks};

/// How long a reading of the clock is good for, in nanoseconds.
const TRUSTED_NS: u64 = 10_000;
/// How long reading the clock may take for the counter to be read along with it, in nanoseconds.
const TIGHT_NS: u64 = 100;
/// Over how long the rate is measured, in nanoseconds.
const MEASURED_NS: std::ops::Range<u64> = 1_000_000..1_000_000_000;
/// A rate is nanoseconds in a tick, times two to the power of this.
const RATE_SHIFT: u32 = 32;
/// Rates of counters with 0.1 to 64 ticks in a nanosecond; another is no rate.
const RATES: std::ops::Range<u64> = 1 << (RATE_SHIFT - 6)..10 << RATE_SHIFT;

/// Whether the kernel makes its clock of the counter.
static USABLE: OnceLock<bool> = OnceLock::new();

/// Asks the kernel what its clock is made of, once in a process.
///
/// Without it, the clock is read each time. A file is read for it, so not in the middle of a publish.
pub(crate) fn prepare() {
    USABLE.get_or_init(|| {
        const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        // Another clock source on such a processor means that the counter is not to be relied on: it
        // stops, changes its rate, or differs between processors.
        let is_source = |source: String| source.trim_end() == ticks::NAME;
        std::fs::read_to_string(SOURCE).is_ok_and(is_source)
    });
}

/// The clock, and the counter at its last reading.
pub(super) struct Counter {
    read_ns: Cell<u64>,
    read_ticks: Cell<u64>,
    /// For how many ticks that reading is good.
    trusted_ticks: Cell<u64>,
    /// A thousandth below what was measured; zero for not yet.
    rate: Cell<u64>,
    /// From where the rate is measured.
    since_ns: Cell<u64>,
    since_ticks: Cell<u64>,
    last_ns: Cell<u64>,
}

impl Counter {
    pub(super) const fn new() -> Self {
        Self {
            read_ns: Cell::new(0),
            read_ticks: Cell::new(0),
            trusted_ticks: Cell::new(0),
            rate: Cell::new(0),
            since_ns: Cell::new(0),
            since_ticks: Cell::new(0),
            last_ns: Cell::new(0),
        }
    }

    /// Returns the time on the monotonic clock, at least what it returned before.
    #[inline]
    pub(super) fn monotonic_ns(&self) -> u64 {
        let trusted_ticks = self.trusted_ticks.get();
        // Without a look at the counter where none is to be relied on.
        if trusted_ticks != 0 {
            let past = ticks::now().wrapping_sub(self.read_ticks.get());
            if past < trusted_ticks {
                let past_ns = (past * self.rate.get()) >> RATE_SHIFT;
                // The processor may read the counter before what comes first in the program.
                let now_ns = (self.read_ns.get() + past_ns).max(self.last_ns.get());
                self.last_ns.set(now_ns);
                return now_ns;
            }
        }
        self.read()
    }

    /// Reads the clock.
    #[cold]
    fn read(&self) -> u64 {
        if USABLE.get() != Some(&true) {
            return monotonic_ns();
        }
        let before = ticks::now();
        let now_ns = monotonic_ns();
        let after = ticks::now_behind();
        self.measure(now_ns, after);
        let rate = self.rate.get();
        let took_ns = to_ns(after.wrapping_sub(before), rate);
        let is_tight = rate != 0 && took_ns <= TIGHT_NS.into();
        self.trusted_ticks.set(match is_tight {
            true => (TRUSTED_NS << RATE_SHIFT) / rate,
            false => 0,
        });
        self.read_ns.set(now_ns);
        self.read_ticks.set(after);
        self.last_ns.set(now_ns);
        now_ns
    }

    /// Measures the rate, if it is time.
    fn measure(&self, now_ns: u64, ticks: u64) {
        let past_ns = now_ns.wrapping_sub(self.since_ns.get());
        if past_ns < MEASURED_NS.start {
            return;
        }
        let past_ticks = ticks.wrapping_sub(self.since_ticks.get());
        self.since_ns.set(now_ns);
        self.since_ticks.set(ticks);
        // A machine that slept meanwhile may have stopped one of the two.
        let rate = match MEASURED_NS.contains(&past_ns) && past_ticks != 0 {
            true => (past_ns << RATE_SHIFT) / past_ticks,
            false => 0,
        };
        let is_rate = RATES.contains(&rate);
        self.rate.set(if is_rate { rate - rate / 1000 } else { 0 });
    }
}

/// Returns how long so many ticks take.
fn to_ns(ticks: u64, rate: u64) -> u128 {
    (u128::from(ticks) * u128::from(rate)) >> RATE_SHIFT
}

#[cfg(test)]
mod tests;
