//! How it went, in figures.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use crate::board::{Board, Count};
use crate::cli::Options;
use crate::control::BEATS;
use crate::failures::{Failure, KINDS};
use crate::fleet::Fleet;
use crate::plan::{KILLED, PLAN, Role, SEATS, Which};

/// How many failures are told in words.
const TOLD: usize = 30;

/// What the supervisor found, and what it was told.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    counts: [u64; KINDS],
    told: Vec<String>,
}

impl Findings {
    /// Counts a failure, and keeps what is said about it.
    pub(crate) fn add(&mut self, failure: Failure, more: u64, text: String) {
        self.counts[failure as usize] += more;
        self.tell(format!("{}: {text}", failure.what()));
    }

    /// Keeps what is said about a failure that is counted elsewhere.
    pub(crate) fn tell(&mut self, text: String) {
        if self.told.len() < TOLD {
            anstream::eprintln!("soak: {text}");
            self.told.push(text);
        }
    }

    pub(crate) const fn count(&self, failure: Failure) -> u64 {
        self.counts[failure as usize]
    }
}

/// What a report is made from.
pub(crate) struct Sources<'a> {
    pub(crate) seed: u64,
    pub(crate) options: &'a Options,
    pub(crate) ran: Duration,
    pub(crate) beats: u64,
    pub(crate) events: u64,
    pub(crate) interrupted: bool,
    pub(crate) board: &'static Board,
    pub(crate) fleet: &'a Fleet<'a>,
    pub(crate) findings: &'a Findings,
    pub(crate) frames: [u64; Which::ALL.len()],
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) ok: bool,
    pub(crate) interrupted: bool,
    pub(crate) seed: u64,
    pub(crate) rate: u32,
    pub(crate) seconds: f64,
    pub(crate) cores: usize,
    /// Kills and starts of the schedule that took place.
    pub(crate) events: u64,
    pub(crate) kills: u64,
    /// Processes that were killed before they had opened their stream.
    pub(crate) killed_before_work: u64,
    pub(crate) written: u64,
    pub(crate) read: u64,
    pub(crate) missed: u64,
    pub(crate) checked_bytes: u64,
    /// Streams that makers created.
    pub(crate) created: u64,
    pub(crate) observers_overtaken: u64,
    pub(crate) full_for_lossless: u64,
    pub(crate) roles: Vec<OfRole>,
    pub(crate) streams: Vec<OfStream>,
    pub(crate) control: Control,
    pub(crate) resident: Resident,
    pub(crate) failures: BTreeMap<Failure, u64>,
    pub(crate) told: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OfRole {
    pub(crate) role: &'static str,
    pub(crate) processes: usize,
    pub(crate) kills: u64,
    /// From the signal until the kernel had taken the process down.
    pub(crate) longest_death_ns: u64,
    pub(crate) written: u64,
    pub(crate) read: u64,
    pub(crate) missed: u64,
    pub(crate) checked_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct OfStream {
    pub(crate) stream: &'static str,
    pub(crate) frame_bytes: usize,
    pub(crate) kills: u64,
    pub(crate) written: u64,
    pub(crate) read: u64,
    pub(crate) longest_publish_ns: u64,
    pub(crate) longest_publish_after_a_kill_ns: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Control {
    pub(crate) beats: u64,
    pub(crate) beats_of_an_idle_machine: u64,
    pub(crate) latest_ns: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Resident {
    pub(crate) rounds: u64,
    pub(crate) before: Used,
    pub(crate) after: Used,
}

#[derive(Debug, Serialize)]
pub(crate) struct Used {
    pub(crate) descriptors: u64,
    pub(crate) mappings: u64,
    pub(crate) threads: u64,
    pub(crate) memory_kib: u64,
}

impl From<[u64; 4]> for Used {
    fn from([descriptors, mappings, threads, memory_kib]: [u64; 4]) -> Self {
        Self {
            descriptors,
            mappings,
            threads,
            memory_kib,
        }
    }
}

pub(crate) fn make(sources: &Sources<'_>) -> Report {
    let Sources {
        options,
        board,
        fleet,
        findings,
        ran,
        ..
    } = *sources;
    let failures: BTreeMap<_, _> = Failure::ALL
        .iter()
        .map(|&kind| (kind, findings.count(kind) + board.failures(kind)))
        .collect();
    let kills = fleet.kills_in_all();
    let beats_due = u64::try_from(ran.as_millis()).unwrap_or(u64::MAX) * BEATS / 1000;
    let [before, after] = [0, 1].map(|i| board.resident[i].values().into());
    let events = sources.events;
    let lives: u64 = board.seats[..KILLED]
        .iter()
        .map(|seat| seat.count(Count::Lives))
        .sum();
    Report {
        ok: failures.values().all(|&number| number == 0),
        interrupted: sources.interrupted,
        seed: sources.seed,
        rate: options.rate,
        seconds: ran.as_secs_f64(),
        cores: std::thread::available_parallelism().map_or(0, Into::into),
        events,
        kills,
        // Each kill is followed by a start; those that are alive at the end have opened theirs.
        killed_before_work: (kills + KILLED as u64).saturating_sub(lives),
        written: board.sum(Count::Written),
        read: board.sum(Count::Read),
        missed: board.sum(Count::Missed),
        checked_bytes: board.sum(Count::Bytes),
        created: board.sum(Count::Created),
        observers_overtaken: board.sum(Count::Overtaken),
        full_for_lossless: board.sum(Count::Full),
        roles: roles(sources),
        streams: streams(sources),
        control: Control {
            beats: sources.beats,
            beats_of_an_idle_machine: beats_due,
            latest_ns: board.latest_beat.load(Ordering::SeqCst),
        },
        resident: Resident {
            rounds: board.rounds.load(Ordering::SeqCst),
            before,
            after,
        },
        failures,
        told: findings.told.clone(),
    }
}

fn roles(sources: &Sources<'_>) -> Vec<OfRole> {
    let of = |role: Role| {
        let seats: Vec<_> = (0..SEATS).filter(|&seat| PLAN[seat].role == role).collect();
        let sum = |count| {
            let seats = seats.iter().map(|&seat| &sources.board.seats[seat]);
            seats.map(|seat| seat.count(count)).sum()
        };
        let longest_death = |seats: &[usize]| {
            let deaths = seats.iter().map(|&seat| sources.fleet.longest_death(seat));
            let longest = deaths.max().unwrap_or_default();
            u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX)
        };
        OfRole {
            role: role.name(),
            processes: seats.len(),
            kills: seats.iter().map(|&seat| sources.fleet.kills(seat)).sum(),
            longest_death_ns: longest_death(&seats),
            written: sum(Count::Written),
            read: sum(Count::Read),
            missed: sum(Count::Missed),
            checked_bytes: sum(Count::Bytes),
        }
    };
    let saboteur = sources.options.sabotage.is_some();
    let shown = Role::ALL.into_iter();
    let shown = shown.filter(|&role| role != Role::Control && (role != Role::Saboteur || saboteur));
    shown.map(of).collect()
}

fn streams(sources: &Sources<'_>) -> Vec<OfStream> {
    let of = |which: Which| {
        let seats = || (0..SEATS).filter(move |&seat| PLAN[seat].which == which);
        let words = &sources.board.streams[which.index()];
        let sum = |count| -> u64 {
            let seats = seats().map(|seat| &sources.board.seats[seat]);
            seats.map(|seat| seat.count(count)).sum()
        };
        OfStream {
            stream: which.name(),
            frame_bytes: which.words() * size_of::<u64>(),
            kills: seats().map(|seat| sources.fleet.kills(seat)).sum(),
            // Those that a writer did not live to count are there as well.
            written: sum(Count::Written).max(sources.frames[which.index()]),
            read: sum(Count::Read),
            longest_publish_ns: words.publish_ns.load(Ordering::SeqCst),
            longest_publish_after_a_kill_ns: words.pause_ns.load(Ordering::SeqCst),
        }
    };
    Which::ALL.into_iter().map(of).collect()
}
