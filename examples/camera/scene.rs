//! A scene to look at where there is no video: a test card that turns among stars.

use std::f32::consts::TAU;

use crate::picture::Size;

type Rgb = [f32; 3];

const BLACK: Rgb = [0.02, 0.02, 0.03];
const WHITE: Rgb = [0.95, 0.95, 0.92];
const AMBER: Rgb = [1.0, 0.72, 0.20];
const STARS: u32 = 600;
const DIGITS: u32 = 5;

/// Frames of the scene. Each is drawn by its number, and nothing else goes into it.
pub(crate) struct Scene {
    size: Size,
    /// The centre and the radius of the card, in pixels.
    center: [f32; 2],
    radius: f32,
    /// What does not move.
    background: Vec<[u8; 3]>,
    stars: Vec<Star>,
}

/// Comes nearer and nearer, and then begins again far away.
struct Star {
    direction: [f32; 2],
    color: Rgb,
    /// How far away it is in the first frame, from 0 to 1.
    start: f32,
}

impl Scene {
    pub(crate) fn new(size: Size) -> Self {
        let (width, height) = (size.width as f32, size.height as f32);
        let center = [width / 2.0, height * 0.46];
        let mut scene = Self {
            size,
            center,
            radius: 0.40 * height.min(width),
            background: vec![[0; 3]; size.width * size.height],
            stars: (0..STARS).map(Star::new).collect(),
        };
        scene.background = scene.pixels().map(|at| scene.still(at).map(byte)).collect();
        scene
    }

    /// Draws frame `number`, row by row.
    pub(crate) fn draw(&self, number: u64, pixels: &mut [[u8; 3]]) {
        pixels.copy_from_slice(&self.background);
        // Turns repeat, so a number modulo many turns is as good, and exact as a float.
        let seconds = f32::from(u16::try_from(number % 36_000).unwrap_or(0)) / 30.0;
        for star in &self.stars {
            self.draw_star(star, seconds, pixels);
        }
        let card = Card {
            radius: self.radius,
            turn: seconds / 12.0,
            hand: seconds.fract(),
        };
        let digits = digits(number);
        let reach = self.radius + 1.0;
        let [cx, cy] = self.center;
        for y in span(cy - reach, cy + reach, self.size.height) {
            for x in span(cx - reach, cx + reach, self.size.width) {
                let at = [x as f32 + 0.5 - cx, y as f32 + 0.5 - cy];
                let (color, cover) = card.color(at, &digits);
                if cover > 0.0 {
                    let pixel = &mut pixels[y * self.size.width + x];
                    let below = pixel.map(|byte| f32::from(byte) / 255.0);
                    *pixel = mix(below, color, cover).map(byte);
                }
            }
        }
    }

    /// Returns the middle of each pixel.
    fn pixels(&self) -> impl Iterator<Item = [f32; 2]> + use<> {
        let Size { width, height } = self.size;
        (0..height).flat_map(move |y| (0..width).map(move |x| [x as f32 + 0.5, y as f32 + 0.5]))
    }

    /// Returns the colour of a pixel behind everything that moves.
    fn still(&self, at: [f32; 2]) -> Rgb {
        let (width, height) = (self.size.width as f32, self.size.height as f32);
        let (x, y) = (at[0] / width, at[1] / height);
        // Steps of gray under bars of colour, at the bottom.
        if y > 0.96 {
            return [(x * 16.0).floor() / 15.0; 3];
        }
        if y > 0.91 {
            let bar = (x * 7.0).floor();
            let on = |from: f32, every: f32| {
                if ((bar + from) / every).floor() % 2.0 == 0.0 {
                    0.75
                } else {
                    0.02
                }
            };
            return [on(0.0, 2.0), on(0.0, 4.0), on(0.0, 1.0)];
        }
        let [cx, cy] = self.center;
        let glow = 1.0 - (at[0] - cx).hypot(at[1] - cy) / width.hypot(height);
        let sky = mix([0.01, 0.01, 0.04], [0.07, 0.13, 0.30], glow.powi(3));
        // A grid, of which the lines that go through the centre are brighter.
        let pitch = self.radius / 4.0;
        let line = |distance: f32| {
            let from = (distance / pitch - (distance / pitch).round()).abs() * pitch;
            cover(0.5 - from)
        };
        let grid = line(at[0] - cx).max(line(at[1] - cy));
        mix(sky, [0.45, 0.55, 0.80], 0.22 * grid)
    }

