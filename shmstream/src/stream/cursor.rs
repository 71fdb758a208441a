//! Where a reader in order is, and how it gets on.

use std::cell::Cell;

use super::frame::FrameInfo;
use super::handle::{Handle, LOOK_FOR_SLOT, SPINS};
use crate::error::Result;
use crate::os::futex;
#[cfg(feature = "cuda")]
use crate::protocol::Pinned;
use crate::protocol::{Next, Role};
use crate::region::Pin;
use crate::write_lock::{LOOK_AGAIN, Patience};

/// With which frame a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// The oldest frame of the stream's [`history`](crate::Builder::history).
    #[default]
    Oldest,
    /// The latest frame.
    Latest,
    /// The next frame that is published.
    New,
    /// The frame of this count, if it is kept or yet to come; otherwise the oldest behind it, with
    /// those that are gone counted as missed.
    Count(u64),
}

impl Start {
    /// Returns the count to begin with, for a stream whose latest frame has the count `newest`.
    fn count(self, newest: u64, history: usize) -> u64 {
        match self {
            Self::Oldest => (newest + 1).saturating_sub(history as u64),
            Self::Latest => newest,
            Self::New => newest + 1,
            Self::Count(count) => count,
        }
        .max(1)
    }
}

/// Frames that a subscription did not get, because they were overwritten before it read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The count of the first frame missed.
    pub first: u64,
    /// The count of the last frame missed.
    pub last: u64,
    /// The frame that the subscription returned before; `None` if the gap is at its beginning. The
    /// frames missed were published after this one.
    pub after: Option<FrameInfo>,
    /// The frame that the subscription returned next. The frames missed were published before this
    /// one.
    pub before: FrameInfo,
}

impl Gap {
    /// Returns how many frames were missed.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// The place of one reader in order.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// The count to read next.
    next: Cell<u64>,
    /// The slot to look at first.
    hint: Cell<usize>,
    /// The frame returned last.
    last: Cell<Option<FrameInfo>>,
    missed: Cell<u64>,
    gap: Cell<Option<Gap>>,
    lossless: bool,
}

impl Cursor {
    pub(crate) const fn next(&self) -> u64 {
        self.next.get()
    }

    /// Returns the slot to look at first.
    #[cfg(feature = "cuda")]
    pub(crate) const fn hint(&self) -> usize {
        self.hint.get()
    }

    pub(crate) const fn missed(&self) -> u64 {
        self.missed.get()
    }

    pub(crate) const fn gap(&self) -> Option<Gap> {
        self.gap.get()
    }

    pub(crate) const fn is_lossless(&self) -> bool {
        self.lossless
    }

    /// Notes that a frame is returned, and says what goes with it.
    fn pass(&self, info: FrameInfo, slot: usize) -> FrameInfo {
        let first = self.next.get();
        let missed = info.count - first;
        let info = FrameInfo { missed, ..info };
        let after = self.last.replace(Some(info));
        self.gap.set((missed > 0).then(|| Gap {
            first,
            last: info.count - 1,
            after,
            before: info,
        }));
        self.missed.set(self.missed.get() + missed);
        self.next.set(info.count + 1);
        self.hint.set(slot + 1);
        info
    }
}

/// Reading in order.
impl Handle {
    /// Begins to read in order. A handle has one lossless cursor at most.
    pub(crate) fn cursor(&self, start: Start, lossless: bool) -> Result<Cursor> {
        self.check_fork()?;
        self.check_size()?;
        let control = self.control();
        let history = self.header().plan.history;
        let mut next = start.count(control.newest(), history);
        control.note(self.pins.row(), Role::Subscriber);
        kill_point!(SubscribeNoted);
        if lossless {
            control.begin_to_await(&self.pins, next);
            // What was published and overwritten meanwhile is gone. What is the latest now stays, and
            // all behind it: whoever takes its slot has published another before, and so sees what is
            // awaited. A subscription that begins there misses nothing at all.
            next = next.max(start.count(control.recheck(), history));
            control.await_from(&self.pins, next);
        }
        Ok(Cursor {
            next: Cell::new(next),
            hint: Cell::new(0),
            last: Cell::new(None),
            missed: Cell::new(0),
            gap: Cell::new(None),
            lossless,
        })
    }

