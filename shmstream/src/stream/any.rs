//! What `Stream<T, N>` and `DynStream` have in common.

use super::dynamic::{DynFrame, DynOwnedFrame, DynStream};
use super::frame::{Frame, FrameInfo, OwnedFrame};
use super::handle::Handle;
use super::typed::Stream;
use crate::error::Result;
use crate::layout::Header;
use crate::name::StreamName;
use crate::pod::{Pod, bytes_of_mut};
use crate::region::Pin;

/// A handle to a stream: [`Stream`] or [`DynStream`].
///
/// What works with either is written for both at once, [`Subscription`](crate::Subscription) for
/// example. Implemented for these two; no other type can implement it.
pub trait AnyStream: Sized + Send + 'static {
    /// A frame in the stream itself.
    type Frame<'a>;
    /// A frame in memory of its own.
    type OwnedFrame: Send + Sync + 'static;

    /// What a frame is copied into: `[T; N]`, or bytes.
    type Buffer: ?Sized;

    /// Returns the participant behind the handle.
    #[doc(hidden)]
    fn participant(&self) -> Participant<'_>;

    /// Makes a frame of what was pinned.
    #[doc(hidden)]
    fn frame<'a>(&'a self, pinned: Pinned<'a>) -> Self::Frame<'a>;

    /// Copies a frame into memory of its own.
    #[doc(hidden)]
    fn copied(frame: &Self::Frame<'_>) -> Self::OwnedFrame;

    /// Attaches once more to the same stream.
    #[doc(hidden)]
    fn again(&self) -> Result<Self>;

    /// Makes a frame of zeros in memory of its own.
    #[doc(hidden)]
    fn blank(plan: &Blank<'_>) -> Self::OwnedFrame;

    /// Returns what a frame is made of: its payload, and what goes with it.
    #[doc(hidden)]
    fn parts(frame: &mut Self::OwnedFrame) -> (&mut [u8], &mut FrameInfo);

    /// Returns the bytes of a buffer.
    #[doc(hidden)]
    fn buffer_bytes(buffer: &mut Self::Buffer) -> &mut [u8];
}

/// What a frame that is to be filled is made for.
pub struct Blank<'a> {
    pub(super) name: &'a StreamName,
    pub(super) header: &'a Header,
}

/// The participant behind a handle. Nobody outside can name it, so nobody implements [`AnyStream`].
#[derive(Clone, Copy)]
pub struct Participant<'a>(pub(super) &'a Handle);

/// A frame as it was pinned.
pub struct Pinned<'a>(pub(super) (Pin<'a>, FrameInfo));

impl<T: Pod, const N: usize> AnyStream for Stream<T, N> {
    type Frame<'a> = Frame<'a, T, N>;
    type OwnedFrame = OwnedFrame<T, N>;
    type Buffer = [T; N];

    fn participant(&self) -> Participant<'_> {
        Participant(&self.handle)
    }

    fn frame<'a>(&'a self, Pinned(pinned): Pinned<'a>) -> Frame<'a, T, N> {
        Frame::new(pinned)
    }

    fn copied(frame: &Frame<'_, T, N>) -> OwnedFrame<T, N> {
        frame.to_owned()
    }

    fn again(&self) -> Result<Self> {
        self.try_clone()
    }

    fn blank(_: &Blank<'_>) -> OwnedFrame<T, N> {
        OwnedFrame::blank()
    }

    fn parts(frame: &mut OwnedFrame<T, N>) -> (&mut [u8], &mut FrameInfo) {
        frame.parts()
    }

    fn buffer_bytes(buffer: &mut [T; N]) -> &mut [u8] {
        bytes_of_mut(buffer)
    }
}

impl AnyStream for DynStream {
    type Frame<'a> = DynFrame<'a>;
    type OwnedFrame = DynOwnedFrame;
    type Buffer = [u8];

    fn participant(&self) -> Participant<'_> {
        Participant(&self.handle)
    }

    fn frame<'a>(&'a self, Pinned(pinned): Pinned<'a>) -> DynFrame<'a> {
        DynFrame::new(self, pinned)
    }

    fn copied(frame: &DynFrame<'_>) -> DynOwnedFrame {
        frame.to_owned()
    }

    fn again(&self) -> Result<Self> {
        self.try_clone()
    }

    fn blank(&Blank { name, header }: &Blank<'_>) -> DynOwnedFrame {
        DynOwnedFrame::blank(name, header)
    }

    fn parts(frame: &mut DynOwnedFrame) -> (&mut [u8], &mut FrameInfo) {
        frame.parts()
    }

    fn buffer_bytes(buffer: &mut [u8]) -> &mut [u8] {
        buffer
    }
}
