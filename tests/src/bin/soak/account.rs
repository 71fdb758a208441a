//! What a reader has read and missed, and whether that is all there was.

use shmstream::FrameInfo;

use crate::failures::Failure;

/// The account of one handle.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The count that it began with; zero for the first that comes.
    first: u64,
    /// The count that comes next if nothing is missed.
    next: u64,
    read: u64,
    missed: u64,
    published_ns: u64,
    /// Nothing of this count and above may be missed.
    kept: Option<u64>,
}

type Checked = Result<(), (Failure, String)>;

impl Account {
    /// An account that begins with the frame of this count, or of a later one that says how many were
    /// missed before.
    pub(crate) fn starting_at(first: u64) -> Self {
        Self {
            first,
            next: first,
            ..Self::default()
        }
    }

    /// The same, where nothing of the count `kept` and above may be missed.
    pub(crate) fn keeping(self, kept: Option<u64>) -> Self {
        Self { kept, ..self }
    }

    /// Returns the count of the newest frame, zero before the first.
    pub(crate) fn last(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    /// Returns how many frames it is an account of.
    pub(crate) fn span(&self) -> u64 {
        self.next - self.first
    }

    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// Takes down a frame that is newer than all before.
    pub(crate) fn pass(&mut self, info: FrameInfo) -> Checked {
        if self.next == 0 {
            (self.first, self.next) = (info.count, info.count);
        }
        let expected = info.count.checked_sub(self.next);
        let before = (self.next, self.published_ns);
        self.next = info.count + 1;
        self.read += 1;
        self.missed += info.missed;
        self.published_ns = info.monotonic_ns;
        let Some(expected) = expected else {
            let text = format!("count {} where {} or more was due", info.count, before.0);
            return Err((Failure::Order, text));
        };
        if info.monotonic_ns < before.1 {
            let text = format!("count {} was published before the last", info.count);
            return Err((Failure::Order, text));
        }
        if info.missed != expected || self.read + self.missed != self.span() {
            let text = format!(
                "count {} where {} was due, {} said to be missed; {} read and {} missed from {} on",
                info.count, before.0, info.missed, self.read, self.missed, self.first
            );
            return Err((Failure::Missed, text));
        }
        if info.missed > 0 && self.kept.is_some_and(|kept| kept < info.count) {
            let text = format!(
                "count {} where {} was due, in a lossless subscription that has all from {:?} on",
                info.count, before.0, self.kept
            );
            return Err((Failure::Missed, text));
        }
        Ok(())
    }

    /// Takes down a frame of a handle that returns the latest: a new one, or the last again.
    pub(crate) fn pass_latest(&mut self, info: FrameInfo) -> Checked {
        if info.count == self.last() && self.next != 0 {
            if info.missed == 0 {
                return Ok(());
            }
            let text = format!(
                "count {} again, {} said to be missed",
                info.count, info.missed
            );
            return Err((Failure::Missed, text));
        }
        self.pass(info)
    }
}
