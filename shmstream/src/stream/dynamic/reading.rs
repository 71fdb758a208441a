//! What readers do with a `DynStream`.

use std::time::Duration;

use super::super::frame::FrameInfo;
use super::{DynFrame, DynOwnedFrame, DynStream};
use crate::error::Result;
use crate::pod::{Pod, bytes_of_slice_mut};
use crate::region::Pin;
use crate::write_lock::Patience;

/// Reading.
///
/// Readers take no lock and never wait for writers, as those of a [`Stream`](crate::Stream) do not.
impl DynStream {
    #[inline(always)]
    fn framed<'a>(&'a self, pinned: Option<(Pin<'a>, FrameInfo)>) -> Option<DynFrame<'a>> {
        pinned.map(|pinned| DynFrame::new(self, pinned))
    }

    /// Returns the latest frame in place, or `None` before the first.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::read`](crate::Stream::read).
    #[inline(always)]
    pub fn read(&self) -> Result<Option<DynFrame<'_>>> {
        Ok(self.framed(self.handle.read()?))
    }

    /// Returns the latest frame in place if it is newer than the newest that this handle returned.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    #[inline(always)]
    pub fn read_new(&self) -> Result<Option<DynFrame<'_>>> {
        Ok(self.framed(self.handle.read_new()?))
    }

    /// Returns how many frames were published in all between those that this handle returned: the sum
    /// of their [`missed`](FrameInfo::missed).
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.handle.missed()
    }

    /// Copies the latest frame into values of the caller's, or returns `None` before the first.
    ///
    /// `T` as for [`write`](Self::write); there are as many values as make a frame.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`Error::Type`](crate::Error::Type) and
    /// [`Error::Shape`](crate::Error::Shape) when a frame is not made of `T`,
    /// [`Error::Invalid`](crate::Error::Invalid) when there are more or fewer values than make a
    /// frame. The values are as before then.
    pub fn read_into<T: Pod>(&self, values: &mut [T]) -> Result<Option<FrameInfo>> {
        // Also before the first frame.
        self.check_values(values)?;
        self.read_bytes_into(bytes_of_slice_mut(values))
    }

    /// Copies the latest frame into bytes of the caller's, or returns `None` before the first.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`Error::Invalid`](crate::Error::Invalid) when there are more or
    /// fewer bytes than make a frame.
    pub fn read_bytes_into(&self, bytes: &mut [u8]) -> Result<Option<FrameInfo>> {
        self.check_len(bytes.len())?;
        Ok(self.handle.read()?.map(|(pin, info)| {
            bytes.copy_from_slice(pin.bytes());
            info
        }))
    }

    /// Copies the latest frame into memory of its own, or returns `None` before the first.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_owned(&self) -> Result<Option<DynOwnedFrame>> {
        Ok(self.read()?.map(|frame| frame.to_owned()))
    }

    /// Waits for a frame newer than the newest that this handle returned; see
    /// [`Stream::wait`](crate::Stream::wait).
    ///
    /// # Errors
    ///
    /// Those of [`Stream::wait`](crate::Stream::wait).
    pub fn wait(&self) -> Result<DynFrame<'_>> {
        self.wait_after(self.handle.seen())
    }

    /// Waits for a newer frame for `timeout` at most, and returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<DynFrame<'_>>> {
        self.wait_after_timeout(self.handle.seen(), timeout)
    }

    /// Waits for a frame whose count is above `count`, and returns the latest.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_after(&self, count: u64) -> Result<DynFrame<'_>> {
        match self.framed(self.handle.wait_after(count, Patience::Forever)?) {
            Some(frame) => Ok(frame),
            None => unreachable!("the patience to wait for a frame is endless"),
        }
    }

    /// Waits for a frame whose count is above `count` for `timeout` at most, and returns the latest,
    /// or `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_after_timeout(
        &self,
        count: u64,
        timeout: Duration,
    ) -> Result<Option<DynFrame<'_>>> {
        let pinned = self.handle.wait_after(count, Patience::timeout(timeout))?;
        Ok(self.framed(pinned))
    }
}
