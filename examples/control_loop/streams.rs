//! The three streams.

use std::time::Duration;

use common::{Result, removed};

use crate::payload::{CommandStream, MatrixStream, SlopeStream};

/// How long a reader waits for a frame before it asks what became of the writer.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

const PARTS: [&str; 3] = ["slopes", "matrix", "commands"];

/// The streams as the process has them that creates them, and unlinks them when it ends.
pub(crate) struct Streams {
    pub(crate) slopes: SlopeStream,
    pub(crate) matrix: MatrixStream,
    pub(crate) commands: CommandStream,
}

impl Streams {
    /// Creates them under names that begin with `base`.
    pub(crate) fn create(base: &str) -> Result<Self> {
        // With page tables filled from the start: a page fault is a latency too.
        let [slopes, matrix, commands] = names(base);
        Ok(Self {
            slopes: SlopeStream::builder(slopes)
                .temporary()
                .prefault()
                .create()?,
            matrix: MatrixStream::builder(matrix)
                .temporary()
                .prefault()
                .create()?,
            commands: CommandStream::builder(commands)
                .temporary()
                .prefault()
                .create()?,
        })
    }

    /// Opens them in another process.
    pub(crate) fn open(base: &str) -> Result<Self> {
        let [slopes, matrix, commands] = names(base);
        Ok(Self {
            slopes: SlopeStream::builder(slopes).prefault().open()?,
            matrix: MatrixStream::builder(matrix).prefault().open()?,
            commands: CommandStream::builder(commands).prefault().open()?,
        })
    }
}

/// Unlinks the streams after another process died: it may be the one that would have done so.
pub(crate) fn remove(base: &str) -> Result<()> {
    names(base)
        .iter()
        .try_for_each(|name| removed(shmstream::unlink(name)))
}

pub(crate) fn names(base: &str) -> [String; 3] {
    PARTS.map(|part| format!("{base}/{part}"))
}