    /// Notes that a frame on a device was pinned by others than this handle, and is returned.
    #[cfg(feature = "cuda")]
    pub(crate) fn pass_next(&self, cursor: &Cursor, pinned: Pinned) -> FrameInfo {
        let info = cursor.pass(FrameInfo::new(pinned.count, pinned.frame, 0), pinned.slot);
        self.pass(info.count, cursor.lossless);
        info
    }

    /// Notes that a frame on a device is lost, so that writers may have its slot. It counts as missed
    /// when a later one is returned.
    #[cfg(feature = "cuda")]
    pub(crate) fn pass_lost(&self, cursor: &Cursor, count: u64) {
        self.pass(count, cursor.lossless);
    }

    /// Pins the next frame, or returns `None` before it is published.
    pub(crate) fn next(&self, cursor: &Cursor) -> Result<Option<(Pin<'_>, FrameInfo)>> {
        match self.look_for_next(cursor)? {
            Err(Next::Unsettled) => {
                kill_point!(NextUnsettled);
                // The frame is there. If the writer that marked its slot is dead, nobody else may come
                // to put the slot right.
                self.settle()?;
                Ok(self.look_for_next(cursor)?.ok())
            }
            found => Ok(found.ok()),
        }
    }

    pub(super) fn look_for_next(
        &self,
        cursor: &Cursor,
    ) -> Result<Result<(Pin<'_>, FrameInfo), Next>> {
        self.check_fork()?;
        let (next, hint) = (cursor.next.get(), cursor.hint.get());
        let pinned = self.region.pin_next(&self.pins, next, hint, |pinned| {
            let info = cursor.pass(FrameInfo::new(pinned.count, pinned.frame, 0), pinned.slot);
            self.pass(info.count, cursor.lossless);
            info
        });
        pinned.map_err(|torn| self.torn(torn))
    }

    /// Notes that this participant is past a frame, which it has pinned.
    fn pass(&self, count: u64, lossless: bool) {
        let control = self.control();
        self.seen.set(self.seen.get().max(count));
        control.note_seen(self.pins.row(), count);
        kill_point!(NextNoted);
        if lossless {
            control.await_from(&self.pins, count + 1);
            if control.freed().fire().is_some() {
                futex::wake_all(control.freed().word());
                kill_point!(NextTold);
            }
        }
    }

    /// Pins the next frame once it is there, or returns `None` when patience runs out first.
    pub(crate) fn wait_next(
        &self,
        cursor: &Cursor,
        patience: Patience,
    ) -> Result<Option<(Pin<'_>, FrameInfo)>> {
        for _ in 0..SPINS {
            if let Some(frame) = self.next(cursor)? {
                return Ok(Some(frame));
            }
            std::hint::spin_loop();
        }
        let signal = self.control().notify();
        loop {
            let Some(longest) = patience.left(LOOK_AGAIN) else {
                return self.next(cursor);
            };
            let value = signal.arm();
            kill_point!(WaitArmed);
            // Behind arming, so that nothing published from here on is slept over.
            let _ = self.control().recheck();
            let longest = match self.look_for_next(cursor)? {
                Ok(frame) => return Ok(Some(frame)),
                Err(Next::Unsettled) => {
                    self.settle()?;
                    // Nobody fires when the slot is restored.
                    longest.min(LOOK_FOR_SLOT)
                }
                Err(_) => longest,
            };
            kill_point!(WaitRechecked);
            self.sleep(signal, value, longest)?;
            kill_point!(WaitWoken);
            if let Some(frame) = self.next(cursor)? {
                return Ok(Some(frame));
            }
            self.check_replaced()?;
        }
    }
}
