//! Text for people: a table that stays in place in a terminal, lines elsewhere.

use std::io::{self, IsTerminal, Stdout, Write};
use std::time::Duration;

use common::{Statistics, bytes_text, duration_text};
use shmstream::{FrameInfo, StreamName};

use crate::sample::{MAX_CORES, Sample};

/// The time from one look of the table to the next, and over which rates are computed: long enough
/// for the kernel's CPU ticks of 10 ms, and so much below 250 ms that a frame which comes early does
/// not have to wait for the next.
const INTERVAL: Duration = Duration::from_millis(240);
const BAR: usize = 30;

pub(crate) struct Display {
    out: Stdout,
    in_place: bool,
    /// The lines of the table that is on the screen.
    height: usize,
    /// When the first frame was published, on the monotonic clock.
    start_ns: Option<u64>,
    shown: Option<Shown>,
}

/// What was shown last, from which rates count.
struct Shown {
    sample: Sample,
    info: FrameInfo,
    received: u64,
}

impl Display {
    pub(crate) fn new(stream: &StreamName) -> io::Result<Self> {
        let mut out = io::stdout();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let in_place = out.is_terminal() && !dumb;
        writeln!(
            out,
            "stream {stream}, {} bytes a frame",
            size_of::<Sample>()
        )?;
        if !in_place {
            let time = "time";
            let (cpu, memory, load, net_in, net_out) =
                ("CPU", "memory", "load", "net in", "net out");
            let (frames, missed, age) = ("frames/s", "missed", "age");
            writeln!(
                out,
                "{time:>8}  {cpu:>7}  {memory:>9}  {load:>5}  {net_in:>12}  {net_out:>12}  \
                 {frames:>8}  {missed:>6}  {age:>8}"
            )?;
        }
        Ok(Self {
            out,
            in_place,
            height: 0,
            start_ns: None,
            shown: None,
        })
    }

    /// Shows a frame, unless another was shown just before.
    pub(crate) fn show(
        &mut self,
        sample: &Sample,
        info: FrameInfo,
        age: Option<Duration>,
        statistics: &Statistics,
    ) -> io::Result<()> {
        let since = |earlier_ns| Duration::from_nanos(info.monotonic_ns.saturating_sub(earlier_ns));
        let interval = self
            .shown
            .as_ref()
            .map(|shown| since(shown.info.monotonic_ns));
        if interval.is_some_and(|interval| interval < INTERVAL) {
            return Ok(());
        }
        let figures = Figures {
            sample,
            before: self.shown.as_ref().map(|shown| &shown.sample),
            interval: interval.unwrap_or_default(),
            frames: statistics.received() - self.shown.as_ref().map_or(0, |shown| shown.received),
            time: since(*self.start_ns.get_or_insert(info.monotonic_ns)),
            missed: statistics.missed(),
            age,
        };
        if self.in_place {
            let table = figures.table();
            draw(&mut self.out, self.height, &table)?;
            self.height = table.len();
        } else {
            writeln!(self.out, "{}", figures.line())?;
        }
        self.shown = Some(Shown {
            sample: *sample,
            info,
            received: statistics.received(),
        });
        self.out.flush()
    }

    pub(crate) fn summary(&mut self, statistics: &mut Statistics) -> io::Result<()> {
        // Over the `^C` that the terminal may have written here.
        let clear = if self.in_place { "\r\x1b[K" } else { "" };
        writeln!(self.out, "{clear}{}", statistics.summary())?;
        if statistics.skipped() > 0 {
            writeln!(
                self.out,
                "{} samples skipped: the publisher was late",
                statistics.skipped()
            )?;
        }
        if let Some(ages) = statistics.ages() {
            writeln!(self.out, "{ages}")?;
        }
        self.out.flush()
    }
}

/// Draws lines over those drawn before.
fn draw(out: &mut impl Write, height: usize, lines: &[String]) -> io::Result<()> {
    let mut text = String::new();
    if height > 0 {
        text += &format!("\x1b[{height}A\r");
    }
    // Without wrapping: in a narrow window the table would need more lines than are counted.
    text += "\x1b[?7l";
    for line in lines {
        text += &format!("{line}\x1b[K\n");
    }
    text += "\x1b[?7h";
    out.write_all(text.as_bytes())
}

/// What stands in one table or line.
struct Figures<'a> {
    sample: &'a Sample,
    before: Option<&'a Sample>,
    /// The time since `before`, and the frames received in it.
    interval: Duration,
    frames: u64,
    /// Since the first frame.
    time: Duration,
    missed: u64,
    age: Option<Duration>,
}

