//! Measuring several things in turns.
//!
//! On a machine that others use as well, two figures measured one after the other differ by more
//! than what is looked for. Measured in turns they meet the same conditions, and the ratio within
//! each round is steadier than the ratio of two averages.

/// Runs each subject once per round and returns its results, round by round.
///
/// A subject returns nanoseconds per operation. Each round begins with another one, so that none
/// always follows the same neighbour's cache contents.
pub(crate) fn rounds(rounds: usize, subjects: &mut [&mut dyn FnMut() -> f64]) -> Vec<Vec<f64>> {
    let mut results = vec![Vec::with_capacity(rounds); subjects.len()];
    for round in 0..rounds {
        for turn in 0..subjects.len() {
            let subject = (round + turn) % subjects.len();
            results[subject].push(subjects[subject]());
        }
    }
    results
}

/// Returns the median.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Returns the median of the ratios within each round.
pub(crate) fn ratio(figure: &[f64], floor: &[f64]) -> f64 {
    let ratios: Vec<_> = figure
        .iter()
        .zip(floor)
        .map(|(figure, floor)| figure / floor)
        .collect();
    median(&ratios)
}
