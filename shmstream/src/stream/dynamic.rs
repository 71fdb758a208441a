//! `DynStream`: a stream whose payload is known at run time.

mod frame;
mod guard;
mod reading;
mod writing;

use std::any::TypeId;
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use frame::Origin;
pub use frame::{DynFrame, DynOwnedFrame};
pub use guard::{DynLoan, DynLockGuard};

use super::builder::Builder;
use super::file::check_schema;
use super::handle::{Handle, Link};
use super::observer::Observer;
use super::typed::Stream;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::name::StreamName;
use crate::pod::Pod;
use crate::schema::Schema;
use crate::view::check_frame;

/// A handle to a stream whose shape and dtype, or struct schema, are known at run time.
///
/// The same stream as a [`Stream`]: either opens what the other created. What a program that knows
/// its payload leaves to the compiler is checked here when it is asked for: the type of a slice, the
/// name of a field, the number of values.
///
/// A handle is one participant, `Send` and not `Sync`, as a [`Stream`] is, and behaves as one across
/// processes, after a crash, and after a `fork`.
///
/// A type is compared with the schema when it is asked for, and not again as long as the handle is
/// asked for the same one.
///
/// ```
/// use shmstream::{DType, DynStream, Schema};
///
/// # let name = format!("doc-dyn-{}", std::process::id());
/// let stream = DynStream::create(&name, Schema::tensor(DType::F32, &[2, 3]))?;
/// stream.write(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
///
/// // Another process, which knows nothing but the name:
/// let stream = DynStream::open(&name)?;
/// assert_eq!((stream.dtype(), stream.shape()), (Some(DType::F32), &[2, 3][..]));
/// let frame = stream.read()?.expect("a frame");
/// assert_eq!(frame.as_slice::<f32>()?[5], 6.0);
/// assert_eq!(frame.view().get::<f32>(&[1, 0])?, 4.0);
/// assert!(frame.as_slice::<f64>().is_err());
///
/// // And one that does:
/// let typed = shmstream::Stream::<[f32; 3], 2>::open(&name)?;
/// assert_eq!(typed.read()?.expect("a frame")[1], [4.0, 5.0, 6.0]);
/// # stream.unlink()?;
/// # Ok::<(), shmstream::Error>(())
/// ```
pub struct DynStream {
    pub(super) handle: Handle,
    /// The type that a frame was last found to be made of, which need not be compared again.
    made_of: Cell<Option<TypeId>>,
    /// What frames in memory of their own share, once there are any.
    origin: OnceCell<Arc<Origin>>,
}

/// Creating, opening, removing.
impl DynStream {
    /// Creates a stream with the defaults of [`Builder`].
    ///
    /// A schema without dimensions, one struct for example, becomes a frame of one item, as
    /// `Stream<T, 1>` has it.
    ///
    /// # Errors
    ///
    /// As [`Stream::create`], and [`Error::Invalid`](crate::Error::Invalid) for a schema of size 0.
    pub fn create(name: impl AsRef<[u8]>, schema: Schema) -> Result<Self> {
        Self::builder(name).schema(schema).create()
    }

    /// Opens a stream, whatever it carries.
    ///
    /// # Errors
    ///
    /// As [`Stream::open`], without those about type and shape.
    pub fn open(name: impl AsRef<[u8]>) -> Result<Self> {
        Self::builder(name).open()
    }

