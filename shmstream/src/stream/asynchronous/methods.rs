//! The methods that wait without a thread.

use super::{AsyncFrames, Readiness, WaitFrame, WaitOwned};
use crate::error::Result;
use crate::pod::Pod;
use crate::stream::any::AnyStream;
use crate::stream::{DynStream, Stream, Subscription};

/// Reading in asynchronous programs, with the feature `async`.
///
/// On any executor: what is woken are the tasks' own wakers. No task is polled at intervals, and one
/// thread, started with the first wait, serves all streams of a process. A writer makes one more
/// system call for a frame that somebody awaits in this way, and none otherwise.
impl<T: Pod, const N: usize> Stream<T, N> {
    /// Waits for a frame newer than the newest that this handle returned, without blocking the
    /// thread.
    ///
    /// Ready at once if there is one, also one that was published before the handle was opened. A
    /// writer that dies in the middle of its work, or is killed before it could tell anybody of a
    /// frame, delays this by 100 ms at most.
    ///
    /// The future is `Send`, and the frame is not: take out what is needed and drop the frame before
    /// the next `await`, as below, or use [`wait_owned_async`](Self::wait_owned_async). A timeout is
    /// the executor's; a future that is dropped loses no frame.
    ///
    /// # Errors
    ///
    /// - [`Error::Replaced`](crate::Error::Replaced) when there is nothing new and another stream has
    ///   the name now;
    /// - [`Error::Limit`](crate::Error::Limit) when the user has too many inotify instances or
    ///   watches;
    /// - [`Error::Forked`](crate::Error::Forked), [`Error::Corrupt`](crate::Error::Corrupt),
    ///   [`Error::Os`](crate::Error::Os).
    ///
    /// # Panics
    ///
    /// The future, when it is polled after it was ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use smol::block_on;
    /// use shmstream::Stream;
    ///
    /// async fn sum(mut stream: Stream<f32, 3>) -> shmstream::Result<f32> {
    ///     let mut sum = 0.0;
    ///     for _ in 0..2 {
    ///         let frame = stream.wait_async().await?;
    ///         sum += frame.iter().sum::<f32>();
    ///         // The frame is dropped here, before the next `await`.
    ///     }
    ///     Ok(sum)
    /// }
    ///
    /// let stream = Stream::<f32, 3>::temporary()?;
    /// let mut own = stream.try_clone()?;
    /// stream.write(&[1.0, 2.0, 3.0])?;
    /// assert_eq!(*block_on(own.wait_async())?, [1.0, 2.0, 3.0]);
    ///
    /// let task = smol::spawn(sum(stream.try_clone()?));
    /// while !task.is_finished() {
    ///     stream.write(&[1.0; 3])?;
    /// }
    /// assert!(block_on(task)? >= 6.0);
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn wait_async(&mut self) -> WaitFrame<'_, Self> {
        let after = self.handle.seen();
        self.wait_after_async(after)
    }

    /// Waits for a frame whose count is above `count`, and returns the latest, without blocking the
    /// thread.
    ///
    /// # Errors
    ///
    /// As [`wait_async`](Self::wait_async).
    pub fn wait_after_async(&mut self, count: u64) -> WaitFrame<'_, Self> {
        WaitFrame::new(self, count)
    }

    /// Waits for a newer frame as [`wait_async`](Self::wait_async) does, and copies it into memory of
    /// its own.
    ///
    /// # Errors
    ///
    /// As [`wait_async`](Self::wait_async).
    pub fn wait_owned_async(&mut self) -> WaitOwned<'_, Self> {
        let after = self.handle.seen();
        WaitOwned::new(self, after)
    }

    /// Turns the handle into a [`futures_core::Stream`] of its frames: the latest each time, copied
    /// into memory of its own.
    ///
    /// Frames that come faster than they are taken are skipped, and counted in
    /// [`FrameInfo::missed`](crate::FrameInfo::missed). For every frame in order see
    /// [`Subscription::into_frames`]. Errors are those of [`wait_async`](Self::wait_async), and end
    /// it.
    ///
    /// # Examples
    ///
    /// ```
    /// use smol::{block_on, stream::StreamExt};
    ///
    /// let stream = shmstream::Stream::<u32, 1>::temporary()?;
    /// let mut frames = stream.try_clone()?.into_frames();
    /// for i in 1..=3 {
    ///     stream.write(&[i])?;
    /// }
    /// let frame = block_on(frames.next()).expect("a frame")?;
    /// assert_eq!((frame[0], frame.info().count), (3, 3));
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn into_frames(self) -> AsyncFrames<Self> {
        AsyncFrames::new(self)
    }

    /// Returns a descriptor that is readable when there is a frame newer than the newest that this
    /// handle returned.
    ///
    /// For programs with an event loop of their own. See [`Readiness`] for how it is used.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`](crate::Error::Forked), [`Error::Limit`](crate::Error::Limit),
    /// [`Error::Os`](crate::Error::Os).
    pub fn readiness(&self) -> Result<Readiness> {
        Readiness::of(self)
    }
}

