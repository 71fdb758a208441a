//! Figures as people write them, and the lines that they stand in.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

/// Prints a line.
///
/// # Errors
///
/// When nobody reads it any more: `println!` would panic then.
pub fn line(text: impl fmt::Display) -> crate::Result<()> {
    writeln!(io::stdout(), "{text}")?;
    Ok(())
}

/// Writes a number of bytes.
#[must_use]
pub fn bytes_text(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes;
    let mut unit = 0;
    // What would be rounded to a thousand goes to the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 99.95 { 0 } else { 1 };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// Writes a short duration.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let us = duration.as_secs_f64() * 1e6;
    match us {
        9_950.0.. => format!("{:.1} ms", us / 1e3),
        9.95.. => format!("{us:.0} µs"),
        _ => format!("{us:.1} µs"),
    }
}

/// Reads a number of seconds above 0.
///
/// # Errors
///
/// A message for whoever wrote something else.
pub fn seconds(text: &str) -> Result<Duration, String> {
    number(text)
        .filter(|&seconds| seconds > 0.0 && seconds <= 1e9)
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "it needs a number above 0".to_owned())
}

/// Reads a rate in hertz as the time from one tick to the next.
///
/// # Errors
///
/// A message for whoever wrote something else.
pub fn period(text: &str) -> Result<Duration, String> {
    number(text)
        .filter(|rate| (0.001..=10_000.0).contains(rate))
        .map(|rate| Duration::from_secs_f64(1.0 / rate))
        .ok_or_else(|| "it needs a number from 0.001 to 10000".to_owned())
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let texts = [0.0, 999.0, 1000.0, 10_240.0, 102_400.0, 3e9].map(bytes_text);
        assert_eq!(
            texts,
            ["0 B", "999 B", "1.0 KiB", "10.0 KiB", "100 KiB", "2.8 GiB"]
        );
        let texts = [810, 54_900, 9_940_000, 9_960_000, 12_000_000].map(|ns| {
            let duration = Duration::from_nanos(ns);
            duration_text(duration)
        });
        assert_eq!(texts, ["0.8 µs", "55 µs", "9940 µs", "10.0 ms", "12.0 ms"]);
    }

    #[test]
    fn numbers_have_their_limits() {
        assert_eq!(period("1000"), Ok(Duration::from_millis(1)));
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "nan", "inf", "x", ""] {
            assert!(seconds(text).is_err(), "{text}");
            assert!(period(text).is_err(), "{text}");
        }
    }
}
