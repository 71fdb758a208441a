//! A frame on loan to a reader.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaView};

use super::Queue;
use super::device::Lent;
use super::memory::Memory;
use super::stream::{CudaStream, Placement};
use crate::error::{Error, Result};
use crate::payload::GpuPayload;
use crate::stream::FrameInfo;

/// A frame in the stream itself, on the device, for the work of one queue.
///
/// No writer changes the slot until the work that is in the queue when this is dropped is done. Dropping
/// does not wait: it puts a host function behind that work. If the process dies, the slot is free again.
///
/// Work on another queue must be joined first ([`join`](Self::join)).
///
/// ```compile_fail,E0597
/// # use shmstream::cuda::{CudaFrame, DeviceOnly, cudarc::driver::CudaView};
/// fn last<'a>(frame: CudaFrame<'a, f32>) -> usize {
///     let view: CudaView<'_, f32>;
///     {
///         let frame = frame;
///         view = frame.view();
///     }
///     view.len()
/// }
/// ```
#[must_use = "the slot is pinned only while the guard lives"]
pub struct CudaFrame<'a, T: GpuPayload, P: Placement = super::DeviceOnly> {
    stream: &'a CudaStream<T, P>,
    queue: Arc<Queue>,
    /// `None` only while this is dropped.
    lent: Option<Lent<T>>,
    /// So that it stays open if the frame is forgotten.
    _memory: Arc<Memory>,
    slot: usize,
    info: FrameInfo,
}

impl<'a, T: GpuPayload, P: Placement> CudaFrame<'a, T, P> {
    /// The slot is pinned for this frame, and the slice is over it.
    pub(super) const fn new(
        stream: &'a CudaStream<T, P>,
        queue: Arc<Queue>,
        lent: Lent<T>,
        memory: Arc<Memory>,
        slot: usize,
        info: FrameInfo,
    ) -> Self {
        let lent = Some(lent);
        Self {
            stream,
            queue,
            lent,
            _memory: memory,
            slot,
            info,
        }
    }

    /// Returns the frame header and the number of frames missed.
    #[must_use]
    pub const fn info(&self) -> FrameInfo {
        self.info
    }

    /// Returns the queue that the frame is on loan to.
    #[must_use]
    pub const fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    fn lent(&self) -> &Lent<T> {
        match &self.lent {
            Some(lent) => lent,
            None => unreachable!("the slice is there until the frame is dropped"),
        }
    }

    /// Returns the payload as cudarc's calls take it.
    #[must_use]
    pub fn view(&self) -> CudaView<'_, T> {
        self.lent().view()
    }

    /// Has the slot kept until the work that is in `other` now is done as well.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] when the driver refuses.
    pub fn join(&self, other: &Queue) -> Result<()> {
        self.queue
            .join(other)
            .map_err(|error| self.stream.refused("join two queues", error))
    }

    /// Copies the payload into a buffer on the device, behind the work in the queue.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the buffer has another length; [`Error::Gpu`] when the driver refuses.
    pub fn copy_into(&self, buffer: &mut CudaSlice<T>) -> Result<()> {
        let (there, here) = (self.lent().len(), buffer.len());
        if there != here {
            let reason = format!("has room for {here} elements and a frame has {there}");
            return Err(Error::invalid(
                self.stream.name(),
                "the device buffer",
                reason,
            ));
        }
        self.queue
            .memcpy_dtod(&self.view(), buffer)
            .map_err(|error| self.stream.refused("copy from the slot", error))
    }

    /// Copies the payload to the host, and waits for that.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] when the driver refuses.
    pub fn copy_to_host(&self) -> Result<Box<[T]>> {
        self.stream.copy_to_host(&self.queue, self.slot)
    }
}

impl<T: GpuPayload, P: Placement> Drop for CudaFrame<'_, T, P> {
    fn drop(&mut self) {
        // Before the host function: the queue then waits for what cudarc knows of other queues.
        self.lent = None;
        self.stream.give_back(&self.queue, self.slot);
    }
}

impl<T: GpuPayload, P: Placement> fmt::Debug for CudaFrame<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaFrame")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}
