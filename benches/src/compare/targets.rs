//! What was promised, and whether it is so.

use serde::Serialize;

use crate::figures::{Fact, Figure, Figures, Workload};
use crate::sizes::{SIDES, SIZES, bytes, square};
use crate::text::Time;
use crate::workloads::round_trip::{floor, streams};
use crate::workloads::{fan_out, growth, idle, product, round_trip};

/// How a figure compares with its target.
#[derive(Serialize)]
pub(crate) struct Verdict {
    pub(crate) figure: String,
    pub(crate) target: String,
    /// In the unit of the target; most are ratios.
    pub(crate) measured: f64,
    pub(crate) unit: &'static str,
    /// How many times better than the target: at least 1 meets it.
    pub(crate) margin: f64,
    pub(crate) met: bool,
    /// What the machine itself takes, in words.
    pub(crate) floor: String,
}

/// A ratio that is promised.
#[derive(Clone, Copy)]
enum Goal {
    /// At least so many times as fast as the other.
    Faster(f64),
    /// At most so many times the time of the other.
    Within(f64),
}

/// A figure of one workload: its case and contender.
type At<'a> = (&'a str, &'a str);

/// Compares everything that was measured with what was promised of it.
pub(crate) fn verdicts(figures: &Figures) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut add = |verdict: Option<Verdict>| verdicts.extend(verdict);
    for side in SIDES {
        copies(figures, &square(side), side, &mut add);
    }
    let case = square(SIDES[1]);
    let in_place = (case.as_str(), streams::IN_PLACE.name);
    add(ratio(
        figures,
        Workload::RoundTrip,
        format!("round trip {case} in place, against pyshmem"),
        in_place,
        (&case, round_trip::PYSHMEM.name),
        Goal::Faster(300.0),
        None,
    ));
    latencies(figures, &mut add);
    let case = bytes(SIZES[1]);
    add(ratio(
        figures,
        Workload::Wake,
        "blocked wake-up, against a bare futex".to_owned(),
        (&case, "shmstream, wait"),
        (&case, "bare futex"),
        Goal::Within(1.1),
        Some((&case, "bare futex")),
    ));
    let (none, many) = (fan_out::case(0, false), fan_out::case(32, false));
    add(ratio(
        figures,
        Workload::FanOut,
        "publish with 32 idle readers, against none".to_owned(),
        (&many, "shmstream"),
        (&none, "shmstream"),
        Goal::Within(2.0),
        None,
    ));
    products(figures, &mut add);
    for contender in ["shmstream, wait", "shmstream, tokio"] {
        let fact = figures.fact(Workload::Idle, idle::CASE, contender);
        let floor = figures.fact(Workload::Idle, idle::CASE, "bare futex, 100 ms at a time");
        add(fact.map(|fact| idle_time(fact, floor)));
    }
    let overhead = figures.fact(Workload::Growth, growth::OVERHEAD, "shmstream");
    add(overhead.map(memory));
    verdicts
}

fn copies(figures: &Figures, case: &str, side: usize, add: &mut impl FnMut(Option<Verdict>)) {
    let (peer, memcpy) = if side == SIDES[0] {
        (8.0, 0.9)
    } else {
        (1.0, 0.95)
    };
    let shared = Some((case, floor::SHARED.name));
    let copy = (case, streams::COPY.name);
    for (words, against, goal) in [
        ("pyshmem", round_trip::PYSHMEM.name, peer),
        ("shared memcpy", floor::SHARED.name, memcpy),
    ] {
        add(ratio(
            figures,
            Workload::RoundTrip,
            format!("round trip {case}, copy, against {words}"),
            copy,
            (case, against),
            Goal::Faster(goal),
            shared,
        ));
    }
}

fn latencies(figures: &Figures, add: &mut impl FnMut(Option<Verdict>)) {
    for len in [SIZES[1], SIZES[2]] {
        let case = bytes(len);
        for (against, goal) in [("iceoryx2", 0.5), ("crossbar", 0.7), ("bare atomic", 2.0)] {
            add(ratio(
                figures,
                Workload::Latency,
                format!("one-way latency {case}, against {against}"),
                (&case, "shmstream"),
                (&case, against),
                Goal::Within(goal),
                Some((&case, "a word, then a line, timed")),
            ));
        }
    }
    let (small, large) = (bytes(SIZES[1]), bytes(SIZES[4]));
    add(ratio(
        figures,
        Workload::Latency,
        format!("one-way latency {large}, against {small}"),
        (&large, "shmstream"),
        (&small, "shmstream"),
        Goal::Within(1.2),
        Some((&large, "bare atomic")),
    ));
}

fn products(figures: &Figures, add: &mut impl FnMut(Option<Verdict>)) {
    for side in [SIDES[1], SIDES[2]] {
        let case = square(side);
        for (ours, private) in [
            (product::STREAMS, product::PRIVATE),
            (product::STREAMS_HUGE, product::PRIVATE_HUGE),
        ] {
            add(ratio(
                figures,
                Workload::Product,
                format!(
                    "matrix-vector {case}, {}, against {}",
                    ours.name, private.name
                ),
                (&case, ours.name),
                (&case, private.name),
                Goal::Faster(0.95),
                Some((&case, private.name)),
            ));
        }
    }
}

/// Compares two figures of a workload, if both were measured.
fn ratio(
    figures: &Figures,
    workload: Workload,
    figure: String,
    ours: At<'_>,
    against: At<'_>,
    goal: Goal,
    floor: Option<At<'_>>,
) -> Option<Verdict> {
    let find = |(case, contender): At<'_>| figures.find(workload, case, contender);
    let (ours, against) = (find(ours)?, find(against)?);
    let times = ours.series.times(&against.series);
    let (target, measured, margin) = match goal {
        Goal::Faster(goal) => {
            let rate = times.recip();
            (format!("at least {goal} times the rate"), rate, rate / goal)
        }
        Goal::Within(goal) => (format!("at most {goal} times"), times, goal / times),
    };
    Some(Verdict {
        figure,
        target,
        measured,
        unit: "",
        margin,
        met: margin >= 1.0,
        floor: floor
            .and_then(find)
            .map_or_else(String::new, |floor| beside(ours, floor)),
    })
}

/// Puts the floor beside a figure.
fn beside(figure: &Figure, floor: &Figure) -> String {
    format!(
        "{} {}; here {}, {:.2} times that",
        floor.contender.name,
        Time(floor.series.typical()),
        Time(figure.series.typical()),
        figure.series.times(&floor.series)
    )
}

/// A waiter that wakes ten times a second to look around takes less than this.
const NO_TIME: f64 = 1_000.0;

fn idle_time(fact: &Fact, floor: Option<&Fact>) -> Verdict {
    let margin = NO_TIME / fact.value.max(1.0);
    Verdict {
        figure: format!("idle waiter: {}", fact.contender),
        target: format!("no processor time: below {NO_TIME} µs in a second"),
        measured: fact.value,
        unit: " µs",
        margin,
        met: margin >= 1.0,
        floor: floor.map_or_else(String::new, |floor| {
            format!("{} {:.0} µs", floor.contender, floor.value)
        }),
    }
}

fn memory(fact: &Fact) -> Verdict {
    const MOST: f64 = 65_536.0;
    let margin = MOST / fact.value;
    Verdict {
        figure: "shared memory beyond the payload".to_owned(),
        target: "at most 64 KiB".to_owned(),
        measured: fact.value / 1024.0,
        unit: " KiB",
        margin,
        met: margin >= 1.0,
        floor: String::new(),
    }
}
