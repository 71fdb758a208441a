//! Handles: numbers that stand for things, so that a stale one is refused and never followed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::status::{Outcome, Status};

/// Locks a mutex. A panic in this library ends the process, so no lock is ever poisoned in earnest.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The things of one kind that callers have handles of.
pub(crate) struct Table<T> {
    /// What handles of this kind begin at, so that one of another kind is refused.
    first: usize,
    entries: Mutex<Entries<T>>,
}

struct Entries<T> {
    made: usize,
    live: BTreeMap<usize, Arc<T>>,
}

impl<T> Table<T> {
    /// Makes a table; no two kinds share a number.
    pub(crate) const fn new(kind: usize) -> Self {
        Self {
            first: kind << 40,
            entries: Mutex::new(Entries {
                made: 0,
                live: BTreeMap::new(),
            }),
        }
    }

    /// Returns a handle that no thing had before.
    pub(crate) fn insert(&self, thing: Arc<T>) -> usize {
        let mut entries = lock(&self.entries);
        entries.made += 1;
        // Handles look like pointers: aligned, and never 0, 1 or 2, which mean default queues.
        let handle = self.first + 16 * entries.made;
        entries.live.insert(handle, thing);
        handle
    }

    pub(crate) fn find(&self, handle: usize) -> Outcome<Arc<T>> {
        let found = lock(&self.entries).live.get(&handle).cloned();
        found.ok_or(Status::INVALID_HANDLE)
    }

    pub(crate) fn remove(&self, handle: usize) -> Outcome<Arc<T>> {
        let found = lock(&self.entries).live.remove(&handle);
        found.ok_or(Status::INVALID_HANDLE)
    }

    /// Forgets the things that do not belong here any more.
    pub(crate) fn retain(&self, keep: impl Fn(&T) -> bool) {
        lock(&self.entries).live.retain(|_, thing| keep(thing));
    }
}
