//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Shows this machine's CPU, memory, load and network figures. One process takes samples and publishes
/// them in a shared-memory stream, another reads the stream and shows them.
#[derive(Debug, Parser)]
#[command(name = "telemetry")]
pub(crate) struct Options {
    /// End after S seconds
    #[arg(long, value_name = "S", default_value = "5", value_parser = common::seconds)]
    pub(crate) seconds: Duration,
    /// Take HZ samples a second, from 0.001 to 10000
    #[arg(long = "rate", value_name = "HZ", default_value = "20", value_parser = common::period)]
    pub(crate) period: Duration,
    /// Read the figures from DIR
    #[arg(long, value_name = "DIR", default_value = "/proc")]
    pub(crate) proc: PathBuf,
    /// Show the stream of a telemetry that runs already, as one viewer more
    #[arg(long, value_name = "NAME", exclusive = true)]
    pub(crate) watch: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let words = std::iter::once("telemetry").chain(line.split_whitespace());
        Options::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn options_have_defaults() {
        let options = parse("--rate 1000").unwrap();
        assert_eq!(options.period, Duration::from_millis(1));
        assert_eq!(options.seconds, Duration::from_secs(5));
        assert_eq!(options.watch, None);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, mistake) in [
            ("--fast", "'--fast'"),
            ("--rate", "'--rate <HZ>'"),
            ("--rate 0", "from 0.001 to 10000"),
            ("--seconds nan", "above 0"),
            ("--watch a --rate 1", "'--watch <NAME>' cannot be used with"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(mistake), "{line}: {error}");
        }
    }
}
