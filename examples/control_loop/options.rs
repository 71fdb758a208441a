//! The command line.

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Closes a loop over three processes: a sensor publishes slopes, a controller multiplies them with a
/// matrix, a mirror takes the commands. Tells how long that takes.
#[derive(Debug, Parser)]
#[command(name = "control_loop")]
pub(crate) struct Options {
    /// Publish slopes HZ times a second, from 0.001 to 10000
    #[arg(long = "rate", value_name = "HZ", default_value = "1000", value_parser = common::period)]
    pub(crate) period: Duration,
    /// End after S seconds
    #[arg(long, value_name = "S", default_value = "5", value_parser = common::seconds)]
    pub(crate) seconds: Duration,
    /// Publish a new matrix every S seconds
    #[arg(long, value_name = "S", default_value = "1", value_parser = common::seconds)]
    pub(crate) matrix_every: Duration,
    /// Which process this is; the sensor starts the others
    #[arg(long, value_enum, default_value_t = Role::Sensor, hide = true)]
    pub(crate) role: Role,
    /// What the names of the streams begin with
    #[arg(long, default_value = "", hide = true, required_if_eq_any([("role", "controller"), ("role", "mirror")]))]
    pub(crate) base: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Sensor,
    Controller,
    Mirror,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        for (line, mistake) in [
            ("--fast", "'--fast'"),
            ("--rate 0", "from 0.001 to 10000"),
            ("--seconds -1", "'-1'"),
            ("--matrix-every x", "above 0"),
            ("--role mirror", "--base"),
        ] {
            let words = std::iter::once("control_loop").chain(line.split_whitespace());
            let error = Options::try_parse_from(words).expect_err(line).to_string();
            assert!(error.contains(mistake), "{line}: {error}");
        }
    }
}
