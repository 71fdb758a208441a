//! Numbers for people.

use std::time::Duration;

/// Writes a number with a comma at each thousand.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a number of bytes: `512 B`, `3.2 GiB`.
#[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
pub(crate) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1000.0 {
            return match unit {
                "B" => format!("{bytes} B"),
                _ => format!("{value:.1} {unit}"),
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} PiB")
}

/// Writes a duration of some nanoseconds: `12.3 ms`.
#[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
pub(crate) fn nanoseconds(ns: u64) -> String {
    match ns as f64 {
        ns @ ..1e6 => format!("{:.1} µs", ns / 1e3),
        ns @ ..1e9 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

/// Writes a duration in seconds: `12.3 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_for_people() {
        assert_eq!(
            ["0", "999", "1,000", "12,345,678"],
            [0, 999, 1000, 12_345_678].map(number)[..]
        );
        assert_eq!(
            ["999 B", "1.0 KiB", "2.0 GiB"],
            [999, 1024, 2 << 30].map(bytes)[..]
        );
        let texts = [1_500, 2_300_000, 1_250_000_000].map(nanoseconds);
        assert_eq!(["1.5 µs", "2.3 ms", "1.25 s"], texts[..]);
    }
}
