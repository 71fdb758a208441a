//! `Stream<T, N>`: a stream whose payload the compiler knows.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use super::builder::Builder;
use super::handle::{Handle, Link};
use super::observer::Observer;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::name::StreamName;
use crate::pod::Pod;
use crate::schema::Schema;

/// A handle to a stream whose frames are `[T; N]`.
///
/// `N` is the number of elements in a frame; dimensions of `T` come behind it, so
/// `Stream<[f32; 640], 480>` has the shape `(480, 640)`. For one struct a frame write
/// `Stream<Imu, 1>`.
///
/// A stream lives in shared memory under its name until it is unlinked, whatever becomes of the
/// processes that use it. Any number of processes, up to
/// [`participants`](Builder::participants), write and read; writers take turns, readers wait for
/// nobody. See the [crate's front page](crate) for an example.
///
/// A handle is one participant, `Send` and not `Sync`: a thread moves it or has its own, from
/// [`try_clone`](Self::try_clone). Which frames were missed is counted for each handle.
///
/// ```compile_fail,E0277
/// fn sync<T: Sync>() {}
/// sync::<shmstream::Stream<f32, 1>>();
/// ```
///
/// ```
/// fn send<T: Send>() {}
/// send::<shmstream::Stream<f32, 1>>();
/// ```
///
/// After a `fork` the child cannot use its parent's handles: every method that could fail returns
/// [`Error::Forked`], dropping them changes nothing for the parent, and the death of the parent is
/// noticed although the child lives. The child opens the stream anew, which it can if no other
/// thread of the parent was in this crate at the fork. The child does not have its parent's mappings:
/// it must not look into a guard that was alive at the fork, since nothing is there (SIGSEGV), or
/// something of the child's own.
pub struct Stream<T: Pod, const N: usize> {
    pub(super) handle: Handle,
    payload: PhantomData<[T; N]>,
}

/// Creating, opening, removing.
impl<T: Pod, const N: usize> Stream<T, N> {
    /// Creates a stream with the defaults of [`Builder`].
    ///
    /// Nobody sees the stream before it is complete, and a process that dies in here leaves nothing
    /// behind. Memory for all of it is reserved.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidName`];
    /// - [`Error::AlreadyExists`], and [`Error::Foreign`] or [`Error::OtherUser`] when what has the
    ///   name is no stream or not this user's;
    /// - [`Error::NoSpace`] when the shared memory or the machine's memory does not suffice,
    ///   [`Error::TooLarge`] when nothing ever would;
    /// - [`Error::Invalid`] for a payload beyond a schema's limits;
    /// - [`Error::Limit`] and [`Error::Os`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let name = format!("doc-create-{}", std::process::id());
    /// let stream = shmstream::Stream::<f32, 64>::create(&name)?;
    /// assert!(shmstream::Stream::<f32, 64>::create(&name).is_err(), "it exists");
    /// stream.unlink()?;
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn create(name: impl AsRef<[u8]>) -> Result<Self> {
        Self::builder(name).create()
    }

    /// Opens a stream that exists.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidName`], [`Error::NotFound`];
    /// - [`Error::Type`] and [`Error::Shape`] when the stream carries something else than `[T; N]`;
    /// - [`Error::Foreign`], [`Error::OtherUser`], [`Error::Version`], [`Error::Corrupt`] when the
    ///   file is not a stream, not this user's, not of this version, or damaged;
    /// - [`Error::TooManyParticipants`];
    /// - [`Error::Limit`] and [`Error::Os`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let name = format!("doc-open-{}", std::process::id());
    /// use shmstream::Stream;
    ///
    /// let stream = Stream::<f32, 64>::create(&name)?;
    /// let same = Stream::<f32, 64>::open(&name)?;
    /// let error = Stream::<f64, 64>::open(&name).unwrap_err();
    /// assert!(error.to_string().contains("f32 in the stream, f64 in this program"));
    /// stream.unlink()?;
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn open(name: impl AsRef<[u8]>) -> Result<Self> {
        Self::builder(name).open()
    }

    /// Opens a stream, or creates it with the defaults of [`Builder`] if there is none.
    ///
    /// Of several processes that do this at once, one creates the stream and the others open it.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create) and [`open`](Self::open), but neither
    /// [`Error::AlreadyExists`] nor [`Error::NotFound`].
    pub fn open_or_create(name: impl AsRef<[u8]>) -> Result<Self> {
        Self::builder(name).open_or_create()
    }

