//! The page that the deaths make.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use shmstream::__private::KillPoint;

use super::aftermath::{Outcome, Stage};
use super::roles::{Kind, ROLES, Role};
use super::words::Left;

/// What tells one row of the table from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    point: KillPoint,
    left: String,
    right: String,
}

/// What else is in a row.
#[derive(Default)]
struct Row {
    /// By their numbers.
    roles: BTreeSet<usize>,
    deaths: u64,
    publish: Duration,
    woke: Option<Duration>,
}

#[derive(Default)]
pub(crate) struct Page {
    rows: BTreeMap<Key, Row>,
}

impl Page {
    /// Notes a death in the role of this number.
    pub(crate) fn note(&mut self, number: usize, role: &Role, point: KillPoint, outcome: &Outcome) {
        // A bit that says that somebody sleeps belongs to the death where the victim goes to sleep.
        // Elsewhere it depends on the moment.
        let left = outcome.left.iter().copied();
        let left: Vec<_> = left
            .filter(|(left, _)| sleeps(point) || !left.is_armed())
            .collect();
        let key = Key {
            point,
            left: left_behind(role, outcome, &left),
            right: put_right(&left),
        };
        let row = self.rows.entry(key).or_default();
        row.roles.insert(number);
        row.deaths += 1;
        row.publish = row.publish.max(outcome.publish);
        row.woke = row.woke.max(outcome.woke);
    }

    /// Returns the rows in the order of the points and roles.
    fn sorted(&self) -> Vec<(&Key, &Row)> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(key, row)| (key.point, row.roles.first().copied()));
        rows
    }

    /// Returns the worst times, for whoever runs the test.
    pub(crate) fn figures(&self) -> String {
        let deaths: u64 = self.rows.values().map(|row| row.deaths).sum();
        let worst = |time: fn(&Row) -> Option<Duration>| {
            let times = self.rows.iter().map(|(key, row)| (time(row), key.point));
            let (time, point) = times.max()?;
            Some(format!("{:?} at the latest ({point:?})", time?))
        };
        format!(
            "{deaths} deaths; then another published after {}, and sleepers went on after {}",
            worst(|row| Some(row.publish)).unwrap_or_default(),
            worst(|row| row.woke).unwrap_or_default(),
        )
    }

    /// Returns the page.
    pub(crate) fn text(&self) -> String {
        let deaths: u64 = self.rows.values().map(|row| row.deaths).sum();
        let points: BTreeSet<_> = self.rows.keys().map(|key| key.point).collect();
        let mut text = format!(
            include_str!("page.md"),
            points = points.len(),
            roles = ROLES.len(),
            deaths = deaths
        );
        text.push_str("\n## Roles\n\n| | who dies, in |\n|---|---|\n");
        for (number, role) in ROLES.iter().enumerate() {
            writeln!(text, "| {} | {} |", number + 1, role.what).unwrap();
        }
        text.push_str(
            "\n## Steps\n\n\
             | dies at | when | role | left behind | put right by | worst time to the next publish | result |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for (key, row) in self.sorted() {
            let Key { point, left, right } = key;
            let roles: Vec<_> = row
                .roles
                .iter()
                .map(|role| (role + 1).to_string())
                .collect();
            let woke = row.woke.map(|woke| format!("; asleep {}", rounded(woke)));
            let line = [
                format!("{point:?}"),
                point.done().to_owned(),
                roles.join(", "),
                left.clone(),
                right.clone(),
                rounded(row.publish) + &woke.unwrap_or_default(),
                format!("whole, {} of {}", row.deaths, row.deaths),
            ];
            writeln!(text, "| {} |", line.join(" | ")).unwrap();
        }
        text
    }

    /// Writes the page if that was asked for, and otherwise compares it with what is there.
    pub(crate) fn compare_or_write(&self) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let path = path.join("../shmstream/docs/crash_matrix.md");
        let text = self.text();
        if std::env::var_os("SHMSTREAM_WRITE_MATRIX").is_some() {
            return fs::write(path, text).unwrap();
        }
        let there = fs::read_to_string(path).unwrap_or_default();
        let (there, now) = (without_times(&there), without_times(&text));
        let gone: Vec<_> = there.iter().filter(|line| !now.contains(line)).collect();
        let new: Vec<_> = now.iter().filter(|line| !there.contains(line)).collect();
        assert!(
            there == now,
            "docs/crash_matrix.md says otherwise; if the change is meant, write it with \
             SHMSTREAM_WRITE_MATRIX=1\nthere only: {gone:#?}\nnow only: {new:#?}"
        );
    }
}

