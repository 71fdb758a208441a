//! What a reader counts.

use std::time::Duration;

use shmstream::FrameInfo;

use crate::duration_text;

/// The frames that a reader received.
#[derive(Debug, Default)]
pub struct Statistics {
    first: u64,
    last: Option<FrameInfo>,
    received: u64,
    missed: u64,
    ages: Durations,
}

impl Statistics {
    /// Counts a frame, with its age if that says how long it was under way.
    pub fn add(&mut self, info: FrameInfo, age: Option<Duration>) {
        if self.received == 0 {
            self.first = info.count;
        }
        self.received += 1;
        self.missed += info.missed;
        self.last = Some(info);
        self.ages.extend(age);
    }

    /// Returns how many frames were received.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Returns how many frames came and went between two that were received.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    /// Returns how many frames there were up to the last one received.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.last.map_or(0, |info| info.count)
    }

    /// Returns how many ticks the writer was too late for, if its frame numbers are ticks.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.last
            .map_or(0, |info| info.frame_id.saturating_sub(info.count))
    }

    /// Says in a line what became of the frames.
    #[must_use]
    pub fn summary(&self) -> String {
        let (published, received, missed) = (self.published(), self.received, self.missed);
        let mut text =
            format!("{published} frames published, {received} received, {missed} missed");
        let earlier = self.first.saturating_sub(1);
        if earlier > 0 {
            text += &format!(", {earlier} before this reader came");
        }
        text
    }

    /// Says in a line how old frames were when they were received, if there were any.
    #[must_use]
    pub fn ages(&mut self) -> Option<String> {
        let [min, median, p99, max] = self.ages.permille([0, 500, 990, 1000])?.map(duration_text);
        Some(format!(
            "age when received: min {min}, median {median}, p99 {p99}, max {max}"
        ))
    }
}

/// Durations whose percentiles are wanted in the end. 8 bytes each: 29 MB for an hour at 1 kHz.
#[derive(Debug, Default)]
pub struct Durations {
    ns: Vec<u64>,
}

impl Durations {
    /// Returns the smallest durations that so many per mille of all do not exceed, or `None` where
    /// there are none.
    pub fn permille<const N: usize>(&mut self, shares: [usize; N]) -> Option<[Duration; N]> {
        let sorted = self.sorted();
        let last = sorted.len().checked_sub(1)?;
        Some(shares.map(|share| {
            let rank = (sorted.len() * share).div_ceil(1000).max(1);
            Duration::from_nanos(sorted[(rank - 1).min(last)])
        }))
    }

    /// Returns the durations in nanoseconds, sorted.
    pub fn sorted(&mut self) -> &[u64] {
        self.ns.sort_unstable();
        &self.ns
    }
}

impl Extend<Duration> for Durations {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, durations: I) {
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.ns.extend(durations.into_iter().map(ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut durations = Durations::default();
        assert_eq!(durations.permille([500]), None);
        durations.extend((1..=200).rev().map(Duration::from_nanos));
        let wanted = [1, 100, 198, 200].map(Duration::from_nanos);
        assert_eq!(durations.permille([0, 500, 990, 1000]), Some(wanted));
        let mut one = Durations { ns: vec![7] };
        assert_eq!(one.permille([500]), Some([Duration::from_nanos(7)]));
    }

    #[test]
    fn frames_add_up() -> shmstream::Result<()> {
        let stream = shmstream::Stream::<u8, 1>::temporary()?;
        let reader = stream.try_clone()?;
        stream.write_with_id(1, &[0])?;
        stream.write_with_id(2, &[0])?;
        let mut statistics = Statistics::default();
        for ids in [&[][..], &[3], &[5, 6]] {
            for &id in ids {
                stream.write_with_id(id, &[0])?;
            }
            statistics.add(reader.wait()?.info(), Some(Duration::from_micros(9)));
        }
        assert_eq!((statistics.published(), statistics.received()), (5, 3));
        assert_eq!((statistics.missed(), statistics.skipped()), (1, 1));
        assert_eq!(
            statistics.summary(),
            "5 frames published, 3 received, 1 missed, 1 before this reader came"
        );
        let ages = "age when received: min 9.0 µs, median 9.0 µs, p99 9.0 µs, max 9.0 µs";
        assert_eq!(statistics.ages().as_deref(), Some(ages));
        Ok(())
    }
}
