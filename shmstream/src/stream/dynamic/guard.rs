//! Guards of a writer whose payload is known at run time.

use std::fmt;
use std::ops::Deref;

use super::DynStream;
use super::frame::misaligned;
use crate::error::Result;
use crate::pod::{Pod, slice_of, slice_of_mut};
use crate::region::Claim;
use crate::schema::Schema;
use crate::view::{View, ViewMut};
use crate::write_lock::Held;

/// A free slot on loan to a writer, to fill in place and then publish.
///
/// The slot holds some older frame or zeros at first, so write all of it. Dropped without
/// [`publish`](Self::publish), nothing is published. Holds the write lock, as a
/// [`Loan`](crate::Loan) does. Neither `Send` nor `Sync`.
///
/// ```compile_fail,E0277
/// fn send<T: Send>() {}
/// send::<shmstream::DynLoan<'static>>();
/// ```
#[must_use = "a loan that is dropped publishes nothing"]
pub struct DynLoan<'a> {
    claim: Claim<'a>,
    stream: &'a DynStream,
}

impl<'a> DynLoan<'a> {
    #[inline(always)]
    pub(super) const fn new(claim: Claim<'a>, stream: &'a DynStream) -> Self {
        Self { claim, stream }
    }

    /// Returns the schema of the frame.
    #[must_use]
    pub const fn schema(&self) -> &'a Schema {
        self.stream.schema()
    }

    /// Returns the payload as bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.claim.bytes()
    }

    /// Returns the payload as bytes, to be changed.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.claim.bytes_mut()
    }

    /// Returns the payload as values; `T` as for [`DynFrame::as_slice`](crate::DynFrame::as_slice).
    ///
    /// # Errors
    ///
    /// [`Error::Type`](crate::Error::Type) and [`Error::Shape`](crate::Error::Shape) when a frame is
    /// not made of `T`.
    pub fn as_slice<T: Pod>(&self) -> Result<&[T]> {
        self.stream.check_made_of::<T>()?;
        slice_of(self.bytes()).ok_or_else(|| misaligned(self.stream.name()))
    }

    /// Returns the payload as values, to be changed.
    ///
    /// # Errors
    ///
    /// As [`as_slice`](Self::as_slice).
    ///
    /// # Examples
    ///
    /// ```
    /// use shmstream::{DType, DynStream, Schema};
    ///
    /// let stream = DynStream::temporary(Schema::tensor(DType::U16, &[480, 640]))?;
    /// let mut image = stream.loan()?;
    /// for (y, row) in image.as_mut_slice::<[u16; 640]>()?.iter_mut().enumerate() {
    ///     row.fill(u16::try_from(y).unwrap());
    /// }
    /// image.publish()?;
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn as_mut_slice<T: Pod>(&mut self) -> Result<&mut [T]> {
        self.stream.check_made_of::<T>()?;
        slice_of_mut(self.claim.bytes_mut()).ok_or_else(|| misaligned(self.stream.name()))
    }

    /// Views the payload as an array of its items.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View::new(self.stream.name(), self.schema(), self.bytes())
    }

    /// Views the payload as an array of its items, to be changed.
    #[must_use]
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        let (name, schema) = (self.stream.name(), self.schema());
        ViewMut::new(name, schema, self.claim.bytes_mut())
    }

    /// Views a field of the payload; see [`DynFrame::field`](crate::DynFrame::field).
    ///
    /// # Errors
    ///
    /// As [`DynFrame::field`](crate::DynFrame::field).
    pub fn field(&self, path: &str) -> Result<View<'_>> {
        self.view().field(path)
    }

    /// Views a field of the payload, to be changed.
    ///
    /// # Errors
    ///
    /// As [`DynFrame::field`](crate::DynFrame::field).
    pub fn field_mut(&mut self, path: &str) -> Result<ViewMut<'_>> {
        self.view_mut().field(path)
    }

    /// Publishes the frame with frame_id 0, and returns its count.
    ///
    /// Takes the same time whatever the size of the frame.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`](crate::Error::Forked) in a child of the process that took the loan.
    #[inline]
    pub fn publish(self) -> Result<u64> {
        self.publish_with_id(0)
    }

    /// Publishes the frame with a frame_id of the caller's, and returns its count.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    #[inline]
    pub fn publish_with_id(mut self, frame_id: u64) -> Result<u64> {
        self.stream.handle.check_fork()?;
        Ok(self.claim.publish(self.stream.handle.stamp(frame_id)))
    }
}

impl fmt::Debug for DynLoan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynLoan")
            .field("schema", &format_args!("{}", self.schema()))
            .finish_non_exhaustive()
    }
}

/// The write lock of a stream, held by this thread until dropped.
///
/// Derefs to the stream; writes through it, or through any other handle of this thread to the same
/// stream, make no system call. See [`LockGuard`](crate::LockGuard).
#[must_use = "the lock is given back when the guard is dropped"]
pub struct DynLockGuard<'a> {
    stream: &'a DynStream,
    _held: Held<'a>,
}

impl<'a> DynLockGuard<'a> {
    pub(super) const fn new(stream: &'a DynStream, held: Held<'a>) -> Self {
        Self {
            stream,
            _held: held,
        }
    }
}

impl Deref for DynLockGuard<'_> {
    type Target = DynStream;

    fn deref(&self) -> &DynStream {
        self.stream
    }
}

impl fmt::Debug for DynLockGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynLockGuard").field(self.stream).finish()
    }
}
