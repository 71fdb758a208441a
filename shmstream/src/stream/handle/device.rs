//! Handles to streams on a device, whose payloads are not reached through the handle.

#[cfg(feature = "cuda")]
use super::{Arc, LOOK_FOR_SLOT, Occupied, Unshared, WriteLock};
use super::{
    Directory, FrameInfo, Handle, Header, LOOK_AGAIN, Patience, Result, StreamName, read_header,
    unshared,
};
#[cfg(feature = "cuda")]
use super::{EXPORTER, Error, lock};
#[cfg(feature = "cuda")]
use crate::layout::Sharing;
#[cfg(feature = "cuda")]
use crate::protocol::Next;
use crate::protocol::Sight;
use crate::stream::options::Options;
use crate::stream::status::latest;
use crate::write_lock::Held;

impl Handle {
    /// Attaches to a stream on a device that exists, if `check` finds in its header what is expected.
    pub(crate) fn open_device(
        name: &StreamName,
        options: &Options,
        check: impl FnOnce(&Header) -> Result<()>,
    ) -> Result<Self> {
        let directory = Directory::current();
        let (file, file_len) = directory.open(name, options.any_owner)?;
        let file = unshared(name, file)?;
        let header = read_header(&directory, name, &file, file_len)?;
        check(&header)?;
        Self::attach(name, directory, header, file, options.residency)
    }

    /// Takes the write lock for this thread, although nothing can be written through the handle.
    pub(crate) fn lock_without_writing(&self, patience: Patience) -> Result<Option<Held<'_>>> {
        let held = self.acquire(patience)?;
        if held.as_ref().is_some_and(Held::is_outermost) {
            self.note_writing()?;
        }
        Ok(held)
    }

    /// Waits until the count is above `count`; false when patience runs out first.
    pub(crate) fn wait_count(&self, count: u64, patience: Patience) -> Result<bool> {
        self.check_fork()?;
        let signal = self.control().notify();
        loop {
            if self.control().count() > count {
                return Ok(true);
            }
            let Some(longest) = patience.left(LOOK_AGAIN) else {
                return Ok(false);
            };
            let value = signal.arm();
            if self.control().recheck() > count {
                return Ok(true);
            }
            self.sleep(signal, value, longest)?;
            self.check_replaced()?;
        }
    }

    /// Waits until `look` finds something; `None` when patience runs out first.
    #[cfg(feature = "cuda")]
    pub(crate) fn wait_for_next<T>(
        &self,
        patience: Patience,
        look: impl Fn() -> Result<Result<T, Next>>,
    ) -> Result<Option<T>> {
        let signal = self.control().notify();
        loop {
            if let Ok(found) = look()? {
                return Ok(Some(found));
            }
            let Some(longest) = patience.left(LOOK_AGAIN) else {
                return Ok(None);
            };
            let value = signal.arm();
            // Behind arming, so that nothing published from here on is slept over.
            let _ = self.control().recheck();
            let longest = match look()? {
                Ok(found) => return Ok(Some(found)),
                Err(Next::Unsettled) => {
                    self.settle()?;
                    // Nobody fires when the slot is restored.
                    longest.min(LOOK_FOR_SLOT)
                }
                Err(_) => longest,
            };
            self.sleep(signal, value, longest)?;
            self.check_replaced()?;
        }
    }

    /// Returns the header of the latest frame, which counts as seen, or `None` before the first.
    pub(crate) fn look_at_latest(&self) -> Result<Option<FrameInfo>> {
        self.check_fork()?;
        let Some(info) = latest(self.name(), Sight::new(self.control()))? else {
            return Ok(None);
        };
        Ok(Some(self.pass_over(info)))
    }

    /// Notes that a frame was returned, and says how many were missed before it.
    pub(crate) fn pass_over(&self, info: FrameInfo) -> FrameInfo {
        let seen = self.seen.get();
        if info.count <= seen {
            return info;
        }
        let missed = match seen {
            0 => 0,
            seen => info.count - seen - 1,
        };
        self.seen.set(info.count);
        self.missed.set(self.missed.get().wrapping_add(missed));
        self.control().note_seen(self.pins.row(), info.count);
        FrameInfo { missed, ..info }
    }
}

/// For handles whose frames threads of a driver finish.
#[cfg(feature = "cuda")]
impl Handle {
    pub(crate) const fn file(&self) -> &Arc<Unshared> {
        &self.file
    }

    pub(crate) const fn row(&self) -> usize {
        self.pins.row()
    }

    /// Takes the lock that says that the memory of the device is there: alone where it is one process's,
    /// together with others where each has it by a descriptor. False when somebody else has it alone.
    ///
    /// Until the caller gives it back, behind the memory, or the end of the process.
    pub(crate) fn hold_memory(&mut self, sharing: Sharing) -> Result<bool> {
        let taken = match sharing {
            Sharing::Handle => lock::try_lock_row(&*self.file, EXPORTER),
            Sharing::Descriptor => lock::share_row(&*self.file, EXPORTER),
        };
        let taken = taken.map_err(|error| Error::os(&self.name, "lock the memory's byte", error));
        self.exports = taken?;
        Ok(self.exports)
    }

    pub(crate) const fn write_lock(&self) -> &Arc<WriteLock> {
        &self.lock
    }

    /// Takes the write lock for the handle and not for a thread; false when patience runs out first.
    pub(crate) fn lock_for_handle(&self, patience: Patience) -> Result<bool> {
        self.check_fork()?;
        let (control, row) = (self.control(), self.pins.row());
        let taken = self
            .lock
            .acquire_for_handle(&self.file, control, row, patience)
            .map_err(|refused| self.refused(refused))?;
        if taken && let Err(error) = self.note_writing() {
            self.lock.release_for_handle(control.head());
            return Err(error);
        }
        Ok(taken)
    }

    /// Clears rows of the dead, or sleeps until a slot may be free, as for [`claim`](Self::claim).
    pub(crate) fn make_room_for(
        &self,
        occupied: Occupied,
        loaned: u64,
        armed: &mut Option<u32>,
        patience: Patience,
    ) -> Result<()> {
        self.make_room(occupied, loaned, armed, patience)
    }
}
