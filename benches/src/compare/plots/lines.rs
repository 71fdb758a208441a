//! Lines on logarithmic axes, each named at its right end.

use std::path::Path;

use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::palette::{FAINT, GRID, INK, color};
use super::{HEIGHT, WIDTH, is_ours};
use crate::Outcome;
use crate::contender::Contender;
use crate::sizes::{bytes, square};
use crate::text::Time;

pub(super) struct Lines {
    pub(super) title: String,
    pub(super) x: Scale,
    /// What the durations are.
    pub(super) y: String,
    pub(super) lines: Vec<Line>,
}

pub(super) struct Line {
    pub(super) name: String,
    pub(super) contender: Contender,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) dashed: bool,
}

/// What is drawn to the right, and what it is called.
pub(super) enum Scale {
    Bytes(String),
    Sides(String),
    Count(String),
    /// One half stands for none.
    Readers(String),
    /// As [`nines`].
    Quantiles(String),
}

/// The parts of all measurements that are drawn.
pub(super) const QUANTILES: [f64; 14] = [
    0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999,
];

/// Spreads the parts near 1: 0.9 is at 1, 0.99 at 2, 0.999 at 3.
pub(super) fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

/// Pixels.
const LEFT: i32 = 86;
const TOP: i32 = 60;
const BOTTOM: i32 = 80;
/// Room for the names.
const NAMES: i32 = 250;
/// From one name to the next, at least.
const NAME: i32 = 17;

impl Lines {
    pub(super) fn draw(mut self, path: &Path, caption: &str) -> Outcome<()> {
        for line in &mut self.lines {
            line.points
                .sort_by(|(left, _), (right, _)| left.total_cmp(right));
        }
        let (width, height) = (i32::try_from(WIDTH)?, i32::try_from(HEIGHT)?);
        let frame = Frame {
            x: (LEFT, width - NAMES),
            y: (height - BOTTOM, TOP),
            from: self.extent(|(x, _)| self.x.place(x)),
            to: self.extent(|(_, y)| y.ln()),
        };
        let area = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
        area.fill(&WHITE)?;
        let title = ("sans-serif", 20).into_font().color(&INK);
        area.draw(&Text::new(self.title.as_str(), (20, 18), title))?;
        self.draw_axes(&area, &frame)?;
        for line in &self.lines {
            self.draw_line(&area, &frame, line)?;
        }
        self.draw_names(&area, &frame)?;
        let small = ("sans-serif", 11).into_font().color(&FAINT);
        area.draw(&Text::new(caption, (20, height - 18), small))?;
        area.present()?;
        Ok(())
    }

    fn extent(&self, of: impl Fn((f64, f64)) -> f64) -> (f64, f64) {
        let points = || {
            self.lines
                .iter()
                .flat_map(|line| &line.points)
                .map(|point| of(*point))
        };
        let (from, to) = (
            points().fold(f64::INFINITY, f64::min),
            points().fold(f64::NEG_INFINITY, f64::max),
        );
        let margin = ((to - from) * 0.04).max(0.05);
        (from - margin, to + margin)
    }

    fn draw_axes(&self, area: &Area<'_>, frame: &Frame) -> Outcome<()> {
        let style = ("sans-serif", 12).into_font().color(&FAINT);
        let below = style.clone().pos(Pos::new(HPos::Center, VPos::Top));
        let before = style.pos(Pos::new(HPos::Right, VPos::Center));
        let (left, right) = frame.x;
        let (bottom, top) = frame.y;
        for (place, label) in self
            .x
            .ticks(self.lines.iter().flat_map(|line| &line.points))
        {
            let x = frame.place_x(place);
            area.draw(&PathElement::new([(x, top), (x, bottom)], GRID))?;
            area.draw(&Text::new(label, (x, bottom + 6), below.clone()))?;
        }
        for (value, label) in times(frame.to) {
            let y = frame.place_y(value);
            area.draw(&PathElement::new([(left, y), (right, y)], GRID))?;
            area.draw(&Text::new(label, (left - 8, y), before.clone()))?;
        }
        let ink = ("sans-serif", 13).into_font().color(&INK);
        let centre = ink.clone().pos(Pos::new(HPos::Center, VPos::Top));
        let x = (left + right) / 2;
        area.draw(&Text::new(self.x.name(), (x, bottom + 28), centre))?;
        area.draw(&Text::new(self.y.as_str(), (20, TOP - 16), ink))?;
        Ok(())
    }

