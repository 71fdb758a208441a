//! Horizontal bars, in groups, each with its name and its figure beside it.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::WIDTH;
use super::palette::{FAINT, GRID, INK};
use crate::Outcome;
use crate::text::Number;

pub(super) struct Bars {
    pub(super) title: String,
    pub(super) axis: String,
    pub(super) logarithmic: bool,
    /// A value that is marked by a line from top to bottom.
    pub(super) mark: Option<f64>,
    pub(super) groups: Vec<Group>,
}

pub(super) struct Group {
    pub(super) name: String,
    pub(super) bars: Vec<Bar>,
}

pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: f64,
    /// Where a thin line to the right ends.
    pub(super) whisker: Option<f64>,
    pub(super) label: String,
    pub(super) color: RGBColor,
}

/// Pixels.
const BAR: i32 = 20;
const GAP: i32 = 26;
const TOP: i32 = 60;
const BOTTOM: i32 = 66;
const RIGHT: i32 = 20;
/// The least that is left for the bars.
const AXIS: i32 = 420;
/// Of a letter, about.
const LETTER: f64 = 7.2;

impl Bars {
    pub(super) fn draw(&self, path: &Path, caption: &str) -> Outcome<()> {
        let left = 30 + self.longest(|bar| &bar.name);
        // A label stands to the right of its bar, and the longest may stand beside the longest bar.
        let labels = self.longest(|bar| &bar.label) + RIGHT;
        let width = i32::try_from(WIDTH)?.max(left + AXIS + labels);
        let right = width - labels;
        let frame = Frame {
            left,
            right,
            range: self.range(),
            logarithmic: self.logarithmic,
        };
        let rows: usize = self.groups.iter().map(|group| group.bars.len()).sum();
        let rows = i32::try_from(rows)?;
        let groups = i32::try_from(self.groups.len())?;
        let bottom = TOP + rows * BAR + groups * GAP;
        let size = (u32::try_from(width)?, u32::try_from(bottom + BOTTOM)?);
        let area = SVGBackend::new(path, size).into_drawing_area();
        area.fill(&WHITE)?;
        let title = ("sans-serif", 20).into_font().color(&INK);
        area.draw(&Text::new(self.title.as_str(), (20, 18), title))?;
        self.draw_axis(&area, &frame, bottom)?;
        let mut y = TOP;
        for group in &self.groups {
            let head = ("sans-serif", 14, FontStyle::Bold).into_font().color(&INK);
            area.draw(&Text::new(group.name.as_str(), (20, y + 4), head))?;
            y += GAP;
            for bar in &group.bars {
                self.draw_bar(&area, &frame, y, bar)?;
                y += BAR;
            }
        }
        if let Some(mark) = self.mark {
            let x = frame.x(mark);
            let style = INK.stroke_width(2);
            area.draw(&PathElement::new([(x, TOP), (x, bottom)], style))?;
        }
        let small = ("sans-serif", 11).into_font().color(&FAINT);
        area.draw(&Text::new(caption, (20, bottom + BOTTOM - 18), small))?;
        area.present()?;
        Ok(())
    }

    /// Returns the width of the longest text of any bar.
    fn longest(&self, text: impl Fn(&Bar) -> &str) -> i32 {
        let bars = self.groups.iter().flat_map(|group| &group.bars);
        let letters = bars.map(|bar| text(bar).chars().count());
        pixels(letters.max().unwrap_or(0))
    }

    /// Returns the values at both ends of the axis.
    fn range(&self) -> (f64, f64) {
        let bars = || self.groups.iter().flat_map(|group| &group.bars);
        let ends = bars().map(|bar| bar.whisker.unwrap_or(bar.value).max(bar.value));
        let most = ends.fold(f64::MIN_POSITIVE, f64::max);
        if !self.logarithmic {
            return (0.0, most * 1.02);
        }
        let least = bars().map(|bar| bar.value).fold(f64::INFINITY, f64::min);
        (least.min(self.mark.unwrap_or(least)) / 2.0, most * 1.2)
    }

