//! What readers do with a `Stream<T, N>`.
//!
//! Inlined by force where it is short, for the reason given in `writing.rs`.

use std::time::Duration;

use super::frame::{Frame, FrameInfo, OwnedFrame};
use super::typed::Stream;
use crate::error::Result;
use crate::pod::Pod;
use crate::write_lock::Patience;

/// Reading.
///
/// Readers take no lock and never wait for writers. Those that return a [`Frame`] copy nothing.
impl<T: Pod, const N: usize> Stream<T, N> {
    /// Returns the latest frame in place, or `None` before the first.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`](crate::Error::Forked); [`Error::Corrupt`](crate::Error::Corrupt) when a
    /// process scribbled over the shared words.
    ///
    /// # Examples
    ///
    /// ```
    /// let stream = shmstream::Stream::<f32, 3>::temporary()?;
    /// assert!(stream.read()?.is_none());
    /// stream.write(&[1.0, 2.0, 3.0])?;
    /// let frame = stream.read()?.expect("a frame");
    /// stream.write(&[0.0; 3])?;
    /// assert_eq!(*frame, [1.0, 2.0, 3.0], "a guard's frame does not change");
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    #[inline(always)]
    pub fn read(&self) -> Result<Option<Frame<'_, T, N>>> {
        Ok(self.handle.read()?.map(Frame::new))
    }

    /// Returns the latest frame in place if it is newer than the newest that this handle returned.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    #[inline(always)]
    pub fn read_new(&self) -> Result<Option<Frame<'_, T, N>>> {
        Ok(self.handle.read_new()?.map(Frame::new))
    }

    /// Returns how many frames were published in all between those that this handle returned: the sum
    /// of their [`missed`](FrameInfo::missed).
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.handle.missed()
    }

    /// Copies the latest frame into a buffer of the caller's, or returns `None` before the first.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read). The buffer is as before then.
    #[inline(always)]
    pub fn read_into(&self, frame: &mut [T; N]) -> Result<Option<FrameInfo>> {
        Ok(self.handle.read()?.map(|(pin, info)| {
            pin.copy_into(frame);
            info
        }))
    }

    /// Copies the latest frame into memory of its own, or returns `None` before the first.
    ///
    /// Nothing travels over the stack, whatever the size of the frame.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_owned(&self) -> Result<Option<OwnedFrame<T, N>>> {
        Ok(self.read()?.map(|frame| frame.to_owned()))
    }

    /// Waits for a frame newer than the newest that this handle returned.
    ///
    /// Returns at once if there is one, also one that was published before the handle was opened.
    /// Sleeps in the kernel meanwhile. The frame is pinned until its guard goes: before slow work,
    /// such as printing, take out what is needed and drop the guard.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`Error::Replaced`](crate::Error::Replaced) when there is nothing
    /// new and another stream has
    /// the name now; [`Error::Os`](crate::Error::Os).
    pub fn wait(&self) -> Result<Frame<'_, T, N>> {
        self.wait_after(self.handle.seen())
    }

    /// Waits for a newer frame for `timeout` at most, and returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let stream = shmstream::Stream::<u8, 1>::temporary()?;
    /// stream.write(&[7])?;
    /// let timeout = Duration::from_millis(10);
    /// assert_eq!(*stream.wait_timeout(timeout)?.expect("a frame"), [7]);
    /// assert!(stream.wait_timeout(timeout)?.is_none(), "nothing newer");
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<Frame<'_, T, N>>> {
        self.wait_after_timeout(self.handle.seen(), timeout)
    }

    /// Waits for a frame whose count is above `count`, and returns the latest.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_after(&self, count: u64) -> Result<Frame<'_, T, N>> {
        match self.handle.wait_after(count, Patience::Forever)? {
            Some(frame) => Ok(Frame::new(frame)),
            None => unreachable!("the patience to wait for a frame is endless"),
        }
    }

    /// Waits for a frame whose count is above `count` for `timeout` at most, and returns the
    /// latest,
    /// or `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_after_timeout(
        &self,
        count: u64,
        timeout: Duration,
    ) -> Result<Option<Frame<'_, T, N>>> {
        let frame = self.handle.wait_after(count, Patience::timeout(timeout))?;
        Ok(frame.map(Frame::new))
    }
}
