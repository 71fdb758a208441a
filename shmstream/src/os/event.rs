//! Events on a stream's file, for those who watch it instead of sleeping on a word.

#[cfg(feature = "async")]
mod bell;
#[cfg(feature = "async")]
mod queue;

use std::os::fd::AsFd;

use super::space::may_write;

#[cfg(feature = "async")]
pub(crate) use {
    bell::Bell,
    queue::{Event, Queue},
};

/// Makes an event of the kind "modified" on a file, by writing a zero where nobody reads.
///
/// Fails where the process may not write files of that size, and otherwise cannot for an open file that
/// has that byte. Whoever watches then looks again by itself.
pub(crate) fn nudge(file: impl AsFd, offset: u64) {
    if may_write(offset + 1) {
        let _ = rustix::io::pwrite(file, &[0], offset);
    }
}
