//! What a `CudaStream` says of itself.

use std::path::PathBuf;
use std::sync::Arc;

use cudarc::driver::CudaContext;

use super::{CudaStream, Placement};
use crate::error::Result;
use crate::name::StreamName;
use crate::payload::GpuPayload;
use crate::schema::Schema;
use crate::stream::{Link, Status};

/// Looking.
impl<T: GpuPayload, P: Placement> CudaStream<T, P> {
    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &StreamName {
        self.handle.name()
    }

    /// Returns the dimensions of a frame, outermost first; those of `T` are not among them.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        let shape = self.handle.header().plan.schema.shape();
        &shape[..shape.len() - T::schema().shape().len()]
    }

    /// Returns the number of elements in a frame.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether a frame has no elements: never.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of slots.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.handle.header().plan.slots
    }

    /// Returns the count of the latest frame, zero before the first.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.handle.count()
    }

    /// Returns how many frames the stream keeps for readers in order, the latest included.
    #[must_use]
    pub const fn history(&self) -> usize {
        self.handle.header().plan.history
    }

    /// Says what the stream looks like: as [`stat`](crate::stat), and also when its name is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`](crate::Error::Forked), [`Error::Os`](crate::Error::Os).
    pub fn status(&self) -> Result<Status> {
        self.handle.status()
    }

    /// Returns the context that the stream was opened with.
    #[must_use]
    pub const fn context(&self) -> &Arc<CudaContext> {
        self.gpu.context()
    }

    /// Says what stands under the stream's name now.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`](crate::Error::Forked), [`Error::Os`](crate::Error::Os).
    pub fn link(&self) -> Result<Link> {
        self.handle.link()
    }

    /// Takes the stream's name away. Those who have it open go on.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`](crate::Error::NotFound) when it is gone already,
    /// [`Error::Replaced`](crate::Error::Replaced), [`Error::Forked`](crate::Error::Forked),
    /// [`Error::Os`](crate::Error::Os).
    pub fn unlink(&self) -> Result<()> {
        self.handle.unlink()
    }

    /// Returns the file that holds what processes share of the stream.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.handle.path()
    }

    /// Returns the schema of one frame.
    #[must_use]
    pub const fn schema(&self) -> &Schema {
        &self.handle.header().plan.schema
    }

    /// Returns the number of handles that can be attached at a time.
    #[must_use]
    pub const fn max_participants(&self) -> usize {
        self.handle.header().plan.participants
    }

    /// Returns the number drawn for this stream when it was created, which no other stream has.
    #[must_use]
    pub const fn instance(&self) -> u128 {
        u128::from_be_bytes(self.handle.header().origin.instance)
    }
}
