//! Who waits for one stream.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Waker;

use super::{Reactor, Refusal, locked};
use crate::error::{Error, Result};
use crate::layout::Header;
use crate::name::StreamName;
use crate::os::event::Bell;
use crate::os::fork::{self, Unshared};
use crate::os::map::Residency;
use crate::os::shm::{Directory, FileId, Standing, check_size};
use crate::region::Region;

/// A stream as whoever wants to wait for it knows it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a StreamName,
    pub(crate) directory: &'a Directory,
    pub(crate) header: &'a Header,
    pub(crate) file: &'a Arc<Unshared>,
}

/// One stream of which somebody in this process waits for news, or may again.
///
/// All handles to the stream share it.
pub(crate) struct Watch {
    reactor: Arc<Reactor>,
    name: StreamName,
    directory: Directory,
    /// Of the handle that came first.
    file: Arc<Unshared>,
    /// The size of the file.
    total: usize,
    id: FileId,
    /// Another stream has the name.
    replaced: AtomicBool,
    /// The file has become shorter: the words may not be looked at any more.
    truncated: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// The stream's words, for as long as anybody waits, whichever handles go meanwhile. Not for its
    /// payloads.
    region: Region,
    /// What the kernel calls this watch, while it is asked for events.
    number: Option<i32>,
    /// The name may stand for something else than this stream.
    doubtful: bool,
    waiting: HashMap<u64, Waiter>,
    next_key: u64,
}

/// Somebody who waits.
pub(crate) struct Waiter {
    pub(crate) whom: Whom,
    /// The count beyond which there is news; `None` for one who wants to look again by itself, each
    /// time that the thread does.
    pub(crate) seen: Option<u64>,
}

/// What to do with somebody when there is news.
pub(crate) enum Whom {
    Task(Waker),
    Descriptor(Arc<Bell>),
}

/// A place on the list of a watch, given up when dropped.
#[derive(Default)]
pub(crate) struct Place(Option<(Arc<Watch>, u64)>);

impl Watch {
    /// Returns the watch that all handles of this process to the stream share.
    pub(crate) fn of(stream: Subject<'_>) -> Result<Arc<Self>> {
        let Subject { name, file, .. } = stream;
        let reactor = Reactor::current().map_err(|refusal| refusal.on(name))?;
        let id = FileId::of(&**file).map_err(|error| Error::os(name, "look at its file", error))?;
        // Before anything is mapped, and without the lock: dropping a watch takes it.
        let known = locked(&reactor.watches)
            .of_file
            .get(&id)
            .and_then(Weak::upgrade);
        if let Some(known) = known {
            return Ok(known);
        }
        let made = Arc::new(Self::new(Arc::clone(&reactor), stream, id)?);
        let mut watches = locked(&reactor.watches);
        // Another thread may have made one meanwhile.
        let known = watches.of_file.get(&id).and_then(Weak::upgrade);
        if known.is_none() {
            watches.of_file.insert(id, Arc::downgrade(&made));
        }
        drop(watches);
        Ok(known.unwrap_or(made))
    }

    fn new(reactor: Arc<Reactor>, stream: Subject<'_>, id: FileId) -> Result<Self> {
        let Subject {
            name,
            directory,
            header,
            file,
        } = stream;
        Ok(Self {
            reactor,
            name: name.clone(),
            directory: directory.clone(),
            file: Arc::clone(file),
            total: header.layout.total,
            id,
            replaced: AtomicBool::new(false),
            truncated: AtomicBool::new(false),
            state: Mutex::new(State {
                region: Region::map(name, file, header, Residency::default())?,
                number: None,
                doubtful: false,
                waiting: HashMap::new(),
                next_key: 0,
            }),
        })
    }

    /// Returns whether this process is a fork of the one that made the watch: then nothing of it may
    /// be touched, since a thread that the child does not have may have locked it.
    pub(crate) fn is_forked(&self) -> bool {
        self.reactor.generation != fork::generation()
    }

    /// Returns whether another stream has the name, as far as the thread has looked.
    pub(crate) fn is_replaced(&self) -> bool {
        // Relaxed: a hint to look at the file system. Stored before the list is unlocked, so whoever
        // gets on it later sees it.
        self.replaced.load(Ordering::Relaxed)
    }