    /// Opens a stream that carries this, or creates it if there is none.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create) and [`Stream::open`], but neither
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) nor
    /// [`Error::NotFound`](crate::Error::NotFound).
    pub fn open_or_create(name: impl AsRef<[u8]>, schema: Schema) -> Result<Self> {
        Self::builder(name).schema(schema).open_or_create()
    }

    /// Opens a stream to look at its latest frames, without permission to write.
    ///
    /// # Errors
    ///
    /// As [`Stream::observe`], without those about type and shape.
    pub fn observe(name: impl AsRef<[u8]>) -> Result<Observer<Self>> {
        Self::builder(name).observe()
    }

    /// Creates a stream under a name of its own that is unlinked when this handle is dropped; see
    /// [`Stream::temporary`].
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create).
    pub fn temporary(schema: Schema) -> Result<Self> {
        Builder::<Self>::unnamed().schema(schema).create()
    }

    /// Returns a builder, for streams that need other than the defaults.
    pub fn builder(name: impl AsRef<[u8]>) -> Builder<Self> {
        Builder::new(name)
    }

    /// Attaches to the same stream as another participant, for another thread; see
    /// [`Stream::try_clone`].
    ///
    /// # Errors
    ///
    /// As [`Stream::try_clone`].
    pub fn try_clone(&self) -> Result<Self> {
        self.handle.attach_again().map(Self::from_handle)
    }

    /// Attaches to the same stream as another participant that knows its payload.
    ///
    /// The payload is compared once, here.
    ///
    /// # Errors
    ///
    /// [`Error::Type`](crate::Error::Type) and [`Error::Shape`](crate::Error::Shape) when the stream
    /// carries something else than `[T; N]`; those of [`try_clone`](Self::try_clone).
    ///
    /// # Examples
    ///
    /// ```
    /// use shmstream::{DType, DynStream, Schema};
    ///
    /// let stream = DynStream::temporary(Schema::tensor(DType::F32, &[2, 3]))?;
    /// let typed = stream.to_typed::<[f32; 3], 2>()?;
    /// typed.write(&[[1.0; 3], [2.0; 3]])?;
    /// let error = stream.to_typed::<f32, 6>().unwrap_err();
    /// assert!(error.to_string().contains("(2, 3)"), "{error}");
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn to_typed<T: Pod, const N: usize>(&self) -> Result<Stream<T, N>> {
        self.check_carries::<T, N>()?;
        self.handle.attach_again().map(Stream::from_handle)
    }

    /// Makes this handle one that knows its payload.
    ///
    /// # Errors
    ///
    /// [`Error::Type`](crate::Error::Type) and [`Error::Shape`](crate::Error::Shape) when the stream
    /// carries something else than `[T; N]`. The handle is dropped then.
    pub fn into_typed<T: Pod, const N: usize>(self) -> Result<Stream<T, N>> {
        self.check_carries::<T, N>()?;
        Ok(Stream::from_handle(self.handle))
    }

    /// Takes the stream's name away; see [`Stream::unlink`].
    ///
    /// # Errors
    ///
    /// As [`Stream::unlink`].
    pub fn unlink(&self) -> Result<()> {
        self.handle.unlink()
    }

    /// Says what stands under the stream's name now.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`](crate::Error::Forked), [`Error::Os`](crate::Error::Os).
    pub fn link(&self) -> Result<Link> {
        self.handle.link()
    }

    fn check_carries<T: Pod, const N: usize>(&self) -> Result<()> {
        check_schema(self.name(), self.schema(), &Stream::<T, N>::declared())
    }

    pub(crate) const fn from_handle(handle: Handle) -> Self {
        Self {
            handle,
            made_of: Cell::new(None),
            origin: OnceCell::new(),
        }
    }

    fn origin(&self) -> &Arc<Origin> {
        let origin = || Arc::new((self.name().clone(), self.schema().clone()));
        self.origin.get_or_init(origin)
    }

    /// Checks that a frame is made of `T`, an element or an array of the innermost dimensions.
    #[inline]
    fn check_made_of<T: Pod>(&self) -> Result<()> {
        let id = Some(TypeId::of::<T>());
        if self.made_of.get() != id {
            check_frame::<T>(self.name(), self.schema())?;
            self.made_of.set(id);
        }
        Ok(())
    }

    /// Checks that these are the values of one frame.
    #[inline]
    fn check_values<T: Pod>(&self, values: &[T]) -> Result<()> {
        self.check_made_of::<T>()?;
        match size_of_val(values) == self.frame_size() {
            true => Ok(()),
            false => Err(self.wrong_number(values.len(), self.frame_size() / size_of::<T>())),
        }
    }

    #[cold]
    fn wrong_number(&self, found: usize, needed: usize) -> Error {
        let reason = format!("must be {needed}, not {found}");
        Error::invalid(self.name(), "the number of values", reason)
    }
}

/// Looking.
impl DynStream {
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

    /// Returns the dimensions of a frame, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.schema().shape()
    }

    /// Returns the type of a frame's elements, or `None` for structs.
    #[must_use]
    pub const fn dtype(&self) -> Option<DType> {
        self.schema().dtype()
    }

    /// Returns the size of a frame's payload in bytes.
    #[must_use]
    pub const fn frame_size(&self) -> usize {
        self.handle.header().layout.frame
    }

    /// Returns the count of the latest frame, 0 before the first; see [`Stream::count`].
    #[must_use]
    pub fn count(&self) -> u64 {
        self.handle.count()
    }

    /// Returns the number of slots.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.handle.header().plan.slots
    }

    /// Returns how many frames the stream keeps for readers in order, the latest included.
    #[must_use]
    pub const fn history(&self) -> usize {
        self.handle.header().plan.history
    }

    /// Returns the number of handles that can be attached at a time.
    #[must_use]
    pub const fn max_participants(&self) -> usize {
        self.handle.header().plan.participants
    }

    /// Returns the number drawn for this stream when it was created, which no other stream has,
    /// whatever its name.
    #[must_use]
    pub const fn instance(&self) -> u128 {
        u128::from_be_bytes(self.handle.header().origin.instance)
    }
}

impl<T: Pod, const N: usize> Stream<T, N> {
    /// Makes this handle one that looks at its payload at run time.
    #[must_use]
    pub fn into_dyn(self) -> DynStream {
        DynStream::from_handle(self.handle)
    }
}

impl<T: Pod, const N: usize> From<Stream<T, N>> for DynStream {
    fn from(stream: Stream<T, N>) -> Self {
        stream.into_dyn()
    }
}

impl fmt::Debug for DynStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynStream")
            .field("name", self.name())
            .field("schema", &format_args!("{}", self.schema()))
            .field("slots", &self.slots())
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