/// Returns the lines of a page, less the column of times.
fn without_times(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let mut cells: Vec<_> = line.split(" | ").collect();
        if cells.len() == 7 {
            cells.remove(5);
        }
        cells.join(" | ")
    };
    text.lines().map(line).collect()
}

/// Returns a time with two digits, in milliseconds.
fn rounded(time: Duration) -> String {
    let ms = time.as_millis().max(1);
    let unit = 10_u128.pow(ms.ilog10().saturating_sub(1));
    format!("{} ms", (ms + unit / 2) / unit * unit)
}

const fn sleeps(point: KillPoint) -> bool {
    matches!(
        point,
        KillPoint::LockArmed
            | KillPoint::LockSleeps
            | KillPoint::RoomArmed
            | KillPoint::RoomSleeps
            | KillPoint::WaitArmed
            | KillPoint::WaitRechecked
            | KillPoint::TaskEnrolled
            | KillPoint::TasksLooked
            | KillPoint::Asleep
    )
}

fn left_behind(role: &Role, outcome: &Outcome, left: &[(Left, Stage)]) -> String {
    let mut words: Vec<&str> = Vec::new();
    match (role.kind, outcome.named) {
        (Kind::Creator, true) => words.push("a complete stream"),
        (Kind::Unlinker | Kind::Owner, false) => words.push("a stream without a name"),
        _ => {}
    }
    match outcome.published {
        0 => {}
        1 => words.push("its frame, published"),
        _ => words.push("both frames, published"),
    }
    words.extend(left.iter().map(|(left, _)| left.words()));
    if words.is_empty() {
        words.push("nothing");
    }
    words.join("; ")
}

fn put_right(left: &[(Left, Stage)]) -> String {
    let mut by: Vec<(Stage, &str, Vec<&str>)> = Vec::new();
    for &(left, stage) in left {
        match by.iter_mut().find(|(_, whom, _)| *whom == who(left, stage)) {
            Some((_, _, what)) => what.push(left.words()),
            None => by.push((stage, who(left, stage), vec![left.words()])),
        }
    }
    by.sort();
    match by.as_slice() {
        [] => "–".to_owned(),
        [(_, who, _)] => (*who).to_owned(),
        all => {
            let each = all.iter();
            let each: Vec<_> = each
                .map(|(_, who, what)| format!("{who}: {}", what.join(", ")))
                .collect();
            each.join("; ")
        }
    }
}

/// Returns who put something right.
const fn who(left: Left, stage: Stage) -> &'static str {
    match (left, stage) {
        (Left::Row | Left::RowBegun, _) => "whoever takes the row",
        (Left::FreedArmed, _) => "the next to let a slot go",
        (Left::ReleasedArmed, _) => "the next to release the lock",
        (Left::UnlinkMark, _) => "whoever unlinks again",
        (_, Stage::Settled) => "those who were there",
        (_, Stage::Read) => "the next reader",
        (_, Stage::Written) => "the next writer",
        (_, Stage::SlotsNeeded) => "a writer that needs the slots",
        (_, Stage::RowsNeeded) => "the next to attach",
        (_, Stage::Unlinked) => "whoever unlinks",
    }
}
