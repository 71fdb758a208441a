//! Whether the work that fills a slot is done, where frames are published before it is.

use super::{CudaStream, Placement};
use crate::cuda::device::Event;
use crate::error::{Error, Result};
use crate::payload::GpuPayload;
use crate::protocol::Pinned;

/// How far the work is that fills a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    Done,
    /// The slot's event says when.
    Coming,
    /// Who had it done is gone, and the event never comes.
    Lost,
}

/// A frame that is pinned, and is complete or will be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    pub(super) pinned: Pinned,
    /// What a queue has to wait for.
    pub(super) event: Option<Event>,
}

/// What came of looking for the latest frame that is complete or will be.
pub(super) enum Latest {
    Frame(Whole),
    /// Nothing was published.
    None,
    /// Nothing that is left will be complete. The count of the latest frame.
    Lost(u64),
}

impl<T: GpuPayload, P: Placement> CudaStream<T, P> {
    /// Returns how far the work is that fills a slot, which is pinned or claimed.
    ///
    /// The event of a pinned slot is that of the frame in it.
    pub(super) fn fill_of(&self, slot: usize) -> Result<Fill> {
        let maker = self.shared.board().control().maker(slot);
        let (Some(event), Some(maker)) = (self.memory.event(slot), maker) else {
            return Ok(Fill::Done);
        };
        let is_done = || {
            self.gpu
                .is_done(event)
                .map_err(|problem| self.fail(problem))
        };
        if is_done()? {
            return Ok(Fill::Done);
        }
        let is_at_work = self.shared.is_at_work(maker);
        if is_at_work.map_err(|error| Error::os(self.name(), "ask for a writer", error))? {
            return Ok(Fill::Coming);
        }
        // It may have been done with its last breath.
        Ok(match is_done()? {
            true => Fill::Done,
            false => Fill::Lost,
        })
    }

    /// Returns a pinned frame if it is complete or will be, or else takes the pin back.
    pub(super) fn check_whole(&self, pinned: Pinned) -> Result<Option<Whole>> {
        let slot = pinned.slot;
        let fill = match cfg!(shmstream_broken = "no_wait") {
            true => Ok(Fill::Done),
            false => self.fill_of(slot),
        };
        let event = match fill {
            Ok(Fill::Done) => None,
            Ok(Fill::Coming) => self.memory.event(slot),
            Ok(Fill::Lost) => {
                self.shared.unpin(slot);
                return Ok(None);
            }
            Err(error) => {
                self.shared.unpin(slot);
                return Err(error);
            }
        };
        Ok(Some(Whole { pinned, event }))
    }

    /// Pins the latest frame that is complete or will be.
    ///
    /// Where a writer died with its work undone, that is the one before, as long as its slot is left.
    pub(super) fn pin_whole(&self) -> Result<Latest> {
        let latest = self.shared.pin_latest();
        let Some(latest) = latest.map_err(|torn| self.handle.torn(torn))? else {
            return Ok(Latest::None);
        };
        let mut pinned = latest;
        loop {
            if let Some(whole) = self.check_whole(pinned)? {
                return Ok(Latest::Frame(whole));
            }
            // Not waited for again.
            self.lost.set(self.lost.get().max(latest.count));
            match self.shared.pin_before(pinned.count) {
                Some(older) => pinned = older,
                None => return Ok(Latest::Lost(latest.count)),
            }
        }
    }

    /// Pins the latest such frame if its count is above `count`.
    pub(super) fn pin_whole_after(&self, count: u64) -> Result<Option<Whole>> {
        match self.pin_whole()? {
            Latest::Frame(whole) if whole.pinned.count > count => Ok(Some(whole)),
            Latest::Frame(whole) => {
                self.shared.unpin(whole.pinned.slot);
                Ok(None)
            }
            Latest::None | Latest::Lost(_) => Ok(None),
        }
    }

    /// Returns the count of the newest frame that this handle returned, or found lost with its writer.
    pub(crate) fn newest_passed(&self) -> u64 {
        self.handle.seen().max(self.lost.get())
    }
}
