//! `Builder`: the options of a stream, in the order in which a program thinks of them.

use std::fmt;
use std::marker::PhantomData;

use super::dynamic::DynStream;
use super::observer::Observer;
use super::options::Options;
use super::typed::Stream;
use crate::error::{Error, Result};
use crate::name::StreamName;
use crate::pod::Pod;
use crate::schema::Schema;

/// Options for creating and opening a stream; `S` is the kind of handle that it makes.
///
/// ```
/// # let name = format!("doc-builder-{}", std::process::id());
/// use shmstream::Stream;
///
/// let stream = Stream::<[u16; 640], 480>::builder(&name)
///     .history(8)
///     .participants(16)
///     .mode(0o660)
///     .prefault()
///     .create()?;
/// assert_eq!((stream.history(), stream.slots(), stream.max_participants()), (8, 11, 16));
/// stream.unlink()?;
/// # Ok::<(), shmstream::Error>(())
/// ```
///
/// A stream takes one page for its header (more for a schema of kilobytes),
/// `512 + 128 × (slots + participants)` bytes rounded up to pages for the words that processes share,
/// and its slots: each as large as a frame, rounded up to 128 bytes, or to pages for frames of a page
/// and more.
#[must_use = "a builder does nothing before `create`, `open` or `open_or_create`"]
pub struct Builder<S> {
    /// `None` for a name that is drawn.
    name: Option<Vec<u8>>,
    options: Options,
    /// What a stream of run-time shape carries.
    schema: Option<Schema>,
    stream: PhantomData<fn() -> S>,
}

/// Options that matter to whoever creates the stream. Opening ignores them.
impl<S> Builder<S> {
    pub(super) fn new(name: impl AsRef<[u8]>) -> Self {
        Self {
            name: Some(name.as_ref().to_vec()),
            options: Options::default(),
            schema: None,
            stream: PhantomData,
        }
    }

    /// A temporary stream under a name that is drawn.
    pub(super) fn unnamed() -> Self {
        let mut builder = Self::new("");
        builder.name = None;
        builder.options.temporary = true;
        builder
    }

    /// Sets how many frames are kept, the latest included, from 1 to 63. Default: 1.
    ///
    /// With more than one, a `Subscription` that falls behind finds the
    /// frames since, and the slots take turns instead of staying in the processor's cache. The
    /// frames are there as long as guards hold no more slots than `slots` − `history` − 1; beyond
    /// that the oldest go first, and readers in order are told how many they missed.
    pub const fn history(mut self, frames: usize) -> Self {
        self.options.history = frames;
        self
    }

    /// Sets the number of slots, from 2 to 64 and more than [`history`](Self::history). Default:
    /// `history` + 3, at most 64; so 4 without a history.
    ///
    /// Needed are as many as frames are kept, one to write into, and one for each frame that a
    /// reader holds in a guard at the same time. With fewer, a writer can find no free slot; with
    /// more, memory is reserved that nobody uses. The default suits two readers that hold a frame
    /// each.
    pub const fn slots(mut self, slots: usize) -> Self {
        self.options.slots = Some(slots);
        self
    }

    /// Sets how many handles can be attached at a time, from 1 to 1024. Default: 64.
    ///
    /// An `Observer` is not attached and does not count.
    pub const fn participants(mut self, participants: usize) -> Self {
        self.options.participants = participants;
        self
    }

    /// Sets the permissions of the stream's file, as for `chmod`. Default: `0o600`.
    ///
    /// The owner must be able to read and write, and nobody to execute. A process needs both to
    /// attach, and reading alone for an `Observer`. The umask plays no part: the
    /// mode is the one given here.
    pub const fn mode(mut self, mode: u32) -> Self {
        self.options.mode = mode;
        self
    }

