//! A handle to a stream of any payload: attach, read, wait, claim, detach.

mod device;

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::file::{check_schema, mark_unlinked, origin, read_header, taken, write_at};
use super::frame::FrameInfo;
use super::rows;
use crate::error::{Error, Result};
use crate::gpu::Problem;
use crate::layout::{Header, Plan, PlanDefect};
use crate::name::StreamName;
use crate::os::clock::Clock;
use crate::os::fork::Unshared;
use crate::os::futex::Slept;
use crate::os::map::Residency;
use crate::os::shm::{Directory, FileId, Standing, check_size, open_again, truncated};
use crate::os::{futex, lock};
use crate::protocol::{Control, FrameWords, Holding, Occupied, Pinned, Pins, Signal, Torn};
use crate::region::{Claim, Pin, Region};
use crate::schema::Schema;
use crate::write_lock::{Held, LOOK_AGAIN, Patience, Refused, WriteLock};

/// How often a reader looks for a new frame before it goes to sleep.
pub(super) const SPINS: u32 = 100;
/// The row whose lock says that the device memory is there: behind all others.
pub(crate) const EXPORTER: usize = crate::protocol::MAX_PARTICIPANTS;
/// How long a writer without a free slot sleeps before it looks again; see `Pin`'s drop.
pub(super) const LOOK_FOR_SLOT: Duration = Duration::from_millis(1);

/// What stands under a stream's name, seen from a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Link {
    /// The stream of this handle.
    Current,
    /// Nothing: the stream was unlinked. Those who have it open go on as before.
    Unlinked,
    /// Another stream: this one was unlinked, and the name was used again.
    Replaced,
}

/// A participant of a stream.
///
/// Neither `Sync` nor cheap to make: one thread uses it at a time, and another thread gets its own.
pub(crate) struct Handle {
    name: StreamName,
    pub(super) directory: Directory,
    header: Header,
    pub(super) file: Arc<Unshared>,
    pub(super) region: Region,
    pub(super) pins: Pins,
    lock: Arc<WriteLock>,
    clock: Clock,
    /// The count of the newest frame that this handle returned.
    pub(super) seen: Cell<u64>,
    /// How many frames were published between those that this handle returned.
    missed: Cell<u64>,
    residency: Residency,
    unlink_on_drop: bool,
    /// The handle has the lock that says that the device memory is there.
    pub(super) exports: bool,
    /// Made when somebody waits without a thread.
    #[cfg(feature = "async")]
    pub(super) watch: std::cell::OnceCell<Arc<crate::reactor::Watch>>,
}

/// What a handle wants of a new stream.
pub(crate) struct Creation {
    pub(crate) plan: Plan,
    pub(crate) mode: u32,
    pub(crate) residency: Residency,
    pub(crate) unlink_on_drop: bool,
}

