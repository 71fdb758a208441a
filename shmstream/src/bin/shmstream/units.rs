//! Numbers for people: bytes, durations, rates, times of day, users.

use std::borrow::Cow;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// Writes a number of bytes: `24 B`, `4.0 KiB`.
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure of two or three digits"
)]
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", figure(value), UNITS[unit])
}

/// Writes a duration: `340 ns`, `3.2 ms`, `59 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration < Duration::from_micros(1) => format!("{} ns", duration.as_nanos()),
        0 if duration < Duration::from_nanos(999_500) => {
            format!("{} µs", figure(duration.as_secs_f64() * 1e6))
        }
        0 if duration < Duration::from_micros(999_500) => {
            format!("{} ms", figure(duration.as_secs_f64() * 1e3))
        }
        0..60 => format!("{} s", figure(duration.as_secs_f64())),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// Writes how long ago something was: `3.2 ms ago`.
pub(crate) fn ago(age: Duration) -> String {
    format!("{} ago", duration(age))
}

/// Returns a duration in nanoseconds, as JSON has it.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes a frequency: `0.50`, `30.0`, `12345`.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        10_000.0.. => format!("{per_second:.0}"),
        10.0.. => format!("{per_second:.1}"),
        _ => format!("{per_second:.2}"),
    }
}

/// Two digits at least: one decimal below ten, none above.
fn figure(value: f64) -> String {
    if value < 9.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// Writes `1 stream`, `2 streams`.
pub(crate) fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Writes a list of a few names.
pub(crate) fn abridged(names: &[String]) -> String {
    const FEW: usize = 5;
    match names.get(..FEW) {
        Some(few) if names.len() > FEW => format!("{}, …", few.join(", ")),
        _ => names.join(", "),
    }
}

/// A moment on the realtime clock.
#[derive(Clone, Copy)]
pub(crate) struct Moment(Timestamp);

impl Moment {
    /// Takes nanoseconds since 1970; what is beyond the calendar counts as its end.
    pub(crate) fn new(realtime_ns: u64) -> Self {
        Self(Timestamp::from_nanosecond(realtime_ns.into()).unwrap_or(Timestamp::MAX))
    }

    /// Reads the clock.
    pub(crate) fn now() -> Self {
        Self(Timestamp::now())
    }

    /// Writes date and time in this machine's time zone.
    pub(crate) fn date(self) -> String {
        self.local()
            .strftime("%Y-%m-%d %H:%M:%S%.3f %Z")
            .to_string()
    }

    /// Writes the time of day in this machine's time zone, to the microsecond.
    pub(crate) fn time(self) -> String {
        self.local().strftime("%H:%M:%S%.6f").to_string()
    }

    /// Writes the moment as RFC 3339 in UTC, to the nanosecond.
    pub(crate) fn rfc3339(self) -> String {
        format!("{:.9}", self.0)
    }

    fn local(self) -> ZonedDateTime {
        self.0.to_zoned_datetime(TimeZone::system())
    }
}

/// Writes a user's name where the user database file has it, and the number besides.
pub(crate) fn user(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    user_in(&users, uid).map_or_else(|| uid.to_string(), ToOwned::to_owned)
}

fn user_in(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// Replaces control characters, so that a name in a stream says nothing to the terminal.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let escape = |c: char| -> String {
        if c.is_control() {
            c.escape_default().collect()
        } else {
            c.into()
        }
    };
    text.chars().map(escape).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_bytes() {
        let texts = [
            0,
            1023,
            1024,
            1536,
            200 << 10,
            (1 << 20) - 1,
            24 << 30,
            u64::MAX,
        ]
        .map(bytes);
        assert_eq!(
            texts,
            [
                "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "200 KiB", "1.0 MiB", "24 GiB", "16 EiB"
            ]
        );
    }

    #[test]
    fn writes_durations() {
        let texts = [
            0,
            999,
            1000,
            3_210_000,
            120_000_000,
            999_999_999,
            12_000_000_000,
        ]
        .map(|ns| duration(Duration::from_nanos(ns)));
        assert_eq!(
            texts,
            [
                "0 ns", "999 ns", "1.0 µs", "3.2 ms", "120 ms", "1.0 s", "12 s"
            ]
        );
        let texts = [60, 200, 7500, 273_600].map(|s| duration(Duration::from_secs(s)));
        assert_eq!(texts, ["1 min 0 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"]);
    }

    #[test]
    fn writes_moments() {
        assert_eq!(
            Moment::new(1_700_000_000_123_456_789).rfc3339(),
            "2023-11-14T22:13:20.123456789Z"
        );
        assert!(Moment::new(u64::MAX).rfc3339().starts_with("2554-"));
    }

    #[test]
    fn knows_users_by_name() {
        let users = "root:x:0:0::/root:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\nodd\n";
        assert_eq!(user_in(users, 1001), Some("bob"));
        assert_eq!(user_in(users, 7), None);
    }

    #[test]
    fn keeps_control_characters_from_the_terminal() {
        assert_eq!(printable("größe"), "größe");
        assert_eq!(printable("a\x1b[31mb\n"), "a\\u{1b}[31mb\\n");
    }
}
