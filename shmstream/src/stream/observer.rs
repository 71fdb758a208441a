//! `Observer`: reading without write permission.

use std::cell::Cell;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::any::{AnyStream, Blank};
use super::file::{check_schema, read_header};
use super::frame::FrameInfo;
use super::handle::{Link, SPINS};
use super::status::{Look, Status};
use crate::error::{Error, Result};
use crate::gpu::Problem;
use crate::layout::Header;
use crate::name::StreamName;
use crate::os::fork::Unshared;
use crate::os::futex::{self, Slept};
use crate::os::map::Residency;
use crate::os::shm::{Directory, check_size};
use crate::protocol::Sight;
use crate::region::Outlook;
use crate::schema::Schema;
use crate::write_lock::{LOOK_AGAIN, Patience};

/// How often a copy is begun again because writers overwrote the frame meanwhile.
const ATTEMPTS: u32 = 100;
/// How many attempts there are however long they take.
const FEW: u32 = 5;
/// How long to go on with more.
const LONG: Duration = Duration::from_millis(500);
/// How long to sleep on a stream whose writers do not announce what they publish.
const LOOK_OFTEN: Duration = Duration::from_millis(1);

/// A reader that needs no permission to write, and that writers never wait for.
///
/// `S` is the kind of stream: `Observer<Stream<f32, 64>>`, `Observer<DynStream>`. Made by
/// [`Stream::observe`](crate::Stream::observe) and [`DynStream::observe`](crate::DynStream::observe),
/// or by [`Builder::observe`](crate::Builder::observe) for another user's stream.
///
/// An observer maps the stream for reading only. It cannot hold a slot, so it has no guard: it copies
/// the latest frame, looks whether a writer changed the slot meanwhile, and then begins again. What it
/// returns is never torn. It has no methods that write, takes no row of the participant table, and
/// whatever it does, stopped or killed, writers do not wait for it and lose no slot to it.
///
/// It sleeps in the kernel until a frame is published. A stream wakes observers if it was created with
/// a mode that lets somebody read and not write, or with
/// [`Builder::observers`](crate::Builder::observers); on other streams an observer that waits looks
/// each millisecond. To wake a sleeper costs the writer a few microseconds, as it does with any reader
/// that sleeps.
///
/// `Send` and not `Sync`.
///
/// ```
/// use shmstream::Stream;
///
/// # let name = format!("doc-observer-{}", std::process::id());
/// let stream = Stream::<u32, 3>::builder(&name).mode(0o644).create()?;
/// // Another process, which may be another user's:
/// let observer = Stream::<u32, 3>::observe(&name)?;
/// stream.write(&[1, 2, 3])?;
/// let frame = observer.wait()?;
/// assert_eq!((frame.info().count, *frame), (1, [1, 2, 3]));
/// # stream.unlink()?;
/// # Ok::<(), shmstream::Error>(())
/// ```
///
/// There is nothing to write with:
///
/// ```compile_fail,E0599
/// let observer = shmstream::Stream::<u32, 3>::observe("name").unwrap();
/// observer.write(&[1, 2, 3]);
/// ```
pub struct Observer<S: AnyStream> {
    name: StreamName,
    directory: Directory,
    header: Header,
    file: Unshared,
    outlook: Outlook,
    /// The count of the newest frame that was returned.
    seen: Cell<u64>,
    stream: std::marker::PhantomData<fn() -> S>,
}

impl<S: AnyStream> Observer<S> {
    /// Opens a stream that carries what `expected` says, if it says anything.
    pub(super) fn open(
        name: StreamName,
        any_owner: bool,
        residency: Residency,
        expected: Option<&Schema>,
    ) -> Result<Self> {
        let directory = Directory::current();
        let (file, file_len) = directory.open_to_read(&name, any_owner)?;
        let file =
            Unshared::new(file).map_err(|error| Error::os(&name, "prepare for forks", error))?;
        let header = read_header(&directory, &name, &file, file_len)?;
        if header.plan.is_device_only() {
            return Err(Error::gpu(&name, Problem::OnDevice));
        }
        if let Some(expected) = expected {
            check_schema(&name, &header.plan.schema, expected)?;
        }
        let outlook = Outlook::map(&name, &file, &header)?;
        let residency = Residency {
            huge: header.plan.huge,
            ..residency
        };
        outlook.map_data(&name, &file, residency)?;
        Ok(Self {
            name,
            directory,
            header,
            file,
            outlook,
            seen: Cell::new(0),
            stream: std::marker::PhantomData,
        })
    }

    /// Copies the latest frame into memory of its own, or returns `None` before the first.
    ///
    /// # Errors
    ///
    /// - [`Error::Overtaken`] when writers were faster than the copy, a hundred times or for half a
    ///   second;
    /// - [`Error::Corrupt`] when a process scribbled over the shared words;
    /// - [`Error::Forked`] in a child of the process that opened the observer.
    pub fn read(&self) -> Result<Option<S::OwnedFrame>> {
        self.read_after(0)
    }

