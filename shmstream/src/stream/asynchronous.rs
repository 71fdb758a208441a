//! Waiting without a thread of one's own: futures, streams of frames, descriptors.
//!
//! All of them do the same: look whether there is a frame, get on the list of the stream's
//! [`Watch`](crate::reactor::Watch), and look once more. What is a frame, and which, is all that
//! depends on what is waited for.

mod device;
mod frames;
mod future;
mod methods;
mod readiness;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::task::{Context, Poll};

pub use frames::AsyncFrames;
pub use future::{WaitFrame, WaitOwned};
pub use readiness::Readiness;

use super::any::{AnyStream, Participant, Pinned};
use super::handle::Handle;
use super::subscription::Subscription;
use crate::error::{Error, Result};
use crate::protocol::Next;
use crate::reactor::{Place, Subject, Waiter, Watch, Whom};
use crate::write_lock::Patience;

/// What frames can be awaited from: [`Stream`](crate::Stream), [`DynStream`](crate::DynStream),
/// [`Subscription`], [`HostHandle`](crate::gpu::HostHandle) and `CudaStream`.
///
/// Implemented for these; no other type can implement it.
pub trait AsyncSource: Send + 'static {
    /// A frame in the stream itself.
    type Frame<'a>;
    /// A frame in memory of its own.
    type OwnedFrame: Send + Sync + 'static;

    /// Returns the participant behind the source.
    #[doc(hidden)]
    fn handle(&self) -> Participant<'_>;

    /// Returns the count of the newest frame that the source is past.
    #[doc(hidden)]
    fn passed(&self) -> u64;

    /// Says whether there is a frame to take, with a count above `after`. Changes nothing.
    #[doc(hidden)]
    fn look(&self, after: u64) -> Result<Look>;

    /// Takes the frame that [`look`](Self::look) has just found.
    #[doc(hidden)]
    fn take(&self, after: u64) -> Result<Self::Frame<'_>>;

    /// Copies a frame into memory of its own.
    #[doc(hidden)]
    fn copied(frame: &Self::Frame<'_>) -> Self::OwnedFrame;
}

/// Whether there is a frame to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Ready,
    NotYet,
    /// A writer has marked the slot of a frame that is awaited; see [`Next::Unsettled`].
    Unsettled,
}

impl<S: AnyStream> AsyncSource for S {
    type Frame<'a> = S::Frame<'a>;
    type OwnedFrame = S::OwnedFrame;

    fn handle(&self) -> Participant<'_> {
        self.participant()
    }

    fn passed(&self) -> u64 {
        self.participant().0.seen()
    }

    fn look(&self, after: u64) -> Result<Look> {
        let handle = self.participant().0;
        handle.check_fork()?;
        Ok(match handle.control().recheck() > after {
            true => Look::Ready,
            false => Look::NotYet,
        })
    }

    fn take(&self, _: u64) -> Result<S::Frame<'_>> {
        let handle = self.participant().0;
        match handle.read()? {
            Some(pinned) => Ok(self.frame(Pinned(pinned))),
            None => Err(handle.lost()),
        }
    }

    fn copied(frame: &S::Frame<'_>) -> S::OwnedFrame {
        S::copied(frame)
    }
}

impl<S: AnyStream> AsyncSource for Subscription<S> {
    type Frame<'a> = S::Frame<'a>;
    type OwnedFrame = S::OwnedFrame;

    fn handle(&self) -> Participant<'_> {
        self.stream().participant()
    }

    fn passed(&self) -> u64 {
        self.position() - 1
    }

    fn look(&self, _: u64) -> Result<Look> {
        let handle = AsyncSource::handle(self).0;
        handle.check_fork()?;
        let next = self.position();
        if handle.control().recheck() < next {
            return Ok(Look::NotYet);
        }
        if !self.is_lossless() {
            return Ok(Look::Ready);
        }
        match handle.region.pin_next(&handle.pins, next, 0, |_| ()) {
            Ok(Ok(_)) => Ok(Look::Ready),
            Ok(Err(Next::Unsettled)) => Ok(Look::Unsettled),
            Ok(Err(_)) => Ok(Look::NotYet),
            Err(torn) => Err(handle.torn(torn)),
        }
    }

    fn take(&self, _: u64) -> Result<S::Frame<'_>> {
        let handle = AsyncSource::handle(self).0;
        loop {
            match handle.look_for_next(&self.cursor)? {
                Ok(pinned) => return Ok(self.stream().frame(Pinned(pinned))),
                // Marked since the look. A writer that lives restores it with its next instructions.
                Err(Next::Unsettled) => {
                    drop(handle.lock(Patience::None)?);
                    std::thread::yield_now();
                }
                Err(_) => return Err(handle.lost()),
            }
        }
    }

    fn copied(frame: &S::Frame<'_>) -> S::OwnedFrame {
        S::copied(frame)
    }
}

/// Waiting without a thread.
impl Handle {
    /// Returns the watch of the stream.
    fn watch(&self) -> Result<&Arc<Watch>> {
        if let Some(watch) = self.watch.get() {
            return Ok(watch);
        }
        let watch = Watch::of(Subject {
            name: self.name(),
            directory: &self.directory,
            header: self.header(),
            file: &self.file,
        })?;
        Ok(self.watch.get_or_init(|| watch))
    }

    /// A frame that was there is not any more, and frames do not go.
    #[cold]
    fn lost(&self) -> Error {
        let count = self.control().count();
        Error::corrupt(self.name(), "the count of the latest frame", count)
    }
}

/// Looks whether there is a frame to take, and has the task woken when there may be.
///
/// Whoever calls it then calls [`AsyncSource::take`], and lets the place go.
fn poll_look<R: AsyncSource>(
    source: &R,
    after: u64,
    place: &mut Place,
    context: &Context<'_>,
) -> Poll<Result<()>> {
    let looked = try_look(source, after, place, context);
    match looked {
        Ok(false) => Poll::Pending,
        Ok(true) | Err(_) => {
            place.leave();
            Poll::Ready(looked.map(drop))
        }
    }
}

fn try_look<R: AsyncSource>(
    source: &R,
    after: u64,
    place: &mut Place,
    context: &Context<'_>,
) -> Result<bool> {
    let handle = source.handle().0;
    if let Some(watch) = handle.watch.get() {
        watch.check_truncated()?;
    }
    if source.look(after)? == Look::Ready {
        return Ok(true);
    }
    let watch = handle.watch()?;
    // Before the look that decides. What is published behind that has another count.
    let mut seen = Some(handle.control().count());
    loop {
        let whom = Whom::Task(context.waker().clone());
        watch.enrol(place, Waiter { whom, seen })?;
        match source.look(after)? {
            Look::Ready => return Ok(true),
            Look::Unsettled if seen.is_some() => {
                // If the writer that marked the slot is dead, taking its lock puts the slot right.
                // If it lives it does so itself, and tells nobody.
                drop(handle.lock(Patience::None)?);
                seen = None;
            }
            Look::Unsettled | Look::NotYet => break,
        }
    }
    if watch.is_replaced() {
        handle.check_replaced()?;
    }
    Ok(false)
}