/// Reading in asynchronous programs, with the feature `async`; see [`Stream`].
impl DynStream {
    /// Waits for a frame newer than the newest that this handle returned, without blocking the
    /// thread; see [`Stream::wait_async`].
    ///
    /// # Errors
    ///
    /// As [`Stream::wait_async`].
    pub fn wait_async(&mut self) -> WaitFrame<'_, Self> {
        let after = self.handle.seen();
        self.wait_after_async(after)
    }

    /// Waits for a frame whose count is above `count`, and returns the latest, without blocking the
    /// thread.
    ///
    /// # Errors
    ///
    /// As [`Stream::wait_async`].
    pub fn wait_after_async(&mut self, count: u64) -> WaitFrame<'_, Self> {
        WaitFrame::new(self, count)
    }

    /// Waits for a newer frame as [`wait_async`](Self::wait_async) does, and copies it into memory of
    /// its own.
    ///
    /// # Errors
    ///
    /// As [`Stream::wait_async`].
    pub fn wait_owned_async(&mut self) -> WaitOwned<'_, Self> {
        let after = self.handle.seen();
        WaitOwned::new(self, after)
    }

    /// Turns the handle into a [`futures_core::Stream`] of its frames: the latest each time, copied
    /// into memory of its own; see [`Stream::into_frames`].
    pub fn into_frames(self) -> AsyncFrames<Self> {
        AsyncFrames::new(self)
    }

    /// Returns a descriptor that is readable when there is a frame newer than the newest that this
    /// handle returned; see [`Stream::readiness`].
    ///
    /// # Errors
    ///
    /// As [`Stream::readiness`].
    pub fn readiness(&self) -> Result<Readiness> {
        Readiness::of(self)
    }
}

/// Reading in order in asynchronous programs, with the feature `async`; see [`Stream::wait_async`].
impl<S: AnyStream> Subscription<S> {
    /// Waits for the next frame without blocking the thread.
    ///
    /// A future that is dropped leaves the subscription where it is: the frame comes next time.
    ///
    /// # Errors
    ///
    /// As [`Stream::wait_async`].
    ///
    /// # Examples
    ///
    /// ```
    /// use smol::block_on;
    /// use shmstream::{Start, Stream};
    ///
    /// # let name = format!("doc-subscription-async-{}", std::process::id());
    /// let stream = Stream::<u32, 1>::builder(&name).history(4).create()?;
    /// let mut frames = stream.subscribe(Start::New)?;
    /// for i in 1..=3 {
    ///     stream.write(&[i])?;
    /// }
    /// for i in 1..=3 {
    ///     assert_eq!(block_on(frames.wait_async())?.get(), i);
    /// }
    /// # stream.unlink()?;
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn wait_async(&mut self) -> WaitFrame<'_, Self> {
        WaitFrame::new(self, 0)
    }

    /// Waits for the next frame as [`wait_async`](Self::wait_async) does, and copies it into memory
    /// of its own.
    ///
    /// # Errors
    ///
    /// As [`Stream::wait_async`].
    pub fn wait_owned_async(&mut self) -> WaitOwned<'_, Self> {
        WaitOwned::new(self, 0)
    }

    /// Turns the subscription into a [`futures_core::Stream`] of its frames, each copied into memory
    /// of its own.
    ///
    /// Errors are those of [`Stream::wait_async`], and end it.
    ///
    /// # Examples
    ///
    /// ```
    /// use smol::{block_on, stream::StreamExt};
    /// use shmstream::{Start, Stream};
    ///
    /// # let name = format!("doc-into-frames-{}", std::process::id());
    /// let stream = Stream::<u32, 1>::builder(&name).history(4).create()?;
    /// let frames = stream.subscribe(Start::New)?.into_frames();
    /// for i in 1..=3 {
    ///     stream.write(&[i])?;
    /// }
    /// let first: Vec<_> = block_on(frames.take(3).map(|frame| Ok(frame?[0])).try_collect())?;
    /// assert_eq!(first, [1, 2, 3]);
    /// # stream.unlink()?;
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn into_frames(self) -> AsyncFrames<Self> {
        AsyncFrames::new(self)
    }

    /// Returns a descriptor that is readable when the next frame is there.
    ///
    /// For programs with an event loop of their own. See [`Readiness`] for how it is used.
    ///
    /// # Errors
    ///
    /// As [`Stream::readiness`].
    pub fn readiness(&self) -> Result<Readiness> {
        Readiness::of(self)
    }
}
