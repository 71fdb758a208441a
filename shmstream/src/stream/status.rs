//! What can be seen of a stream from outside: its making, its latest frame, who is attached.

use std::fmt;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustix::fs::fstat;

use super::any::AnyStream;
use super::dynamic::DynStream;
use super::file::read_header;
use super::frame::FrameInfo;
use super::handle::{EXPORTER, Handle, Link};
use super::observer::Damage;
use super::typed::Stream;
use crate::error::{Error, Result};
use crate::gpu::DeviceInfo;
use crate::layout::Header;
use crate::name::StreamName;
use crate::os::lock;
use crate::os::shm::{Directory, Standing, check_size};
use crate::pod::Pod;
use crate::protocol::{Publisher, Role, RowWords, Sight};
use crate::region::Outlook;
use crate::schema::Schema;

/// How often to look at the latest frame while writers publish at full speed.
const LOOKS: u32 = 1000;

/// What a stream looked like a moment ago.
///
/// Made by [`stat`] and by `status` of a handle. `Display` writes it as text of several lines, with
/// feature `serde` it can be serialised.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Status {
    /// The stream's name.
    pub name: StreamName,
    /// The file that holds the stream, or held it until it was unlinked.
    pub path: PathBuf,
    /// What stands under the name.
    pub link: Link,
    /// What a frame is made of.
    pub schema: Schema,
    /// The size of a frame's payload in bytes.
    pub frame_size: usize,
    /// The size of the file in bytes: the shared memory that the stream takes.
    pub file_size: u64,
    /// The number of slots.
    pub slots: usize,
    /// How many frames are kept for readers in order, the latest included.
    pub history: usize,
    /// How many handles can be attached at a time.
    pub max_participants: usize,
    /// Whether each publish wakes observers; see [`Builder::observers`](crate::Builder::observers).
    pub observers: bool,
    /// Whether huge pages are asked for.
    pub huge_pages: bool,
    /// Where on a device the frames live; `None` for a stream in the host's memory.
    pub device: Option<DeviceInfo>,
    /// The permissions of the file, as for `chmod`; serialised as octal text, `"0600"`.
    #[cfg_attr(feature = "serde", serde(serialize_with = "octal"))]
    pub mode: u32,
    /// The user who owns the file.
    pub owner: u32,
    /// The number drawn for the stream when it was created, which no other stream has.
    #[cfg_attr(feature = "serde", serde(serialize_with = "hexadecimal"))]
    pub instance: u128,
    /// When the stream was created: nanoseconds since 1970 (UTC).
    pub created_ns: u64,
    /// The process that created the stream, as numbered in its own PID namespace.
    pub creator_pid: u32,
    /// The user who created the stream.
    pub creator_uid: u32,
    /// How many frames were published so far.
    pub count: u64,
    /// The header of the latest frame; `None` before the first.
    pub latest: Option<FrameInfo>,
    /// The process that took the write lock last, as numbered in its own PID namespace; `None` if
    /// nobody did or it is not attached any more.
    pub publisher: Option<u32>,
    /// The process that holds the write lock, or died with it.
    pub lock_holder: Option<u32>,
    /// Who is attached, or died attached and was not cleared away so far.
    pub participants: Vec<Participant>,
    #[cfg_attr(feature = "serde", serde(skip))]
    facts: Facts,
}

/// What the state of the producer is told from.
#[derive(Clone, Copy, Debug)]
struct Facts {
    publisher: Publisher,
    publisher_alive: bool,
    locked: bool,
    locked_by_dead: bool,
}

/// One handle that is attached to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Participant {
    /// Its row in the participant table.
    pub row: usize,
    /// Its process, as numbered in that process's PID namespace.
    pub pid: u32,
    /// Whether it lives. What a dead one held is taken back when somebody needs it.
    pub alive: bool,
    /// What it has done so far.
    pub roles: Roles,
    /// The count of the newest frame that it read; 0 for none.
    pub seen: u64,
    /// How many frames were published since that one; 0 for a participant that does not read.
    pub behind: u64,
    /// How many slots its guards hold.
    pub pinned: u32,
}