    /// Copies the latest frame if it is newer than the newest that this observer returned.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_new(&self) -> Result<Option<S::OwnedFrame>> {
        self.read_after(self.seen.get())
    }

    /// Copies the latest frame into a buffer of the caller's, or returns `None` before the first.
    ///
    /// The buffer is `[T; N]` for a `Stream<T, N>`, and bytes for a `DynStream`: as many as a frame
    /// has.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), the buffer then holds parts of frames; [`Error::Invalid`] for a
    /// buffer of another size.
    pub fn read_into(&self, buffer: &mut S::Buffer) -> Result<Option<FrameInfo>> {
        self.copy_after(0, S::buffer_bytes(buffer))
    }

    /// Waits for a frame newer than the newest that this observer returned, and copies it.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`Error::Replaced`] when there is nothing new and another stream has
    /// the name now; [`Error::Os`].
    pub fn wait(&self) -> Result<S::OwnedFrame> {
        let found = self.wait_with(Patience::Forever, || self.read_new())?;
        Ok(found.unwrap_or_else(|| unreachable!("the patience to wait for a frame is endless")))
    }

    /// Waits for a newer frame for `timeout` at most, and returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<S::OwnedFrame>> {
        self.wait_with(Patience::timeout(timeout), || self.read_new())
    }

    /// Waits for a newer frame for `timeout` at most, and copies it into a buffer of the caller's.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait) and [`read_into`](Self::read_into).
    pub fn wait_timeout_into(
        &self,
        buffer: &mut S::Buffer,
        timeout: Duration,
    ) -> Result<Option<FrameInfo>> {
        let bytes = std::cell::RefCell::new(S::buffer_bytes(buffer));
        self.wait_with(Patience::timeout(timeout), || {
            self.copy_after(self.seen.get(), &mut bytes.borrow_mut())
        })
    }

    /// Returns the header of the latest frame without copying the frame, or `None` before the first.
    ///
    /// The frame counts as returned, for [`read_new`](Self::read_new) and the waits.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn info(&self) -> Result<Option<FrameInfo>> {
        self.check_fork()?;
        self.look_until(0, |_| true)
    }

    /// Waits for a newer frame for `timeout` at most, and returns its header without copying it.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout_info(&self, timeout: Duration) -> Result<Option<FrameInfo>> {
        self.wait_with(Patience::timeout(timeout), || {
            self.check_fork()?;
            self.look_until(self.seen.get(), |_| true)
        })
    }

    fn read_after(&self, after: u64) -> Result<Option<S::OwnedFrame>> {
        self.check_fork()?;
        // Before memory is asked for.
        if self.sight().count() <= after {
            return Ok(None);
        }
        let mut frame = S::blank(&Blank {
            name: &self.name,
            header: &self.header,
        });
        let (bytes, info) = S::parts(&mut frame);
        let Some(found) = self.copy_after(after, bytes)? else {
            return Ok(None);
        };
        *info = found;
        Ok(Some(frame))
    }

    /// Copies the latest frame if its count is above `after`.
    fn copy_after(&self, after: u64, bytes: &mut [u8]) -> Result<Option<FrameInfo>> {
        self.check_fork()?;
        let size = self.header.plan.schema.size();
        if bytes.len() != size {
            let reason = format!("must be the {size} of a frame, not {}", bytes.len());
            return Err(Error::invalid(&self.name, "the number of bytes", reason));
        }
        self.look_until(after, |slot| self.outlook.copy(slot, bytes))
    }

    /// Looks at the latest frame if its count is above `after`, and has `take` read its slot, until
    /// that was not disturbed.
    fn look_until(
        &self,
        after: u64,
        mut take: impl FnMut(usize) -> bool,
    ) -> Result<Option<FrameInfo>> {
        let sight = self.sight();
        let mut damaged = Damage::default();
        let begun = Instant::now();
        for attempt in 0..ATTEMPTS {
            if attempt >= FEW && begun.elapsed() >= LONG {
                return Err(self.overtaken(attempt));
            }
            match sight.look() {
                Ok(None) => return Ok(None),
                Ok(Some(seen)) if seen.count <= after => return Ok(None),
                Ok(Some(seen)) => {
                    damaged.is_not();
                    kill_point!(ObserveLooked);
                    if take(seen.slot) && sight.is_still(seen) {
                        kill_point!(ObserveChecked);
                        let before = self.seen.get();
                        self.seen.set(before.max(seen.count));
                        return Ok(Some(FrameInfo::new(seen.count, seen.frame, before)));
                    }
                }
                // Another frame was published meanwhile, unless the words stay as they are.
                Err(latest) => {
                    damaged.seems(latest);
                    std::hint::spin_loop();
                }
            }
        }
        damaged.check(&self.name)?;
        Err(self.overtaken(ATTEMPTS))
    }

    #[cold]
    fn overtaken(&self, attempts: u32) -> Error {
        Error::Overtaken {
            name: self.name.clone(),
            attempts,
            slots: u32::try_from(self.header.plan.slots).unwrap_or(u32::MAX),
        }
    }

    /// Repeats `read` whenever something was published, until it finds something.
    fn wait_with<R>(
        &self,
        patience: Patience,
        read: impl Fn() -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        for _ in 0..SPINS {
            if let Some(found) = read()? {
                return Ok(Some(found));
            }
            std::hint::spin_loop();
        }
        let signal = self.sight().notify();
        let longest = match self.header.plan.observers {
            true => LOOK_AGAIN,
            false => LOOK_OFTEN,
        };
        let mut checked = Instant::now();
        loop {
            let value = signal.glance();
            if let Some(found) = read()? {
                return Ok(Some(found));
            }
            let Some(left) = patience.left(longest) else {
                return Ok(None);
            };
            kill_point!(ObserveGlanced);
            let slept = futex::wait(signal.word(), value, left)
                .map_err(|error| Error::os(&self.name, "wait", error))?;
            kill_point!(ObserveWoken);
            if slept == Slept::Through {
                check_size(&self.name, &self.file, self.header.layout.total)?;
            }
            if checked.elapsed() >= LOOK_AGAIN {
                checked = Instant::now();
                if let Some(found) = read()? {
                    return Ok(Some(found));
                }
                self.check_replaced()?;
            }
        }
    }

    fn check_replaced(&self) -> Result<()> {
        match self.link()? {
            Link::Replaced => Err(Error::Replaced {
                name: self.name.clone(),
            }),
            Link::Current | Link::Unlinked => Ok(()),
        }
    }

    fn check_fork(&self) -> Result<()> {
        if self.outlook.is_forked() {
            return Err(Error::Forked {
                name: self.name.clone(),
            });
        }
        Ok(())
    }

    fn sight(&self) -> Sight<'_> {
        self.outlook.sight()
    }

    /// Returns the stream's name.
    #[must_use]
    pub const fn name(&self) -> &StreamName {
        &self.name
    }

    /// Returns the file that holds the stream, or held it until it was unlinked.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.file(&self.name)
    }

    /// Returns the schema of one frame.
    #[must_use]
    pub const fn schema(&self) -> &Schema {
        &self.header.plan.schema
    }

    /// Returns the number drawn for this stream when it was created, which no other stream has,
    /// whatever its name.
    #[must_use]
    pub const fn instance(&self) -> u128 {
        u128::from_be_bytes(self.header.origin.instance)
    }

    /// Returns the count of the latest frame, 0 before the first.
    ///
    /// In a child of the process that made the observer it stands still.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self.outlook.is_forked() {
            true => self.seen.get(),
            false => self.sight().count(),
        }
    }

    /// Says what stands under the stream's name now.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Os`].
    pub fn link(&self) -> Result<Link> {
        self.check_fork()?;
        let standing = self.directory.standing(&self.name, &self.file)?;
        Ok(standing.into())
    }

    /// Says what the stream looks like, also when its name is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Corrupt`], [`Error::Os`].
    pub fn status(&self) -> Result<Status> {
        self.check_fork()?;
        Look {
            name: &self.name,
            directory: &self.directory,
            header: &self.header,
            file: &self.file,
            sight: self.sight(),
            own_row: None,
            own_memory: false,
        }
        .status()
    }
}

/// Whether the latest word named a slot that holds something else.
#[derive(Default)]
pub(super) enum Damage {
    #[default]
    Unknown,
    /// Each time, and it was the same word.
    Throughout(u64),
    Not,
}

impl Damage {
    pub(super) fn seems(&mut self, latest: u64) {
        *self = match *self {
            Self::Unknown => Self::Throughout(latest),
            Self::Throughout(before) if before == latest => Self::Throughout(latest),
            _ => Self::Not,
        };
    }

    pub(super) fn is_not(&mut self) {
        *self = Self::Not;
    }

    /// Fails if the words stayed as they are: no writer leaves them so.
    #[cold]
    pub(super) fn check(self, name: &StreamName) -> Result<()> {
        match self {
            Self::Throughout(latest) => Err(Error::corrupt(
                name,
                "the latest word",
                format!("{latest:#x}"),
            )),
            Self::Unknown | Self::Not => Ok(()),
        }
    }
}

impl<S: AnyStream> fmt::Debug for Observer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("name", &self.name)
            .field("schema", &format_args!("{}", self.schema()))
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