    /// Says whether `Observer`s are expected. Default: if the mode lets the group
    /// or others read and not write.
    ///
    /// Observers cannot leave a word that they sleep, so with `true` every publish wakes: one more
    /// system call, of about 0.4 µs, and of some microseconds while one sleeps. And the slots take turns, so that an observer has more time for
    /// its copy. With `false` observers can read, and wait by looking each millisecond.
    pub const fn observers(mut self, expected: bool) -> Self {
        self.options.observers = Some(expected);
        self
    }

    /// Has the stream unlinked when the handle that created it is dropped.
    ///
    /// Other handles to it go on working. A process that ends without dropping the handle leaves the
    /// stream behind.
    pub const fn temporary(mut self) -> Self {
        self.options.temporary = true;
        self
    }

    /// Asks for huge pages (2 MiB) for the slots.
    ///
    /// Where the system does not offer them, ordinary pages are used. The slots then begin at a
    /// multiple of 2 MiB in the file, so the stream takes up to that much more memory.
    pub const fn huge_pages(mut self) -> Self {
        self.options.residency.huge = true;
        self
    }
}

/// Options that matter to each handle.
impl<S> Builder<S> {
    /// Fills this process's page tables at once, so that no access takes a page fault later.
    ///
    /// The pages themselves are reserved for every stream.
    pub const fn prefault(mut self) -> Self {
        self.options.residency.prefault = true;
        self
    }

    /// Locks the stream into memory, so that it is never swapped out.
    ///
    /// Implies [`prefault`](Self::prefault). Needs a sufficient `RLIMIT_MEMLOCK`.
    pub const fn lock_memory(mut self) -> Self {
        self.options.residency.lock = true;
        self
    }

    /// Opens the stream also if its file belongs to another user.
    ///
    /// That user can change what is in the stream at any time, by the protocol or against it; see
    /// the trust model in [`docs::limitations`](crate::docs::limitations). The file's mode must
    /// admit this user for reading and writing, or for reading where an
    /// `Observer` is opened.
    pub const fn allow_other_owner(mut self) -> Self {
        self.options.any_owner = true;
        self
    }

    fn stream_name(&self) -> Result<StreamName> {
        match &self.name {
            Some(name) => StreamName::new(name),
            None => drawn_name(),
        }
    }
}

/// Ends, for a payload that the compiler knows.
impl<T: Pod, const N: usize> Builder<Stream<T, N>> {
    /// Creates the stream.
    ///
    /// # Errors
    ///
    /// As [`Stream::create`], and [`Error::Invalid`] for an option out of its range.
    pub fn create(self) -> Result<Stream<T, N>> {
        let handle = self
            .options
            .create(&self.stream_name()?, Stream::<T, N>::declared())?;
        Ok(Stream::from_handle(handle))
    }

    /// Opens the stream.
    ///
    /// # Errors
    ///
    /// As [`Stream::open`].
    pub fn open(self) -> Result<Stream<T, N>> {
        let expected = Stream::<T, N>::declared();
        let handle = self.options.open(&self.stream_name()?, Some(&expected))?;
        Ok(Stream::from_handle(handle))
    }

    /// Opens the stream, or creates it if there is none.
    ///
    /// A stream that exists keeps the slots, history, mode and so on with which it was created.
    ///
    /// # Errors
    ///
    /// As [`Stream::open_or_create`].
    pub fn open_or_create(self) -> Result<Stream<T, N>> {
        let declared = Stream::<T, N>::declared();
        let handle = self
            .options
            .open_or_create(&self.stream_name()?, &declared)?;
        Ok(Stream::from_handle(handle))
    }
}

/// The end of a look from outside.
impl<T: Pod, const N: usize> Builder<Stream<T, N>> {
    /// Opens the stream to look at its latest frames, without permission to write.
    ///
    /// # Errors
    ///
    /// As [`Stream::observe`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// // A stream of another user, with mode 0644:
    /// let observer = shmstream::Stream::<f32, 64>::builder("slopes")
    ///     .allow_other_owner()
    ///     .observe()?;
    /// println!("{:?}", *observer.wait()?);
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    pub fn observe(self) -> Result<Observer<Stream<T, N>>> {
        let Options {
            any_owner,
            residency,
            ..
        } = self.options;
        let expected = Stream::<T, N>::declared();
        Observer::open(self.stream_name()?, any_owner, residency, Some(&expected))
    }
}

