//! The results as pictures.

mod bars;
mod lines;
mod palette;

use std::path::Path;

use crate::Outcome;
use crate::contender::{Contender, Family};
use crate::figures::{Figure, Figures, Workload};
use crate::report::{flops, gigabytes};
use crate::sizes::{SIDES, SIZES, bytes, square};
use crate::targets::Verdict;
use crate::text::{Number, Time};
use bars::{Bar, Bars, Group};
use lines::{Line, Lines, Scale};

/// The size of all plots, in pixels; bars grow downwards.
pub(crate) const WIDTH: u32 = 960;
pub(crate) const HEIGHT: u32 = 560;

/// Draws what there are figures for.
pub(crate) fn draw(
    directory: &Path,
    caption: &str,
    figures: &Figures,
    verdicts: &[Verdict],
) -> Outcome<()> {
    let plots = Plots {
        directory,
        caption,
        figures,
    };
    plots.targets(verdicts)?;
    plots.round_trip()?;
    plots.bandwidth()?;
    plots.latency()?;
    plots.distribution(
        "latency-distribution",
        "One-way latency of a frame of 64 B between two processes that poll",
        &[Workload::Latency],
    )?;
    plots.distribution(
        "wake",
        "Waking a process that sleeps, one way",
        &[Workload::Wake, Workload::Task],
    )?;
    plots.paced()?;
    plots.fan_out()?;
    plots.product()?;
    plots.growth()
}

struct Plots<'a> {
    directory: &'a Path,
    caption: &'a str,
    figures: &'a Figures,
}

/// A contender, one point for each case that was measured.
type Points = Vec<(f64, f64)>;