    fn draw_axis(&self, area: &Area<'_>, frame: &Frame, bottom: i32) -> Outcome<()> {
        let style = ("sans-serif", 11).into_font().color(&FAINT);
        let style = style.pos(Pos::new(HPos::Center, VPos::Top));
        for tick in frame.ticks() {
            let x = frame.x(tick);
            area.draw(&PathElement::new([(x, TOP), (x, bottom)], GRID))?;
            let label = Number(tick).to_string();
            let label = label.trim_end_matches('0').trim_end_matches('.');
            let label = if tick >= 10.0 {
                format!("{tick}")
            } else {
                label.to_owned()
            };
            let label = if tick == 0.0 { "0".to_owned() } else { label };
            area.draw(&Text::new(
                self.tick(tick, label),
                (x, bottom + 4),
                style.clone(),
            ))?;
        }
        let style = ("sans-serif", 12).into_font().color(&INK);
        area.draw(&Text::new(
            self.axis.as_str(),
            (frame.left, bottom + 22),
            style,
        ))?;
        Ok(())
    }

    /// Durations have units, other values none.
    fn tick(&self, tick: f64, label: String) -> String {
        if self.logarithmic && self.mark.is_none() {
            return crate::text::Time(tick)
                .to_string()
                .replace(".00", "")
                .replace(".0", "");
        }
        label
    }

    fn draw_bar(&self, area: &Area<'_>, frame: &Frame, y: i32, bar: &Bar) -> Outcome<()> {
        let middle = y + BAR / 2;
        let text = ("sans-serif", 12).into_font().color(&INK);
        let right = text.clone().pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(
            bar.name.as_str(),
            (frame.left - 8, middle),
            right,
        ))?;
        let start = if self.mark.is_some() {
            frame.x(self.mark.unwrap_or(0.0))
        } else {
            frame.left
        };
        let end = frame.x(bar.value);
        let corners = [(start.min(end), y + 3), (start.max(end), y + BAR - 3)];
        area.draw(&Rectangle::new(corners, bar.color.filled()))?;
        let mut beside = end.max(start);
        if let Some(whisker) = bar.whisker {
            beside = frame.x(whisker);
            let style = bar.color.stroke_width(2);
            area.draw(&PathElement::new([(end, middle), (beside, middle)], style))?;
            let tip = [(beside, middle - 4), (beside, middle + 4)];
            area.draw(&PathElement::new(tip, style))?;
        }
        let left = text.pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(bar.label.as_str(), (beside + 6, middle), left))?;
        Ok(())
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Where values lie.
struct Frame {
    left: i32,
    right: i32,
    range: (f64, f64),
    logarithmic: bool,
}

impl Frame {
    fn x(&self, value: f64) -> i32 {
        let (from, to) = self.range;
        let part = if self.logarithmic {
            (value / from).ln() / (to / from).ln()
        } else {
            (value - from) / (to - from)
        };
        let width = f64::from(self.right - self.left);
        self.left + round(part.clamp(0.0, 1.0) * width)
    }

    fn ticks(&self) -> Vec<f64> {
        let (from, to) = self.range;
        if self.logarithmic {
            let powers = -3..=12;
            let ticks = powers.map(|power| 10_f64.powi(power));
            return ticks.filter(|tick| *tick >= from && *tick <= to).collect();
        }
        let power = 10_f64.powf((to / 4.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
        let step = steps.into_iter().find(|step| to / step < 6.0).unwrap_or(to);
        (0..6)
            .map(|tick| f64::from(tick) * step)
            .filter(|tick| *tick <= to)
            .collect()
    }
}

fn pixels(letters: usize) -> i32 {
    let letters = u32::try_from(letters).unwrap_or(100);
    round(f64::from(letters) * LETTER)
}

fn round(value: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "pixels of a picture")]
    let rounded = value.round() as i32;
    rounded
}
