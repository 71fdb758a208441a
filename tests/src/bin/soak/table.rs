//! The report for people: tables.

use std::time::Duration;

use anstream::println;
use clap::builder::styling::{AnsiColor, Style};

use crate::report::{OfRole, Report};
use crate::units::{bytes, nanoseconds, number, seconds};

const HEAD: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Writes a report to the standard output.
pub(crate) fn write(report: &Report) {
    write_head(report);
    write_roles(report);
    write_streams(report);
    write_rest(report);
    write_failures(report);
}

fn write_head(report: &Report) {
    let Report {
        seed, cores, kills, ..
    } = report;
    let interrupted = if report.interrupted {
        ", interrupted"
    } else {
        ""
    };
    let ran = seconds(Duration::from_secs_f64(report.seconds));
    let kills = number(*kills);
    println!("\nseed {seed}, {kills} kills in {ran} on {cores} cores{interrupted}\n");
}

fn write_roles(report: &Report) {
    println!(
        "{HEAD}{:<11}{:>5}{:>9}{:>10}{:>14}{:>14}{:>14}{:>12}{HEAD:#}",
        "ROLE", "SEATS", "KILLS", "DYING", "WRITTEN", "READ", "MISSED", "CHECKED"
    );
    let row = |role: &OfRole| {
        let some = |value| match value {
            0 => "–".to_owned(),
            value => number(value),
        };
        println!(
            "{:<11}{:>5}{:>9}{:>10}{:>14}{:>14}{:>14}{:>12}",
            role.role,
            role.processes,
            some(role.kills),
            match role.longest_death_ns {
                0 => "–".to_owned(),
                ns => nanoseconds(ns),
            },
            some(role.written),
            some(role.read),
            some(role.missed),
            match role.checked_bytes {
                0 => "–".to_owned(),
                checked => bytes(checked),
            }
        );
    };
    report.roles.iter().for_each(row);
    let deaths = report.roles.iter().map(|role| role.longest_death_ns);
    row(&OfRole {
        role: "in all",
        processes: report.roles.iter().map(|role| role.processes).sum(),
        kills: report.kills,
        longest_death_ns: deaths.max().unwrap_or(0),
        written: report.written,
        read: report.read,
        missed: report.missed,
        checked_bytes: report.checked_bytes,
    });
}

fn write_streams(report: &Report) {
    println!(
        "\n{HEAD}{:<11}{:>10}{:>9}{:>14}{:>17}{:>22}{HEAD:#}",
        "STREAM", "FRAME", "KILLS", "FRAMES", "LONGEST PUBLISH", "LONGEST AFTER A KILL"
    );
    for stream in &report.streams {
        println!(
            "{:<11}{:>10}{:>9}{:>14}{:>17}{:>22}",
            stream.stream,
            bytes(stream.frame_bytes as u64),
            number(stream.kills),
            number(stream.written),
            nanoseconds(stream.longest_publish_ns),
            match stream.longest_publish_after_a_kill_ns {
                0 => "–".to_owned(),
                ns => nanoseconds(ns),
            },
        );
    }
}

fn write_rest(report: &Report) {
    let Report {
        control, resident, ..
    } = report;
    println!();
    let line = |what: &str, text: String| println!("{HEAD}{what:<22}{HEAD:#}{text}");
    line(
        "streams created anew",
        format!("{} under one name", number(report.created)),
    );
    line(
        "killed while starting",
        format!(
            "{}, before they had a stream open",
            number(report.killed_before_work)
        ),
    );
    line(
        "observers overtaken",
        format!(
            "{} times by writers, which is no failure",
            number(report.observers_overtaken)
        ),
    );
    line(
        "no free slot",
        format!(
            "{} times, lossless readers being behind",
            number(report.full_for_lossless)
        ),
    );
    line(
        "control process",
        format!(
            "{} beats of {}, at most {} late",
            number(control.beats),
            number(control.beats_of_an_idle_machine),
            nanoseconds(control.latest_ns)
        ),
    );
    let change = |what: &str, before: u64, after: u64| format!("{what} {before} → {after}");
    let (before, after) = (&resident.before, &resident.after);
    line(
        "resident",
        format!(
            "{} rounds: {}, {}, {}, {} KiB",
            number(resident.rounds),
            change("descriptors", before.descriptors, after.descriptors),
            change("mappings", before.mappings, after.mappings),
            change("threads", before.threads, after.threads),
            change("memory", before.memory_kib, after.memory_kib),
        ),
    );
}

fn write_failures(report: &Report) {
    println!("\n{HEAD}MUST BE ZERO{HEAD:#}");
    for (failure, &count) in &report.failures {
        let style = if count == 0 { GOOD } else { BAD };
        println!(
            "{:<32}{style}{:>10}{style:#}",
            failure.what(),
            number(count)
        );
    }
    if !report.told.is_empty() {
        println!("\n{HEAD}WHAT FAILED FIRST{HEAD:#}");
        for text in &report.told {
            println!("{text}");
        }
    }
    match report.ok {
        true => println!("\n{GOOD}nothing failed{GOOD:#}"),
        false => println!(
            "\n{BAD}FAILED{BAD:#}; --seed {} replays the schedule",
            report.seed
        ),
    }
}
