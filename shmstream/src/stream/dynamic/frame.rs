//! Frames whose payload is known at run time.

use std::fmt;
use std::sync::Arc;

use super::super::frame::FrameInfo;
use super::DynStream;
use crate::error::{Error, Result};
use crate::layout::Header;
use crate::name::StreamName;
use crate::pod::{Pod, slice_of};
use crate::region::Pin;
use crate::schema::Schema;
use crate::view::{View, ViewMut, check_frame};

/// A frame in the stream itself, which no writer changes while this guard lives.
///
/// Holds its slot as a [`Frame`](crate::Frame) does: drop it soon, and have as many slots as frames
/// are held at once, plus two. Neither `Send` nor `Sync`; what it
/// lends, bytes, slices and views, is both.
///
/// ```compile_fail,E0277
/// fn send<T: Send>() {}
/// send::<shmstream::DynFrame<'static>>();
/// ```
#[must_use = "the slot is pinned only while the guard lives"]
pub struct DynFrame<'a> {
    pin: Pin<'a>,
    info: FrameInfo,
    stream: &'a DynStream,
}

impl<'a> DynFrame<'a> {
    #[inline(always)]
    pub(in super::super) fn new(stream: &'a DynStream, (pin, info): (Pin<'a>, FrameInfo)) -> Self {
        Self { pin, info, stream }
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
        self.stream.schema()
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
        View::new(self.stream.name(), self.schema(), self.bytes())
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
        self.stream.check_made_of::<T>()?;
        slice_of(self.bytes()).ok_or_else(|| misaligned(self.stream.name()))
    }

    /// Copies the frame into memory of its own.
    #[must_use]
    pub fn to_owned(&self) -> DynOwnedFrame {
        let mut frame = DynOwnedFrame::zeros(self.stream.origin().clone(), self.bytes().len());
        frame.payload.bytes_mut().copy_from_slice(self.bytes());
        frame.info = self.info;
        frame
    }
}

impl fmt::Debug for DynFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "DynFrame", self.info, self.schema(), self.bytes())
    }
}

/// What a frame was read from, for messages, and what it is made of.
pub(super) type Origin = (StreamName, Schema);

/// A frame in memory of its own.
///
/// `Send` and `Sync`, and needs no stream any more.
#[derive(Clone)]
pub struct DynOwnedFrame {
    origin: Arc<Origin>,
    payload: AlignedBytes,
    info: FrameInfo,
}

impl DynOwnedFrame {
    /// A frame of zeros, to be filled.
    pub(in super::super) fn blank(name: &StreamName, header: &Header) -> Self {
        let origin = Arc::new((name.clone(), header.plan.schema.clone()));
        Self::zeros(origin, header.layout.frame)
    }

    fn zeros(origin: Arc<Origin>, len: usize) -> Self {
        let payload = AlignedBytes::zeros(len, origin.1.align());
        Self {
            origin,
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
        let (name, schema) = &*self.origin;
        check_frame::<T>(name, schema)?;
        slice_of(self.bytes()).ok_or_else(|| misaligned(name))
    }
}

impl fmt::Debug for DynOwnedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "DynOwnedFrame", self.info, self.schema(), self.bytes())
    }
}

/// Says that a frame does not begin where its type can, which the check of the header excludes.
#[cold]
pub(super) fn misaligned(name: &StreamName) -> Error {
    Error::corrupt(name, "the schema", "an alignment that the slots lack")
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
struct AlignedBytes {
    /// With room to move the beginning.
    room: Vec<u8>,
    start: usize,
    len: usize,
    align: usize,
}

impl AlignedBytes {
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

impl Clone for AlignedBytes {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len, self.align);
        copy.bytes_mut().copy_from_slice(self.bytes());
        copy
    }
}