impl Handle {
    /// Creates a stream and attaches to it. `prepare` is called before the stream has its name.
    pub(crate) fn create(
        name: &StreamName,
        creation: Creation,
        prepare: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Self> {
        let Creation {
            plan,
            mode,
            residency,
            unlink_on_drop,
        } = creation;
        let directory = Directory::current();
        // Before memory is reserved; `link` has the last word.
        if directory.file(name).symlink_metadata().is_ok() {
            return Err(taken(&directory, name));
        }
        let (header, bytes) = Header::new(plan, origin(name)?).map_err(|defect| match defect {
            PlanDefect::Schema(reason) => Error::invalid(name, "payload", format!("has {reason}")),
            PlanDefect::TooLarge => Error::TooLarge {
                name: name.clone(),
                needed: u64::MAX,
                limit: isize::MAX.unsigned_abs() as u64,
                limited_by: "the address space",
            },
        })?;
        let file = directory.create(name, header.layout.total as u64, mode)?;
        write_at(&file, &bytes, 0).map_err(|error| Error::os(name, "write the header", error))?;
        kill_point!(CreateHeaderWritten);
        // Attached before it has a name: nobody ever sees the stream without its creator.
        let file = unshared(name, file)?;
        let mut handle = Self::attach(name, directory, header, file, residency)?;
        handle.region.prepare_writing(name, &handle.file)?;
        kill_point!(CreateMapped);
        // As above: nobody sees a stream on a device without one who has its memory.
        prepare(&mut handle)?;
        handle
            .directory
            .link(name, &*handle.file)
            .map_err(|error| match error {
                Error::AlreadyExists { .. } => taken(&handle.directory, name),
                error => error,
            })?;
        kill_point!(CreateNamed);
        handle.unlink_on_drop = unlink_on_drop;
        Ok(handle)
    }

    /// Attaches to a stream that exists, if it carries what is expected.
    pub(crate) fn open(
        name: &StreamName,
        any_owner: bool,
        residency: Residency,
        expected: Option<&Schema>,
    ) -> Result<Self> {
        let directory = Directory::current();
        let (file, file_len) = directory.open(name, any_owner)?;
        kill_point!(OpenFile);
        let file = unshared(name, file)?;
        let header = read_header(&directory, name, &file, file_len)?;
        kill_point!(OpenHeader);
        if header.plan.is_device_only() {
            return Err(Error::gpu(name, Problem::OnDevice));
        }
        // Before a row is taken: a program that was built for another payload disturbs nobody.
        if let Some(expected) = expected {
            check_schema(name, &header.plan.schema, expected)?;
        }
        Self::attach(name, directory, header, file, residency)
    }

    /// Attaches to the same stream once more, as another participant.
    pub(crate) fn attach_again(&self) -> Result<Self> {
        self.check_fork()?;
        let file = open_again(&*self.file)
            .map_err(|error| Error::os(&self.name, "open its file once more", error))?;
        kill_point!(CloneOpened);
        let file = unshared(&self.name, file)?;
        let (directory, header) = (self.directory.clone(), self.header.clone());
        Self::attach(&self.name, directory, header, file, self.residency)
    }

    fn attach(
        name: &StreamName,
        directory: Directory,
        header: Header,
        file: Unshared,
        residency: Residency,
    ) -> Result<Self> {
        let file = Arc::new(file);
        check_size(name, &*file, header.layout.total)?;
        let residency = Residency {
            huge: header.plan.huge,
            ..residency
        };
        let region = Region::map(name, &file, &header, residency)?;
        kill_point!(AttachMapped);
        let id = FileId::of(&*file).map_err(|error| Error::os(name, "look at its file", error))?;
        let row = rows::claim(name, &file, region.control())?;
        Ok(Self {
            name: name.clone(),
            directory,
            lock: WriteLock::of(id, &header.layout),
            header,
            file,
            region,
            pins: Pins::new(row),
            clock: Clock::default(),
            seen: Cell::new(0),
            missed: Cell::new(0),
            residency,
            unlink_on_drop: false,
            exports: false,
            #[cfg(feature = "async")]
            watch: std::cell::OnceCell::new(),
        })
    }

    pub(crate) const fn name(&self) -> &StreamName {
        &self.name
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.file(&self.name)
    }

    pub(crate) const fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the count of the latest frame; in a forked child, which has no mapping, that of the
    /// newest that the handle returned.
    pub(crate) fn count(&self) -> u64 {
        match self.region.is_forked() {
            true => self.seen(),
            false => self.control().count(),
        }
    }

    #[inline]
    pub(crate) fn control(&self) -> Control<'_> {
        self.region.control()
    }

    #[inline]
    pub(crate) fn check_fork(&self) -> Result<()> {
        if self.region.is_forked() {
            return Err(self.forked());
        }
        Ok(())
    }

    #[cold]
    fn forked(&self) -> Error {
        Error::Forked {
            name: self.name.clone(),
        }
    }

    /// Returns what tells the stream's file from all others.
    pub(crate) fn file_id(&self) -> Result<FileId> {
        self.check_fork()?;
        FileId::of(&*self.file).map_err(|error| Error::os(&self.name, "look at its file", error))
    }

    /// Says what stands under the stream's name now.
    pub(crate) fn link(&self) -> Result<Link> {
        self.check_fork()?;
        let standing = self.directory.standing(&self.name, &*self.file)?;
        Ok(standing.into())
    }

    /// Takes the stream's name away.
    pub(crate) fn unlink(&self) -> Result<()> {
        self.check_fork()?;
        let mark = || mark_unlinked(&self.name, &*self.file, &self.header);
        match self.directory.unlink(&self.name, &*self.file, mark)? {
            Standing::Same => Ok(()),
            Standing::Nothing => Err(Error::NotFound {
                name: self.name.clone(),
                dir: self.directory.path().to_owned(),
            }),
            Standing::Other => Err(self.replaced()),
        }
    }

    #[cold]
    fn replaced(&self) -> Error {
        Error::Replaced {
            name: self.name.clone(),
        }
    }

    // Reading.

    /// Pins the latest frame, or returns `None` before the first.
    #[inline(always)]
    pub(crate) fn read(&self) -> Result<Option<(Pin<'_>, FrameInfo)>> {
        self.check_fork()?;
        let note = |pinned: Pinned| {
            let seen = self.seen.get();
            let info = FrameInfo::new(pinned.count, pinned.frame, seen);
            if pinned.count > seen {
                self.seen.set(pinned.count);
                self.missed.set(self.missed.get().wrapping_add(info.missed));
                self.control().note_seen(self.pins.row(), pinned.count);
                kill_point!(ReadNoted);
            }
            info
        };
        match self.region.pin_latest(&self.pins, note) {
            Ok(frame) => Ok(frame),
            Err(torn) => Err(self.torn(torn)),
        }
    }

