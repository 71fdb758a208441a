//! The control process: how late processes are on this machine, whatever the library does.
//!
//! It beats 200 times a second: it sleeps, computes for a moment, and counts. On a machine that is
//! busy or stopped it comes late, as all processes do, and beats that were missed are not made up
//! for. So a hang is measured in its beats besides the clock: a call hangs when it has lasted for a
//! second *and* for 200 beats. A machine that stands still adds seconds and no beats; a call that
//! never ends is noticed as long as the control process runs at all.

use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use shmstream::Result;

use crate::life::Life;

const PERIOD: Duration = Duration::from_millis(5);
/// Beats in a second of a machine that has time.
pub(crate) const BEATS: u64 = 200;
/// What it computes a checksum of: about a tenth of a millisecond's work.
const WORK: usize = 1 << 20;

/// Beats until it has to end.
pub(crate) fn beat(life: &Life) -> Result<()> {
    let work = vec![1; WORK];
    let mut next = Instant::now() + PERIOD;
    while !life.must_end() {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        black_box(crc32fast::hash(black_box(&work)));
        let late = next.elapsed();
        let late_ns = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        life.board.latest_beat.fetch_max(late_ns, Ordering::SeqCst);
        life.board.beats.fetch_add(1, Ordering::SeqCst);
        next += PERIOD;
        if late > PERIOD {
            next = Instant::now() + PERIOD;
        }
    }
    Ok(())
}
