//! The streams that are there: which nobody uses, and which nobody can.

use rustix::process::geteuid;
use shmstream::{Error, Status, StreamName};

use super::Finding;
use crate::failure::explain;
use crate::survey::{self, Found, is_used};
use crate::units;

/// Everything in the directory that has a stream's name.
pub(super) struct Streams {
    pub(super) usable: Vec<Status>,
    unusable: Vec<(StreamName, Error)>,
    /// Why the directory could not be listed.
    failed: Option<Error>,
}

impl Streams {
    pub(super) fn look() -> Self {
        let mut streams = Self {
            usable: Vec::new(),
            unusable: Vec::new(),
            failed: None,
        };
        match survey::all() {
            Ok(all) => {
                for Found { name, status } in all {
                    match status {
                        Ok(status) => streams.usable.push(status),
                        Err(error) => streams.unusable.push((name, error)),
                    }
                }
            }
            Err(error) => streams.failed = Some(error),
        }
        streams
    }
}

pub(super) fn check(streams: &Streams) -> Vec<Finding> {
    if let Some(error) = &streams.failed {
        let advice = "see the directory above";
        return vec![Finding::problem("streams", explain(error), advice)];
    }
    let mut findings = vec![total(streams), leftover(&streams.usable)];
    findings.extend(streams.unusable.iter().filter_map(unusable));
    findings
}

fn total(streams: &Streams) -> Finding {
    let usable = &streams.usable;
    let size = usable.iter().map(|status| status.file_size).sum();
    let mut found = format!(
        "{}, {}",
        units::count(usable.len(), "stream"),
        units::bytes(size)
    );
    let closed = streams.unusable.iter();
    let closed = closed
        .filter(|(_, error)| matches!(error, Error::OtherUser { .. }))
        .count();
    if closed > 0 {
        found.push_str(&format!(
            "; {closed} more of other users, closed to this one"
        ));
    }
    let figures = [("streams", usable.len() as u64), ("bytes", size)];
    Finding::ok("streams", found).with(figures)
}

fn leftover(streams: &[Status]) -> Finding {
    const CHECK: &str = "leftovers";
    // Others' leftovers are theirs to purge.
    let user = geteuid().as_raw();
    let mut ours = streams
        .iter()
        .filter(|status| status.owner == user)
        .peekable();
    if ours.peek().is_none() {
        return Finding::ok(CHECK, "none");
    }
    let unused: Vec<_> = ours.filter(|status| !is_used(status)).collect();
    if unused.is_empty() {
        return Finding::ok(
            CHECK,
            "none: every stream of this user has a live participant",
        );
    }
    let size: u64 = unused.iter().map(|status| status.file_size).sum();
    let names: Vec<_> = unused
        .iter()
        .map(|status| status.name.to_string())
        .collect();
    let found = format!(
        "{} without a live participant, {}: {}",
        units::count(unused.len(), "stream"),
        units::bytes(size),
        units::abridged(&names)
    );
    let advice = "`shmstream purge` unlinks them, if nobody needs their last frames";
    let figures = [("streams", unused.len() as u64), ("bytes", size)];
    Finding::warn(CHECK, found, advice).with(figures)
}

fn unusable((name, error): &(StreamName, Error)) -> Option<Finding> {
    let advice = format!("`shmstream unlink {name}` takes its name away");
    match error {
        Error::Corrupt { field, value, .. } => Some(Finding::problem(
            "damaged",
            format!("`{name}`: {field} holds {value}"),
            advice,
        )),
        Error::Version {
            what,
            stream,
            program,
            ..
        } => Some(Finding::warn(
            "other version",
            format!("`{name}` has {what} {stream}, and this program needs {program}"),
            format!("use the release of shmstream that wrote it, or {advice}"),
        )),
        // Other users' business.
        Error::OtherUser { .. } => None,
        error => Some(Finding::warn("unreadable", explain(error), "see the cause")),
    }
}
