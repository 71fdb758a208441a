//! Frames whose payload is known at run time.

use std::fmt;
use std::sync::Arc;

use super::super::frame::FrameInfo;
use super::super::handle::Handle;
use crate::error::Result;
use crate::layout::Header;
use crate::name::StreamName;
use crate::pod::Pod;
use crate::region::Pin;
use crate::schema::Schema;
use crate::view::{View, ViewMut};

/// A frame in the stream itself, which no writer changes while this guard lives.
///
/// Holds its slot as a [`Frame`](crate::Frame) does: drop it soon, and have as many slots as frames
/// are held at once, plus two. Neither `Send` nor `Sync`.
#[must_use = "the slot is pinned only while the guard lives"]
pub struct DynFrame<'a> {
    pin: Pin<'a>,
    info: FrameInfo,
    handle: &'a Handle,
}

impl<'a> DynFrame<'a> {
    #[inline(always)]
    pub(in super::super) fn new(handle: &'a Handle, (pin, info): (Pin<'a>, FrameInfo)) -> Self {
        Self { pin, info, handle }
    }

    /// Returns the frame header and the number of frames missed.
    #[inline]
    #[must_use]
    pub const fn info(&self) -> FrameInfo {
        self.info
    }

    /// Returns the schema of the frame.
    #[must_use]
    pub const fn schema(&self) -> &'a Schema {
        &self.handle.header().plan.schema
    }

    /// Returns the payload as bytes.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.pin.bytes()
    }

    /// Views the payload as an array of its items.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View::new(self.handle.name(), self.schema(), self.bytes())
    }

    /// Views a field of the payload, `"accel"`, or of structs in it, `"pose.position"`.
    ///
    /// # Errors
    ///
    /// [`Error::Field`](crate::Error::Field) when there is no such field; it lists those there are.
    pub fn field(&self, path: &str) -> Result<View<'_>> {
        self.view().field(path)
    }

    /// Returns the payload as values.
    ///
    /// `T` is the element of the stream, or an array of the innermost dimensions of a frame:
    /// `[f32; 640]` for `[[f32; 640]; 480]`. A derived struct works as well.
    ///
    /// # Errors
    ///
    /// [`Error::Type`](crate::Error::Type) and [`Error::Shape`](crate::Error::Shape) when the frame
    /// is not made of `T`.
    pub fn as_slice<T: Pod>(&self) -> Result<&[T]> {
        self.view().as_slice()
    }

    /// Copies the frame into memory of its own.
    #[must_use]
    pub fn to_owned(&self) -> DynOwnedFrame {
        let mut frame = DynOwnedFrame::blank(self.handle.name(), self.handle.header());
        let (bytes, info) = frame.parts();
        bytes.copy_from_slice(self.bytes());
        *info = self.info;
        frame
    }
}

impl fmt::Debug for DynFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "DynFrame", self.info, self.schema(), self.bytes())
    }
}

/// A frame in memory of its own.
///
/// `Send` and `Sync`, and needs no stream any more.
#[derive(Clone)]
pub struct DynOwnedFrame {
    /// What the frame was read from, for messages, and what it is made of.
    origin: Arc<(StreamName, Schema)>,
    payload: Aligned,
    info: FrameInfo,
}

impl DynOwnedFrame {
    /// A frame of zeros, to be filled.
    pub(in super::super) fn blank(name: &StreamName, header: &Header) -> Self {
        let schema = header.plan.schema.clone();
        let payload = Aligned::zeros(header.layout.frame, schema.align());
        Self {
            origin: Arc::new((name.clone(), schema)),
            payload,
            info: FrameInfo::default(),
        }
    }

    pub(in super::super) fn parts(&mut self) -> (&mut [u8], &mut FrameInfo) {
        (self.payload.bytes_mut(), &mut self.info)
    }

    /// Returns the frame header and the number of frames missed.
    #[must_use]
    pub const fn info(&self) -> FrameInfo {
        self.info
    }

    /// Returns the schema of the frame.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.origin.1
    }

    /// Returns the payload as bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.payload.bytes()
    }

    /// Returns the payload as bytes, to be changed.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.payload.bytes_mut()
    }

    /// Views the payload as an array of its items.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View::new(&self.origin.0, &self.origin.1, self.bytes())
    }

    /// Views the payload as an array of its items, to be changed.
    #[must_use]
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        let (name, schema) = &*self.origin;
        ViewMut::new(name, schema, self.payload.bytes_mut())
    }

    /// Views a field of the payload; see [`DynFrame::field`].
    ///
    /// # Errors
    ///
    /// As [`DynFrame::field`].
    pub fn field(&self, path: &str) -> Result<View<'_>> {
        self.view().field(path)
    }

    /// Returns the payload as values; see [`DynFrame::as_slice`].
    ///
    /// # Errors
    ///
    /// As [`DynFrame::as_slice`].
    pub fn as_slice<T: Pod>(&self) -> Result<&[T]> {
        self.view().as_slice()
    }
}

impl fmt::Debug for DynOwnedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "DynOwnedFrame", self.info, self.schema(), self.bytes())
    }
}

fn debug(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    info: FrameInfo,
    schema: &Schema,
    bytes: &[u8],
) -> fmt::Result {
    f.debug_struct(name)
        .field("info", &info)
        .field("schema", &format_args!("{schema}"))
        .field("bytes", &bytes.len())
        .finish()
}

/// Bytes that begin at a multiple of some alignment.
struct Aligned {
    /// With room to move the beginning.
    room: Vec<u8>,
    start: usize,
    len: usize,
    align: usize,
}

impl Aligned {
    fn zeros(len: usize, align: usize) -> Self {
        let room = vec![0; len + align - 1];
        // Not so in constant evaluation alone.
        let start = room.as_ptr().align_offset(align).min(align - 1);
        Self {
            room,
            start,
            len,
            align,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.room[self.start..self.start + self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.room[self.start..self.start + self.len]
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len, self.align);
        copy.bytes_mut().copy_from_slice(self.bytes());
        copy
    }
}