/// The end of a look from outside.
impl Builder<DynStream> {
    /// Opens the stream to look at its latest frames, without permission to write.
    ///
    /// # Errors
    ///
    /// As [`DynStream::observe`]; [`Error::Type`] and [`Error::Shape`] when a schema is set and the
    /// stream carries another.
    pub fn observe(self) -> Result<Observer<DynStream>> {
        let name = self.stream_name()?;
        let Options {
            any_owner,
            residency,
            ..
        } = self.options;
        let expected = match self.schema {
            Some(_) => Some(self.declared(&name)?),
            None => None,
        };
        Observer::open(name, any_owner, residency, expected.as_ref())
    }
}

/// Ends, for a payload that is known at run time.
impl Builder<DynStream> {
    /// Sets what a frame is.
    ///
    /// [`create`](Self::create) needs it. With [`open`](Self::open), the stream must carry that.
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Creates the stream.
    ///
    /// # Errors
    ///
    /// As [`DynStream::create`], and [`Error::Invalid`] for an option out of its range or without a
    /// schema.
    pub fn create(self) -> Result<DynStream> {
        let name = self.stream_name()?;
        let handle = self.options.create(&name, self.declared(&name)?)?;
        Ok(DynStream::from_handle(handle))
    }

    /// Opens the stream.
    ///
    /// # Errors
    ///
    /// As [`DynStream::open`]; [`Error::Type`] and [`Error::Shape`] when a schema is set and the
    /// stream carries another.
    pub fn open(self) -> Result<DynStream> {
        let name = self.stream_name()?;
        let schema = match self.schema {
            Some(_) => Some(self.declared(&name)?),
            None => None,
        };
        let handle = self.options.open(&name, schema.as_ref())?;
        Ok(DynStream::from_handle(handle))
    }

    /// Opens the stream, or creates it if there is none.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create) and [`open`](Self::open), but neither
    /// [`Error::AlreadyExists`] nor [`Error::NotFound`].
    pub fn open_or_create(self) -> Result<DynStream> {
        let name = self.stream_name()?;
        let schema = self.declared(&name)?;
        let handle = self.options.open_or_create(&name, &schema)?;
        Ok(DynStream::from_handle(handle))
    }

    fn declared(&self, name: &StreamName) -> Result<Schema> {
        let Some(schema) = self.schema.clone() else {
            let reason = "is missing: a stream is created with Builder::schema";
            return Err(Error::invalid(name, "the schema", reason));
        };
        // One item is a frame of one item, as `Stream<T, 1>` has it.
        let schema = match schema.shape() {
            [] => schema.array(1),
            _ => schema,
        };
        if schema.size() == 0 {
            let reason = format!("carries nothing: {schema}");
            return Err(Error::invalid(name, "the schema", reason));
        }
        Ok(schema)
    }
}

impl<S> Clone for Builder<S> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            options: self.options,
            schema: self.schema.clone(),
            stream: PhantomData,
        }
    }
}

impl<S> fmt::Debug for Builder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().map(String::from_utf8_lossy);
        f.debug_struct("Builder")
            .field("name", &name)
            .field("options", &self.options)
            .field("schema", &self.schema)
            .finish()
    }
}

/// Draws a name for a temporary stream.
fn drawn_name() -> Result<StreamName> {
    let mut drawn = [0; 8];
    rustix::rand::getrandom(&mut drawn, rustix::rand::GetRandomFlags::empty()).map_err(
        |error| Error::Os {
            name: None,
            operation: "draw a name",
            source: error.into(),
        },
    )?;
    StreamName::new(format!(
        "tmp-{}-{:016x}",
        std::process::id(),
        u64::from_ne_bytes(drawn)
    ))
}
