//! `DynStream`: a stream whose payload is known at run time.

use std::fmt;
use std::path::PathBuf;

use super::builder::Builder;
use super::handle::Handle;
use super::typed::check_payload;
use crate::error::Result;
use crate::name::StreamName;
use crate::schema::Schema;

/// A handle to a stream whose shape and dtype, or struct schema, are known at run time.
///
/// The same stream as a [`Stream`](crate::Stream): either opens what the other created.
pub struct DynStream {
    pub(super) handle: Handle,
}

impl DynStream {
    /// Creates a stream with the defaults of [`Builder`].
    ///
    /// # Errors
    ///
    /// As [`Stream::create`](crate::Stream::create), and [`Error::Invalid`](crate::Error::Invalid)
    /// for a schema of size 0.
    pub fn create(name: impl AsRef<[u8]>, schema: Schema) -> Result<Self> {
        Self::builder(name).schema(schema).create()
    }

    /// Opens a stream, whatever it carries.
    ///
    /// # Errors
    ///
    /// As [`Stream::open`](crate::Stream::open), without those about type and shape.
    pub fn open(name: impl AsRef<[u8]>) -> Result<Self> {
        Self::builder(name).open()
    }

    /// Returns a builder, for streams that need other than the defaults.
    pub fn builder(name: impl AsRef<[u8]>) -> Builder<Self> {
        Builder::new(name)
    }

    /// Returns the stream's name.
    #[must_use]
    pub const fn name(&self) -> &StreamName {
        self.handle.name()
    }

    /// Returns the file that holds the stream, or held it until it was unlinked.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.handle.path()
    }

    /// Returns the schema of one frame.
    #[must_use]
    pub const fn schema(&self) -> &Schema {
        &self.handle.header().plan.schema
    }

    /// Checks that a stream carries what is expected, if anything is.
    pub(super) fn from_checked(handle: Handle, expected: Option<&Schema>) -> Result<Self> {
        if let Some(expected) = expected {
            check_payload(&handle, expected)?;
        }
        Ok(Self::from_handle(handle))
    }

    pub(super) const fn from_handle(handle: Handle) -> Self {
        Self { handle }
    }
}

impl fmt::Debug for DynStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynStream")
            .field("name", self.name())
            .field("schema", &format_args!("{}", self.schema()))
            .field("count", &self.handle.count())
            .finish_non_exhaustive()
    }
}
