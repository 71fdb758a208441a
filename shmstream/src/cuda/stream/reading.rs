//! What readers do with a `CudaStream`.

use std::sync::Arc;
use std::time::Duration;

use super::{CudaStream, Placement};
use crate::cuda::Queue;
use crate::cuda::frame::CudaFrame;
use crate::error::Result;
use crate::gpu::Problem;
use crate::payload::GpuPayload;
use crate::protocol::Pinned;
use crate::stream::FrameInfo;
use crate::write_lock::Patience;

/// Reading.
///
/// Readers take no lock, copy nothing and wait for no work: a frame that is the latest is complete.
impl<T: GpuPayload, P: Placement> CudaStream<T, P> {
    /// Lends the latest frame to the work of a queue, or returns `None` before the first.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`](crate::Error::Gpu) for a queue of another context, and when the driver refuses;
    /// [`Error::Forked`](crate::Error::Forked); [`Error::Corrupt`](crate::Error::Corrupt) when a process
    /// scribbled over the shared words.
    pub fn read(&self, queue: &Arc<Queue>) -> Result<Option<CudaFrame<'_, T, P>>> {
        self.check_queue(queue)?;
        let pinned = self.shared.pin_latest();
        match pinned.map_err(|torn| self.handle.torn(torn))? {
            Some(pinned) => self.lend(queue, pinned).map(Some),
            None => Ok(None),
        }
    }

    /// Lends the latest frame if it is newer than the newest that this handle returned.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_new(&self, queue: &Arc<Queue>) -> Result<Option<CudaFrame<'_, T, P>>> {
        self.handle.check_fork()?;
        match self.count() > self.seen.get() {
            true => self.read(queue),
            false => Ok(None),
        }
    }

    /// Waits for a frame newer than the newest that this handle returned.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`Error::Replaced`](crate::Error::Replaced) when there is nothing new and
    /// another stream has the name now.
    pub fn wait(&self, queue: &Arc<Queue>) -> Result<CudaFrame<'_, T, P>> {
        loop {
            if let Some(frame) = self.wait_with(queue, Patience::Forever)? {
                return Ok(frame);
            }
        }
    }

    /// Waits for a newer frame for `timeout` at most, and returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(
        &self,
        queue: &Arc<Queue>,
        timeout: Duration,
    ) -> Result<Option<CudaFrame<'_, T, P>>> {
        self.wait_with(queue, Patience::timeout(timeout))
    }

    /// Returns how many frames were published in all between those that this handle returned.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed.get()
    }

    fn wait_with(
        &self,
        queue: &Arc<Queue>,
        patience: Patience,
    ) -> Result<Option<CudaFrame<'_, T, P>>> {
        match self.handle.wait_count(self.seen.get(), patience)? {
            true => self.read(queue),
            false => Ok(None),
        }
    }

    fn lend(&self, queue: &Arc<Queue>, pinned: Pinned) -> Result<CudaFrame<'_, T, P>> {
        let Pinned { slot, count, frame } = pinned;
        let lent = self
            .wait_for(queue, slot)
            .and_then(|()| self.gpu.lend(queue, self.memory.slot(slot), self.len));
        let lent = match lent {
            Ok(lent) => lent,
            Err(problem) => {
                self.shared.unpin(slot);
                return Err(self.fail(problem));
            }
        };
        self.note_queue(queue);
        let info = FrameInfo::new(count, frame, self.seen.get());
        if count > self.seen.get() {
            self.seen.set(count);
            self.missed.set(self.missed.get().wrapping_add(info.missed));
            self.shared.note_seen(count);
        }
        Ok(CudaFrame::new(self, Arc::clone(queue), lent, slot, info))
    }

    /// Has a queue wait until a slot is filled, where frames are handed over before they are.
    ///
    /// The slot is pinned, so its event is that of the frame in it.
    fn wait_for(&self, queue: &Queue, slot: usize) -> Result<(), Problem> {
        match self.memory.event(slot) {
            Some(event) if !cfg!(shmstream_broken = "no_wait") => self.gpu.wait(queue, event),
            _ => Ok(()),
        }
    }

    /// Takes a pin back behind the work in a queue.
    pub(crate) fn give_back(&self, queue: &Arc<Queue>, slot: usize) {
        if self.handle.check_fork().is_err() {
            return;
        }
        if cfg!(shmstream_broken = "early_release") {
            return self.shared.unpin(slot);
        }
        let shared = Arc::clone(&self.shared);
        let unpin = move || shared.unpin(slot);
        if let Err((_, unpin)) = self.gpu.after(queue, unpin)
            && self.gpu.synchronize(queue).is_ok()
        {
            unpin();
        }
        // A queue that cannot be waited for keeps the slot until the handle goes.
    }

    pub(crate) fn copy_to_host(&self, queue: &Queue, slot: usize) -> Result<Box<[T]>> {
        let copied = self
            .gpu
            .copy_to_box(queue, self.memory.slot(slot), self.len);
        copied.map_err(|problem| self.fail(problem))
    }
}
