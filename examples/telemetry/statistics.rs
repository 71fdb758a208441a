//! What a viewer counts.

use std::time::Duration;

use shmstream::FrameInfo;

/// The frames that a viewer received.
#[derive(Default)]
pub(crate) struct Statistics {
    first: u64,
    last: Option<FrameInfo>,
    received: u64,
    missed: u64,
    /// 8 bytes a frame: 29 MB for an hour at 1 kHz.
    ages_ns: Vec<u64>,
}

/// How old frames were when they reached the viewer.
#[derive(Debug, PartialEq)]
pub(crate) struct Ages {
    pub(crate) min: Duration,
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Statistics {
    /// Counts a frame, with its age if that says how long it was under way.
    pub(crate) fn add(&mut self, info: FrameInfo, age: Option<Duration>) {
        if self.received == 0 {
            self.first = info.count;
        }
        self.received += 1;
        self.missed += info.missed;
        self.last = Some(info);
        if let Some(age) = age {
            self.ages_ns
                .push(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    pub(crate) const fn received(&self) -> u64 {
        self.received
    }

    pub(crate) const fn missed(&self) -> u64 {
        self.missed
    }

    /// Returns how many frames there were up to the last one received.
    pub(crate) fn published(&self) -> u64 {
        self.last.map_or(0, |info| info.count)
    }

    /// Returns how many frames were gone before this viewer looked for its first.
    pub(crate) const fn earlier(&self) -> u64 {
        self.first.saturating_sub(1)
    }

    /// Returns how many samples the publisher was too late for, as their numbers tell.
    pub(crate) fn skipped(&self) -> u64 {
        self.last
            .map_or(0, |info| info.frame_id.saturating_sub(info.count))
    }

    pub(crate) fn ages(&mut self) -> Option<Ages> {
        self.ages_ns.sort_unstable();
        let count = self.ages_ns.len();
        // The smallest value that `share` percent of the values do not exceed.
        let percentile = |share: usize| {
            let rank = (count * share).div_ceil(100).max(1);
            self.ages_ns
                .get(rank - 1)
                .copied()
                .map(Duration::from_nanos)
        };
        Some(Ages {
            min: percentile(0)?,
            median: percentile(50)?,
            p99: percentile(99)?,
            max: percentile(100)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut statistics = Statistics::default();
        assert_eq!(statistics.ages(), None);
        statistics.ages_ns = (1..=200).rev().collect();
        let [min, median, p99, max] = [1, 100, 198, 200].map(Duration::from_nanos);
        assert_eq!(
            statistics.ages(),
            Some(Ages {
                min,
                median,
                p99,
                max
            })
        );
        statistics.ages_ns = vec![7];
        assert_eq!(statistics.ages().unwrap().median, Duration::from_nanos(7));
    }

    #[test]
    fn frames_add_up() -> shmstream::Result<()> {
        let stream = shmstream::Stream::<u8, 1>::temporary()?;
        let viewer = stream.try_clone()?;
        stream.write_with_id(1, &[0])?;
        stream.write_with_id(2, &[0])?;
        let mut statistics = Statistics::default();
        for ids in [&[][..], &[3], &[5, 6]] {
            for &id in ids {
                stream.write_with_id(id, &[0])?;
            }
            statistics.add(viewer.wait()?.info(), Some(Duration::from_nanos(9)));
        }
        assert_eq!((statistics.published(), statistics.received()), (5, 3));
        assert_eq!((statistics.missed(), statistics.earlier()), (1, 1));
        assert_eq!(statistics.skipped(), 1, "the fourth");
        assert_eq!(statistics.ages_ns, [9, 9, 9]);
        Ok(())
    }
}
