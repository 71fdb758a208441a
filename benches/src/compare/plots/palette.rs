//! Colours: one for each family, the same in all plots.

use plotters::style::RGBColor;

use crate::contender::{Contender, Family};

pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
pub(super) const FAINT: RGBColor = RGBColor(120, 120, 120);
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);

/// Returns the colour of a contender. Shades of a family go towards white.
pub(super) fn color(contender: Contender) -> RGBColor {
    let base = match contender.family {
        Family::Shmstream => (0, 90, 200),
        Family::Floor => (90, 90, 90),
        Family::Iceoryx2 => (220, 110, 0),
        Family::Crossbar => (20, 140, 60),
        Family::MmapSync => (150, 60, 170),
        Family::Pyshmem => (190, 30, 50),
    };
    let shade = |channel: u8| {
        let towards_white = u16::from(255 - channel) * u16::from(contender.shade.min(3)) / 5;
        channel.saturating_add(u8::try_from(towards_white).unwrap_or(u8::MAX))
    };
    RGBColor(shade(base.0), shade(base.1), shade(base.2))
}

/// Returns the colour of a target that is met, or not.
pub(super) const fn verdict(met: bool) -> RGBColor {
    if met {
        RGBColor(20, 140, 60)
    } else {
        RGBColor(200, 40, 40)
    }
}
