//! What many measurements of one thing amount to.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Histograms count tenths of a nanosecond: a mean over a batch is finer than the clock.
const TENTHS: f64 = 10.0;
/// Three digits: a thousandth is less than what rounds differ by.
const DIGITS: u8 = 3;
/// An hour, in tenths of a nanosecond.
const LONGEST: u64 = 36_000_000_000_000;

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("bounds that a histogram accepts")
}

/// The measurements of one round.
pub(crate) struct Round(Histogram<u64>);

impl Round {
    pub(crate) fn new() -> Self {
        Self(histogram())
    }

    /// Counts a duration in nanoseconds.
    #[inline]
    pub(crate) fn record(&mut self, nanoseconds: f64) {
        self.record_many(nanoseconds, 1);
    }

    /// Counts the mean of a batch once for each operation in it.
    #[inline]
    pub(crate) fn record_many(&mut self, nanoseconds: f64, count: u64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, and durations are not negative"
        )]
        let tenths = (nanoseconds * TENTHS) as u64;
        // Clamped to the bounds, so nothing is lost.
        self.0.saturating_record_n(tenths.max(1), count);
    }
}

/// All rounds of one contender at one thing.
pub(crate) struct Series {
    all: Histogram<u64>,
    medians: Vec<f64>,
}

impl Series {
    pub(crate) fn new() -> Self {
        Self {
            all: histogram(),
            medians: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, round: &Round) {
        self.medians.push(quantile(&round.0, 0.5));
        self.all += &round.0;
    }

    /// Returns the duration that the given part of the measurements does not exceed.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        self::quantile(&self.all, quantile)
    }

    /// Returns the median of the medians of the rounds: one disturbed round does not move it.
    pub(crate) fn typical(&self) -> f64 {
        median(&self.medians)
    }

    /// Returns how often this takes as long as the other, as the median over the rounds.
    ///
    /// The rounds are interleaved, so the two sides of each ratio met the same conditions.
    pub(crate) fn times(&self, other: &Self) -> f64 {
        let pairs = self.medians.iter().zip(&other.medians);
        median(&pairs.map(|(this, other)| this / other).collect::<Vec<_>>())
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            samples: self.all.len(),
            rounds: self.medians.len(),
            typical: self.typical(),
            min: self.quantile(0.0),
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            max: self.quantile(1.0),
        }
    }
}

/// Durations in nanoseconds.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Summary {
    samples: u64,
    rounds: usize,
    /// The median of the rounds' medians.
    pub(crate) typical: f64,
    min: f64,
    p50: f64,
    p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    max: f64,
}

fn quantile(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "durations have fewer than 53 bits"
    )]
    let tenths = histogram.value_at_quantile(quantile) as f64;
    tenths / TENTHS
}

/// Returns the median, or not a number for no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(values: &[f64]) -> Round {
        let mut round = Round::new();
        values.iter().for_each(|value| round.record(*value));
        round
    }

    fn near(left: f64, right: f64) -> bool {
        (left / right - 1.0).abs() < 0.002
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let (mut this, mut other) = (Series::new(), Series::new());
        // A machine that is ten times slower in the second round.
        for slow in [1.0, 10.0, 1.0] {
            this.add(&round(&[20.0 * slow, 30.0 * slow, 40.0 * slow]));
            other.add(&round(&[10.0 * slow, 15.0 * slow, 20.0 * slow]));
        }
        assert!(near(this.times(&other), 2.0), "{}", this.times(&other));
        assert!(near(this.typical(), 30.0));
    }

    #[test]
    fn batches_count_once_for_each_operation() {
        let mut series = Series::new();
        let mut batches = Round::new();
        batches.record_many(50.5, 99);
        batches.record_many(1000.0, 1);
        series.add(&batches);
        assert!(near(series.quantile(0.5), 50.5));
        assert!(near(series.quantile(0.999), 1000.0));
        assert_eq!(series.summary().samples, 100);
    }

    #[test]
    fn a_duration_beyond_all_bounds_is_kept() {
        let mut series = Series::new();
        series.add(&round(&[0.0, 1e15]));
        assert!(near(series.quantile(1.0), 3.6e12), "an hour is the limit");
    }
}
