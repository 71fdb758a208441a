//! The write lock, as threads see it: re-entrant in the thread that holds it.
//!
//! The kernel's lock tells handles apart, not threads. So all handles of one process to one stream
//! share a [`WriteLock`], which lets one thread at a time go for the kernel's lock, and lets that
//! thread in again through whichever handle it comes.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::layout::Layout;
use crate::os::fork::{self, Unshared};
use crate::os::shm::{FileId, missing};
use crate::os::{event, futex, lock};
use crate::protocol::{Control, Head, Signal, Waiting};

/// The longest that anybody sleeps without looking again by itself: how late a waiter can learn of
/// a change whose maker died between the change and the wake call.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long to wait for something.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    None,
    Until(Instant),
    Forever,
}

impl Patience {
    /// Returns whether a time was given, and is past.
    #[cfg(feature = "cuda")]
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Until(until) if until <= Instant::now())
    }

    /// Waits for `timeout` from now; forever if that is further away than clocks go.
    pub(crate) fn timeout(timeout: Duration) -> Self {
        Instant::now()
            .checked_add(timeout)
            .map_or(Self::Forever, Self::Until)
    }

    /// Returns how long to sleep at most before looking again, or `None` when time is up.
    pub(crate) fn left(self, longest: Duration) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Forever => Some(longest),
            Self::Until(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                (!left.is_zero()).then(|| left.min(longest))
            }
        }
    }
}

/// Why the lock cannot be had.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The file was truncated to so many bytes: whoever holds the lock would be ended by the kernel.
    Truncated(u64),
    Os(io::Error),
}

impl<E: Into<io::Error>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Os(error.into())
    }
}

/// Which thread of the process goes for the kernel's lock.
#[derive(Default)]
struct Turn {
    /// A thread holds the kernel's lock or goes for it.
    taken: bool,
    /// Threads that wait for their turn. Without any, ending a turn makes no system call.
    waiting: u32,
}

/// The write lock of one stream in this process.
pub(crate) struct WriteLock {
    turn: Mutex<Turn>,
    /// Signalled when a turn ends.
    ended: Condvar,
    /// Where in the file a write makes an event for those who watch it.
    nudge_offset: u64,
    /// The size of the file.
    total: u64,
    /// The process, told from those that it forks.
    generation: u32,
    /// The thread that holds the lock, or zero. Only that thread changes it, so it alone can find
    /// its own number here.
    owner: AtomicU64,
    /// How many [`Held`] the owner has, those that it forgot included: 64 bits, so that no program
    /// lives to see them overflow. Changed by the owner alone.
    depth: AtomicU64,
    /// The slots that the owner has on loan, one bit each. Changed by the owner alone.
    loaned: AtomicU64,
    /// One more than the slot that the owner has claimed for its next frame, or zero. Changed by the
    /// owner alone.
    ahead: AtomicU64,
    /// The file was truncated while the owner waited: it gives the lock back without a look at the
    /// stream's words. For good, so never cleared.
    truncated: AtomicBool,
    /// The descriptor whose open file description has the kernel's lock.
    file: Mutex<Option<Arc<Unshared>>>,
}

/// By fork and by file. Not by instance id: a copy of a stream's file has the same.
type Registry = HashMap<(u32, FileId), Weak<WriteLock>>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here can be left half changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the number of this thread, never zero and never used again.
#[inline]
fn this_thread() -> u64 {
    thread_local!(static NUMBER: Cell<u64> = const { Cell::new(0) });
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(draw_number());
        }
        number.get()
    })
}

