//! `Subscription`: every frame in order.

use std::fmt;
use std::time::Duration;

use super::any::{AnyStream, Pinned};
use super::cursor::{Cursor, Gap, Start};
use super::dynamic::DynStream;
use super::frame::FrameInfo;
use super::handle::Handle;
use super::typed::Stream;
use crate::error::Result;
use crate::pod::Pod;
use crate::write_lock::Patience;

/// A reader that gets every frame in order, as long as it keeps up.
///
/// Made by [`Stream::subscribe`] and [`DynStream::subscribe`]. A stream keeps the last frames that it
/// was created to keep ([`Builder::history`](crate::Builder::history)); a subscription that falls
/// further behind goes on with the oldest that is left, and tells exactly which it missed: how many
/// with each frame ([`FrameInfo::missed`](crate::FrameInfo::missed)), how many in all
/// ([`missed`](Self::missed)), and between which two frames ([`gap`](Self::gap)). So frames read plus
/// frames missed is what was published since its beginning.
///
/// A *lossless* subscription ([`Stream::subscribe_lossless`]) misses nothing: writers keep what it
/// has not read, and when that fills all slots they get
/// [`Error::NoFreeSlot`](crate::Error::NoFreeSlot), or wait with
/// [`write_timeout`](Stream::write_timeout) and [`loan_timeout`](Stream::loan_timeout). If its process
/// dies, however it dies, or the subscription is dropped, writers go on within a millisecond.
///
/// A subscription is a participant of its own: `Send` and not `Sync`. Reading the latest frame through
/// other handles goes on as ever.
///
/// ```
/// use shmstream::{Start, Stream};
///
/// # let name = format!("doc-subscription-{}", std::process::id());
/// let stream = Stream::<u32, 1>::builder(&name).history(8).create()?;
/// let frames = stream.subscribe(Start::New)?;
/// for i in 0..5 {
///     stream.write(&[i])?;
/// }
/// for i in 0..5 {
///     let frame = frames.read()?.expect("kept");
///     assert_eq!((frame.get(), frame.info().missed), (i, 0));
/// }
/// assert!(frames.read()?.is_none(), "all read");
/// # stream.unlink()?;
/// # Ok::<(), shmstream::Error>(())
/// ```
pub struct Subscription<S: AnyStream> {
    stream: S,
    pub(super) cursor: Cursor,
}

impl<S: AnyStream> Subscription<S> {
    fn new(stream: &S, start: Start, lossless: bool) -> Result<Self> {
        // First the cursor, then the frames that are published meanwhile: so through the new handle.
        let stream = stream.again()?;
        let cursor = stream.participant().0.cursor(start, lossless)?;
        Ok(Self { stream, cursor })
    }

    /// Returns the next frame in place, or `None` before it is published.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`](crate::Error::Forked); [`Error::Corrupt`](crate::Error::Corrupt) when a
    /// process scribbled over the shared words.
    pub fn read(&self) -> Result<Option<S::Frame<'_>>> {
        let pinned = self.handle().next(&self.cursor)?;
        Ok(pinned.map(|pinned| self.stream.frame(Pinned(pinned))))
    }

    /// Waits for the next frame.
    ///
    /// Sleeps in the kernel meanwhile.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`Error::Replaced`](crate::Error::Replaced) when there is nothing
    /// new and another stream has the name now; [`Error::Os`](crate::Error::Os).
    pub fn wait(&self) -> Result<S::Frame<'_>> {
        match self.wait_with(Patience::Forever)? {
            Some(frame) => Ok(frame),
            None => unreachable!("the patience to wait for a frame is endless"),
        }
    }

    /// Waits for the next frame for `timeout` at most, and returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<S::Frame<'_>>> {
        self.wait_with(Patience::timeout(timeout))
    }

    fn handle(&self) -> &Handle {
        self.stream.participant().0
    }

    /// Waits for the next frame, and returns it with its header.
    pub(super) fn wait_with_info(
        &self,
        patience: Patience,
    ) -> Result<Option<(S::Frame<'_>, FrameInfo)>> {
        let pinned = self.handle().wait_next(&self.cursor, patience)?;
        Ok(pinned.map(|(pin, info)| (self.stream.frame(Pinned((pin, info))), info)))
    }

    fn wait_with(&self, patience: Patience) -> Result<Option<S::Frame<'_>>> {
        let pinned = self.handle().wait_next(&self.cursor, patience)?;
        Ok(pinned.map(|pinned| self.stream.frame(Pinned(pinned))))
    }

    /// Returns an iterator over the frames, each copied into memory of its own; it waits for each.
    ///
    /// Ends after an error, which it returns. To read in place, call [`wait`](Self::wait) in a loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use shmstream::{Start, Stream};
    ///
    /// let stream = Stream::<u32, 1>::temporary()?;
    /// let frames = stream.subscribe_lossless(Start::New)?;
    /// let thread = std::thread::spawn(move || {
    ///     frames.frames().take(3).map(|frame| Ok(frame?[0])).collect::<shmstream::Result<Vec<_>>>()
    /// });
    /// for i in 0..3 {
    ///     stream.write(&[i])?;
    /// }
    /// assert_eq!(thread.join().unwrap()?, [0, 1, 2]);
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn frames(&self) -> Frames<'_, S> {
        Frames {
            subscription: self,
            patience: None,
            failed: false,
        }
    }

    /// Returns an iterator as [`frames`](Self::frames) does that ends when a frame does not come
    /// within `timeout` of the one before.
    pub fn frames_timeout(&self, timeout: Duration) -> Frames<'_, S> {
        Frames {
            subscription: self,
            patience: Some(timeout),
            failed: false,
        }
    }

    /// Returns the count of the frame that comes next, unless it is gone by then.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.cursor.next()
    }

    /// Returns how many frames there are to read: published, and neither read nor missed so far.
    ///
    /// Some of them may be overwritten already.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let count = self.handle().count();
        (count + 1).saturating_sub(self.cursor.next())
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
    pub const fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: AnyStream + fmt::Debug> fmt::Debug for Subscription<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("stream", &self.stream)
            .field("position", &self.position())
            .field("missed", &self.missed())
            .field("lossless", &self.is_lossless())
            .finish()
    }
}