    /// Pins the latest frame if it is newer than the newest that this handle returned.
    #[inline]
    pub(crate) fn read_new(&self) -> Result<Option<(Pin<'_>, FrameInfo)>> {
        self.read_after(self.seen.get())
    }

    /// Pins the latest frame if its count is above `count`.
    #[inline]
    fn read_after(&self, count: u64) -> Result<Option<(Pin<'_>, FrameInfo)>> {
        self.check_fork()?;
        if self.control().count() > count {
            self.read()
        } else {
            Ok(None)
        }
    }

    pub(crate) const fn missed(&self) -> u64 {
        self.missed.get()
    }

    pub(crate) const fn seen(&self) -> u64 {
        self.seen.get()
    }

    /// Pins the latest frame once its count is above `count`, or returns `None` when patience runs
    /// out first.
    pub(crate) fn wait_after(
        &self,
        count: u64,
        patience: Patience,
    ) -> Result<Option<(Pin<'_>, FrameInfo)>> {
        self.check_fork()?;
        for _ in 0..SPINS {
            if let Some(frame) = self.read_after(count)? {
                return Ok(Some(frame));
            }
            std::hint::spin_loop();
        }
        let signal = self.control().notify();
        loop {
            // Before arming, so that a look without patience costs the writer no wake call.
            let Some(longest) = patience.left(LOOK_AGAIN) else {
                return self.read_after(count);
            };
            let value = signal.arm();
            kill_point!(WaitArmed);
            // A frame that is counted and cannot be read is a peer's scribbling: wait on.
            if self.control().recheck() > count
                && let Some(frame) = self.read()?
            {
                return Ok(Some(frame));
            }
            kill_point!(WaitRechecked);
            self.sleep(signal, value, longest)?;
            kill_point!(WaitWoken);
            if let Some(frame) = self.read_after(count)? {
                return Ok(Some(frame));
            }
            self.check_replaced()?;
        }
    }

    /// Sleeps until the signal is fired, as far as can be told.
    pub(super) fn sleep(&self, signal: &Signal, value: u32, longest: Duration) -> Result<()> {
        let slept = futex::wait(signal.word(), value, longest)
            .map_err(|error| Error::os(&self.name, "wait", error))?;
        match slept {
            Slept::Awoken => Ok(()),
            Slept::Through => self.check_size(),
        }
    }

    pub(super) fn check_size(&self) -> Result<()> {
        check_size(&self.name, &*self.file, self.header.layout.total)
    }

    pub(super) fn check_replaced(&self) -> Result<()> {
        match self.link()? {
            Link::Replaced => Err(self.replaced()),
            Link::Current | Link::Unlinked => Ok(()),
        }
    }

    #[cold]
    pub(crate) fn torn(&self, torn: Torn) -> Error {
        let Torn { latest, state } = torn;
        match state {
            None => Error::corrupt(&self.name, "the latest word", format!("{latest:#x}")),
            Some(state) => {
                let value = format!("{state} where the latest word is {latest:#x}");
                Error::corrupt(&self.name, "the state of the latest slot", value)
            }
        }
    }

    // Writing.

