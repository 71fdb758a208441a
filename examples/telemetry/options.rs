//! The command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const USAGE: &str = "\
Shows this machine's CPU, memory, load and network figures. One process takes samples and publishes
them in a shared-memory stream, another reads the stream and shows them.

usage: telemetry [--seconds S] [--rate HZ] [--proc DIR]
       telemetry --watch NAME

  --seconds S   end after S seconds (default: 5)
  --rate HZ     take HZ samples a second, from 0.001 to 10000 (default: 20)
  --proc DIR    read the figures from DIR (default: /proc)
  --watch NAME  show the stream of a telemetry that runs already, as one viewer more
  --help        show this text
";

#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    Publish(Options),
    Watch(OsString),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) duration: Duration,
    pub(crate) period: Duration,
    pub(crate) proc: PathBuf,
}

impl Command {
    pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Options {
            duration: Duration::from_secs(5),
            period: Duration::from_millis(50),
            proc: "/proc".into(),
        };
        let mut watch = None;
        let mut given = 0;
        while let Some(arg) = args.next() {
            let arg = arg.to_string_lossy();
            let mut value = || args.next().ok_or_else(|| format!("`{arg}` needs a value"));
            match &*arg {
                "--help" | "-h" => return Ok(Self::Help),
                "--seconds" => options.duration = seconds(&value()?)?,
                "--rate" => options.period = period(&value()?)?,
                "--proc" => options.proc = value()?.into(),
                "--watch" => watch = Some(value()?),
                _ => return Err(format!("unknown option `{arg}`")),
            }
            given += 1;
        }
        match watch {
            None => Ok(Self::Publish(options)),
            Some(name) if given == 1 => Ok(Self::Watch(name)),
            Some(_) => Err("`--watch` goes with no other option".to_owned()),
        }
    }
}

fn number(value: &OsStr) -> Option<f64> {
    value.to_str()?.parse().ok()
}

fn seconds(value: &OsStr) -> Result<Duration, String> {
    number(value)
        .filter(|&seconds| seconds > 0.0 && seconds <= 1e9)
        .map(Duration::from_secs_f64)
        .ok_or_else(|| {
            format!(
                "`--seconds` needs a number above 0, not `{}`",
                value.to_string_lossy()
            )
        })
}

fn period(rate: &OsStr) -> Result<Duration, String> {
    number(rate)
        .filter(|rate| (0.001..=10_000.0).contains(rate))
        .map(|rate| Duration::from_secs_f64(1.0 / rate))
        .ok_or_else(|| {
            format!(
                "`--rate` needs a number from 0.001 to 10000, not `{}`",
                rate.to_string_lossy()
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_have_defaults() {
        let Ok(Command::Publish(options)) = parse("--rate 1000") else {
            panic!("no options");
        };
        assert_eq!(options.period, Duration::from_millis(1));
        assert_eq!(options.duration, Duration::from_secs(5));
    }

    #[test]
    fn mistakes_are_named() {
        let error = |line: &str| parse(line).unwrap_err();
        assert_eq!(error("--fast"), "unknown option `--fast`");
        assert_eq!(error("--rate"), "`--rate` needs a value");
        assert_eq!(
            error("--rate 0"),
            "`--rate` needs a number from 0.001 to 10000, not `0`"
        );
        for value in ["0", "-1", "nan", "inf", "x"] {
            let message = format!("`--seconds` needs a number above 0, not `{value}`");
            assert_eq!(error(&format!("--seconds {value}")), message);
        }
        assert_eq!(
            error("--watch a --rate 1"),
            "`--watch` goes with no other option"
        );
    }
}
