//! The results as a table for people, as JSON for programs, and as plots.

use std::fmt::Write as _;
use std::fs::write;
use std::path::Path;

use serde::Serialize;

use crate::Outcome;
use crate::contender::Contender;
use crate::figures::{Fact, Figure, Figures, LeftOut, Workload};
use crate::machine::Machine;
use crate::plots;
use crate::sizes::SIDES;
use crate::statistics::Summary;
use crate::targets::{Verdict, verdicts};
use crate::text::{Number, Rate, Time};

/// Writes everything into a directory.
pub(crate) fn write_all(
    directory: &Path,
    quick: bool,
    machine: &Machine,
    figures: &Figures,
) -> Outcome<()> {
    std::fs::create_dir_all(directory)?;
    let verdicts = verdicts(figures);
    let markdown = markdown(quick, machine, figures, &verdicts);
    write(directory.join("compare.md"), &markdown)?;
    let json = Json::new(quick, machine, figures, &verdicts);
    let json = serde_json::to_string_pretty(&json)?;
    write(directory.join("compare.json"), json + "\n")?;
    plots::draw(directory, &machine.caption(), figures, &verdicts)?;
    print!("{}", targets(&verdicts));
    println!("\nWritten to {}.", directory.display());
    Ok(())
}

/// Puts the targets into a page, between two marks.
pub(crate) fn publish(
    page: &Path,
    quick: bool,
    machine: &Machine,
    figures: &Figures,
) -> Outcome<()> {
    const BEGIN: &str = "<!-- results: written by `compare --publish` -->\n";
    const END: &str = "<!-- end of results -->";
    let text = std::fs::read_to_string(page)?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or("the page has no marks to write between")?;
    let machine = machine.markdown();
    let table = targets(&verdicts(figures));
    let caveat = caveat(quick);
    let text = format!("{before}{BEGIN}\n{caveat}{machine}\n{table}\n{END}{after}");
    Ok(write(page, text)?)
}

const fn caveat(quick: bool) -> &'static str {
    if quick {
        "A quick run: its figures are rough.\n\n"
    } else {
        ""
    }
}

/// The same figures for programs. Durations are in nanoseconds.
#[derive(Serialize)]
struct Json<'a> {
    quick: bool,
    machine: &'a Machine,
    targets: &'a [Verdict],
    figures: Vec<JsonFigure<'a>>,
    facts: &'a [Fact],
    left_out: &'a [LeftOut],
}

#[derive(Serialize)]
struct JsonFigure<'a> {
    workload: Workload,
    case: &'a str,
    contender: Contender,
    nanoseconds: Summary,
}

impl<'a> Json<'a> {
    fn new(
        quick: bool,
        machine: &'a Machine,
        figures: &'a Figures,
        targets: &'a [Verdict],
    ) -> Self {
        let figure = |figure: &'a Figure| JsonFigure {
            workload: figure.workload,
            case: &figure.case,
            contender: figure.contender,
            nanoseconds: figure.series.summary(),
        };
        Self {
            quick,
            machine,
            targets,
            figures: figures.figures.iter().map(figure).collect(),
            facts: &figures.facts,
            left_out: &figures.left_out,
        }
    }
}

fn markdown(quick: bool, machine: &Machine, figures: &Figures, verdicts: &[Verdict]) -> String {
    let mut text = format!("# Comparison\n\n{}", caveat(quick));
    text.push_str(&machine.markdown());
    text.push_str(
        "\nDurations are medians of interleaved rounds: the median of the rounds' medians, with the \
         99th and the 99.9th percentile of all measurements. A ratio is the median of the ratios \
         within the rounds.\n\n## Targets\n\n![targets](targets.svg)\n\n",
    );
    text.push_str(&targets(verdicts));
    for section in SECTIONS {
        if figures.of(section.workload).next().is_some() {
            section.write(figures, &mut text);
        }
    }
    facts(figures, &mut text);
    left_out(figures, &mut text);
    text
}

fn targets(verdicts: &[Verdict]) -> String {
    let mut text =
        String::from("| figure | target | measured | met | floor |\n|---|---|---|---|---|\n");
    for verdict in verdicts {
        let met = if verdict.met { "yes" } else { "**no**" };
        let Verdict {
            figure,
            target,
            measured,
            unit,
            floor,
            ..
        } = verdict;
        let measured = Number(*measured);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {figure} | {target} | {measured}{unit} | {met} | {floor} |"
        );
    }
    text
}

/// A workload's part of the report.
struct Section {
    workload: Workload,
    title: &'static str,
    words: &'static str,
    plots: &'static [&'static str],
    /// A further column: its head, and what stands there.
    extra: Option<Column>,
}