impl Plots<'_> {
    fn lines(&self, name: &str, lines: Lines) -> Outcome<()> {
        if lines.lines.iter().all(|line| line.points.is_empty()) {
            return Ok(());
        }
        let path = self.directory.join(format!("{name}.svg"));
        lines.draw(&path, self.caption)
    }

    fn bars(&self, name: &str, bars: &Bars) -> Outcome<()> {
        if bars.groups.iter().all(|group| group.bars.is_empty()) {
            return Ok(());
        }
        let path = self.directory.join(format!("{name}.svg"));
        bars.draw(&path, self.caption)
    }

    /// Returns a line for each contender of a workload: the median against a number for the case.
    fn medians(&self, workload: Workload, number: impl Fn(&str) -> Option<f64>) -> Vec<Line> {
        let points = |contender: Contender| -> Points {
            self.figures
                .of(workload)
                .filter(|figure| figure.contender == contender)
                .filter_map(|figure| Some((number(&figure.case)?, figure.series.typical())))
                .collect()
        };
        let contenders = self.figures.contenders(workload).into_iter();
        contenders
            .map(|contender| Line {
                name: contender.name.to_owned(),
                contender,
                points: points(contender),
                dashed: false,
            })
            .filter(|line| !line.points.is_empty())
            .collect()
    }

    fn targets(&self, verdicts: &[Verdict]) -> Outcome<()> {
        let bar = |verdict: &Verdict| Bar {
            name: verdict.figure.clone(),
            value: verdict.margin,
            whisker: None,
            label: format!(
                "{}{}, target {}",
                Number(verdict.measured),
                verdict.unit,
                verdict.target
            ),
            color: palette::verdict(verdict.met),
        };
        let bars = Bars {
            title: "Targets: how many times better than promised".to_owned(),
            axis: "times the target; right of the line is met".to_owned(),
            logarithmic: true,
            mark: Some(1.0),
            groups: vec![Group {
                name: String::new(),
                bars: verdicts.iter().map(bar).collect(),
            }],
        };
        self.bars("targets", &bars)
    }

    fn round_trip(&self) -> Outcome<()> {
        let side = |case: &str| {
            let side = SIDES.into_iter().find(|side| square(*side) == case)?;
            #[expect(clippy::cast_precision_loss, reason = "ten thousand at most")]
            Some(side as f64)
        };
        let lines = Lines {
            title: "Writing and reading a frame in one process".to_owned(),
            x: Scale::Sides("shape of the frame, f32".to_owned()),
            y: "median".to_owned(),
            lines: self.medians(Workload::RoundTrip, side),
        };
        self.lines("round-trip", lines)
    }

    fn bandwidth(&self) -> Outcome<()> {
        let copies = |figure: &Figure| {
            let name = figure.contender.name;
            !name.contains("in place") && !name.contains("views")
        };
        self.by_case(
            "bandwidth",
            Workload::RoundTrip,
            "Copying a frame in and out in one process",
            "GB/s, bytes written and read; more is better",
            false,
            copies,
            |figure| Bar {
                name: figure.contender.name.to_owned(),
                value: gigabytes(figure),
                whisker: None,
                label: format!("{} GB/s", Number(gigabytes(figure))),
                color: palette::color(figure.contender),
            },
        )
    }

    fn latency(&self) -> Outcome<()> {
        let number = |case: &str| {
            let len = SIZES.into_iter().find(|len| bytes(*len) == case)?;
            #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
            Some(len as f64)
        };
        let lines = Lines {
            title: "Handing a frame to another process in place, both polling".to_owned(),
            x: Scale::Bytes("size of the frame".to_owned()),
            y: "median, one way".to_owned(),
            lines: self.medians(Workload::Latency, number),
        };
        self.lines("latency", lines)
    }

    /// Draws which part of the measurements took how long at most.
    fn distribution(&self, name: &str, title: &str, workloads: &[Workload]) -> Outcome<()> {
        let case = bytes(SIZES[1]);
        let line = |figure: &Figure| Line {
            name: figure.contender.name.to_owned(),
            contender: figure.contender,
            points: lines::QUANTILES
                .iter()
                .map(|quantile| (lines::nines(*quantile), figure.series.quantile(*quantile)))
                .collect(),
            dashed: false,
        };
        let figures = workloads
            .iter()
            .flat_map(|workload| self.figures.of(*workload));
        let lines = Lines {
            title: title.to_owned(),
            x: Scale::Quantiles("part of all measurements that took at most so long".to_owned()),
            y: "duration".to_owned(),
            lines: figures
                .filter(|figure| figure.case == case)
                .map(line)
                .collect(),
        };
        self.lines(name, lines)
    }

    fn paced(&self) -> Outcome<()> {
        self.by_case(
            "paced",
            Workload::Paced,
            "Age of a frame at the reader, with a publisher that keeps time",
            "median, and a line to the 99th percentile; less is better",
            true,
            |_| true,
            duration,
        )
    }

    fn fan_out(&self) -> Outcome<()> {
        let mut lines = Vec::new();
        for (state, dashed) in [("idle", false), ("reading", true)] {
            let readers = |case: &str| {
                let readers = case.strip_suffix(state)?.trim().parse().ok()?;
                // Where all lines begin.
                Some(f64::max(readers, 0.5))
            };
            let mut of_state = self.medians(Workload::FanOut, readers);
            for line in &mut of_state {
                line.name = format!("{}, {state}", line.name);
                line.dashed = dashed;
            }
            lines.extend(of_state);
        }
        let lines = Lines {
            title: "What a publish costs with readers attached".to_owned(),
            x: Scale::Readers("processes attached".to_owned()),
            y: "median".to_owned(),
            lines,
        };
        self.lines("fan-out", lines)
    }

    fn product(&self) -> Outcome<()> {
        self.by_case(
            "product",
            Workload::Product,
            "A matrix in one stream times a vector in another, f32, one thread",
            "GFLOP/s; more is better",
            false,
            |_| true,
            |figure| Bar {
                name: figure.contender.name.to_owned(),
                value: flops(figure),
                whisker: None,
                label: format!("{} GFLOP/s", Number(flops(figure))),
                color: palette::color(figure.contender),
            },
        )
    }

    fn growth(&self) -> Outcome<()> {
        let number = |case: &str| {
            let streams = case.split_once(' ')?.0.replace(',', "");
            streams.parse().ok()
        };
        let lines = Lines {
            title: "Operations with a number of streams on the machine".to_owned(),
            x: Scale::Count("streams on the machine".to_owned()),
            y: "median".to_owned(),
            lines: self.medians(Workload::Growth, number),
        };
        self.lines("growth", lines)
    }

    /// Draws a group of bars for each case.
    #[expect(clippy::too_many_arguments, reason = "each is a word of the plot")]
    fn by_case(
        &self,
        name: &str,
        workload: Workload,
        title: &str,
        axis: &str,
        logarithmic: bool,
        wanted: impl Fn(&Figure) -> bool,
        bar: impl Fn(&Figure) -> Bar,
    ) -> Outcome<()> {
        let group = |case: &str| Group {
            name: case.to_owned(),
            bars: self
                .figures
                .of(workload)
                .filter(|figure| figure.case == case && wanted(figure))
                .map(&bar)
                .collect(),
        };
        let cases = self.figures.cases(workload);
        let bars = Bars {
            title: title.to_owned(),
            axis: axis.to_owned(),
            logarithmic,
            mark: None,
            groups: cases.into_iter().map(group).collect(),
        };
        self.bars(name, &bars)
    }
}

/// A duration with its tail.
fn duration(figure: &Figure) -> Bar {
    let summary = figure.series.summary();
    Bar {
        name: figure.contender.name.to_owned(),
        value: summary.typical,
        whisker: Some(summary.p99),
        label: format!("{}, 99 %: {}", Time(summary.typical), Time(summary.p99)),
        color: palette::color(figure.contender),
    }
}

/// Says whether a contender is drawn thicker than others.
fn is_ours(contender: Contender) -> bool {
    contender.family == Family::Shmstream
}