/// Draws a number that no thread has.
fn draw_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl WriteLock {
    /// Returns the lock that all handles of this process to the stream share.
    pub(crate) fn of(file: FileId, layout: &Layout) -> Arc<Self> {
        static REGISTRY: Mutex<Option<Registry>> = Mutex::new(None);
        // In a forked child the parent's locks are not this process's.
        let key = (fork::generation(), file);
        let mut registry = locked(&REGISTRY);
        let registry = registry.get_or_insert_default();
        if let Some(known) = registry.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        registry.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(Self {
            turn: Mutex::default(),
            ended: Condvar::new(),
            nudge_offset: (layout.control + Head::NUDGE_OFFSET) as u64,
            total: layout.total as u64,
            generation: fork::generation(),
            owner: AtomicU64::new(0),
            depth: AtomicU64::new(0),
            loaned: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
            truncated: AtomicBool::new(false),
            file: Mutex::new(None),
        });
        registry.insert(key, Arc::downgrade(&lock));
        lock
    }

    /// Takes the lock through a handle, or returns `None` when patience runs out first.
    ///
    /// `file` and `row` are the handle's, `control` the stream's.
    #[inline]
    pub(crate) fn acquire<'a>(
        &'a self,
        file: &Arc<Unshared>,
        control: Control<'a>,
        row: usize,
        patience: Patience,
    ) -> Result<Option<Held<'a>>, Refused> {
        let me = this_thread();
        // Relaxed, here and below: this thread's own number can only have been stored by itself.
        if self.owner.load(Ordering::Relaxed) == me {
            let depth = self.depth.load(Ordering::Relaxed);
            self.depth.store(depth + 1, Ordering::Relaxed);
        } else if !self.acquire_new(me, file, control, row, patience)? {
            return Ok(None);
        }
        let lock = self;
        Ok(Some(Held {
            lock,
            head: control.head(),
            thread: PhantomData,
        }))
    }

    /// Takes the lock for a handle whose frames are finished by threads of a driver; false when patience
    /// runs out first.
    ///
    /// No thread owns it, so none gets in again, and any may give it back, once.
    #[cfg(feature = "cuda")]
    pub(crate) fn acquire_for_handle(
        &self,
        file: &Arc<Unshared>,
        control: Control<'_>,
        row: usize,
        patience: Patience,
    ) -> Result<bool, Refused> {
        self.acquire_new(draw_number(), file, control, row, patience)
    }

    /// Gives back what [`acquire_for_handle`](Self::acquire_for_handle) took.
    #[cfg(feature = "cuda")]
    pub(crate) fn release_for_handle(&self, head: &Head) {
        self.release(head);
    }

    #[cold]
    fn acquire_new(
        &self,
        me: u64,
        file: &Arc<Unshared>,
        control: Control<'_>,
        row: usize,
        patience: Patience,
    ) -> Result<bool, Refused> {
        if !self.take_turn(patience) {
            return Ok(false);
        }
        kill_point!(LockWanted);
        match self.acquire_kernel(file, control, patience) {
            Ok(true) => {}
            refused => {
                self.end_turn();
                return refused;
            }
        }
        *locked(&self.file) = Some(Arc::clone(file));
        kill_point!(LockTaken);
        self.depth.store(1, Ordering::Relaxed);
        self.loaned.store(0, Ordering::Relaxed);
        // A slot that was claimed ahead and not used holds no frame, so it is free like any other.
        self.ahead.store(0, Ordering::Relaxed);
        self.owner.store(me, Ordering::Relaxed);
        if control.sign_on(row) {
            // The holder before died: between two of its stores, or between its last store and the
            // wake call that belongs to it.
            control.recover();
            kill_point!(Recovered);
            // An announcement, since observers cannot leave word that they sleep.
            let _ = control.notify().announce();
            self.tell(control.notify(), Waiting::ALL);
            kill_point!(RecoverTold);
            futex::wake_all(control.head().released().word());
            kill_point!(RecoverDone);
        }
        Ok(true)
    }

    /// Takes the kernel's lock.
    fn acquire_kernel(
        &self,
        file: &Unshared,
        control: Control<'_>,
        patience: Patience,
    ) -> Result<bool, Refused> {
        let taken = self.wait_for_kernel(file, control, patience)?;
        if taken {
            self.check_size(file).inspect_err(|_| lock::unlock(file))?;
        }
        Ok(taken)
    }

    fn wait_for_kernel(
        &self,
        file: &Unshared,
        control: Control<'_>,
        patience: Patience,
    ) -> Result<bool, Refused> {
        if let Patience::Forever = patience {
            lock::lock(file)?;
            return Ok(true);
        }
        let released = control.head().released();
        loop {
            if lock::try_lock(file)? {
                return Ok(true);
            }
            let Some(longest) = patience.left(LOOK_AGAIN) else {
                return Ok(false);
            };
            self.check_size(file)?;
            let value = released.arm();
            kill_point!(LockArmed);
            if lock::try_lock(file)? {
                return Ok(true);
            }
            kill_point!(LockSleeps);
            futex::wait(released.word(), value, longest)?;
            kill_point!(LockWoken);
        }
    }

    /// Notes that the file was truncated.
    #[cold]
    pub(crate) fn note_truncated(&self) {
        self.truncated.store(true, Ordering::Relaxed);
    }

    fn check_size(&self, file: &Unshared) -> Result<(), Refused> {
        missing(file, self.total)?.map_or(Ok(()), |len| Err(Refused::Truncated(len)))
    }

    /// Wakes those who wait for a signal. The caller holds the lock.
    #[cold]
    pub(crate) fn tell(&self, signal: &Signal, waiting: Waiting) {
        if waiting.asleep {
            futex::wake_all(signal.word());
        }
        kill_point!(TellWoken);
        if waiting.watching
            && let Some(file) = &*locked(&self.file)
        {
            event::nudge(&**file, self.nudge_offset);
            kill_point!(TellNudged);
        }
    }

    fn take_turn(&self, patience: Patience) -> bool {
        let mut turn = locked(&self.turn);
        while turn.taken {
            let Some(left) = patience.left(Duration::from_secs(3600)) else {
                return false;
            };
            turn.waiting += 1;
            let waited = self.ended.wait_timeout(turn, left);
            turn = waited.unwrap_or_else(PoisonError::into_inner).0;
            turn.waiting -= 1;
        }
        turn.taken = true;
        true
    }

    fn end_turn(&self) {
        let mut turn = locked(&self.turn);
        turn.taken = false;
        let somebody_waits = turn.waiting > 0;
        drop(turn);
        if somebody_waits {
            self.ended.notify_one();
        }
    }

    #[cold]
    fn release(&self, head: &Head) {
        kill_point!(ReleaseBegun);
        // Relaxed: for the owner alone, which is this thread.
        let whole = !self.truncated.load(Ordering::Relaxed);
        if whole {
            head.sign_off();
        }
        kill_point!(ReleaseSigned);
        self.owner.store(0, Ordering::Relaxed);
        if let Some(file) = locked(&self.file).take() {
            lock::unlock(&*file);
        }
        kill_point!(ReleaseUnlocked);
        if whole && head.released().fire().is_some() {
            futex::wake_all(head.released().word());
        }
        kill_point!(ReleaseTold);
        self.end_turn();
    }
}

