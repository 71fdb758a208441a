//! A stream on a device for processes without a GPU.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{DeviceInfo, Problem};
use crate::error::{Error, Result};
use crate::layout::Header;
use crate::name::StreamName;
use crate::schema::Schema;
use crate::stream::handle::Handle;
use crate::stream::{DynStream, FrameInfo, Link, Options, Status};
use crate::write_lock::{Held, Patience};

/// A handle to a stream on a device, for a process that need not have one.
///
/// Knows what the stream is, waits for its frames and takes its write lock. Needs neither the feature
/// `cuda` nor a driver. The frames themselves can be reached where they are mirrored
/// ([`mirror`](Self::mirror)).
///
/// A handle is one participant, `Send` and not `Sync`, as a [`Stream`](crate::Stream) is, and behaves as
/// one across processes, after a crash, and after a `fork`.
///
/// ```no_run
/// use std::time::Duration;
/// use shmstream::gpu::HostHandle;
///
/// let stream = HostHandle::open("image")?;
/// println!("{} on {}", stream.schema(), stream.device()?.uuid);
/// if let Some(frame) = stream.wait_timeout(Duration::from_secs(1))? {
///     println!("frame {}, {} missed", frame.count, frame.missed);
/// }
/// # Ok::<(), shmstream::Error>(())
/// ```
pub struct HostHandle {
    pub(crate) handle: Handle,
}

impl HostHandle {
    /// Opens a stream that lives on a device, whatever it carries.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] with [`Problem::OnHost`] for other streams;
    /// else as [`DynStream::open`].
    pub fn open(name: impl AsRef<[u8]>) -> Result<Self> {
        let name = StreamName::new(name)?;
        let check = |header: &Header| match header.plan.device {
            Some(_) => Ok(()),
            None => Err(Error::gpu(&name, Problem::OnHost)),
        };
        let handle = Handle::open_device(&name, &Options::default(), check)?;
        Ok(Self { handle })
    }

    /// Returns the mirror, as another participant: an ordinary stream to read from.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] with [`Problem::OnDevice`] when none is kept;
    /// else as [`DynStream::try_clone`].
    pub fn mirror(&self) -> Result<DynStream> {
        if self.handle.header().plan.is_device_only() {
            return Err(Error::gpu(self.name(), Problem::OnDevice));
        }
        Ok(DynStream::from_handle(self.handle.attach_again()?))
    }

    /// Takes the stream's name away. Those who have it open go on.
    ///
    /// # Errors
    ///
    /// As [`DynStream::unlink`].
    pub fn unlink(&self) -> Result<()> {
        self.handle.unlink()
    }
}

/// Looking.
impl HostHandle {
    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &StreamName {
        self.handle.name()
    }

    /// Returns the file that holds what processes share of the stream.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.handle.path()
    }

    /// Returns what a frame is made of.
    #[must_use]
    pub const fn schema(&self) -> &Schema {
        &self.handle.header().plan.schema
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

    /// Returns the number drawn for this stream when it was created, which no other stream has.
    #[must_use]
    pub const fn instance(&self) -> u128 {
        u128::from_be_bytes(self.handle.header().origin.instance)
    }

    /// Returns the count of the latest frame, zero before the first.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.handle.count()
    }

    /// Says where on a device the frames live, and whether that memory can still be opened.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn device(&self) -> Result<DeviceInfo> {
        let device = self.status()?.device;
        device.ok_or_else(|| Error::gpu(self.name(), Problem::OnHost))
    }

    /// Says what the stream looks like: as [`stat`](crate::stat), and also when its name is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Os`].
    pub fn status(&self) -> Result<Status> {
        self.handle.status()
    }

    /// Says what stands under the stream's name now.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Os`].
    pub fn link(&self) -> Result<Link> {
        self.handle.link()
    }
}

/// Waiting: for frames, whose headers it returns, and for the write lock.
impl HostHandle {
    /// Returns the header of the latest frame, or `None` before the first.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`]; [`Error::Corrupt`] when a process scribbled over the shared words.
    pub fn latest(&self) -> Result<Option<FrameInfo>> {
        self.handle.look_at_latest()
    }

    /// Waits for a frame newer than the newest whose header this handle returned.
    ///
    /// # Errors
    ///
    /// [`Error::Replaced`] when there is nothing new and another stream has the name now;
    /// [`Error::Forked`], [`Error::Os`].
    pub fn wait(&self) -> Result<FrameInfo> {
        loop {
            if let Some(info) = self.wait_with(Patience::Forever)? {
                return Ok(info);
            }
        }
    }

    /// Waits for a newer frame for `timeout` at most, and returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<FrameInfo>> {
        self.wait_with(Patience::timeout(timeout))
    }

    fn wait_with(&self, patience: Patience) -> Result<Option<FrameInfo>> {
        match self.handle.wait_count(self.handle.seen(), patience)? {
            true => self.latest(),
            false => Ok(None),
        }
    }

    /// Returns how many frames were published in all between those whose headers this handle returned.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.handle.missed()
    }

    /// Takes the write lock, and waits for it as long as that takes.
    ///
    /// While it is held, nobody publishes.
    ///
    /// # Errors
    ///
    /// [`Error::Replaced`], [`Error::Forked`], [`Error::Os`].
    pub fn lock(&self) -> Result<HostLock<'_>> {
        match self.lock_with(Patience::Forever)? {
            Some(guard) => Ok(guard),
            None => unreachable!("the patience to wait for the lock is endless"),
        }
    }

    /// Takes the write lock, or returns `None` when somebody else has it.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Option<HostLock<'_>>> {
        self.lock_with(Patience::None)
    }

    /// Takes the write lock, or returns `None` when somebody else has it for all of `timeout`.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<HostLock<'_>>> {
        self.lock_with(Patience::timeout(timeout))
    }

    fn lock_with(&self, patience: Patience) -> Result<Option<HostLock<'_>>> {
        let held = self.handle.lock_without_writing(patience)?;
        Ok(held.map(HostLock))
    }

    /// Returns the process that holds the write lock, or held it when it died; for messages.
    #[must_use]
    pub fn lock_holder(&self) -> Option<u32> {
        self.handle.lock_holder()
    }
}

impl fmt::Debug for HostHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostHandle")
            .field("name", self.name())
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

/// The write lock of a stream on a device, held by a thread of a process that may have no GPU.
///
/// Neither `Send` nor `Sync`: the lock belongs to the thread. If the process dies, the lock is free.
#[must_use = "the lock is held only while the guard lives"]
pub struct HostLock<'a>(#[expect(dead_code, reason = "dropped to give the lock back")] Held<'a>);

impl fmt::Debug for HostLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostLock")
    }
}