type Column = (&'static str, fn(&Figure) -> String);

const SECTIONS: [Section; 8] = [
    Section {
        workload: Workload::RoundTrip,
        title: "Round trip in one process",
        words: "A frame of `f32` is written and read. Copies move it from one private buffer to \
                another; in place, its two ends are written and read. GB/s counts the bytes written \
                and read.",
        plots: &["round-trip", "bandwidth"],
        extra: Some(("rate", bandwidth)),
    },
    Section {
        workload: Workload::Latency,
        title: "One-way latency between two processes",
        words: "Two processes answer each other over two streams, polling. Half of the time for there \
                and back. The first cache line of each frame is written and read, whatever its size.",
        plots: &["latency", "latency-distribution"],
        extra: None,
    },
    Section {
        workload: Workload::Wake,
        title: "Blocked wake-up",
        words: "The age of a frame when somebody has it who was asleep in the kernel: it carries the time at which it \
                was sent, after 200 µs in which nothing was.",
        plots: &["wake"],
        extra: None,
    },
    Section {
        workload: Workload::Task,
        title: "Tasks",
        words: "The same with a tokio task that awaits each frame, its thread asleep.",
        plots: &[],
        extra: None,
    },
    Section {
        workload: Workload::Paced,
        title: "Paced stream",
        words: "A process publishes at a fixed rate; the age of each frame when the reader has it.",
        plots: &["paced"],
        extra: None,
    },
    Section {
        workload: Workload::FanOut,
        title: "Fan-out",
        words: "What a publish costs with processes attached that do nothing, or read as fast as they \
                can, all of them on one other core. Means of 64 publishes.",
        plots: &["fan-out"],
        extra: None,
    },
    Section {
        workload: Workload::Product,
        title: "Matrix times vector",
        words: "A vector is written to a stream and multiplied with a matrix where that lies in \
                another; the product goes to a third. One thread.",
        plots: &["product"],
        extra: Some(("rate", gigaflops)),
    },
    Section {
        workload: Workload::Growth,
        title: "Growth",
        words: "Operations of this library with a number of streams on the machine.",
        plots: &["growth"],
        extra: None,
    },
];

impl Section {
    fn write(&self, figures: &Figures, text: &mut String) {
        let _ = write!(text, "\n## {}\n\n{}\n\n", self.title, self.words);
        for plot in self.plots {
            let _ = writeln!(text, "![{plot}]({plot}.svg)\n");
        }
        let (head, rule) = match self.extra {
            Some((head, _)) => (format!(" {head} |"), "---|"),
            None => (String::new(), ""),
        };
        let _ = writeln!(text, "| case | contender | median | p99 | p99.9 |{head}");
        let _ = writeln!(text, "|---|---|---|---|---|{rule}");
        for figure in figures.of(self.workload) {
            let Summary {
                typical, p99, p999, ..
            } = figure.series.summary();
            let extra = self
                .extra
                .map_or_else(String::new, |(_, extra)| format!(" {} |", extra(figure)));
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} |{extra}",
                figure.case,
                figure.contender.name,
                Time(typical),
                Time(p99),
                Time(p999)
            );
        }
    }
}

/// Returns the side of the matrix that a case names.
pub(crate) fn side(figure: &Figure) -> f64 {
    let side = SIDES
        .into_iter()
        .find(|side| figure.case == crate::sizes::square(*side));
    #[expect(clippy::cast_precision_loss, reason = "ten thousand at most")]
    side.map_or(f64::NAN, |side| side as f64)
}

/// Bytes written and read in a nanosecond.
pub(crate) fn gigabytes(figure: &Figure) -> f64 {
    2.0 * 4.0 * side(figure).powi(2) / figure.series.typical()
}

fn bandwidth(figure: &Figure) -> String {
    let rate = Rate(1e9 / figure.series.typical());
    if figure.contender.name.contains("in place") || figure.contender.name.contains("views") {
        return rate.to_string();
    }
    format!("{rate}, {} GB/s", Number(gigabytes(figure)))
}

/// Multiplications and additions in a nanosecond.
pub(crate) fn flops(figure: &Figure) -> f64 {
    2.0 * side(figure).powi(2) / figure.series.typical()
}

fn gigaflops(figure: &Figure) -> String {
    let rate = Rate(1e9 / figure.series.typical());
    format!("{rate}, {} GFLOP/s", Number(flops(figure)))
}

fn facts(figures: &Figures, text: &mut String) {
    if figures.facts.is_empty() {
        return;
    }
    text.push_str("\n## Other figures\n\n| case | contender | figure |\n|---|---|---|\n");
    for fact in &figures.facts {
        let Fact {
            case,
            contender,
            value,
            unit,
            ..
        } = fact;
        let _ = writeln!(text, "| {case} | {contender} | {} {unit} |", Number(*value));
    }
}

fn left_out(figures: &Figures, text: &mut String) {
    if figures.left_out.is_empty() {
        return;
    }
    text.push_str("\n## Left out\n\n| case | contender | why |\n|---|---|---|\n");
    for left_out in &figures.left_out {
        let LeftOut {
            case,
            contender,
            reason,
            ..
        } = left_out;
        let _ = writeln!(text, "| {case} | {contender} | {reason} |");
    }
}
