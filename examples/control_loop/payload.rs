//! What the streams carry, and the made-up optics that it stands for.
//!
//! The optics are such that anybody can tell the right commands: actuator `a` lifts the slopes by row
//! `a` of a Hadamard matrix, in which every entry is 1 or -1 and all rows are at right angles. So the
//! matrix that leads back from slopes to actuators is the same one, divided by the number of slopes.
//! It is computed from nothing, and a fast transform does the product the other way.

use shmstream::{ShmPayload, Stream};

/// Places where the sensor measures a slope in x and one in y.
pub(crate) const PLACES: usize = 1024;
pub(crate) const SLOPES: usize = 2 * PLACES;
pub(crate) const ACTUATORS: usize = 512;

/// All slopes in x, then all in y.
pub(crate) type SlopeStream = Stream<[f32; PLACES], 2>;
/// A row for each actuator; the frame's number says which gain it has.
pub(crate) type MatrixStream = Stream<[f32; SLOPES], ACTUATORS>;
pub(crate) type CommandStream = Stream<Command, 1>;

/// What the mirror is to do. The frame's number is that of the slopes.
#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
pub(crate) struct Command {
    pub(crate) actuators: [f32; ACTUATORS],
    /// The number of the matrix.
    pub(crate) matrix: u64,
    /// How many frames of slopes the controller has missed so far.
    pub(crate) missed: u64,
    /// When the slopes were published, on the monotonic clock, and when the controller had them.
    pub(crate) sensed_ns: u64,
    pub(crate) taken_ns: u64,
}

/// Returns the wavefront that belongs to a frame, as the actuators would have to be to make it.
pub(crate) fn wavefront(number: u64) -> [f32; ACTUATORS] {
    // A few waves that roll over a grid of 32 by 16 actuators, with different lengths and speeds.
    const WAVES: [[f32; 4]; 4] = [
        [0.90, 0.11, 0.05, 0.021],
        [0.50, -0.07, 0.29, 0.034],
        [0.25, 0.43, -0.31, 0.055],
        [0.12, 0.83, 0.71, 0.089],
    ];
    let time = f32::from(u16::try_from(number % 60_000).unwrap_or(0));
    std::array::from_fn(|actuator| {
        let (x, y) = ((actuator % 32) as f32, (actuator / 32) as f32);
        WAVES
            .iter()
            .map(|[height, along_x, along_y, speed]| {
                height * (along_x * x + along_y * y + speed * time).sin()
            })
            .sum()
    })
}

/// Computes the slopes that a wavefront causes, in place.
pub(crate) fn sense(wavefront: &[f32; ACTUATORS], slopes: &mut [f32]) {
    slopes.fill(0.0);
    slopes[..ACTUATORS].copy_from_slice(wavefront);
    // The fast Walsh-Hadamard transform: sums and differences over longer and longer distances.
    let mut distance = 1;
    while distance < slopes.len() {
        for block in slopes.chunks_exact_mut(2 * distance) {
            let (low, high) = block.split_at_mut(distance);
            for (low, high) in low.iter_mut().zip(high) {
                (*low, *high) = (*low + *high, *low - *high);
            }
        }
        distance *= 2;
    }
}

/// Fills in matrix `number`.
pub(crate) fn fill_matrix(number: u64, matrix: &mut [[f32; SLOPES]; ACTUATORS]) {
    let entry = gain(number) / SLOPES as f32;
    for (row, entries) in matrix.iter_mut().enumerate() {
        for (column, value) in entries.iter_mut().enumerate() {
            let odd = (row & column).count_ones() % 2 == 1;
            *value = if odd { -entry } else { entry };
        }
    }
}

/// Returns the gain of matrix `number`: whoever gets a command can tell which one made it.
pub(crate) fn gain(number: u64) -> f32 {
    if number % 2 == 1 { 1.0 } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::product;

    #[test]
    fn commands_are_the_wavefront() {
        let wavefront = wavefront(12_345);
        let mut slopes = [0.0; SLOPES];
        sense(&wavefront, &mut slopes);
        let mut matrix: Box<[_; ACTUATORS]> = vec![[0.0; SLOPES]; ACTUATORS].try_into().unwrap();
        for number in [1, 2] {
            fill_matrix(number, &mut matrix);
            let mut commands = [0.0; ACTUATORS];
            product(&matrix, &slopes, &mut commands);
            for (command, wave) in commands.iter().zip(&wavefront) {
                assert!((command - gain(number) * wave).abs() < 1e-5);
            }
        }
    }
}
