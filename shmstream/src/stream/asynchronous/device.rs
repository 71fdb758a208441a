//! Waiting for frames on a device.

use super::{AsyncFrames, AsyncSource, Look, Participant, Readiness, WaitFrame};
use crate::error::Result;
use crate::gpu::HostHandle;
use crate::stream::FrameInfo;
use crate::stream::handle::Handle;

/// Says whether there is a newer frame.
fn look(handle: &Handle, after: u64) -> Result<Look> {
    handle.check_fork()?;
    Ok(match handle.control().recheck() > after {
        true => Look::Ready,
        false => Look::NotYet,
    })
}

/// The header of a frame, which is all that there is without a GPU.
impl AsyncSource for HostHandle {
    type Frame<'a> = FrameInfo;
    type OwnedFrame = FrameInfo;

    fn handle(&self) -> Participant<'_> {
        Participant(&self.handle)
    }

    fn passed(&self) -> u64 {
        self.handle.seen()
    }

    fn look(&self, after: u64) -> Result<Look> {
        look(&self.handle, after)
    }

    fn take(&self, _: u64) -> Result<FrameInfo> {
        let info = self.handle.look_at_latest()?;
        info.ok_or_else(|| self.handle.lost())
    }

    fn copied(frame: &FrameInfo) -> FrameInfo {
        *frame
    }
}

/// Waiting in asynchronous programs, with the feature `async`.
impl HostHandle {
    /// Waits for a frame newer than the newest whose header this handle returned, without blocking the
    /// thread; see [`Stream::wait_async`](crate::Stream::wait_async).
    ///
    /// # Errors
    ///
    /// As [`Stream::wait_async`](crate::Stream::wait_async).
    pub fn wait_async(&mut self) -> WaitFrame<'_, Self> {
        let after = self.handle.seen();
        WaitFrame::new(self, after)
    }

    /// Turns the handle into a [`futures_core::Stream`] of the headers of its frames; see
    /// [`Stream::into_frames`](crate::Stream::into_frames).
    pub fn into_frames(self) -> AsyncFrames<Self> {
        AsyncFrames::new(self)
    }

    /// Returns a descriptor that is readable when there is a frame newer than the newest whose header
    /// this handle returned; see [`Stream::readiness`](crate::Stream::readiness).
    ///
    /// # Errors
    ///
    /// As [`Stream::readiness`](crate::Stream::readiness).
    pub fn readiness(&self) -> Result<Readiness> {
        Readiness::of(self)
    }
}

/// That there is a frame, which is then taken for a queue.
#[cfg(feature = "cuda")]
impl<T, P> AsyncSource for crate::cuda::CudaStream<T, P>
where
    T: crate::payload::GpuPayload,
    P: crate::cuda::Placement,
{
    type Frame<'a> = ();
    type OwnedFrame = ();

    fn handle(&self) -> Participant<'_> {
        Participant(self.participant())
    }

    fn passed(&self) -> u64 {
        self.newest_passed()
    }

    fn look(&self, after: u64) -> Result<Look> {
        look(self.participant(), after)
    }

    fn take(&self, _: u64) -> Result<()> {
        Ok(())
    }

    fn copied((): &()) {}
}
