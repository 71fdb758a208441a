//! Ways to misbehave, each of which must be noticed.

use clap::ValueEnum;

/// What one process does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// Publishes frames with a wrong checksum.
    Torn,
    /// Publishes frames that say another count than they have.
    Count,
    /// Takes a frame for newer than it is.
    Order,
    /// Reads a frame and leaves it out of its account.
    Missed,
    /// Publishes frames without counting them as written.
    Lost,
    /// Takes the write lock and keeps it.
    Hang,
    /// Panics.
    Crash,
    /// Lives on with a guard.
    Slot,
    /// Lives on with a handle.
    Row,
    /// Lives on with the write lock.
    Lock,
    /// Leaves a file behind.
    File,
    /// The process that lives through all of it keeps descriptors.
    Descriptor,
    /// It keeps mappings of streams.
    Mapping,
    /// It keeps memory.
    Memory,
    /// It keeps threads.
    Thread,
}

impl Sabotage {
    /// Returns whether the resident does it; otherwise a process of its own does.
    pub(crate) const fn is_residents(self) -> bool {
        matches!(
            self,
            Self::Descriptor | Self::Mapping | Self::Memory | Self::Thread
        )
    }

    /// Returns whether the process that does it outlives all others.
    pub(crate) const fn outlives(self) -> bool {
        matches!(self, Self::Slot | Self::Row | Self::Lock)
    }
}
