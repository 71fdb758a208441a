//! Going through the elements of a view.

use super::place::Dimension;

/// Where the elements of an array begin, one after another.
pub(super) struct Offsets {
    left: usize,
    next: usize,
    /// How many are left in this run through the innermost dimension, and where it began.
    run: usize,
    start: usize,
    innermost: Dimension,
    /// The dimensions around it, each with the index of this run.
    others: Vec<(Dimension, usize)>,
}

impl Offsets {
    /// `first` is where the first element begins.
    pub(super) fn new(first: usize, dimensions: &[Dimension]) -> Self {
        let single = Dimension { len: 1, stride: 0 };
        let (innermost, others) = match dimensions.split_last() {
            Some((innermost, others)) => (*innermost, others),
            None => (single, &[][..]),
        };
        Self {
            left: dimensions.iter().map(|one| one.len).product(),
            next: first,
            run: innermost.len,
            start: first,
            innermost,
            others: others.iter().map(|one| (*one, 0)).collect(),
        }
    }

    fn next_run(&mut self) {
        for (one, index) in self.others.iter_mut().rev() {
            *index += 1;
            self.start += one.stride;
            if *index < one.len {
                break;
            }
            // Back to the beginning of this dimension, and on in the one around it.
            *index = 0;
            self.start -= one.len * one.stride;
        }
        self.run = self.innermost.len;
        self.next = self.start;
    }
}

impl Iterator for Offsets {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let next = self.next;
        self.run -= 1;
        match self.run {
            0 => self.next_run(),
            _ => self.next += self.innermost.stride,
        }
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Offsets {}
