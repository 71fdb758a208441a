//! The sizes that are compared.

/// Sizes of the frames that are handed over in place, in bytes.
pub(crate) const SIZES: [usize; 5] = [8, 64, 8 << 10, 1 << 20, 64 << 20];

/// Sides of the square matrices of `f32` that are copied and multiplied.
pub(crate) const SIDES: [usize; 3] = [100, 1_000, 10_000];

/// Writes a number of bytes with the unit that suits it.
pub(crate) fn bytes(len: usize) -> String {
    match len {
        0x10_0000.. => format!("{} MiB", len >> 20),
        0x400.. => format!("{} KiB", len >> 10),
        _ => format!("{len} B"),
    }
}

/// Writes the shape of a matrix.
pub(crate) fn square(side: usize) -> String {
    format!("{side}×{side}")
}