    /// Opens a stream that exists to look at its latest frames, without permission to write.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), but no [`Error::TooManyParticipants`]. For another user's stream see
    /// [`Builder::observe`].
    pub fn observe(name: impl AsRef<[u8]>) -> Result<Observer<Self>> {
        Self::builder(name).observe()
    }

    /// Creates a stream under a name of its own that is unlinked when this handle is dropped.
    ///
    /// [`name`](Self::name) tells the name. Other handles to the stream go on working after that. A
    /// process that ends without dropping the handle, by `exit` or by a signal that it does not
    /// handle (Ctrl-C included), leaves the stream behind, as one that [`purge`](crate::purge)
    /// removes.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create).
    ///
    /// # Examples
    ///
    /// ```
    /// use shmstream::Stream;
    ///
    /// let stream = Stream::<u8, 16>::temporary()?;
    /// let name = stream.name().clone();
    /// let other = Stream::<u8, 16>::open(&name)?;
    /// drop(stream);
    /// assert!(Stream::<u8, 16>::open(&name).is_err());
    /// other.write(&[7; 16])?;
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn temporary() -> Result<Self> {
        Builder::<Self>::unnamed().create()
    }

    /// Returns a builder, for streams that need other than the defaults.
    pub fn builder(name: impl AsRef<[u8]>) -> Builder<Self> {
        Builder::new(name)
    }

    /// Attaches to the same stream as another participant, for another thread.
    ///
    /// The new handle has seen no frame yet. It attaches to this very stream, also when the name has
    /// been taken away or given to another.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyParticipants`], [`Error::Forked`], [`Error::Limit`], [`Error::Os`].
    ///
    /// # Examples
    ///
    /// ```
    /// let stream = shmstream::Stream::<u32, 1>::temporary()?;
    /// let reader = stream.try_clone()?;
    /// let thread = std::thread::spawn(move || reader.wait().map(|frame| frame[0]));
    /// stream.write(&[7])?;
    /// assert_eq!(thread.join().unwrap()?, 7);
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn try_clone(&self) -> Result<Self> {
        self.handle.attach_again().map(Self::from_handle)
    }

    /// Takes the stream's name away.
    ///
    /// Those who have the stream open go on with it, and its memory is freed with the last of them.
    /// Never touches another stream that has the name now.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when the name was taken away before, [`Error::Replaced`] when another
    /// stream has it, [`Error::Forked`], [`Error::Os`].
    pub fn unlink(&self) -> Result<()> {
        self.handle.unlink()
    }

    /// Says what stands under the stream's name now.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Os`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let name = format!("doc-link-{}", std::process::id());
    /// use shmstream::{Link, Stream};
    ///
    /// let old = Stream::<f32, 1>::create(&name)?;
    /// assert_eq!(old.link()?, Link::Current);
    /// old.unlink()?;
    /// assert_eq!(old.link()?, Link::Unlinked);
    /// let new = Stream::<f32, 1>::create(&name)?;
    /// assert_eq!(old.link()?, Link::Replaced);
    /// assert!(old.unlink().is_err(), "the name belongs to the new stream");
    /// new.unlink()?;
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn link(&self) -> Result<Link> {
        self.handle.link()
    }
}

/// Looking.
impl<T: Pod, const N: usize> Stream<T, N> {
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

    /// Returns the count of the latest frame, 0 before the first: how many were published so far.
    ///
    /// In a child of the process that made the handle, where handles do not work, it stands still.
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

    /// Returns the schema of one frame; its shape begins with `N`.
    #[must_use]
    pub const fn schema(&self) -> &Schema {
        &self.handle.header().plan.schema
    }

    /// Returns the number drawn for this stream when it was created, which no other stream has,
    /// whatever its name.
    #[must_use]
    pub const fn instance(&self) -> u128 {
        u128::from_be_bytes(self.handle.header().origin.instance)
    }

    /// Describes one frame as this program declares it.
    pub(super) fn declared() -> Schema {
        const {
            assert!(
                N > 0,
                "a frame of 0 elements carries nothing: N must be at least 1"
            );
            assert!(size_of::<T>() > 0, "an element of size 0 carries nothing");
            assert!(
                align_of::<T>() <= 4096,
                "slots are aligned to 4096 bytes at most"
            );
        }
        T::schema().array(N)
    }

    /// Wraps a handle to a stream that is known to carry `[T; N]`.
    pub(super) const fn from_handle(handle: Handle) -> Self {
        let payload = PhantomData;
        Self { handle, payload }
    }
}

impl<T: Pod, const N: usize> fmt::Debug for Stream<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("name", self.name())
            .field("schema", &format_args!("{}", self.schema()))
            .field("slots", &self.slots())
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
