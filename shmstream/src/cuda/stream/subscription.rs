//! `CudaSubscription`: every frame on a device in order.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::fill::Whole;
use super::{CudaStream, DeviceOnly, Placement};
use crate::cuda::Queue;
use crate::cuda::frame::CudaFrame;
use crate::cuda::shared::Shared;
use crate::error::Result;
use crate::payload::GpuPayload;
use crate::protocol::Next;
use crate::stream::cursor::Cursor;
use crate::stream::{Gap, Start};
use crate::write_lock::Patience;

/// A reader that gets every frame on a device in order, as long as it keeps up.
///
/// Made by [`CudaStream::subscribe`] and [`CudaStream::subscribe_lossless`]; behaves as a
/// [`Subscription`](crate::Subscription) does, also when its process dies. It is a handle of its own:
/// `Send`, and not `Sync`.
///
/// By event, a frame whose writer died with its work undone counts as missed once a later one is returned.
pub struct CudaSubscription<T: GpuPayload, P: Placement = DeviceOnly> {
    stream: CudaStream<T, P>,
    cursor: Cursor,
    /// Frames below this count were found lost with their writer.
    from: Cell<u64>,
}

impl<T: GpuPayload, P: Placement> CudaStream<T, P> {
    /// Opens the same stream once more, as another participant.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), but for the name, which is not looked for.
    pub fn try_clone(&self) -> Result<Self> {
        let mut handle = self.handle.attach_again()?;
        let shared = Shared::new(self.name(), &handle)?;
        let holding = self.memory.share_again(&mut handle)?;
        let memory = Arc::clone(&self.memory);
        Ok(Self::join(
            handle,
            shared,
            memory,
            holding,
            self.gpu.clone(),
        ))
    }

    /// Returns a reader that gets every frame in order from `start` on, as long as it keeps up.
    ///
    /// The stream keeps as many as its [`history`](crate::cuda::CudaBuilder::history) says.
    ///
    /// # Errors
    ///
    /// As [`try_clone`](Self::try_clone): the subscription is a participant of its own.
    pub fn subscribe(&self, start: Start) -> Result<CudaSubscription<T, P>> {
        CudaSubscription::new(self.try_clone()?, start, false)
    }

    /// Returns a reader that gets every frame in order from `start` on, and that writers wait for.
    ///
    /// A writer that finds no other slot gets [`Error::NoFreeSlot`](crate::Error::NoFreeSlot), or waits
    /// in [`publish_timeout`](Self::publish_timeout).
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_lossless(&self, start: Start) -> Result<CudaSubscription<T, P>> {
        CudaSubscription::new(self.try_clone()?, start, true)
    }
}

impl<T: GpuPayload, P: Placement> CudaSubscription<T, P> {
    fn new(stream: CudaStream<T, P>, start: Start, lossless: bool) -> Result<Self> {
        let cursor = stream.handle.cursor(start, lossless)?;
        let from = Cell::new(0);
        Ok(Self {
            stream,
            cursor,
            from,
        })
    }

    /// Lends the next frame to the work of a queue, or returns `None` before it is published.
    ///
    /// # Errors
    ///
    /// As [`CudaStream::read`].
    pub fn read(&self, queue: &Arc<Queue>) -> Result<Option<CudaFrame<'_, T, P>>> {
        self.wait_with(queue, Patience::None)
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    ///
    /// As [`CudaStream::wait`].
    pub fn wait(&self, queue: &Arc<Queue>) -> Result<CudaFrame<'_, T, P>> {
        loop {
            if let Some(frame) = self.wait_with(queue, Patience::Forever)? {
                return Ok(frame);
            }
        }
    }

    /// Waits for the next frame for `timeout` at most, and returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`CudaStream::wait`].
    pub fn wait_timeout(
        &self,
        queue: &Arc<Queue>,
        timeout: Duration,
    ) -> Result<Option<CudaFrame<'_, T, P>>> {
        self.wait_with(queue, Patience::timeout(timeout))
    }

    /// Waits for the next frame without blocking the thread, with the feature `async`.
    ///
    /// A future that is dropped leaves the subscription where it is.
    ///
    /// # Errors
    ///
    /// As [`CudaStream::wait_async`].
    #[cfg(feature = "async")]
    pub async fn wait_async(&mut self, queue: &Arc<Queue>) -> Result<CudaFrame<'_, T, P>> {
        let whole = loop {
            let before = self.position() - 1;
            crate::WaitFrame::new(&mut self.stream, before).await?;
            self.stream.check_queue(queue)?;
            match self.look()? {
                Ok(whole) => break whole,
                Err(Next::Unsettled) => self.stream.handle.settle()?,
                Err(_) => {}
            }
        };
        self.lend(queue, whole)
    }

    fn wait_with(
        &self,
        queue: &Arc<Queue>,
        patience: Patience,
    ) -> Result<Option<CudaFrame<'_, T, P>>> {
        self.stream.check_queue(queue)?;
        let waited = self.stream.handle.wait_for_next(patience, || self.look())?;
        waited.map(|whole| self.lend(queue, whole)).transpose()
    }

    /// Pins the next frame that is complete or will be.
    fn look(&self) -> Result<Result<Whole, Next>> {
        loop {
            let (next, hint) = (self.position(), self.cursor.hint());
            let pinned = match self.stream.shared.pin_next(next, hint) {
                Ok(Next::Frame(pinned)) => pinned,
                Ok(other) => return Ok(Err(other)),
                Err(torn) => return Err(self.stream.handle.torn(torn)),
            };
            if let Some(whole) = self.stream.check_whole(pinned)? {
                return Ok(Ok(whole));
            }
            // Its slot is needed for frames to come, if writers keep it.
            self.from.set(pinned.count + 1);
            self.stream.handle.pass_lost(&self.cursor, pinned.count);
        }
    }

    /// Lends a frame that is pinned, and goes past it; after an error it comes next time.
    fn lend(&self, queue: &Arc<Queue>, whole: Whole) -> Result<CudaFrame<'_, T, P>> {
        let (lent, pinned) = (self.stream.lend_slot(queue, whole)?, whole.pinned);
        let info = self.stream.handle.pass_next(&self.cursor, pinned);
        Ok(self.stream.frame(queue, lent, pinned.slot, info))
    }

    /// Returns the count of the frame that comes next, unless it is gone by then.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.cursor.next().max(self.from.get())
    }

    /// Returns how many frames there are to read: published, and neither read nor missed so far.
    #[must_use]
    pub fn behind(&self) -> u64 {
        (self.stream.count() + 1).saturating_sub(self.position())
    }

    /// Returns how many frames were missed in all.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.cursor.missed()
    }

    /// Returns the frames missed right before the frame that was returned last; `None` if there were
    /// none.
    #[must_use]
    pub const fn gap(&self) -> Option<Gap> {
        self.cursor.gap()
    }

    /// Returns whether writers keep what this subscription has not read.
    #[must_use]
    pub const fn is_lossless(&self) -> bool {
        self.cursor.is_lossless()
    }

    /// Returns the subscription's own handle to the stream.
    #[must_use]
    pub const fn stream(&self) -> &CudaStream<T, P> {
        &self.stream
    }
}

impl<T: GpuPayload, P: Placement> fmt::Debug for CudaSubscription<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaSubscription")
            .field("stream", &self.stream)
            .field("position", &self.position())
            .field("missed", &self.missed())
            .field("lossless", &self.is_lossless())
            .finish()
    }
}