    fn draw_line(&self, area: &Area<'_>, frame: &Frame, line: &Line) -> Outcome<()> {
        let points: Vec<_> = line
            .points
            .iter()
            .map(|(x, y)| (frame.place_x(self.x.place(*x)), frame.place_y(y.ln())))
            .collect();
        let color = color(line.contender);
        let width = if is_ours(line.contender) { 3 } else { 2 };
        let style = color.stroke_width(width);
        if line.dashed {
            area.draw(&DashedPathElement::new(points.iter().copied(), 6, 4, style))?;
        } else {
            area.draw(&PathElement::new(points.as_slice(), style))?;
        }
        // Marks would hide the course of a distribution.
        if !matches!(self.x, Scale::Quantiles(_)) {
            for point in points {
                area.draw(&Circle::new(point, 4, color.filled()))?;
            }
        }
        Ok(())
    }

    /// Writes the names where the lines end, one below the other where those are close.
    fn draw_names(&self, area: &Area<'_>, frame: &Frame) -> Outcome<()> {
        let end = |line: &Line| line.points.last().map_or(0, |(_, y)| frame.place_y(y.ln()));
        let mut lines: Vec<_> = self.lines.iter().map(|line| (end(line), line)).collect();
        lines.sort_by_key(|(y, _)| *y);
        let ends: Vec<_> = lines.iter().map(|(y, _)| *y).collect();
        for ((end, line), y) in lines.iter().zip(spread(&ends, frame.y.0)) {
            let color = color(line.contender);
            let x = frame.x.1 + 6;
            area.draw(&PathElement::new([(x, *end), (x + 12, y)], color))?;
            let weight = if is_ours(line.contender) {
                FontStyle::Bold
            } else {
                FontStyle::Normal
            };
            let style = ("sans-serif", 13, weight).into_font().color(&color);
            let style = style.pos(Pos::new(HPos::Left, VPos::Center));
            area.draw(&Text::new(line.name.as_str(), (x + 16, y), style))?;
        }
        Ok(())
    }
}

/// Moves sorted places apart, and up again where they run out of the picture.
fn spread(places: &[i32], bottom: i32) -> Vec<i32> {
    let mut spread = places.to_vec();
    for i in 1..spread.len() {
        spread[i] = spread[i].max(spread[i - 1] + NAME);
    }
    let mut limit = bottom;
    for place in spread.iter_mut().rev() {
        *place = (*place).min(limit);
        limit = *place - NAME;
    }
    spread
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Where values lie: pixels, and what they stand for.
struct Frame {
    x: (i32, i32),
    y: (i32, i32),
    from: (f64, f64),
    to: (f64, f64),
}

impl Frame {
    fn place_x(&self, place: f64) -> i32 {
        between(self.x, self.from, place)
    }

    fn place_y(&self, place: f64) -> i32 {
        between(self.y, self.to, place)
    }
}

fn between((start, end): (i32, i32), (from, to): (f64, f64), place: f64) -> i32 {
    let part = (place - from) / (to - from);
    let pixels = f64::from(start) + part * f64::from(end - start);
    #[expect(clippy::cast_possible_truncation, reason = "pixels of a picture")]
    let pixels = pixels.round() as i32;
    pixels
}

/// Returns durations to mark between two logarithms: powers of ten, and halves where those are few.
fn times((from, to): (f64, f64)) -> Vec<(f64, String)> {
    let few = (to - from) < 3.0 * 10_f64.ln();
    let steps: &[f64] = if few { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let all = (-1..=11).flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
    let seen = all.filter(|time| (from..=to).contains(&time.ln()));
    let label = |time| Time(time).to_string().replace(".00", "").replace(".0", "");
    seen.map(|time| (time.ln(), label(time))).collect()
}

impl Scale {
    fn name(&self) -> &str {
        match self {
            Self::Bytes(name)
            | Self::Sides(name)
            | Self::Count(name)
            | Self::Readers(name)
            | Self::Quantiles(name) => name,
        }
    }

    fn place(&self, value: f64) -> f64 {
        match self {
            Self::Quantiles(_) => value,
            _ => value.ln(),
        }
    }

    fn ticks<'a>(&self, points: impl Iterator<Item = &'a (f64, f64)>) -> Vec<(f64, String)> {
        if let Self::Quantiles(_) = self {
            let parts = [
                ("50%", 0.5),
                ("90%", 0.9),
                ("99%", 0.99),
                ("99.9%", 0.999),
                ("99.99%", 0.9999),
            ];
            return parts
                .map(|(label, part)| (nines(part), label.to_owned()))
                .to_vec();
        }
        let mut values: Vec<_> = points.map(|(x, _)| *x).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        values
            .into_iter()
            .map(|value| (self.place(value), self.label(value)))
            .collect()
    }

    fn label(&self, value: f64) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "sizes and counts"
        )]
        let whole = value as usize;
        match self {
            Self::Bytes(_) => bytes(whole),
            Self::Sides(_) => square(whole),
            // One half.
            Self::Readers(_) if whole == 0 => "0".to_owned(),
            _ => whole.to_string(),
        }
    }
}
