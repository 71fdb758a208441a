//! `shmstream doctor`: what stands in the way of streams on this machine.
//!
//! Each check returns what it found, a verdict, and what to do about it. Reading a file of the
//! system is apart from judging what it says, so that the judgement can be tested.

mod directory;
mod isolation;
mod limits;
mod logind;
mod machine;
mod streams;

use std::fmt;
use std::io::Write;

use serde::Serialize;

use crate::cli::Json;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::{style, units};

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    /// Some things do not work, or will surprise.
    Warn,
    /// Streams do not work, or some are lost.
    Problem,
}

/// What one check found.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do about it.
    advice: Option<String>,
    /// Numbers behind it, for programs.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    figures: Vec<(&'static str, u64)>,
}

fn as_map<S: serde::Serializer>(
    figures: &[(&'static str, u64)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(figures.iter().copied())
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.into(),
            advice: None,
            figures: Vec::new(),
        }
    }

    fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warn,
            advice: Some(advice.into()),
            ..Self::ok(check, found)
        }
    }

    fn problem(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Problem,
            ..Self::warn(check, found, advice)
        }
    }

    fn with(mut self, figures: impl IntoIterator<Item = (&'static str, u64)>) -> Self {
        self.figures.extend(figures);
        self
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Problem => "problem",
        })
    }
}

/// Everything that is found, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    verdict: Verdict,
    checks: &'a [Finding],
}

/// Runs all checks and prints them.
pub(crate) fn run(json: Json, out: &mut Output) -> Result<(), Failure> {
    let findings = examine();
    let verdict = findings.iter().map(|finding| finding.verdict).max();
    let verdict = verdict.unwrap_or(Verdict::Ok);
    if json.json {
        out.json(&Report {
            verdict,
            checks: &findings,
        })?;
    } else {
        findings
            .iter()
            .try_for_each(|finding| print(finding, out))?;
        summary(&findings, out)?;
    }
    match verdict {
        Verdict::Ok | Verdict::Warn => Ok(()),
        Verdict::Problem => Err(Failure::Told(Exit::Found)),
    }
}

fn examine() -> Vec<Finding> {
    let place = directory::Place::look();
    let mut findings = directory::check(&place);
    findings.extend(machine::check());
    findings.extend(limits::check());
    findings.extend(isolation::check());
    let streams = streams::Streams::look();
    findings.push(logind::check(&place, &streams));
    findings.extend(streams::check(&streams));
    findings
}

fn print(finding: &Finding, out: &mut Output) -> Result<(), Failure> {
    let style = match finding.verdict {
        Verdict::Ok => style::GOOD,
        Verdict::Warn => style::DOUBTFUL,
        Verdict::Problem => style::BAD,
    };
    let (verdict, check) = (finding.verdict, finding.check);
    write!(out, "{style}{verdict:<7}{style:#}  {check:<15}  ")?;
    out.wrapped(&units::printable(&finding.found), INDENT)?;
    if let Some(advice) = &finding.advice {
        write!(out, "{:INDENT$}", "")?;
        out.wrapped(&format!("→ {}", units::printable(advice)), INDENT + 2)?;
    }
    Ok(())
}

/// The column of what was found.
const INDENT: usize = 7 + 2 + 15 + 2;

fn summary(findings: &[Finding], out: &mut Output) -> Result<(), Failure> {
    let number = |verdict| {
        let of_that = findings.iter().filter(|finding| finding.verdict == verdict);
        of_that.count()
    };
    let text = match (number(Verdict::Problem), number(Verdict::Warn)) {
        (0, 0) => "nothing stands in the way".to_owned(),
        (0, warnings) => units::count(warnings, "warning"),
        (problems, 0) => units::count(problems, "problem"),
        (problems, warnings) => format!(
            "{}, {}",
            units::count(problems, "problem"),
            units::count(warnings, "warning")
        ),
    };
    writeln!(out, "\n{text}")?;
    Ok(())
}
