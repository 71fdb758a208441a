//! `shmstream unlink` and `shmstream purge`: taking names away.

use std::io::{self, BufRead, IsTerminal, Write};

use serde::Serialize;
use shmstream::{Error, StreamName};

use crate::cli::{Purge, Unlink};
use crate::failure::{Exit, Failure, explain};
use crate::output::{Output, complain, remark};
use crate::survey::{self, Found, is_used};
use crate::{style, units};

/// Unlinks each stream; one that fails does not keep the others from it.
pub(crate) fn unlink(options: &Unlink, out: &mut Output) -> Result<(), Failure> {
    let mut first = None;
    for name in &options.names {
        if let Err(error) = shmstream::unlink(name) {
            complain(explain(&error));
            first.get_or_insert(Exit::of(&error));
        }
    }
    out.flush()?;
    first.map_or(Ok(()), |exit| Err(Failure::Told(exit)))
}

/// A stream that `purge` looked at.
struct Candidate {
    name: StreamName,
    /// What goes with it, in bytes; zero where that is not known.
    size: u64,
    /// Why it stays, unless it is forced to go.
    spared: Option<&'static str>,
}

/// What `purge` did, or would do.
#[derive(Default, Serialize)]
struct Outcome {
    dry_run: bool,
    unlinked: Vec<StreamName>,
    kept: Vec<Kept>,
    failed: Vec<Failed>,
}

#[derive(Serialize)]
struct Kept {
    name: StreamName,
    reason: &'static str,
}

#[derive(Serialize)]
struct Failed {
    name: StreamName,
    error: String,
}

pub(crate) fn purge(options: Purge, out: &mut Output) -> Result<(), Failure> {
    let (doomed, kept) = candidates(options.force)?;
    if !options.dry_run && !doomed.is_empty() && !options.yes {
        confirm(&doomed)?;
    }
    let mut outcome = Outcome {
        dry_run: options.dry_run,
        kept,
        ..Outcome::default()
    };
    let mut first = None;
    let mut size = 0;
    for one in doomed {
        let name = one.name;
        match if options.dry_run {
            Ok(())
        } else {
            shmstream::unlink(&name)
        } {
            Ok(()) => {
                size += one.size;
                outcome.unlinked.push(name);
            }
            // Somebody else was faster, or owns it.
            Err(Error::NotFound { .. } | Error::Foreign { .. } | Error::OtherUser { .. }) => {}
            Err(error) => {
                first.get_or_insert(Exit::of(&error));
                let error = explain(&error);
                outcome.failed.push(Failed { name, error });
            }
        }
    }
    if options.json.json {
        out.json(&outcome)?;
    } else {
        report(&outcome, size, out)?;
    }
    first.map_or(Ok(()), |exit| Err(Failure::Told(exit)))
}

/// Finds this user's streams, and tells those that nobody uses from the rest.
fn candidates(force: bool) -> Result<(Vec<Candidate>, Vec<Kept>), Failure> {
    let user = rustix::process::geteuid().as_raw();
    let mut doomed = Vec::new();
    let mut kept = Vec::new();
    for Found { name, status } in survey::all()? {
        let one = match status {
            Ok(status) if status.owner != user => continue,
            Ok(status) => Candidate {
                name,
                size: status.file_size,
                spared: is_used(&status).then_some("in use"),
            },
            Err(Error::OtherUser { .. }) => continue,
            Err(error) => Candidate {
                name,
                size: 0,
                spared: Some(Exit::of(&error).state()),
            },
        };
        match one.spared {
            Some(reason) if !force => kept.push(Kept {
                name: one.name,
                reason,
            }),
            _ => doomed.push(one),
        }
    }
    Ok((doomed, kept))
}

/// Asks on a terminal, and refuses where nobody can answer.
fn confirm(doomed: &[Candidate]) -> Result<(), Failure> {
    let what = units::count(doomed.len(), "stream");
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::Usage(format!(
            "purge would unlink {what}; say so with --yes, or look first with --dry-run"
        )));
    }
    let mut question = String::new();
    let style = style::NAME;
    for one in doomed {
        let used = one
            .spared
            .map_or_else(String::new, |why| format!(", {why}"));
        let (name, size) = (&one.name, units::bytes(one.size));
        question.push_str(&format!("  {style}{name}{style:#}  {size}{used}\n"));
    }
    // In one piece, so that nothing that is typed ahead comes between.
    question.push_str(&format!("Unlink {what}? [y/N] "));
    let mut err = anstream::stderr();
    err.write_all(question.as_bytes())?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    remark("nothing was unlinked");
    Err(Failure::Told(Exit::Found))
}

fn report(outcome: &Outcome, size: u64, out: &mut Output) -> Result<(), Failure> {
    for name in &outcome.unlinked {
        writeln!(out, "{name}")?;
    }
    out.flush()?;
    let done = outcome.unlinked.len();
    let verb = if outcome.dry_run {
        "would be unlinked"
    } else {
        "unlinked"
    };
    let mut words = format!(
        "{} {verb}, {}",
        units::count(done, "stream"),
        units::bytes(size)
    );
    if !outcome.kept.is_empty() {
        let kept = outcome.kept.iter();
        let kept = kept.map(|kept| format!("{} ({})", kept.name, kept.reason));
        let names = units::abridged(&kept.collect::<Vec<_>>());
        let what = units::count(outcome.kept.len(), "stream");
        words.push_str(&format!("; {what} kept: {names}; --force takes these too"));
    }
    remark(words);
    outcome
        .failed
        .iter()
        .for_each(|failed| complain(&failed.error));
    Ok(())
}
