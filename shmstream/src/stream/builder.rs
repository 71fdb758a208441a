//! Options of a stream.

use std::marker::PhantomData;

use super::handle::{Creation, Handle};
use super::typed::Stream;
use crate::error::{Error, Result};
use crate::layout::{MIN_SLOTS, Plan};
use crate::name::StreamName;
use crate::os::map::Residency;
use crate::pod::Pod;
use crate::protocol::{MAX_PARTICIPANTS, MAX_SLOTS};

/// The latest frame, two held by readers, and one to write into.
const DEFAULT_SLOTS: usize = 4;
const DEFAULT_PARTICIPANTS: usize = 64;
const DEFAULT_MODE: u32 = 0o600;

/// How often `open_or_create` starts again because the stream appeared or vanished in between.
const ATTEMPTS: u32 = 1000;

/// Options for creating and opening a stream.
///
/// ```
/// # let name = format!("doc-builder-{}", std::process::id());
/// use shmstream::Stream;
///
/// let stream = Stream::<[u16; 640], 480>::builder(&name)
///     .slots(8)
///     .participants(16)
///     .mode(0o660)
///     .prefault()
///     .create()?;
/// assert_eq!((stream.slots(), stream.max_participants()), (8, 16));
/// stream.unlink()?;
/// # Ok::<(), shmstream::Error>(())
/// ```
///
/// A stream takes one page for its header (more for a schema of kilobytes), `384 + 128 × (slots + participants)` bytes rounded up to
/// pages for the words that processes share, and its slots: each as large as a frame, rounded up to
/// 128 bytes, or to pages for frames of a page and more.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `create`, `open` or `open_or_create`"]
pub struct Builder<T: Pod, const N: usize> {
    /// `None` for a name that is drawn.
    name: Option<Vec<u8>>,
    slots: usize,
    participants: usize,
    mode: u32,
    residency: Residency,
    any_owner: bool,
    temporary: bool,
    payload: PhantomData<[T; N]>,
}

/// Options that matter to whoever creates the stream. Opening ignores them.
impl<T: Pod, const N: usize> Builder<T, N> {
    pub(super) fn new(name: impl AsRef<[u8]>) -> Self {
        Self {
            name: Some(name.as_ref().to_vec()),
            slots: DEFAULT_SLOTS,
            participants: DEFAULT_PARTICIPANTS,
            mode: DEFAULT_MODE,
            residency: Residency::default(),
            any_owner: false,
            temporary: false,
            payload: PhantomData,
        }
    }

    /// A temporary stream under a name that is drawn.
    pub(super) fn unnamed() -> Self {
        Self {
            name: None,
            temporary: true,
            ..Self::new("")
        }
    }

    /// Sets the number of slots, from 2 to 64. Default: 4.
    ///
    /// Needed are one for the latest frame, one to write into, and one for each frame that a reader
    /// holds in a guard at the same time. With fewer, a writer can find no free slot; with more,
    /// memory is reserved that nobody uses. The default suits two readers that hold a frame each.
    pub const fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// Sets how many handles can be attached at a time, from 1 to 1024. Default: 64.
    pub const fn participants(mut self, participants: usize) -> Self {
        self.participants = participants;
        self
    }

    /// Sets the permissions of the stream's file, as for `chmod`. Default: `0o600`.
    ///
    /// The owner must be able to read and write. A process needs both to attach. The umask plays no
    /// part: the mode is the one given here.
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Has the stream unlinked when the handle that created it is dropped.
    ///
    /// Other handles to it go on working. A process that ends without dropping the handle leaves the
    /// stream behind.
    pub const fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }

    /// Asks for huge pages (2 MiB) for the slots.
    ///
    /// Where the system does not offer them, ordinary pages are used. The slots then begin at a
    /// multiple of 2 MiB in the file, so the stream takes up to that much more memory.
    pub const fn huge_pages(mut self) -> Self {
        self.residency.huge = true;
        self
    }
}

/// Options that matter to each handle.
impl<T: Pod, const N: usize> Builder<T, N> {
    /// Fills this process's page tables at once, so that no access takes a page fault later.
    ///
    /// The pages themselves are reserved for every stream.
    pub const fn prefault(mut self) -> Self {
        self.residency.prefault = true;
        self
    }

    /// Locks the stream into memory, so that it is never swapped out.
    ///
    /// Implies [`prefault`](Self::prefault). Needs a sufficient `RLIMIT_MEMLOCK`.
    pub const fn lock_memory(mut self) -> Self {
        self.residency.lock = true;
        self
    }

    /// Opens the stream also if its file belongs to another user.
    ///
    /// That user can change what is in the stream at any time, by the protocol or against it; see
    /// the trust model in [`docs::limitations`](crate::docs::limitations). The file's mode must
    /// admit this user for reading and writing.
    pub const fn allow_other_owner(mut self) -> Self {
        self.any_owner = true;
        self
    }
}

/// Ends.
impl<T: Pod, const N: usize> Builder<T, N> {
    /// Creates the stream.
    ///
    /// # Errors
    ///
    /// As [`Stream::create`], and [`Error::Invalid`] for an option out of its range.
    pub fn create(self) -> Result<Stream<T, N>> {
        let name = self.stream_name()?;
        self.create_named(&name)
    }

    /// Opens the stream.
    ///
    /// # Errors
    ///
    /// As [`Stream::open`].
    pub fn open(self) -> Result<Stream<T, N>> {
        let name = self.stream_name()?;
        self.open_named(&name)
    }

    /// Opens the stream, or creates it if there is none.
    ///
    /// # Errors
    ///
    /// As [`Stream::open_or_create`].
    pub fn open_or_create(self) -> Result<Stream<T, N>> {
        let name = self.stream_name()?;
        let mut attempt = 0;
        loop {
            let result = match self.open_named(&name) {
                Err(Error::NotFound { .. }) => self.create_named(&name),
                opened => opened,
            };
            match result {
                Err(Error::AlreadyExists { .. }) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn stream_name(&self) -> Result<StreamName> {
        match &self.name {
            Some(name) => StreamName::new(name),
            None => drawn_name(),
        }
    }

    fn open_named(&self, name: &StreamName) -> Result<Stream<T, N>> {
        let handle = Handle::open(name, self.any_owner, self.residency)?;
        Stream::from_checked(handle)
    }

    fn create_named(&self, name: &StreamName) -> Result<Stream<T, N>> {
        let plan = Plan {
            schema: Stream::<T, N>::declared(),
            slots: self.slots,
            participants: self.participants,
            huge: self.residency.huge,
            page: rustix::param::page_size(),
        };
        self.check(name)?;
        let creation = Creation {
            plan,
            mode: self.mode,
            residency: self.residency,
            unlink_on_drop: self.temporary,
        };
        Handle::create(name, creation).map(Stream::from_handle)
    }

    fn check(&self, name: &StreamName) -> Result<()> {
        let within = |what, value, min, max| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            let reason = format!("must be from {min} to {max}, not {value}");
            Err(Error::invalid(name, what, reason))
        };
        within("the number of slots", self.slots, MIN_SLOTS, MAX_SLOTS)?;
        within(
            "the number of participants",
            self.participants,
            1,
            MAX_PARTICIPANTS,
        )?;
        if self.mode & 0o600 != 0o600 || self.mode & !0o666 != 0 {
            let reason = format!(
                "must let the owner read and write and nobody execute (0o600 to 0o666), not 0o{:o}",
                self.mode
            );
            return Err(Error::invalid(name, "the mode", reason));
        }
        Ok(())
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