    /// Fails if the stream's file has become shorter, as far as the thread has looked.
    pub(crate) fn check_truncated(&self) -> Result<()> {
        // Relaxed: as above.
        if self.truncated.load(Ordering::Relaxed) {
            return check_size(&self.name, &*self.file, self.total);
        }
        Ok(())
    }

    /// Looks whether the file has become shorter, which comes as an event as well; if so, takes all off
    /// the list.
    fn is_truncated(&self, state: &mut State, woken: &mut Vec<Waker>) -> bool {
        if check_size(&self.name, &*self.file, self.total).is_ok() {
            return false;
        }
        self.truncated.store(true, Ordering::Relaxed);
        state.take(woken, |_| true);
        true
    }

    /// Fails if another stream has the name.
    pub(crate) fn check_replaced(&self) -> Result<()> {
        if self.is_replaced()
            && self.directory.standing(&self.name, &*self.file)? == Standing::Other
        {
            let name = self.name.clone();
            return Err(Error::Replaced { name });
        }
        Ok(())
    }

    /// Returns the count of the latest frame.
    pub(crate) fn count(&self) -> u64 {
        locked(&self.state).region.control().count()
    }

    /// Puts somebody on the list, or changes what is there, and says so to writers.
    ///
    /// A task then looks once more at what it waits for. A descriptor need not.
    pub(crate) fn enrol(self: &Arc<Self>, place: &mut Place, waiter: Waiter) -> Result<()> {
        let mut state = self.active()?;
        let key = match place {
            Place(Some((_, key))) => *key,
            Place(empty @ None) => {
                let key = state.next_key;
                state.next_key += 1;
                *empty = Some((Arc::clone(self), key));
                key
            }
        };
        let descriptor = matches!(waiter.whom, Whom::Descriptor(_));
        let before = state.waiting.insert(key, waiter);
        state.region.control().notify().watch();
        kill_point!(TaskEnrolled);
        if descriptor {
            state.ring_if_news(key);
        }
        drop(state);
        // Behind the lock: the last waker of a task may drop the task, and with it another place.
        drop(before);
        Ok(())
    }

    /// Locks the state, with the kernel being asked for events.
    fn active(self: &Arc<Self>) -> Result<MutexGuard<'_, State>> {
        self.check_truncated()?;
        let state = locked(&self.state);
        if state.number.is_some() {
            return Ok(state);
        }
        drop(state);
        self.resume()
    }

    #[cold]
    fn resume(self: &Arc<Self>) -> Result<MutexGuard<'_, State>> {
        let mut watches = locked(&self.reactor.watches);
        let mut state = locked(&self.state);
        if state.number.is_none() {
            let number = self.reactor.queue.watch(&*self.file);
            let number = number.map_err(|error| Refusal::Watch(error).on(&self.name))?;
            state.number = Some(number);
            // What happened to the name meanwhile is not known.
            state.doubtful = true;
            if watches.numbered.is_empty() {
                self.reactor.bell.ring();
            }
            watches.numbered.insert(number, Arc::downgrade(self));
        }
        Ok(state)
    }

    /// Asks the kernel for no more events, unless somebody waits for them again.
    #[cold]
    pub(super) fn pause(&self) {
        let mut watches = locked(&self.reactor.watches);
        let mut state = locked(&self.state);
        if state.waiting.is_empty()
            && let Some(number) = state.number.take()
        {
            watches.numbered.remove(&number);
            self.reactor.queue.forget(number);
        }
    }

    /// Returns whether nobody waits.
    pub(crate) fn is_idle(&self) -> bool {
        locked(&self.state).waiting.is_empty()
    }

    /// Returns whether the kernel is asked for events.
    #[cfg(test)]
    pub(crate) fn is_watched(&self) -> bool {
        locked(&self.state).number.is_some()
    }

    /// Returns whether the name is to be looked for.
    #[cfg(test)]
    pub(crate) fn is_doubtful(&self) -> bool {
        locked(&self.state).doubtful
    }

    /// Takes somebody off the list.
    fn leave(&self, key: u64) {
        if self.is_forked() {
            return;
        }
        let waiter = locked(&self.state).waiting.remove(&key);
        // Behind the lock, as above.
        drop(waiter);
    }

    // What the thread does.

    /// Notes that the name may have been taken away.
    pub(super) fn doubt(&self) {
        locked(&self.state).doubtful = true;
    }

    /// Takes those off the list for whom there is news, after an event.
    pub(super) fn look(&self, woken: &mut Vec<Waker>) {
        let mut state = locked(&self.state);
        if self.is_truncated(&mut state, woken) || !state.take_with_news(woken) {
            return;
        }
        // Whoever made the event cleared the bit that the others set. Set again before the second
        // look, so that whatever is published behind that makes another event.
        state.region.control().notify().watch();
        kill_point!(TasksLooked);
        let _ = state.region.control().recheck();
        state.take_with_news(woken);
    }

    /// Takes those off the list for whom there is news that made no event, and those who want to look
    /// again by themselves.
    pub(super) fn look_again(&self, woken: &mut Vec<Waker>) {
        let mut state = locked(&self.state);
        if self.is_truncated(&mut state, woken) {
            return;
        }
        let count = state.region.control().count();
        state.take(woken, |waiter| {
            waiter.seen.is_none() || waiter.has_news(count)
        });
        if !state.doubtful || self.is_replaced() {
            return;
        }
        match self.directory.standing(&self.name, &*self.file) {
            Ok(Standing::Same) => state.doubtful = false,
            Ok(Standing::Other) => {
                self.replaced.store(true, Ordering::Relaxed);
                state.take(woken, |_| true);
            }
            // Whoever takes the name from here on makes no event of it.
            Ok(Standing::Nothing) | Err(_) => {}
        }
    }
}

