//! Figures as people read them.

use std::fmt;

/// A number of nanoseconds, with three digits and the unit that suits it.
pub(crate) struct Time(pub(crate) f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            ..1e3 => (self.0, "ns"),
            ..1e6 => (self.0 / 1e3, "µs"),
            ..1e9 => (self.0 / 1e6, "ms"),
            _ => (self.0 / 1e9, "s"),
        };
        write!(f, "{} {unit}", Number(value))
    }
}

/// A number with three digits that count.
pub(crate) struct Number(pub(crate) f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            100.0.. => write!(f, "{:.0}", self.0),
            10.0.. => write!(f, "{:.1}", self.0),
            _ => write!(f, "{:.2}", self.0),
        }
    }
}

/// A rate in hertz.
pub(crate) struct Rate(pub(crate) f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            1e6.. => (self.0 / 1e6, "MHz"),
            1e3.. => (self.0 / 1e3, "kHz"),
            _ => (self.0, "Hz"),
        };
        write!(f, "{} {unit}", Number(value))
    }
}
