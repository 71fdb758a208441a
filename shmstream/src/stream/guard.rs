//! Guards of a writer: a slot on loan, and the write lock.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::handle::Handle;
use super::typed::Stream;
use crate::error::Result;
use crate::pod::Pod;
use crate::region::Claim;
use crate::write_lock::Held;

/// A free slot on loan to a writer, to fill in place and then publish.
///
/// Derefs to `&mut [T; N]`. The slot holds some older frame or zeros at first, so write all of it.
/// Dropped without [`publish`](Self::publish), nothing is published, and the slot is free again; the
/// same if the process dies.
///
/// Holds the write lock, so other writers wait until it is gone; readers do not. Several loans at a
/// time are possible in one thread. Neither `Send` nor `Sync`: the lock belongs to the thread.
///
/// ```compile_fail,E0277
/// fn send<T: Send>() {}
/// send::<shmstream::Loan<'static, f32, 1>>();
/// ```
#[must_use = "a loan that is dropped publishes nothing"]
pub struct Loan<'a, T: Pod, const N: usize> {
    claim: Claim<'a>,
    handle: &'a Handle,
    payload: PhantomData<&'a mut [T; N]>,
}

impl<'a, T: Pod, const N: usize> Loan<'a, T, N> {
    #[inline(always)]
    pub(super) const fn new(claim: Claim<'a>, handle: &'a Handle) -> Self {
        let payload = PhantomData;
        Self {
            claim,
            handle,
            payload,
        }
    }

    /// Publishes the frame with frame_id 0, and returns its count.
    ///
    /// Takes the same time whatever the size of the frame.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`](crate::Error::Forked) in a child of the process that took the loan.
    #[inline(always)]
    pub fn publish(self) -> Result<u64> {
        self.publish_with_id(0)
    }

    /// Publishes the frame with a frame_id of the caller's, and returns its count.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    #[inline(always)]
    pub fn publish_with_id(mut self, frame_id: u64) -> Result<u64> {
        self.handle.check_fork()?;
        Ok(self.claim.publish(self.handle.stamp(frame_id)))
    }
}

impl<T: Pod, const N: usize> Deref for Loan<'_, T, N> {
    type Target = [T; N];

    #[inline]
    fn deref(&self) -> &[T; N] {
        self.claim.payload()
    }
}

impl<T: Pod, const N: usize> DerefMut for Loan<'_, T, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T; N] {
        self.claim.payload_mut()
    }
}

impl<T: Pod + fmt::Debug, const N: usize> fmt::Debug for Loan<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loan").field(&&self[..]).finish()
    }
}

/// The write lock of a stream.
///
/// While it is held, writes through any handle of this thread take no further lock and make no
/// system call, and writers elsewhere wait. Derefs to the stream. Re-entrant: the lock is free when
/// the thread's last guard is gone. If the process dies, the lock is free at once.
///
/// Neither `Send` nor `Sync`: the lock belongs to the thread.
///
/// ```compile_fail,E0277
/// fn send<T: Send>() {}
/// send::<shmstream::LockGuard<'static, f32, 1>>();
/// ```
#[must_use = "the lock is held only while the guard lives"]
pub struct LockGuard<'a, T: Pod, const N: usize> {
    stream: &'a Stream<T, N>,
    _held: Held<'a>,
}

impl<'a, T: Pod, const N: usize> LockGuard<'a, T, N> {
    #[inline]
    pub(super) const fn new(stream: &'a Stream<T, N>, held: Held<'a>) -> Self {
        Self {
            stream,
            _held: held,
        }
    }
}

impl<T: Pod, const N: usize> Deref for LockGuard<'_, T, N> {
    type Target = Stream<T, N>;

    fn deref(&self) -> &Stream<T, N> {
        self.stream
    }
}

impl<T: Pod, const N: usize> fmt::Debug for LockGuard<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockGuard").field(self.stream).finish()
    }
}
