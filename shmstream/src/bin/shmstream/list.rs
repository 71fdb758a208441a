//! `shmstream list`: all streams in a table.

use std::io::Write;
use std::time::Duration;

use clap::builder::styling::Style;
use serde::Serialize;
use shmstream::{Error, Producer, Status, StreamName};

use crate::cli::List;
use crate::failure::{Exit, Failure, explain};
use crate::output::{Output, remark};
use crate::survey::{self, Found};
use crate::table::{Cell, Table};
use crate::{style, units};

/// A stream as programs get it: what it is, or why that is not known.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Entry<'a> {
    Known {
        #[serde(flatten)]
        status: &'a Status,
        state: Producer,
        age_ns: Option<u64>,
        owner_name: String,
    },
    Unknown {
        name: &'a StreamName,
        state: &'static str,
        error: String,
    },
}

impl<'a> Entry<'a> {
    pub(crate) fn known(status: &'a Status, within: Duration) -> Self {
        Self::Known {
            status,
            state: status.producer(within),
            age_ns: status.age().map(units::nanoseconds),
            owner_name: units::user(status.owner),
        }
    }

    fn unknown(name: &'a StreamName, error: &Error) -> Self {
        Self::Unknown {
            name,
            state: Exit::of(error).state(),
            error: explain(error),
        }
    }
}

pub(crate) fn run(options: &List, out: &mut Output) -> Result<(), Failure> {
    let streams = survey::all()?;
    let within = options.active.within;
    if options.json.json {
        let entries: Vec<_> = streams
            .iter()
            .map(|Found { name, status }| match status {
                Ok(status) => Entry::known(status, within),
                Err(error) => Entry::unknown(name, error),
            })
            .collect();
        return out.json(&entries);
    }
    if streams.is_empty() {
        // On the standard error: whoever counts lines counts streams.
        out.flush()?;
        remark("no streams");
        return Ok(());
    }
    let mut table = Table::new([
        "NAME", "STATE", ">COUNT", ">AGE", ">FRAME", ">MEMORY", ">USERS", "OWNER", "PAYLOAD",
    ]);
    for Found { name, status } in &streams {
        table.row(match status {
            Ok(status) => known(status, within),
            Err(error) => unknown(name, error),
        });
    }
    let width = out.width();
    Ok(table.write(out, 0, width)?)
}

fn known(status: &Status, within: Duration) -> [Cell; 9] {
    let state = status.producer(within);
    let alive = status.participants.iter().filter(|one| one.alive).count();
    let mut schema = status.schema.to_string();
    if let Some(device) = &status.device {
        schema = format!("{schema}, {}", device.placement);
    }
    [
        Cell::styled(&status.name, style::NAME),
        Cell::styled(state, style_of(state)),
        status.count.into(),
        status
            .age()
            .map_or_else(String::new, units::duration)
            .into(),
        units::bytes(status.frame_size as u64).into(),
        units::bytes(status.file_size).into(),
        format!("{alive}/{}", status.max_participants).into(),
        units::user(status.owner).into(),
        units::printable(&schema).into(),
    ]
}

fn unknown(name: &StreamName, error: &Error) -> [Cell; 9] {
    let state = Exit::of(error).state();
    let nothing = || Cell::from("");
    [
        Cell::styled(name, style::NAME),
        Cell::styled(state, style::BAD),
        nothing(),
        nothing(),
        nothing(),
        nothing(),
        nothing(),
        match error {
            Error::OtherUser { owner, .. } => units::user(*owner).into(),
            _ => nothing(),
        },
        Cell::styled(reason(error), style::QUIET),
    ]
}

/// Says in a few words why nothing is known about a stream.
fn reason(error: &Error) -> String {
    match error {
        Error::OtherUser { .. } => String::new(),
        Error::Corrupt { field, value, .. } => {
            units::printable(&format!("{field} holds {value}")).into_owned()
        }
        Error::Version {
            what,
            stream,
            program,
            ..
        } => format!("{what} {stream}, this program needs {program}"),
        other => explain(other),
    }
}

/// The colour of a state.
pub(crate) const fn style_of(state: Producer) -> Style {
    match state {
        Producer::Active => style::GOOD,
        Producer::Stalled | Producer::Dead => style::BAD,
        Producer::Replaced => style::DOUBTFUL,
        _ => style::QUIET,
    }
}
