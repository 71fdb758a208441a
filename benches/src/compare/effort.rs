//! How much is measured.

/// Rounds, and what is done in one.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds of each contender in each case.
    pub(crate) rounds: usize,
    /// Exchanges of two processes that poll.
    pub(crate) exchanges: u64,
    /// Frames for a process that sleeps.
    pub(crate) wakes: u64,
    /// Batches of publishes.
    pub(crate) batches: u64,
    /// Milliseconds of work in one round of what is timed one by one.
    pub(crate) milliseconds: u64,
    /// Numbers of streams on the machine.
    pub(crate) populations: &'static [usize],
}

impl Effort {
    /// Some ten minutes.
    pub(crate) const FULL: Self = Self {
        rounds: 25,
        exchanges: 20_000,
        wakes: 500,
        batches: 500,
        milliseconds: 100,
        populations: &[10, 1_000, 10_000],
    };

    /// A minute, to see that everything runs: its figures are rough.
    pub(crate) const QUICK: Self = Self {
        rounds: 5,
        exchanges: 2_000,
        wakes: 100,
        batches: 50,
        milliseconds: 10,
        populations: &[10, 1_000],
    };
}