/// Frames in order; see [`Subscription::frames`].
#[derive(Debug)]
pub struct Frames<'a, S: AnyStream> {
    subscription: &'a Subscription<S>,
    /// How long to wait for each; `None` for as long as it takes.
    patience: Option<Duration>,
    failed: bool,
}

impl<S: AnyStream> Iterator for Frames<'_, S> {
    type Item = Result<S::OwnedFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let patience = self.patience.map_or(Patience::Forever, Patience::timeout);
        let frame = self.subscription.wait_with(patience);
        self.failed = frame.is_err();
        let copied = frame.map(|frame| frame.map(|frame| S::copied(&frame)));
        copied.transpose()
    }
}

/// Reading in order.
impl<T: Pod, const N: usize> Stream<T, N> {
    /// Returns a reader that gets every frame in order from `start` on, as long as it keeps up.
    ///
    /// # Errors
    ///
    /// As [`try_clone`](Self::try_clone): the subscription is a participant of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// # let name = format!("doc-subscribe-{}", std::process::id());
    /// use shmstream::{Start, Stream};
    ///
    /// let stream = Stream::<u32, 1>::builder(&name).history(4).slots(5).create()?;
    /// for i in 1..=10 {
    ///     stream.write(&[i])?;
    /// }
    /// // From the oldest that is kept:
    /// let frames = stream.subscribe(Start::Oldest)?;
    /// assert_eq!(frames.read()?.expect("kept").get(), 7);
    /// // From a given count, which is gone by now:
    /// let late = stream.subscribe(Start::Count(2))?;
    /// let frame = late.read()?.expect("kept");
    /// let missed = frame.info().missed;
    /// assert_eq!(frame.info().count, 2 + missed);
    /// # stream.unlink()?;
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn subscribe(&self, start: Start) -> Result<Subscription<Self>> {
        Subscription::new(self, start, false)
    }

    /// Returns a reader that gets every frame in order from `start` on, and that writers wait for.
    ///
    /// While it has not read a frame, no writer overwrites it; a writer that finds no other slot gets
    /// [`Error::NoFreeSlot`](crate::Error::NoFreeSlot), which names this process, or waits if it was
    /// asked to. So create the stream with as many slots as frames may be waiting, plus the spare
    /// ones: `history(n)` does that.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Examples
    ///
    /// ```
    /// # let name = format!("doc-lossless-{}", std::process::id());
    /// use shmstream::{Error, Start, Stream};
    ///
    /// let stream = Stream::<u32, 1>::builder(&name).slots(4).create()?;
    /// let frames = stream.subscribe_lossless(Start::New)?;
    /// for i in 0..4 {
    ///     stream.write(&[i])?;
    /// }
    /// assert!(matches!(stream.write(&[4]), Err(Error::NoFreeSlot { .. })));
    /// assert_eq!(frames.read()?.expect("kept").get(), 0);
    /// stream.write(&[4])?;
    /// # stream.unlink()?;
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn subscribe_lossless(&self, start: Start) -> Result<Subscription<Self>> {
        Subscription::new(self, start, true)
    }
}

/// Reading in order.
impl DynStream {
    /// Returns a reader that gets every frame in order from `start` on, as long as it keeps up.
    ///
    /// # Errors
    ///
    /// As [`try_clone`](Self::try_clone).
    pub fn subscribe(&self, start: Start) -> Result<Subscription<Self>> {
        Subscription::new(self, start, false)
    }

    /// Returns a reader that gets every frame in order from `start` on, and that writers wait for; see
    /// [`Stream::subscribe_lossless`].
    ///
    /// # Errors
    ///
    /// As [`try_clone`](Self::try_clone).
    pub fn subscribe_lossless(&self, start: Start) -> Result<Subscription<Self>> {
        Subscription::new(self, start, true)
    }
}
