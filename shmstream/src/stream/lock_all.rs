//! The write locks of several streams at once.

use std::fmt;
use std::time::Duration;

use super::any::{AnyStream, Participant};
use super::dynamic::DynStream;
use super::handle::Handle;
use super::typed::Stream;
use crate::error::Result;
use crate::os::shm::FileId;
use crate::pod::Pod;
use crate::write_lock::{Held, Patience};

/// A stream whose write lock can be taken together with others': a [`Stream`] of any payload, or a
/// [`DynStream`].
///
/// Implemented for these two; no other type can implement it.
pub trait Lockable {
    /// Returns the participant behind the handle.
    #[doc(hidden)]
    fn lockable(&self) -> Participant<'_>;
}

impl<T: Pod, const N: usize> Lockable for Stream<T, N> {
    fn lockable(&self) -> Participant<'_> {
        self.participant()
    }
}

impl Lockable for DynStream {
    fn lockable(&self) -> Participant<'_> {
        self.participant()
    }
}

/// The write locks of several streams, held by this thread until dropped.
///
/// Writes of this thread to any of the streams, through whichever handle, make no system call
/// meanwhile. Neither `Send` nor `Sync`. If the process dies, the locks go with it.
#[must_use = "the locks are given back when the guard is dropped"]
pub struct LockAll<'a> {
    held: Vec<Held<'a>>,
}

/// Takes the write locks of several streams, and waits for each as long as that takes.
///
/// The locks are taken one after another in an order that is the same in every process, by what was
/// drawn when the streams were created. So two that call this for streams in whatever order cannot
/// wait for each other. That holds for locks taken by one call: a thread that holds a lock already and
/// then takes others can still meet one that does the same the other way round.
///
/// Frames are published one by one: a reader can see the frame of one stream before that of another.
/// To read those that belong together, give them the same frame_id and see [`Aligned`](crate::Aligned).
///
/// # Errors
///
/// [`Error::Replaced`](crate::Error::Replaced) when another stream has the name of one of them,
/// [`Error::Forked`](crate::Error::Forked), [`Error::Limit`](crate::Error::Limit),
/// [`Error::Os`](crate::Error::Os). No lock is held then.
///
/// # Examples
///
/// ```
/// use shmstream::{Stream, lock_all};
///
/// let image = Stream::<u8, 64>::temporary()?;
/// let pose = Stream::<f64, 3>::temporary()?;
/// let locks = lock_all(&[&image, &pose])?;
/// image.write_with_id(7, &[0; 64])?;
/// pose.write_with_id(7, &[0.0; 3])?;
/// drop(locks);
/// # Ok::<(), shmstream::Error>(())
/// ```
pub fn lock_all<'a>(streams: &[&'a dyn Lockable]) -> Result<LockAll<'a>> {
    lock_in_order(streams, Patience::Forever)
}

/// Takes the write locks of several streams as [`lock_all`] does, within `timeout` in all.
///
/// # Errors
///
/// As [`lock_all`], and [`Error::Busy`](crate::Error::Busy) for the first stream whose lock others
/// held until the time was over.
pub fn lock_all_timeout<'a>(
    streams: &[&'a dyn Lockable],
    timeout: Duration,
) -> Result<LockAll<'a>> {
    lock_in_order(streams, Patience::timeout(timeout))
}

fn lock_in_order<'a>(streams: &[&'a dyn Lockable], patience: Patience) -> Result<LockAll<'a>> {
    let mut handles = streams
        .iter()
        .map(|stream| {
            let Participant(handle) = stream.lockable();
            Ok((place(handle)?, handle))
        })
        .collect::<Result<Vec<_>>>()?;
    handles.sort_by_key(|&(place, _)| place);
    let mut locks = LockAll {
        held: Vec::with_capacity(handles.len()),
    };
    for (_, handle) in handles {
        match handle.lock(patience)? {
            Some(held) => locks.held.push(held),
            None => return Err(handle.busy()),
        }
    }
    Ok(locks)
}

/// Returns where a stream is in the order of all.
fn place(handle: &Handle) -> Result<([u8; 16], FileId)> {
    // The copy of a stream's file has the same instance id, and is another file.
    Ok((handle.header().origin.instance, handle.file_id()?))
}

impl fmt::Debug for LockAll<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockAll")
            .field("locks", &self.held.len())
            .finish()
    }
}