/// What a participant has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Roles {
    /// It has taken the write lock.
    pub writer: bool,
    /// It has read a frame.
    pub reader: bool,
    /// It reads in order.
    pub subscriber: bool,
    /// Writers keep what it has not read.
    pub lossless: bool,
}

/// Whether whoever published last goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Producer {
    /// Nobody has written so far.
    None,
    /// It lives, and the latest frame is recent.
    Active,
    /// It lives and publishes nothing, and is not in the middle of writing.
    Idle,
    /// It lives and publishes nothing although it holds the write lock: it is stopped, hangs, or
    /// works for long on one frame. Others that want to write wait for it.
    Stalled,
    /// It died without closing its handle: it was killed, or it crashed.
    Dead,
    /// It closed its handle.
    Gone,
    /// The name stands for another stream, which it does not write to.
    Replaced,
}

impl fmt::Display for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Dead => "dead",
            Self::Gone => "gone",
            Self::Replaced => "replaced",
        })
    }
}

/// Says what a stream looks like, without attaching to it and without mapping its payloads.
///
/// Works for streams of every user whose mode lets this one read. Does not disturb anybody: the file
/// is opened for reading only.
///
/// # Errors
///
/// - [`Error::InvalidName`], [`Error::NotFound`];
/// - [`Error::Foreign`], [`Error::Version`], [`Error::Corrupt`] when the file is not a stream, not of
///   this version, or damaged;
/// - [`Error::OtherUser`] when another user's file is not readable for this one;
/// - [`Error::Limit`] and [`Error::Os`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use shmstream::{Producer, Stream};
///
/// let stream = Stream::<[f32; 4], 3>::temporary()?;
/// stream.write(&[[0.5; 4]; 3])?;
/// let status = shmstream::stat(stream.name())?;
/// assert_eq!((status.count, status.frame_size), (1, 48));
/// assert_eq!(status.participants.len(), 1);
/// assert_eq!(status.producer(Duration::from_secs(60)), Producer::Active);
/// println!("{status}");
/// # Ok::<(), shmstream::Error>(())
/// ```
pub fn stat(name: impl AsRef<[u8]>) -> Result<Status> {
    let name = StreamName::new(name)?;
    let directory = Directory::current();
    let (file, file_len) = directory.open_to_look(&name)?;
    let header = read_header(&directory, &name, &file, file_len)?;
    let outlook = Outlook::map(&name, &file, &header)?;
    Look {
        name: &name,
        directory: &directory,
        header: &header,
        file: &file,
        sight: outlook.sight(),
        own_row: None,
        own_memory: false,
    }
    .status()
}

impl<T: Pod, const N: usize> Stream<T, N> {
    /// Says what the stream looks like: as [`stat`], and also when its name is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Corrupt`], [`Error::Os`].
    pub fn status(&self) -> Result<Status> {
        self.participant().0.status()
    }
}

impl DynStream {
    /// Says what the stream looks like: as [`stat`], and also when its name is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Corrupt`], [`Error::Os`].
    pub fn status(&self) -> Result<Status> {
        self.handle.status()
    }
}

impl Handle {
    pub(crate) fn status(&self) -> Result<Status> {
        self.check_fork()?;
        Look {
            name: self.name(),
            directory: &self.directory,
            header: self.header(),
            file: &*self.file,
            sight: Sight::new(self.control()),
            own_row: Some(self.pins.row()),
            own_memory: self.exports,
        }
        .status()
    }
}

/// Everything that a look at a stream needs.
pub(super) struct Look<'a, F> {
    pub(super) name: &'a StreamName,
    pub(super) directory: &'a Directory,
    pub(super) header: &'a Header,
    pub(super) file: &'a F,
    pub(super) sight: Sight<'a>,
    /// The row whose lock `file` has itself.
    pub(super) own_row: Option<usize>,
    /// Whether `file` has the lock of the device memory.
    pub(super) own_memory: bool,
}

