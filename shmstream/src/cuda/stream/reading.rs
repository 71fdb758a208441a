//! What readers do with a `CudaStream`.

use std::sync::Arc;
use std::time::Duration;

use super::fill::{Latest, Whole};
use super::{CudaStream, Placement};
use crate::cuda::Queue;
use crate::cuda::device::Lent;
use crate::cuda::frame::CudaFrame;
use crate::error::Result;
use crate::gpu::Problem;
use crate::payload::GpuPayload;
use crate::stream::FrameInfo;
use crate::write_lock::Patience;

/// Reading.
///
/// Readers take no lock, copy nothing and wait for no work: a frame that is the latest is complete, or by
/// event the queue waits for it.
///
/// By event, a frame whose writer died with its work undone is passed over and counts as missed.
impl<T: GpuPayload, P: Placement> CudaStream<T, P> {
    /// Lends the latest frame to the work of a queue, or returns `None` before the first.
    ///
    /// By event, that is the latest which is complete or whose writer lives.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`](crate::Error::Gpu) for a queue of another context, when the driver refuses, and
    /// with [`Problem::WriterGone`] when no frame is left that is complete or will be;
    /// [`Error::Forked`](crate::Error::Forked); [`Error::Corrupt`](crate::Error::Corrupt) when a process
    /// scribbled over the shared words.
    pub fn read(&self, queue: &Arc<Queue>) -> Result<Option<CudaFrame<'_, T, P>>> {
        self.check_queue(queue)?;
        match self.pin_whole()? {
            Latest::Frame(whole) => self.lend(queue, whole).map(Some),
            Latest::None => Ok(None),
            Latest::Lost(count) => Err(self.fail(Problem::WriterGone { count })),
        }
    }

    /// Lends the latest frame if it is newer than the newest that this handle returned.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_new(&self, queue: &Arc<Queue>) -> Result<Option<CudaFrame<'_, T, P>>> {
        self.handle.check_fork()?;
        match self.count() > self.newest_passed() {
            true => self.read_whole_after(queue, self.handle.seen()),
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
        self.wait_after(queue, self.handle.seen())
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
        self.wait_after_timeout(queue, self.handle.seen(), timeout)
    }

    /// Waits for a frame whose count is above `count`, and lends the latest.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_after(&self, queue: &Arc<Queue>, count: u64) -> Result<CudaFrame<'_, T, P>> {
        match self.wait_with(queue, count, Patience::Forever)? {
            Some(frame) => Ok(frame),
            None => unreachable!("the patience to wait for a frame is endless"),
        }
    }

    /// Waits for a frame whose count is above `count` for `timeout` at most, and lends the latest, or
    /// returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_after_timeout(
        &self,
        queue: &Arc<Queue>,
        count: u64,
        timeout: Duration,
    ) -> Result<Option<CudaFrame<'_, T, P>>> {
        self.wait_with(queue, count, Patience::timeout(timeout))
    }

    /// Waits for a newer frame without blocking the thread, with the feature `async`.
    ///
    /// On any executor. The future loses no frame when it is dropped before it is ready.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and those of [`Stream::wait_async`](crate::Stream::wait_async).
    #[cfg(feature = "async")]
    pub async fn wait_async(&mut self, queue: &Arc<Queue>) -> Result<CudaFrame<'_, T, P>> {
        let whole = loop {
            let passed = self.newest_passed();
            crate::WaitFrame::new(&mut *self, passed).await?;
            self.check_queue(queue)?;
            if let Some(whole) = self.pin_whole_after(self.handle.seen())? {
                break whole;
            }
        };
        self.lend(queue, whole)
    }

    /// Returns a descriptor that is readable when there is a frame newer than the newest that this
    /// handle returned, with the feature `async`; see [`Readiness`](crate::Readiness).
    ///
    /// # Errors
    ///
    /// As [`Stream::readiness`](crate::Stream::readiness).
    #[cfg(feature = "async")]
    pub fn readiness(&self) -> Result<crate::Readiness> {
        crate::Readiness::of(self)
    }

    /// Returns how many frames were published in all between those that this handle returned.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.handle.missed()
    }

    fn wait_with(
        &self,
        queue: &Arc<Queue>,
        count: u64,
        patience: Patience,
    ) -> Result<Option<CudaFrame<'_, T, P>>> {
        self.check_usable()?;
        loop {
            if self.count() > count
                && let Some(frame) = self.read_whole_after(queue, count)?
            {
                return Ok(Some(frame));
            }
            if !self
                .handle
                .wait_count(count.max(self.lost.get()), patience)?
            {
                return Ok(None);
            }
        }
    }

    fn read_whole_after(
        &self,
        queue: &Arc<Queue>,
        count: u64,
    ) -> Result<Option<CudaFrame<'_, T, P>>> {
        self.check_queue(queue)?;
        let whole = self.pin_whole_after(count)?;
        whole.map(|whole| self.lend(queue, whole)).transpose()
    }

    fn lend(&self, queue: &Arc<Queue>, whole: Whole) -> Result<CudaFrame<'_, T, P>> {
        let (lent, pinned) = (self.lend_slot(queue, whole)?, whole.pinned);
        let info = FrameInfo::new(pinned.count, pinned.frame, 0);
        let info = self.handle.pass_over(info);
        Ok(self.frame(queue, lent, pinned.slot, info))
    }

    /// Makes a frame of a slot that is pinned and lent.
    pub(super) fn frame(
        &self,
        queue: &Arc<Queue>,
        lent: Lent<T>,
        slot: usize,
        info: FrameInfo,
    ) -> CudaFrame<'_, T, P> {
        let (queue, memory) = (Arc::clone(queue), Arc::clone(&self.memory));
        CudaFrame::new(self, queue, lent, memory, slot, info)
    }

    /// Lends a slot that is pinned to a queue, which waits until it is filled, or takes the pin back.
    pub(super) fn lend_slot(&self, queue: &Arc<Queue>, whole: Whole) -> Result<Lent<T>> {
        let slot = whole.pinned.slot;
        let ordered = match whole.event {
            Some(event) => self.gpu.wait(queue, event),
            None => Ok(()),
        };
        let lent = ordered.and_then(|()| self.gpu.lend(queue, self.memory.slot(slot), self.len));
        match lent {
            Ok(lent) => {
                self.note_queue(queue);
                Ok(lent)
            }
            Err(problem) => {
                self.shared.unpin(slot);
                Err(self.fail(problem))
            }
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
        if let Err((_, unpin)) = self.gpu.after(queue, unpin) {
            match self.gpu.synchronize(queue) {
                Ok(()) => unpin(),
                // Of a lost context; otherwise the queue keeps the slot until the handle goes.
                Err(problem) => self.note(&problem),
            }
        }
    }

    pub(crate) fn copy_to_host(&self, queue: &Queue, slot: usize) -> Result<Box<[T]>> {
        let copied = self
            .gpu
            .copy_to_box(queue, self.memory.slot(slot), self.len);
        copied.map_err(|problem| self.fail(problem))
    }
}
