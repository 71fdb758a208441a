//! A histogram in text.

use std::time::Duration;

use common::duration_text;

const ROWS: usize = 20;
const BAR: usize = 50;

/// Draws how often durations occur, given in nanoseconds and sorted.
pub(crate) fn histogram(sorted: &[u64]) -> Vec<String> {
    let rows = rows(sorted);
    let most = rows.iter().map(|row| row.count).max().unwrap_or(0).max(1);
    let line = |Row { from, to, count }: &Row| {
        let text = |ns: u64| duration_text(Duration::from_nanos(ns));
        let range = match to {
            Some(to) => format!("{} - {}", text(*from), text(*to)),
            None => format!("{} and more", text(*from)),
        };
        // Something is always to be seen of what there is.
        let bar = "#".repeat((count * BAR).div_ceil(most));
        format!("{range:>19}  {count:>7}  {bar}")
            .trim_end()
            .to_owned()
    };
    rows.iter().map(line).collect()
}

/// How many durations go from one to below another.
struct Row {
    from: u64,
    to: Option<u64>,
    count: usize,
}

/// Returns rows that grow with the durations, as fine as fits.
///
/// The one duration in a thousand that took longest may be far away, so these share the last row.
fn rows(sorted: &[u64]) -> Vec<Row> {
    let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
        return Vec::new();
    };
    let top = sorted[sorted.len() - 1 - sorted.len() / 1000];
    let borders = [16, 8, 4, 2]
        .map(|steps| borders(min, top, steps))
        .into_iter()
        .find(|borders| borders.len() <= ROWS)
        .unwrap_or_else(|| borders(min, top, 1));
    let below = |border: u64| sorted.partition_point(|&ns| ns < border);
    let mut rows: Vec<_> = borders
        .windows(2)
        .map(|pair| Row {
            from: pair[0],
            to: Some(pair[1]),
            count: below(pair[1]) - below(pair[0]),
        })
        .collect();
    if let Some(&end) = borders.last()
        && end <= max
    {
        rows.push(Row {
            from: end,
            to: None,
            count: sorted.len() - below(end),
        });
    }
    rows
}

/// Returns borders, `steps` to the double, that enclose what lies from `min` to `max`.
fn borders(min: u64, max: u64, steps: u64) -> Vec<u64> {
    let octaves = (0..64).map(|octave| 1_u64 << octave);
    // Even steps within the double are as good as growing ones. Where they would be less than 1 ns,
    // there is one step.
    let mut borders: Vec<_> = octaves
        .flat_map(|start| {
            let steps = if start < steps { 1 } else { steps };
            (0..steps).map(move |step| start + start / steps * step)
        })
        .collect();
    borders.insert(0, 0);
    let from = borders.partition_point(|&border| border <= min) - 1;
    let to = borders.partition_point(|&border| border <= max);
    borders.truncate(to + 1);
    borders.split_off(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_one_row() {
        let mut tail = vec![1000; 2000];
        tail.extend([1 << 30, u64::MAX]);
        for durations in [
            &[1_u64][..],
            &[0, 0, 3],
            &[1000, 1000, 1000],
            &[900, 1023, 1024, 1025, 1100, 5000],
            &[3, 1 << 40],
            &tail,
        ] {
            let rows = rows(durations);
            let count: usize = rows.iter().map(|row| row.count).sum();
            assert_eq!(count, durations.len());
            assert!(rows.windows(2).all(|pair| pair[0].to == Some(pair[1].from)));
        }
        assert!(histogram(&[]).is_empty());
    }

    #[test]
    fn rows_are_as_fine_as_fits() {
        let narrow: Vec<_> = (50_000..60_000).collect();
        let wide: Vec<_> = (10..24).map(|octave| 1 << octave).collect();
        for durations in [narrow, wide] {
            let rows = rows(&durations).len();
            assert!((4..=ROWS).contains(&rows), "{rows}");
        }
    }

    #[test]
    fn bars_show_the_share() {
        let mut durations = vec![1000; 100];
        durations.extend([1500, 9000]);
        let lines = histogram(&durations);
        assert_eq!(lines[0].matches('#').count(), BAR);
        assert_eq!(lines.last().unwrap().matches('#').count(), 1);
    }
}
