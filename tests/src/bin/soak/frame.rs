//! Frames that say which they are, and show when a part of them belongs to another.

use zerocopy::IntoBytes;

use crate::failures::Failure;

/// What a frame is: which stream, which count, whose and which of its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// Half of the number that no other stream has.
    pub(crate) instance: u64,
    pub(crate) count: u64,
    /// The frame_id as well.
    pub(crate) number: u64,
}

/// Words that are not the pattern: the label and the checksum.
const LABEL: usize = 3;

/// Spreads a number over all bits.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn checksum(words: &[u64]) -> u64 {
    u64::from(crc32fast::hash(words.as_bytes()))
}

/// Fills a frame: the label, words that follow from it and differ in every frame, and the checksum.
pub(crate) fn fill(frame: &mut [u64], label: Label) {
    let (last, words) = frame.split_last_mut().expect("a frame of words");
    let (head, pattern) = words.split_at_mut(LABEL);
    head.copy_from_slice(&[label.instance, label.count, label.number]);
    let mut word = mix(label.instance ^ mix(label.count) ^ label.number);
    for place in pattern {
        *place = word;
        word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    }
    *last = checksum(words);
}

/// Fills a frame as [`fill`] does, with a checksum that is not its own.
pub(crate) fn fill_wrong(frame: &mut [u64], label: Label) {
    fill(frame, label);
    let last = frame.len() - 1;
    frame[last] ^= 1;
}

/// Checks that a frame is whole, and the one that its header says.
pub(crate) fn check(frame: &[u64], label: Label) -> Result<(), (Failure, String)> {
    let (last, words) = frame.split_last().expect("a frame of words");
    let found = Label {
        instance: words[0],
        count: words[1],
        number: words[2],
    };
    let sum = checksum(words);
    if sum != *last {
        let text = format!("{label:x?} holds {found:x?}, checksum {sum:x} and not {last:x}");
        return Err((Failure::Torn, text));
    }
    if found != label {
        return Err((Failure::Content, format!("{label:x?} holds {found:x?}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: Label = Label {
        instance: 1,
        count: 2,
        number: 3,
    };

    #[test]
    fn notices_any_word_of_another_frame() {
        let (mut one, mut two) = ([0; 8], [0; 8]);
        fill(&mut one, LABEL);
        fill(&mut two, Label { count: 3, ..LABEL });
        assert_eq!(check(&one, LABEL), Ok(()));
        for i in 0..one.len() {
            let mut torn = one;
            torn[i] = two[i];
            let failed = check(&torn, LABEL).map_err(|(failure, _)| failure);
            let expected = match one[i] == two[i] {
                true => Ok(()),
                false => Err(Failure::Torn),
            };
            assert_eq!(failed, expected, "word {i}");
        }
    }

    #[test]
    fn tells_frames_apart() {
        let mut frame = [0; 8];
        let other = Label { number: 4, ..LABEL };
        fill(&mut frame, other);
        let failed = check(&frame, LABEL).map_err(|(failure, _)| failure);
        assert_eq!(failed, Err(Failure::Content));
        fill_wrong(&mut frame, LABEL);
        let failed = check(&frame, LABEL).map_err(|(failure, _)| failure);
        assert_eq!(failed, Err(Failure::Torn));
    }
}