    /// Takes the write lock, or returns `None` when patience runs out first.
    #[inline(always)]
    pub(crate) fn lock(&self, patience: Patience) -> Result<Option<Held<'_>>> {
        let held = self.acquire(patience)?;
        // Once for each time that the lock is taken.
        if held.as_ref().is_some_and(Held::is_outermost) {
            self.begin_to_write()?;
        }
        Ok(held)
    }

    #[inline(always)]
    fn acquire(&self, patience: Patience) -> Result<Option<Held<'_>>> {
        self.check_fork()?;
        self.lock
            .acquire(&self.file, self.control(), self.pins.row(), patience)
            .map_err(|refused| self.refused(refused))
    }

    #[cold]
    fn refused(&self, refused: Refused) -> Error {
        match refused {
            Refused::Truncated(len) => truncated(&self.name, len, self.header.layout.total as u64),
            Refused::Os(error) => Error::os(&self.name, "take the write lock", error),
        }
    }

    #[cold]
    fn begin_to_write(&self) -> Result<()> {
        if self.header.plan.device.is_some() {
            return Err(Error::gpu(&self.name, Problem::Mirrored));
        }
        self.note_writing()
    }

    /// Notes that this handle writes, and checks that the stream has its name.
    fn note_writing(&self) -> Result<()> {
        let control = self.control();
        control.note_publisher(self.pins.row());
        // The flag saves a look at the file system.
        match control.is_unlinked() {
            true => self.check_replaced(),
            false => Ok(()),
        }
    }

    /// Puts the slots in order if the last holder of the write lock died with it.
    ///
    /// If somebody holds it, that one has done so, or will.
    #[cold]
    pub(crate) fn settle(&self) -> Result<()> {
        self.acquire(Patience::None).map(drop)
    }

    /// Returns the process that holds the write lock, or did when it died.
    pub(crate) fn lock_holder(&self) -> Option<u32> {
        self.check_fork().ok()?;
        let control = self.control();
        let pid = control.holder().map(|row| control.pid(row));
        // Zero: the row has been cleared meanwhile.
        pid.filter(|&pid| pid != 0)
    }

    /// Takes the write lock, with patience `for_lock`, and claims a slot, with patience `for_slot`.
    #[inline(always)]
    pub(crate) fn claim(&self, for_lock: Patience, for_slot: Patience) -> Result<Claim<'_>> {
        let Some(held) = self.lock(for_lock)? else {
            return Err(self.busy());
        };
        let make_room = |occupied, loaned, armed: &mut Option<u32>| {
            self.make_room(occupied, loaned, armed, for_slot)
        };
        self.region.claim(&self.name, &self.file, held, make_room)
    }

    #[cold]
    pub(crate) fn busy(&self) -> Error {
        Error::Busy {
            name: self.name.clone(),
            holder: self.lock_holder(),
        }
    }

    /// Clears rows of the dead, or sleeps until a slot may be free.
    #[cold]
    fn make_room(
        &self,
        occupied: Occupied,
        loaned: u64,
        armed: &mut Option<u32>,
        patience: Patience,
    ) -> Result<()> {
        let own = self.pins.row();
        kill_point!(RoomWanted);
        if rows::reclaim(&self.name, &self.file, self.control(), own, occupied.held)? {
            return Ok(());
        }
        let Some(longest) = patience.left(LOOK_FOR_SLOT) else {
            // A reader in order that moves its pin along can be met on one slot after the other, and
            // holds one of them at a time. So one more look.
            if armed.replace(0).is_none() {
                return Ok(());
            }
            return Err(self.no_free_slot(occupied, loaned));
        };
        let freed = self.control().freed();
        // One more look between arming and sleeping.
        let Some(value) = armed.take() else {
            *armed = Some(freed.arm());
            kill_point!(RoomArmed);
            return Ok(());
        };
        kill_point!(RoomSleeps);
        self.sleep(freed, value, longest).inspect_err(|error| {
            if matches!(error, Error::Corrupt { .. }) {
                self.lock.note_truncated();
            }
        })
    }

    #[cold]
    fn no_free_slot(&self, occupied: Occupied, loaned: u64) -> Error {
        let control = self.control();
        let processes = |which: fn(Holding) -> bool| {
            let rows = control.attached();
            let holding = rows.filter(|&row| which(control.holds(row, occupied.held)));
            let mut pids: Vec<_> = holding.map(|row| control.pid(row)).collect();
            // Zero: the row has been cleared meanwhile.
            pids.retain(|&pid| pid != 0);
            pids.sort_unstable();
            pids.dedup();
            pids
        };
        Error::NoFreeSlot {
            name: self.name.clone(),
            slots: u32::try_from(self.header.plan.slots).unwrap_or(u32::MAX),
            holders: processes(|held| held.pinned),
            subscribers: processes(|held| held.awaited),
            loans: loaned.count_ones(),
        }
    }

    /// Returns the header of a frame published now.
    #[inline(always)]
    pub(crate) fn stamp(&self, frame_id: u64) -> FrameWords {
        let now = self.clock.now();
        FrameWords {
            frame_id,
            realtime_ns: now.realtime_ns,
            monotonic_ns: now.monotonic_ns,
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // In a forked child the row, the locks and the name are the parent's.
        if self.region.is_forked() {
            return;
        }
        kill_point!(DropBegun);
        if self.unlink_on_drop {
            // There is nobody to tell; `purge` removes what is left.
            let _ = self.unlink();
        }
        // Nobody can use a truncated stream, and a program that has been told so is not ended for it.
        if self.check_size().is_ok() {
            self.control().detach(self.pins.row());
        }
        // By itself, before the descriptor closes: another thread may be between `fork` and `exec`,
        // and its child would keep the lock until then.
        lock::unlock_row(&*self.file, self.pins.row());
        kill_point!(DropUnlocked);
    }
}

/// Keeps a descriptor from children that are forked from now on.
fn unshared(name: &StreamName, file: OwnedFd) -> Result<Unshared> {
    Unshared::new(file).map_err(|error| Error::os(name, "prepare for forks", error))
}