/// The write lock, held by this thread until dropped.
///
/// It stays with the thread that took it, so it is neither `Send` nor `Sync`. Two words, so that it
/// is handed over in registers: every publish makes and drops one.
pub(crate) struct Held<'a> {
    lock: &'a WriteLock,
    head: &'a Head,
    thread: PhantomData<*const ()>,
}

impl Held<'_> {
    /// Returns whether this is the only one that the thread has.
    #[inline]
    pub(crate) fn is_outermost(&self) -> bool {
        self.lock.depth.load(Ordering::Relaxed) == 1
    }

    /// Wakes those who wait for a signal of this stream.
    ///
    /// Inlined, since a guard whose address is taken does not stay in registers.
    #[inline(always)]
    pub(crate) fn tell(&self, signal: &Signal, waiting: Waiting) {
        self.lock.tell(signal, waiting);
    }

    /// Returns the slots that this thread has on loan, one bit each.
    #[inline]
    pub(crate) fn loaned(&self) -> u64 {
        self.lock.loaned.load(Ordering::Relaxed)
    }

    /// Returns whether the thread keeps the lock when this goes, and has no slot for its next frame.
    #[inline]
    pub(crate) fn wants_ahead(&self) -> bool {
        !self.is_outermost() && self.lock.ahead.load(Ordering::Relaxed) == 0
    }

    /// Notes the slot that was claimed for the next frame.
    #[inline]
    pub(crate) fn set_ahead(&self, slot: usize) {
        self.lock.ahead.store(slot as u64 + 1, Ordering::Relaxed);
    }

    /// Returns the slot that was claimed for this frame, and forgets it.
    #[inline]
    pub(crate) fn take_ahead(&self) -> Option<usize> {
        let ahead = self.lock.ahead.load(Ordering::Relaxed);
        if ahead == 0 {
            return None;
        }
        self.lock.ahead.store(0, Ordering::Relaxed);
        usize::try_from(ahead - 1).ok()
    }

    /// Notes that `slot` is on loan, or is not any more.
    #[inline]
    pub(crate) fn set_loaned(&self, slot: usize, loaned: bool) {
        let others = self.loaned() & !(1 << slot);
        let mask = if loaned { others | 1 << slot } else { others };
        self.lock.loaned.store(mask, Ordering::Relaxed);
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        // In a forked child the lock is the parent's.
        if self.lock.generation != fork::generation() {
            return;
        }
        let depth = self.lock.depth.load(Ordering::Relaxed) - 1;
        self.lock.depth.store(depth, Ordering::Relaxed);
        if depth == 0 {
            self.lock.release(self.head);
        }
    }
}
