//! The time of a publication.

use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long the distance between the two clocks is taken as known, in nanoseconds.
const TRUSTED_NS: u64 = 1_000_000;

/// Reads the realtime and the monotonic clock for the price of one.
///
/// A clock read costs as much as the rest of a publish. The monotonic clock is read each time; its
/// distance from the realtime clock is read again when the last reading is a millisecond old. So a
/// step of the realtime clock shows up to a millisecond late, and slewing it by 500 ppm, the most
/// that Linux does, puts it off by at most 0.5 µs.
#[derive(Default)]
pub(crate) struct Clock {
    distance_ns: Cell<u64>,
    trusted_until_ns: Cell<u64>,
}

/// One moment on both clocks.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    /// Since 1970.
    pub(crate) realtime_ns: u64,
    /// Since some moment that the processes of one machine share.
    pub(crate) monotonic_ns: u64,
}

impl Clock {
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        let monotonic_ns = monotonic_ns();
        if monotonic_ns >= self.trusted_until_ns.get() {
            self.measure(monotonic_ns);
        }
        let realtime_ns = monotonic_ns.wrapping_add(self.distance_ns.get());
        Moment {
            realtime_ns,
            monotonic_ns,
        }
    }

    #[cold]
    fn measure(&self, monotonic_ns: u64) {
        // Between two readings of the monotonic clock, so that a preemption in the middle is seen;
        // the tightest of three attempts counts.
        let attempts = (0..3).map(|_| {
            let before = self::monotonic_ns();
            let realtime = nanoseconds(ClockId::Realtime);
            let after = self::monotonic_ns();
            let middle = before + (after - before) / 2;
            (after - before, realtime.wrapping_sub(middle))
        });
        if let Some((_, distance_ns)) = attempts.min() {
            self.distance_ns.set(distance_ns);
            self.trusted_until_ns.set(monotonic_ns + TRUSTED_NS);
        }
    }
}

/// Reads the monotonic clock.
#[inline]
pub(crate) fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

#[inline]
#[expect(
    clippy::cast_sign_loss,
    reason = "neither clock shows times before its zero"
)]
fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // 64 bits of nanoseconds last until the year 2554.
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

/// Returns how long ago a moment on the monotonic clock was, zero for one in the future.
pub(crate) fn since(monotonic_ns: u64) -> Duration {
    Duration::from_nanos(self::monotonic_ns().saturating_sub(monotonic_ns))
}
