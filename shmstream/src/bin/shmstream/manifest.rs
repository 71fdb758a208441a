//! `shmstream apply` and `shmstream check`: streams that a file declares.

use std::error::Error as _;
use std::io::{self, Write};

use clap::builder::styling::Style;
use serde::Serialize;
use shmstream::StreamName;
use shmstream::config::{Applied, ConfigError, Difference, Finding, Manifest};

use crate::cli::Declared;
use crate::failure::{Exit, Failure, explain};
use crate::output::Output;
use crate::{style, units};

/// A declared stream, for people and for programs.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a StreamName,
    state: &'static str,
    #[serde(skip_serializing_if = "<[Difference]>::is_empty")]
    differences: &'a [Difference],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

impl<'a> Line<'a> {
    const fn good(name: &'a StreamName, state: &'static str) -> Self {
        Self {
            name,
            state,
            differences: &[],
            error: None,
            exit: Exit::Done,
        }
    }

    fn differing(name: &'a StreamName, differences: &'a [Difference]) -> Self {
        Self {
            state: "differs",
            differences,
            exit: Exit::Found,
            ..Self::good(name, "")
        }
    }

    fn failed(name: &'a StreamName, error: &shmstream::Error) -> Self {
        Self {
            state: Exit::of(error).state(),
            error: Some(explain(error)),
            exit: Exit::of(error),
            ..Self::good(name, "")
        }
    }

    const fn style(&self) -> Style {
        match self.exit {
            Exit::Done => style::GOOD,
            Exit::Found => style::DOUBTFUL,
            _ => style::BAD,
        }
    }
}

pub(crate) fn apply(options: &Declared, out: &mut Output) -> Result<(), Failure> {
    let manifest = read(options)?;
    let applied = manifest.apply();
    let lines = in_order(&manifest, |name| applied_line(&applied, name));
    report(options, &lines, out)?;
    let first = lines.iter().find(|line| line.exit != Exit::Done);
    first.map_or(Ok(()), |line| Err(Failure::Told(line.exit)))
}

fn applied_line<'a>(applied: &'a Applied, name: &'a StreamName) -> Line<'a> {
    if applied.created.contains(name) {
        return Line::good(name, "created");
    }
    if let Some((_, differences)) = applied.differing.iter().find(|(other, _)| other == name) {
        return Line::differing(name, differences);
    }
    match applied.failed.iter().find(|(other, _)| other == name) {
        Some((_, error)) => Line::failed(name, error),
        None => Line::good(name, "present"),
    }
}

pub(crate) fn check(options: &Declared, out: &mut Output) -> Result<(), Failure> {
    let manifest = read(options)?;
    let findings = manifest.check();
    let lines = in_order(&manifest, |name| checked_line(&findings, name));
    report(options, &lines, out)?;
    if findings.is_empty() {
        return Ok(());
    }
    Err(Failure::Told(Exit::Found))
}

fn checked_line<'a>(findings: &'a [(StreamName, Finding)], name: &'a StreamName) -> Line<'a> {
    match findings.iter().find(|(other, _)| other == name) {
        None => Line::good(name, "present"),
        Some((_, Finding::Differing(differences))) => Line::differing(name, differences),
        Some((_, Finding::Failed(error))) => Line::failed(name, error),
        Some(_) => Line {
            state: "missing",
            exit: Exit::Found,
            ..Line::good(name, "")
        },
    }
}

fn in_order<'a>(
    manifest: &'a Manifest,
    line: impl Fn(&'a StreamName) -> Line<'a>,
) -> Vec<Line<'a>> {
    let names = manifest.streams.iter().map(|config| &config.name);
    names.map(line).collect()
}

fn read(options: &Declared) -> Result<Manifest, Failure> {
    Manifest::from_path(&options.file).map_err(unreadable)
}

fn unreadable(error: ConfigError) -> Failure {
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>());
    match (error.path(), cause) {
        (Some(path), Some(cause)) => Failure::File(
            path.to_owned(),
            io::Error::new(cause.kind(), cause.to_string()),
        ),
        _ => Failure::Usage(units::printable(&error.to_string()).into_owned()),
    }
}

/// Everything that is declared, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    complete: bool,
    streams: &'a [Line<'a>],
}

fn report(options: &Declared, lines: &[Line<'_>], out: &mut Output) -> Result<(), Failure> {
    if options.json.json {
        let complete = lines.iter().all(|line| line.exit == Exit::Done);
        return out.json(&Report {
            complete,
            streams: lines,
        });
    }
    let widest = |text: fn(&Line<'_>) -> String| {
        let widths = lines.iter().map(|line| text(line).chars().count());
        widths.max().unwrap_or(0)
    };
    let (states, names) = (
        widest(|line| line.state.into()),
        widest(|line| line.name.to_string()),
    );
    for line in lines {
        let (style, state, name) = (line.style(), line.state, line.name.to_string());
        write!(out, "{style}{state:<states$}{style:#}  ")?;
        let indent = states + 2 + names + 2;
        let mut details = line.differences.iter().map(details);
        let first = details.next().or_else(|| line.error.clone());
        match first {
            None => writeln!(out, "{name}")?,
            Some(text) => {
                write!(out, "{name:<names$}  ")?;
                out.wrapped(&text, indent)?;
            }
        }
        for text in details {
            write!(out, "{:indent$}", "")?;
            out.wrapped(&text, indent)?;
        }
    }
    Ok(())
}

fn details(difference: &Difference) -> String {
    let text = format!(
        "{}: {} declared, {} found",
        difference.what, difference.declared, difference.found
    );
    units::printable(&text).into_owned()
}
