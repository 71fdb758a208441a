//! The kernels that there are, by the names that they have in `kernels.ptx`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::blocks::{Address, span};
use crate::queue::Queue;
use crate::status::Outcome;

/// A kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    XorWords,
    CheckWords,
    Pause,
}

impl Kernel {
    /// Finds a kernel.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "xor_words" => Some(Self::XorWords),
            "check_words" => Some(Self::CheckWords),
            "pause_ns" => Some(Self::Pause),
            _ => None,
        }
    }

    /// Returns how many arguments it takes, each of 64 bits.
    pub(crate) const fn arguments(self) -> usize {
        match self {
            Self::XorWords => 3,
            Self::CheckWords => 4,
            Self::Pause => 1,
        }
    }

    /// Puts a run of it into a queue. As on a GPU, bad addresses are found when it runs, and cost the
    /// context.
    pub(crate) fn launch(self, queue: &Queue, arguments: Vec<u64>) {
        queue.put_late(move || match (self, arguments.as_slice()) {
            (Self::XorWords, &[address, words, key]) => xor(address, words, key),
            (Self::CheckWords, &[address, words, value, count]) => {
                check(address, words, value, count)
            }
            (Self::Pause, &[nanoseconds]) => {
                std::thread::sleep(Duration::from_nanos(nanoseconds));
                Ok(())
            }
            _ => unreachable!("as many arguments as it takes"),
        });
    }
}

/// Device addresses and lengths are as wide as this processor's.
fn wide(number: u64) -> Address {
    Address::try_from(number).unwrap_or(Address::MAX)
}

fn xor(address: u64, words: u64, key: u64) -> Outcome {
    let all = span(wide(address), wide(words.saturating_mul(8)))?;
    for word in all.words()? {
        // A load and a store, as the kernel does: nobody else may write meanwhile.
        let value = word.load(Ordering::Relaxed);
        word.store(value ^ key, Ordering::Relaxed);
    }
    Ok(())
}

fn check(address: u64, words: u64, value: u64, count: u64) -> Outcome {
    let all = span(wide(address), wide(words.saturating_mul(8)))?;
    let count = span(wide(count), size_of::<u64>())?;
    let words = all.words()?.iter();
    let wrong = words.filter(|word| word.load(Ordering::Relaxed) != value);
    let wrong = wrong.map(|_| 1_u64).sum();
    count.words()?[0].fetch_add(wrong, Ordering::Relaxed);
    Ok(())
}