impl State {
    /// Takes those off the list for whom there is news, and returns whether any are left.
    fn take_with_news(&mut self, woken: &mut Vec<Waker>) -> bool {
        let count = self.region.control().count();
        self.take(woken, |waiter| waiter.has_news(count));
        !self.waiting.is_empty()
    }

    fn take(&mut self, woken: &mut Vec<Waker>, which: impl Fn(&Waiter) -> bool) {
        let taken = self.waiting.extract_if(|_, waiter| which(waiter));
        woken.extend(taken.filter_map(|(_, waiter)| waiter.whom.tell()));
    }

    /// Rings for a descriptor, just put on the list, if there is news for it already.
    fn ring_if_news(&mut self, key: u64) {
        let count = self.region.control().recheck();
        if self
            .waiting
            .get(&key)
            .is_some_and(|waiter| waiter.has_news(count))
            && let Some(waiter) = self.waiting.remove(&key)
        {
            let _ = waiter.whom.tell();
        }
    }
}

impl Waiter {
    fn has_news(&self, count: u64) -> bool {
        self.seen.is_some_and(|seen| count > seen)
    }
}

impl Whom {
    /// Rings for a descriptor, or returns the task to wake once no lock is held.
    ///
    /// A descriptor is rung under the lock, so that it is silent for sure once it was taken off the
    /// list and silenced.
    fn tell(self) -> Option<Waker> {
        match self {
            Self::Task(waker) => Some(waker),
            Self::Descriptor(bell) => {
                bell.ring();
                None
            }
        }
    }
}

impl Place {
    /// Gives the place up.
    pub(crate) fn leave(&mut self) {
        if let Some((watch, key)) = self.0.take() {
            watch.leave(key);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.is_forked() {
            return;
        }
        let mut watches = locked(&self.reactor.watches);
        // Another may have been made for the file since this one lost its last reference, and have
        // the same number.
        let is_own = |other: &Weak<Self>| std::ptr::eq(other.as_ptr(), self);
        if watches.of_file.get(&self.id).is_some_and(is_own) {
            watches.of_file.remove(&self.id);
        }
        let number = locked(&self.state).number;
        if let Some(number) = number
            && watches.numbered.get(&number).is_some_and(is_own)
        {
            watches.numbered.remove(&number);
            self.reactor.queue.forget(number);
        }
    }
}