impl<F: AsFd> Look<'_, F> {
    pub(super) fn status(self) -> Result<Status> {
        let Self {
            name,
            directory,
            header,
            file,
            sight,
            ..
        } = self;
        check_size(name, file, header.layout.total)?;
        let stat = fstat(file).map_err(|error| Error::os(name, "look at its file", error))?;
        let link = Link::from(directory.standing(name, file)?);
        let participants = self.participants()?;
        let (plan, origin) = (&header.plan, &header.origin);
        let alive = |row: usize| participants.iter().any(|one| one.row == row && one.alive);
        let pid = |row: usize| {
            let owner = participants.iter().find(|one| one.row == row)?;
            Some(owner.pid).filter(|&pid| pid != 0)
        };
        let holder = sight.holder();
        let (publisher, publisher_row) = match sight.publisher() {
            Publisher::Row(row) => (Publisher::Row(row), Some(row)),
            other => (other, None),
        };
        Ok(Status {
            name: name.clone(),
            path: directory.file(name),
            link,
            schema: plan.schema.clone(),
            frame_size: plan.schema.size(),
            file_size: header.layout.total as u64,
            slots: plan.slots,
            history: plan.history,
            max_participants: plan.participants,
            observers: plan.observers,
            huge_pages: plan.huge,
            device: self.device()?,
            mode: stat.st_mode & 0o7777,
            owner: stat.st_uid,
            instance: u128::from_be_bytes(origin.instance),
            created_ns: origin.created_ns,
            creator_pid: origin.creator_pid,
            creator_uid: origin.creator_uid,
            count: sight.count(),
            latest: latest(name, sight)?,
            publisher: publisher_row.and_then(pid),
            lock_holder: holder.and_then(pid),
            facts: Facts {
                publisher,
                publisher_alive: publisher_row.is_some_and(alive),
                locked: holder.is_some_and(alive),
                locked_by_dead: holder.is_some_and(|row| !alive(row)),
            },
            participants,
        })
    }

    fn device(&self) -> Result<Option<DeviceInfo>> {
        let Some(device) = &self.header.plan.device else {
            return Ok(None);
        };
        let exported = self.own_memory
            || lock::is_row_locked(self.file, EXPORTER)
                .map_err(|error| Error::os(self.name, "ask for the exporter", error))?;
        Ok(Some(DeviceInfo::new(device, exported)))
    }

    fn participants(&self) -> Result<Vec<Participant>> {
        let count = self.sight.count();
        self.sight
            .rows()
            .map(|words| {
                let alive = match self.own_row {
                    Some(row) if row == words.row => true,
                    _ => lock::is_row_locked(self.file, words.row).map_err(|error| {
                        Error::os(self.name, "test a participant's lock", error)
                    })?,
                };
                Ok(Participant::new(words, alive, count))
            })
            .collect()
    }
}

impl Participant {
    fn new(words: RowWords, alive: bool, count: u64) -> Self {
        let has = |role: Role| words.roles & role as u32 != 0;
        let roles = Roles {
            writer: has(Role::Writer),
            reader: words.seen > 0,
            subscriber: has(Role::Subscriber),
            lossless: has(Role::Lossless),
        };
        let reads = roles.reader || roles.subscriber;
        Self {
            row: words.row,
            pid: words.pid,
            alive,
            roles,
            seen: words.seen,
            behind: if reads {
                count.saturating_sub(words.seen)
            } else {
                0
            },
            pinned: words.pins.count_ones(),
        }
    }
}

/// Returns the header of the latest frame; none too if writers are too fast for a look.
pub(super) fn latest(name: &StreamName, sight: Sight<'_>) -> Result<Option<FrameInfo>> {
    let mut damaged = Damage::default();
    // A frame that is overwritten under the eyes is followed by another.
    for _ in 0..LOOKS {
        match sight.look() {
            Ok(None) => return Ok(None),
            Ok(Some(seen)) => {
                damaged.is_not();
                if sight.is_still(seen) {
                    return Ok(Some(FrameInfo::new(seen.count, seen.frame, 0)));
                }
            }
            Err(word) => damaged.seems(word),
        }
    }
    damaged.check(name)?;
    Ok(None)
}

impl From<Standing> for Link {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Same => Self::Current,
            Standing::Nothing => Self::Unlinked,
            Standing::Other => Self::Replaced,
        }
    }
}