    fn draw_star(&self, star: &Star, seconds: f32, pixels: &mut [[u8; 3]]) {
        // A few moments one after another make a tail.
        for step in 0..8_u8 {
            let depth =
                1.0 - (star.start + seconds / 9.0 - f32::from(step) * 0.0016).rem_euclid(1.0);
            let bright = 1.5 * (1.0 - depth).powf(1.3) / (1.0 + 0.6 * f32::from(step));
            let scale = self.radius * 0.35 / (depth + 0.02);
            let [x, y] = [0, 1].map(|axis| self.center[axis] + star.direction[axis] * scale);
            let reach = 1.0 + 1.1 * (1.0 - depth);
            // The bars at the bottom stay in front.
            let floor = self.size.height * 91 / 100;
            for row in span(y - reach, y + reach, floor) {
                for column in span(x - reach, x + reach, self.size.width) {
                    let from = (column as f32 + 0.5 - x).hypot(row as f32 + 0.5 - y);
                    let light = bright * (1.0 - from / reach).max(0.0);
                    let pixel = &mut pixels[row * self.size.width + column];
                    for (byte_of, color) in pixel.iter_mut().zip(star.color) {
                        *byte_of = byte_of.saturating_add(byte(light * color));
                    }
                }
            }
        }
    }
}

impl Star {
    fn new(number: u32) -> Self {
        let [angle, far, start, warm] = [1, 2, 3, 4].map(|salt| chance(number, salt));
        let (sin, cos) = (angle * TAU).sin_cos();
        // Not all the way to the centre, which the card covers.
        let far = 0.3 + 1.7 * far;
        Self {
            direction: [cos * far, sin * far],
            color: mix([0.65, 0.78, 1.0], [1.0, 0.88, 0.70], warm),
            start,
        }
    }
}

/// What turns.
struct Card {
    radius: f32,
    /// Once around from 0 to 1.
    turn: f32,
    hand: f32,
}

impl Card {
    /// Returns the colour at a distance from the centre, and how much of the pixel it covers.
    fn color(&self, at: [f32; 2], digits: &[u32]) -> (Rgb, f32) {
        let distance = at[0].hypot(at[1]);
        let edge = cover(self.radius - distance);
        if edge == 0.0 {
            return (BLACK, 0.0);
        }
        let share = distance / self.radius;
        let ring = match share {
            0.93.. => self.dial(at, distance),
            0.70.. => self.hues(at),
            0.60.. => self.grays(at),
            _ => self.wedges(at, distance),
        };
        // Dark lines between the rings.
        let gap = [0.93, 0.70, 0.60]
            .map(|border| cover(self.radius * 0.006 + 0.3 - (share - border).abs() * self.radius))
            .into_iter()
            .fold(0.0, f32::max);
        (self.plate(at, digits, mix(ring, BLACK, gap)), edge)
    }

    /// Sixty marks, and a hand that goes around once a second.
    fn dial(&self, at: [f32; 2], distance: f32) -> Rgb {
        let angle = turns(at) + 0.25;
        let near = |angle: f32, of: f32| {
            let off = angle * of - (angle * of).round();
            off.abs() / of * TAU * distance
        };
        let mark = cover(0.008 * self.radius - near(angle, 60.0));
        let face = mix([0.10, 0.11, 0.14], WHITE, mark);
        mix(
            face,
            AMBER,
            cover(0.035 * self.radius - near(angle - self.hand, 1.0)),
        )
    }

    /// All hues, that turn.
    fn hues(&self, at: [f32; 2]) -> Rgb {
        let angle = turns(at) + self.turn;
        [0.0, 1.0, 2.0].map(|third: f32| 0.5 + 0.48 * ((angle - third / 3.0) * TAU).cos())
    }

    /// Sixteen steps from black to white, that turn the other way.
    fn grays(&self, at: [f32; 2]) -> Rgb {
        let angle = (turns(at) - 2.0 * self.turn).rem_euclid(1.0);
        [(angle * 16.0).floor() / 15.0; 3]
    }

    /// A star of wedges, to see how sharp the picture is.
    fn wedges(&self, at: [f32; 2], distance: f32) -> Rgb {
        const WEDGES: f32 = 24.0;
        let angle = (turns(at) + self.turn / 2.0) * WEDGES;
        let off = (angle - angle.round()).abs() - 0.25;
        mix(
            WHITE,
            [0.06, 0.07, 0.10],
            cover(off / WEDGES * TAU * distance),
        )
    }

