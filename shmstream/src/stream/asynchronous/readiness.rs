//! A descriptor that becomes readable when there is a frame.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::AsyncSource;
use crate::error::{Error, Result};
use crate::name::StreamName;
use crate::os::event::Bell;
use crate::reactor::{Place, Waiter, Watch, Whom};

/// A descriptor that is readable when a frame was published: for `poll`, `epoll`, and event loops
/// around them.
///
/// Made by [`Stream::readiness`](crate::Stream::readiness) and its like. Readable from the beginning
/// if there is a frame that the handle has not returned, and level-triggered: it stays readable until
/// [`clear`](Self::clear), and becomes so again when a frame is published after that. So the order is
/// *poll, clear, read until there is nothing new*; a frame that comes after the clearing is either
/// read or announced, or both.
///
/// It also becomes readable when another stream gets the name; then `clear` says so.
///
/// Only poll the descriptor: do not read from it or write to it. It is one and the same, and open, as
/// long as this value lives, which is independent of the handle. `Send` and `Sync`. In a forked child
/// the number stands for `/dev/null`, and `clear` fails.
///
/// # Examples
///
/// ```
/// use rustix::event::{PollFd, PollFlags, Timespec, poll};
/// use shmstream::Stream;
///
/// let stream = Stream::<u32, 1>::temporary()?;
/// let readiness = stream.readiness()?;
/// let readable = |timeout: &Timespec| {
///     poll(&mut [PollFd::new(&readiness, PollFlags::IN)], Some(timeout)).unwrap() == 1
/// };
/// assert!(!readable(&Timespec::default()));
///
/// stream.write(&[7])?;
/// assert!(readable(&Timespec { tv_sec: 10, tv_nsec: 0 }));
/// readiness.clear()?;
/// while let Some(frame) = stream.read_new()? {
///     assert_eq!(frame.get(), 7);
/// }
/// assert!(!readable(&Timespec::default()));
/// # Ok::<(), shmstream::Error>(())
/// ```
pub struct Readiness {
    name: StreamName,
    bell: Arc<Bell>,
    watch: Arc<Watch>,
    state: Mutex<State>,
}

struct State {
    place: Place,
    /// The count of the latest frame when the descriptor was silenced.
    cleared: u64,
}

impl Readiness {
    pub(crate) fn of(source: &impl AsyncSource) -> Result<Self> {
        let handle = source.handle().0;
        handle.check_fork()?;
        let bell =
            Bell::new().map_err(|error| Error::os(handle.name(), "make an eventfd", error))?;
        let readiness = Self {
            name: handle.name().clone(),
            bell: Arc::new(bell),
            watch: Arc::clone(handle.watch()?),
            state: Mutex::new(State {
                place: Place::default(),
                cleared: source.passed(),
            }),
        };
        readiness.enrol(&mut readiness.lock())?;
        if readiness.watch.is_replaced() {
            readiness.bell.ring();
        }
        Ok(readiness)
    }

    /// Makes the descriptor unreadable until a frame is published after this call.
    ///
    /// To be called before reading, see above. In one thread at a time: a second one has nothing to
    /// clear.
    ///
    /// # Errors
    ///
    /// - [`Error::Replaced`] when nothing was published since the last call and another stream has
    ///   the name now;
    /// - [`Error::Forked`] in a child of the process that made it;
    /// - [`Error::Limit`] and [`Error::Os`]: the descriptor may not become readable again.
    pub fn clear(&self) -> Result<()> {
        if self.watch.is_forked() {
            let name = self.name.clone();
            return Err(Error::Forked { name });
        }
        let mut state = self.lock();
        // Off the list first, so that nobody rings any more for what is cleared here.
        state.place.leave();
        self.bell.silence();
        self.watch.check_truncated()?;
        let before = state.cleared;
        state.cleared = self.watch.count();
        self.enrol(&mut state)?;
        match self.watch.check_replaced() {
            // What was published last is read first, and then this is called once more.
            Err(Error::Replaced { .. }) if state.cleared != before => {
                self.bell.ring();
                Ok(())
            }
            checked => checked,
        }
    }

    fn enrol(&self, state: &mut State) -> Result<()> {
        let whom = Whom::Descriptor(Arc::clone(&self.bell));
        let seen = Some(state.cleared);
        self.watch.enrol(&mut state.place, Waiter { whom, seen })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl AsRawFd for Readiness {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("name", &self.name)
            .field("descriptor", &self.as_raw_fd())
            .finish_non_exhaustive()
    }
}