impl Figures<'_> {
    fn line(&self) -> String {
        let (net_in, net_out) = self.network();
        format!(
            "{:>6.2} s  {:>7}  {:>9}  {:>5}  {net_in:>12}  {net_out:>12}  {:>8}  {:>6}  {:>8}",
            self.time.as_secs_f64(),
            share_text(self.cpu()),
            self.memory_used(),
            self.load()[0],
            self.frames_per_second(),
            self.missed,
            known(self.age.map(duration_text)),
        )
    }

    fn table(&self) -> Vec<String> {
        let sample = self.sample;
        let mut lines = vec![format!(
            "  CPU      {:>7}  {}  load {}",
            share_text(self.cpu()),
            bar(self.cpu()),
            self.load().join(" "),
        )];
        if sample.core_count > 1 {
            lines.push(format!("  cores             {}", self.cores()));
        }
        let used = sample.memory.used();
        let total = sample.memory.total;
        let share = (total > 0).then(|| used as f64 / total as f64);
        lines.push(format!(
            "  memory   {:>7}  {}  {} of {}",
            share_text(share),
            bar(share),
            self.memory_used(),
            known(sample.known.memory.get().then(|| bytes_text(total as f64))),
        ));
        let (net_in, net_out) = self.network();
        lines.push(format!("  network           in {net_in}, out {net_out}"));
        lines.push(format!(
            "  frames            {} a second, {} missed, age {}, time {:.1} s",
            self.frames_per_second(),
            self.missed,
            known(self.age.map(duration_text)),
            self.time.as_secs_f64(),
        ));
        lines
    }

    fn cpu(&self) -> Option<f64> {
        self.sample.cpu.share_since(self.before?.cpu)
    }

    /// One character for each core.
    fn cores(&self) -> String {
        let count = usize::try_from(self.sample.core_count)
            .unwrap_or(0)
            .min(MAX_CORES);
        let before = self
            .before
            .map_or(&self.sample.cores, |before| &before.cores);
        let cores = self.sample.cores.iter().zip(before).take(count);
        cores
            .map(|(now, before)| level(now.share_since(*before)))
            .collect()
    }

    fn memory_used(&self) -> String {
        let used = self.sample.memory.used() as f64;
        known(self.sample.known.memory.get().then(|| bytes_text(used)))
    }

    fn load(&self) -> [String; 3] {
        let is_known = self.sample.known.load.get();
        self.sample
            .load
            .map(|average| known(is_known.then(|| format!("{average:.2}"))))
    }

    /// Received and sent.
    fn network(&self) -> (String, String) {
        let now = self.sample;
        // Both, since a file can come and go.
        let before = self
            .before
            .filter(|before| before.known.network.get() && now.known.network.get());
        let rate = |now: u64, before: Option<u64>| {
            // Backwards when an interface has gone: then there is no saying.
            let bytes = before.and_then(|before| now.checked_sub(before));
            known(bytes.map(|bytes| format!("{}/s", bytes_text(self.per_second(bytes)))))
        };
        (
            rate(
                now.network.received,
                before.map(|before| before.network.received),
            ),
            rate(now.network.sent, before.map(|before| before.network.sent)),
        )
    }

    fn frames_per_second(&self) -> String {
        known(
            self.before
                .map(|_| format!("{:.1}", self.per_second(self.frames))),
        )
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.interval.as_secs_f64()
    }
}

fn known(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn share_text(share: Option<f64>) -> String {
    known(share.map(|share| format!("{:.1} %", share * 100.0)))
}

fn bar(share: Option<f64>) -> String {
    let share = share.unwrap_or(0.0);
    let full = (1..=BAR)
        .filter(|&part| share * BAR as f64 >= part as f64 - 0.5)
        .count();
    "█".repeat(full) + &"░".repeat(BAR - full)
}

fn level(share: Option<f64>) -> char {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    share.map_or('·', |share| {
        let above = (1..LEVELS.len())
            .filter(|&part| share * 8.0 >= part as f64)
            .count();
        LEVELS[above]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_full_at_one() {
        assert_eq!(bar(Some(1.0)), "█".repeat(BAR));
        assert_eq!(bar(None), "░".repeat(BAR));
        assert_eq!(
            [0.0, 0.5, 1.0].map(|share| level(Some(share))),
            ['▁', '▅', '█']
        );
    }
}
