//! Frames that show when a part of them belongs to another frame.

/// Words in a checked frame: two pages, so that a frame spans more than what one copy keeps whole.
pub const WORDS: usize = 1024;

/// A frame of which the first word says who wrote it, the second which of its writer's frames it is,
/// the last is a checksum, and the others follow from the first two.
pub type Checked = [u64; WORDS];

const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value ^ (value >> 29)
}

fn sum(words: &[u64]) -> u64 {
    words
        .iter()
        .fold(0, |sum, &word| mix(sum.rotate_left(1) ^ word))
}

/// Fills a frame.
pub fn fill(frame: &mut Checked, writer: u64, number: u64) {
    frame[0] = writer;
    frame[1] = number;
    let seed = mix(writer << 48 ^ number);
    for (i, word) in frame[2..WORDS - 1].iter_mut().enumerate() {
        *word = seed.wrapping_add(i as u64);
    }
    frame[WORDS - 1] = sum(&frame[..WORDS - 1]);
}

/// Checks a frame, and returns who wrote it and which of its frames it is.
///
/// # Panics
///
/// When the frame is torn.
#[track_caller]
pub fn check(frame: &Checked) -> (u64, u64) {
    let (writer, number) = (frame[0], frame[1]);
    let seed = mix(writer << 48 ^ number);
    for (i, &word) in frame[2..WORDS - 1].iter().enumerate() {
        assert_eq!(
            word,
            seed.wrapping_add(i as u64),
            "torn at word {} of {writer}/{number}",
            i + 2
        );
    }
    assert_eq!(
        frame[WORDS - 1],
        sum(&frame[..WORDS - 1]),
        "torn checksum of {writer}/{number}"
    );
    (writer, number)
}