    /// The number of the frame, before all else.
    fn plate(&self, at: [f32; 2], digits: &[u32], below: Rgb) -> Rgb {
        let digit_width = 0.20 * self.radius;
        let half = [digit_width * digits.len() as f32 / 2.0, 0.19 * self.radius];
        let corner = 0.06 * self.radius;
        let beyond = |axis: usize| (at[axis].abs() - half[axis]).max(0.0);
        let outside = beyond(0).hypot(beyond(1));
        let plate = mix(below, WHITE, cover(corner + 0.012 * self.radius - outside));
        let plate = mix(plate, BLACK, cover(corner - outside));
        let column = (at[0] + half[0]) / digit_width;
        let Some(&segments) = digits.get(floor(column)).filter(|_| column >= 0.0) else {
            return plate;
        };
        let place = [(column.fract() - 0.5) * digit_width, at[1]];
        let lit = segment_distance(segments, place, 0.062 * self.radius, 0.125 * self.radius);
        let dim = segment_distance(0x7f, place, 0.062 * self.radius, 0.125 * self.radius);
        let thick = 0.020 * self.radius;
        let plate = mix(plate, AMBER, 0.10 * cover(thick - dim));
        mix(plate, AMBER, cover(thick - lit))
    }
}

/// Returns the segments of each digit, as bits: from the top clockwise, then the one in the middle.
fn digits(number: u64) -> Vec<u32> {
    const SEGMENTS: [u32; 10] = [0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f];
    let places = (0..DIGITS).rev().map(|place| 10_u64.pow(place));
    places
        .map(|place| SEGMENTS[usize::try_from(number / place % 10).unwrap_or(0)])
        .collect()
}

/// Returns how far a place is from the nearest of some segments.
fn segment_distance(segments: u32, at: [f32; 2], half_width: f32, half_height: f32) -> f32 {
    let (w, h) = (half_width, half_height);
    // From where to where each goes, a little apart from the next.
    let g = 0.16 * h;
    let lines = [
        [-w + g, -h, w - g, -h],
        [w, -h + g, w, -g],
        [w, g, w, h - g],
        [-w + g, h, w - g, h],
        [-w, g, -w, h - g],
        [-w, -h + g, -w, -g],
        [-w + g, 0.0, w - g, 0.0],
    ];
    let lit = (0..).zip(lines).filter(|(bit, _)| segments >> bit & 1 == 1);
    lit.map(|(_, [x0, y0, x1, y1])| {
        (at[0] - at[0].clamp(x0, x1)).hypot(at[1] - at[1].clamp(y0, y1))
    })
    .fold(f32::INFINITY, f32::min)
}

/// Returns the direction of a place as a share of a full turn, from the right clockwise.
fn turns(at: [f32; 2]) -> f32 {
    at[1].atan2(at[0]) / TAU
}

/// Returns how much of a pixel is covered whose middle lies so far inside.
fn cover(inside: f32) -> f32 {
    (inside + 0.5).clamp(0.0, 1.0)
}

fn mix(from: Rgb, to: Rgb, share: f32) -> Rgb {
    [0, 1, 2].map(|i| from[i] + (to[i] - from[i]) * share)
}

/// Returns a number from 0 to 1 that looks like chance.
fn chance(number: u32, salt: u32) -> f32 {
    let mut hash = number.wrapping_mul(0x9e37_79b9) ^ salt.wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x7feb_352d);
    hash = (hash ^ (hash >> 15)).wrapping_mul(0x846c_a68b);
    f32::from(u16::try_from(hash >> 16).unwrap_or(0)) / 65_535.0
}

/// Returns the pixels from one place to another, as far as they are in the picture.
fn span(from: f32, to: f32, len: usize) -> std::ops::Range<usize> {
    let end = if to < 0.0 { 0 } else { floor(to) + 1 };
    floor(from).min(len)..end.min(len)
}

/// Rounds down; what is below 0 becomes 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and there is no other conversion"
)]
fn floor(value: f32) -> usize {
    value as usize
}

/// Returns the byte for a brightness from 0 to 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and there is no other conversion"
)]
fn byte(brightness: f32) -> u8 {
    (brightness * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_fits_any_size() {
        for (width, height) in [(1, 1), (3, 200), (200, 3), (64, 48)] {
            let size = Size::new(width, height).unwrap();
            let scene = Scene::new(size);
            let mut first = vec![[9; 3]; width * height];
            let mut second = first.clone();
            scene.draw(1, &mut first);
            scene.draw(u64::MAX, &mut second);
            scene.draw(1, &mut second);
            assert_eq!(first, second, "{size}: nothing is left of earlier frames");
        }
    }

    #[test]
    fn frames_differ() {
        let scene = Scene::new(Size::new(160, 120).unwrap());
        let mut frames = [1, 2].map(|number| (number, vec![[0; 3]; 160 * 120]));
        for (number, pixels) in &mut frames {
            scene.draw(*number, pixels);
        }
        assert_ne!(frames[0].1, frames[1].1);
    }

    #[test]
    fn digits_are_those_of_the_number() {
        assert_eq!(digits(12_345), [0x06, 0x5b, 0x4f, 0x66, 0x6d]);
        assert_eq!(digits(100_007), [0x3f, 0x3f, 0x3f, 0x3f, 0x07]);
    }
}
