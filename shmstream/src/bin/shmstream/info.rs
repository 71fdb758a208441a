//! `shmstream info`: everything about one stream.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, SystemTime};

use shmstream::{Item, Producer, Schema, Status};

use crate::cli::Info;
use crate::failure::Failure;
use crate::list::{Entry, style_of};
use crate::output::Output;
use crate::table::{Cell, Table};
use crate::{process, style, units};

pub(crate) fn run(options: &Info, out: &mut Output) -> Result<(), Failure> {
    let status = shmstream::stat(&options.stream.name)?;
    let within = options.active.within;
    if options.json.json {
        return out.json(&Entry::known(&status, within));
    }
    heading(&status, within, out)?;
    origin(&status, out)?;
    payload(&status, out)?;
    frames(&status, within, out)?;
    participants(&status, out)
}

/// The column of what the lines say, behind their labels.
const INDENT: usize = 16;

fn line(label: &str, text: impl Display, out: &mut Output) -> Result<(), Failure> {
    let style = style::FIELD;
    write!(out, "  {style}{label:<12}{style:#}  ")?;
    Ok(out.wrapped(&text.to_string(), INDENT)?)
}

fn heading(status: &Status, within: Duration, out: &mut Output) -> Result<(), Failure> {
    let (name, state) = (style::NAME, status.producer(within));
    let colour = style_of(state);
    writeln!(
        out,
        "{name}{}{name:#}  {colour}{state}{colour:#}",
        status.name
    )?;
    Ok(())
}

fn origin(status: &Status, out: &mut Output) -> Result<(), Failure> {
    let path = status.path.display().to_string();
    line("file", units::printable(&path), out)?;
    let owner = units::user(status.owner);
    line("owner", format!("{owner}, mode {:04o}", status.mode), out)?;
    let created = SystemTime::UNIX_EPOCH + Duration::from_nanos(status.created_ns);
    let age = created.elapsed().unwrap_or_default();
    line(
        "created",
        format!(
            "{}, {}, by process {} of {}",
            units::ago(age),
            units::Moment::new(status.created_ns).date(),
            status.creator_pid,
            units::user(status.creator_uid)
        ),
        out,
    )?;
    line("instance", format!("{:032x}", status.instance), out)
}

fn payload(status: &Status, out: &mut Output) -> Result<(), Failure> {
    let size = units::bytes(status.frame_size as u64);
    let schema = &status.schema;
    let Item::Struct(structure) = schema.item() else {
        return line("frame", format!("{size}, {schema}"), out);
    };
    let items = schema.shape().iter().product::<usize>();
    let each = match items {
        1 => String::new(),
        _ => format!(
            ", {} × {}",
            shape(schema),
            units::bytes(schema.item().size() as u64)
        ),
    };
    line(
        "frame",
        units::printable(&format!("{size}, {}{each}", structure.name())),
        out,
    )?;
    let mut table = Table::new([">OFFSET", ">SIZE", "FIELD", "TYPE"]);
    rows(&mut table, "", 0, schema);
    let width = out.width();
    Ok(table.write(out, INDENT, width)?)
}

fn shape(schema: &Schema) -> String {
    let lens: Vec<_> = schema.shape().iter().map(ToString::to_string).collect();
    lens.join(" × ")
}

/// Adds a line for each field, those of nested structs below their own.
fn rows(table: &mut Table<4>, path: &str, base: usize, schema: &Schema) {
    for field in schema.fields() {
        let name = format!("{path}{}", field.name());
        let offset = base + field.offset();
        let kind = match field.schema().item() {
            Item::Scalar(_) => field.schema().to_string(),
            Item::Struct(structure) if field.schema().shape().is_empty() => {
                structure.name().to_owned()
            }
            Item::Struct(structure) => format!("{} × {}", shape(field.schema()), structure.name()),
        };
        table.row([
            offset.into(),
            field.schema().size().into(),
            units::printable(&name).into(),
            Cell::styled(units::printable(&kind), style::QUIET),
        ]);
        rows(table, &format!("{name}."), offset, field.schema());
    }
}

fn frames(status: &Status, within: Duration, out: &mut Output) -> Result<(), Failure> {
    let mut memory = format!(
        "{}: {} slots, history {}",
        units::bytes(status.file_size),
        status.slots,
        status.history
    );
    if status.huge_pages {
        memory.push_str(", huge pages");
    }
    if status.observers {
        memory.push_str(", wakes observers");
    }
    line("memory", memory, out)?;
    if let Some(device) = &status.device {
        line("device", device, out)?;
    }
    let latest = match &status.latest {
        None => "none so far".to_owned(),
        Some(info) => format!(
            "frame {}, id {}, {}, {}",
            info.count,
            info.frame_id,
            units::ago(info.age()),
            units::Moment::new(info.realtime_ns).date()
        ),
    };
    line("latest", latest, out)?;
    line("producer", producer(status, within), out)?;
    let lock = status
        .lock_holder
        .map(|pid| format!("held by process {pid}"));
    line("write lock", lock.as_deref().unwrap_or("free"), out)
}

fn producer(status: &Status, within: Duration) -> String {
    let who = status
        .publisher
        .map_or_else(String::new, |pid| format!("process {pid}, "));
    let how = match status.producer(within) {
        Producer::None => "nobody has written so far",
        Producer::Active => "active",
        Producer::Idle => "alive, and publishes nothing",
        Producer::Stalled => "alive, and publishes nothing although it holds the write lock",
        Producer::Dead => "died without closing its handle",
        Producer::Gone => "closed its handle",
        Producer::Replaced => "the name stands for another stream now",
        _ => "unknown",
    };
    format!("{who}{how}")
}

fn participants(status: &Status, out: &mut Output) -> Result<(), Failure> {
    let attached = &status.participants;
    let alive = attached.iter().filter(|one| one.alive).count();
    let dead = match attached.len() - alive {
        0 => String::new(),
        dead => format!(", and {dead} that died and are not cleared away yet"),
    };
    line(
        "participants",
        format!("{alive} of {}{dead}", status.max_participants),
        out,
    )?;
    if attached.is_empty() {
        return Ok(());
    }
    let mut table = Table::new([">PROCESS", "STATE", "ROLE", ">BEHIND", ">HOLDS", "COMMAND"]);
    for one in attached {
        let (state, colour) = if one.alive {
            ("alive", style::GOOD)
        } else {
            ("dead", style::BAD)
        };
        let reads = one.roles.reader || one.roles.subscriber;
        let command = if one.alive {
            process::command(one.pid, &status.path)
        } else {
            None
        };
        table.row([
            one.pid.into(),
            Cell::styled(state, colour),
            one.roles.into(),
            if reads { one.behind.into() } else { "".into() },
            if one.pinned > 0 {
                units::count(one.pinned as usize, "slot").into()
            } else {
                "".into()
            },
            Cell::styled(units::printable(&command.unwrap_or_default()), style::QUIET),
        ]);
    }
    let width = out.width();
    Ok(table.write(out, INDENT, width)?)
}