impl Status {
    /// Returns how long ago the latest frame was published, by the monotonic clock; `None` before the
    /// first.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.latest.map(|latest| latest.age())
    }

    /// Returns whether there is no frame that is at most `limit` old.
    #[must_use]
    pub fn is_stale(&self, limit: Duration) -> bool {
        self.age().is_none_or(|age| age > limit)
    }

    /// Says whether whoever published last goes on.
    ///
    /// It counts as active if the latest frame is at most `quiet` old. Whether it lives is told from
    /// the kernel's lock on its row, so this holds across PID namespaces and after a PID was reused.
    #[must_use]
    pub fn producer(&self, quiet: Duration) -> Producer {
        let facts = &self.facts;
        if self.link == Link::Replaced {
            return Producer::Replaced;
        }
        match facts.publisher {
            Publisher::Nobody => return Producer::None,
            Publisher::Gone => return Producer::Gone,
            Publisher::Dead => return Producer::Dead,
            Publisher::Row(_) if !facts.publisher_alive || facts.locked_by_dead => {
                return Producer::Dead;
            }
            Publisher::Row(_) => {}
        }
        let since = self.age().unwrap_or_else(|| self.since_creation());
        if since <= quiet {
            Producer::Active
        } else if facts.locked {
            Producer::Stalled
        } else {
            Producer::Idle
        }
    }

    fn since_creation(&self) -> Duration {
        let created = SystemTime::UNIX_EPOCH + Duration::from_nanos(self.created_ns);
        created.elapsed().unwrap_or_default()
    }

    /// Describes the stream in text of several lines, as `Display` does.
    #[must_use]
    pub fn describe(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stream `{}`", self.name)?;
        writeln!(f, "  file          {}", self.path.display())?;
        if self.link != Link::Current {
            let link = match self.link {
                Link::Replaced => "stands for another stream now",
                _ => "is gone",
            };
            writeln!(f, "  name          {link}")?;
        }
        writeln!(f, "  payload       {}", self.schema)?;
        writeln!(f, "  frame         {} bytes", self.frame_size)?;
        writeln!(f, "  memory        {} bytes", self.file_size)?;
        if let Some(device) = &self.device {
            writeln!(f, "  device        {device}")?;
        }
        writeln!(
            f,
            "  slots         {}, history {}",
            self.slots, self.history
        )?;
        let mode = self.mode;
        writeln!(f, "  owner         user {}, mode {mode:04o}", self.owner)?;
        writeln!(f, "  instance      {:032x}", self.instance)?;
        writeln!(f, "  created by    process {}", self.creator_pid)?;
        write!(f, "  frames        {}", self.count)?;
        match self.age() {
            Some(age) => writeln!(f, ", the latest {age:.1?} old")?,
            None => writeln!(f)?,
        }
        let producer = self.producer(Duration::from_secs(1));
        match self.publisher {
            Some(pid) => writeln!(f, "  producer      {producer}, process {pid}")?,
            None => writeln!(f, "  producer      {producer}")?,
        }
        let alive = self.participants.iter().filter(|one| one.alive).count();
        write!(f, "  participants  {alive} of {}", self.max_participants)?;
        match self.participants.len() - alive {
            0 => {}
            dead => write!(f, ", and {dead} that died")?,
        }
        self.participants
            .iter()
            .try_for_each(|one| write!(f, "\n    {one}"))
    }
}

impl fmt::Display for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}: {}", self.pid, self.roles)?;
        if self.roles.reader || self.roles.subscriber {
            write!(f, ", {} frames behind", self.behind)?;
        }
        match self.pinned {
            0 => {}
            1 => f.write_str(", holds 1 slot")?,
            more => write!(f, ", holds {more} slots")?,
        }
        if !self.alive {
            f.write_str(", dead")?;
        }
        Ok(())
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.writer, "writer"),
            (self.reader && !self.subscriber, "reader"),
            (self.subscriber && !self.lossless, "subscriber"),
            (self.lossless, "lossless subscriber"),
        ];
        let words: Vec<_> = words
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, word)| *word)
            .collect();
        if words.is_empty() {
            f.write_str("attached")
        } else {
            f.write_str(&words.join(", "))
        }
    }
}

#[cfg(feature = "serde")]
fn octal<S: serde::Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:04o}"))
}

#[cfg(feature = "serde")]
fn hexadecimal<S: serde::Serializer>(instance: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{instance:032x}"))
}
