//! Futures of one frame.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::FusedFuture;

use super::{AsyncSource, poll_look};
use crate::error::Result;
use crate::reactor::Place;

/// A frame in the stream itself, once there is one.
///
/// Made by [`Stream::wait_async`](crate::Stream::wait_async) and its like. Dropped before it is
/// ready, it has no effect: a frame counts as seen once it is returned.
///
/// `Send`, so it can be awaited in a task that moves between threads. The frame itself is not, and
/// pins its slot: take out what is needed, and drop it before the next `await`, or else use
/// [`WaitOwned`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct WaitFrame<'a, R: AsyncSource> {
    /// Taken when the future is ready.
    source: Option<&'a mut R>,
    after: u64,
    place: Place,
}

impl<'a, R: AsyncSource> WaitFrame<'a, R> {
    pub(crate) fn new(source: &'a mut R, after: u64) -> Self {
        Self {
            source: Some(source),
            after,
            place: Place::default(),
        }
    }
}

impl<'a, R: AsyncSource> Future for WaitFrame<'a, R> {
    type Output = Result<R::Frame<'a>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            source,
            after,
            place,
        } = &mut *self;
        let found = match source {
            Some(source) => ready!(poll_look(&**source, *after, place, context)),
            None => panic!("a future was polled after it was ready"),
        };
        // The frame borrows what the future borrowed, so that goes with it.
        let source: &'a R = source.take().unwrap_or_else(|| unreachable!());
        Poll::Ready(found.and_then(|()| source.take(*after)))
    }
}

impl<R: AsyncSource> FusedFuture for WaitFrame<'_, R> {
    fn is_terminated(&self) -> bool {
        self.source.is_none()
    }
}

/// A frame in memory of its own, once there is one.
///
/// Made by [`Stream::wait_owned_async`](crate::Stream::wait_owned_async) and its like. Dropped before
/// it is ready, it has no effect: a frame counts as seen once it is returned.
#[must_use = "a future does nothing unless it is awaited"]
pub struct WaitOwned<'a, R: AsyncSource>(WaitFrame<'a, R>);

impl<'a, R: AsyncSource> WaitOwned<'a, R> {
    pub(super) fn new(source: &'a mut R, after: u64) -> Self {
        Self(WaitFrame::new(source, after))
    }
}

impl<R: AsyncSource> Future for WaitOwned<'_, R> {
    type Output = Result<R::OwnedFrame>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let frame = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(frame.map(|frame| R::copied(&frame)))
    }
}

impl<R: AsyncSource> FusedFuture for WaitOwned<'_, R> {
    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}

impl<R: AsyncSource> fmt::Debug for WaitFrame<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "WaitFrame", self)
    }
}

impl<R: AsyncSource> fmt::Debug for WaitOwned<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "WaitOwned", &self.0)
    }
}

fn debug<R: AsyncSource>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    wait: &WaitFrame<'_, R>,
) -> fmt::Result {
    f.debug_struct(name)
        .field("after", &wait.after)
        .field("done", &wait.is_terminated())
        .finish_non_exhaustive()
}
