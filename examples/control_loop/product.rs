//! The product of a matrix and a vector.
//!
//! By hand, and not by a library of linear algebra: those rearrange a matrix before they multiply,
//! which pays off when it meets many vectors. Here each meets one, so the product takes as long as it
//! takes to read the matrix, and any arithmetic that keeps up with the memory will do. Sums go side by
//! side in `LANES` accumulators, since the compiler may not change the order of additions itself; then
//! it uses vector instructions, as `tests/vectorised.rs` makes sure.

/// Eight vector registers of the smallest kind, so that additions need not wait for one another.
const LANES: usize = 32;

/// Computes `matrix * vector`.
pub(crate) fn product<const ROWS: usize, const COLUMNS: usize>(
    matrix: &[[f32; COLUMNS]; ROWS],
    vector: &[f32; COLUMNS],
    result: &mut [f32; ROWS],
) {
    const { assert!(COLUMNS.is_multiple_of(LANES)) };
    let (vector, _) = vector.as_chunks::<LANES>();
    for (row, result) in matrix.iter().zip(result) {
        let (row, _) = row.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for (entries, values) in row.iter().zip(vector) {
            for lane in 0..LANES {
                sums[lane] += entries[lane] * values[lane];
            }
        }
        *result = sums.iter().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_what_it_should_be() {
        let entry = |row: usize, column: usize| ((row * 7 + column * 3) % 11) as f32 - 5.0;
        let matrix: [[f32; 96]; 5] =
            std::array::from_fn(|row| std::array::from_fn(|column| entry(row, column)));
        let vector: [f32; 96] = std::array::from_fn(|column| entry(17, column));
        let mut result = [f32::NAN; 5];
        product(&matrix, &vector, &mut result);
        // Whole numbers of this size are exact, in whatever order.
        let wanted = matrix.map(|row| row.iter().zip(&vector).map(|(a, b)| a * b).sum::<f32>());
        assert_eq!(result, wanted);
    }
}
