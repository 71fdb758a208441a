//! Frames one after the other.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};

use super::{AsyncSource, poll_look};
use crate::error::Result;
use crate::reactor::Place;

/// The frames of a source as they come, each in memory of its own: a [`futures_core::Stream`].
///
/// Made by [`Stream::into_frames`](crate::Stream::into_frames), which gives the latest frame each
/// time, and by [`Subscription::into_frames`](crate::Subscription::into_frames), which gives each in
/// order. Ends after an error, which it returns; never by itself.
///
/// Dropping the future of a next frame, as `select!` does, loses none.
#[must_use = "a stream of frames does nothing unless it is polled"]
pub struct AsyncFrames<R: AsyncSource> {
    source: R,
    place: Place,
    failed: bool,
}

impl<R: AsyncSource> AsyncFrames<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            place: Place::default(),
            failed: false,
        }
    }

    /// Returns where the frames come from.
    #[must_use]
    pub const fn source(&self) -> &R {
        &self.source
    }

    /// Returns where the frames come from, to go on with it otherwise.
    #[must_use]
    pub fn into_source(self) -> R {
        self.source
    }
}

// Nothing points into it.
impl<R: AsyncSource> Unpin for AsyncFrames<R> {}

impl<R: AsyncSource> Stream for AsyncFrames<R> {
    type Item = Result<R::OwnedFrame>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self {
            source,
            place,
            failed,
        } = &mut *self;
        if *failed {
            return Poll::Ready(None);
        }
        let after = source.passed();
        let found = ready!(poll_look(source, after, place, context));
        let frame = found.and_then(|()| source.take(after));
        *failed = frame.is_err();
        Poll::Ready(Some(frame.map(|frame| R::copied(&frame))))
    }
}

impl<R: AsyncSource> FusedStream for AsyncFrames<R> {
    fn is_terminated(&self) -> bool {
        self.failed
    }
}

impl<R: AsyncSource + fmt::Debug> fmt::Debug for AsyncFrames<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFrames")
            .field("source", &self.source)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
