//! What writers do with a `Stream<T, N>`.
//!
//! The short ways are inlined by force, down to the protocol: a guard that is handed from one function
//! to the next through memory costs a publish half as much again.

use std::time::Duration;

use super::guard::{Loan, LockGuard};
use super::typed::Stream;
use crate::error::Result;
use crate::pod::Pod;
use crate::write_lock::Patience;

/// Writing.
///
/// Every write takes the write lock, unless this thread holds it; so any number of processes and
/// threads may write. Taking it and giving it back costs three system calls, which
/// [`lock`](Stream::lock) saves.
impl<T: Pod, const N: usize> Stream<T, N> {
    /// Publishes a copy of a frame with frame_id 0, and returns its count.
    ///
    /// # Errors
    ///
    /// - [`Error::NoFreeSlot`](crate::Error::NoFreeSlot) when readers hold all slots but the
    ///   latest; nothing is published;
    /// - [`Error::Replaced`](crate::Error::Replaced) when another stream has the name now: its
    ///   readers would not see the frame. Looked at when the lock is taken, so a writer that holds it
    ///   for long asks [`link`](Stream::link);
    /// - [`Error::Forked`](crate::Error::Forked), [`Error::Limit`](crate::Error::Limit),
    ///   [`Error::Os`](crate::Error::Os).
    #[inline(always)]
    pub fn write(&self, frame: &[T; N]) -> Result<u64> {
        self.write_with_id(0, frame)
    }

    /// Publishes a copy of a frame with a frame_id of the caller's, and returns its count.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    ///
    /// # Examples
    ///
    /// ```
    /// let stream = shmstream::Stream::<u32, 1>::temporary()?;
    /// stream.write_with_id(42, &[7])?;
    /// let info = stream.read()?.expect("a frame").info();
    /// assert_eq!((info.count, info.frame_id), (1, 42));
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    #[inline(always)]
    pub fn write_with_id(&self, frame_id: u64, frame: &[T; N]) -> Result<u64> {
        let mut claim = self.handle.claim(Patience::Forever, Patience::None)?;
        claim.write(frame);
        Ok(claim.publish(self.handle.stamp(frame_id)))
    }

    /// Publishes a frame of zeros with frame_id 0, and returns its count.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn clear(&self) -> Result<u64> {
        let mut claim = self.handle.claim(Patience::Forever, Patience::None)?;
        claim.clear::<[T; N]>();
        Ok(claim.publish(self.handle.stamp(0)))
    }

    /// Lends a free slot, to fill in place and then [publish](Loan::publish).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    ///
    /// # Examples
    ///
    /// ```
    /// let stream = shmstream::Stream::<[f32; 640], 480>::temporary()?;
    /// let mut image = stream.loan()?;
    /// for (y, row) in image.iter_mut().enumerate() {
    ///     row.fill(y as f32);
    /// }
    /// image.publish()?;
    /// assert_eq!(stream.read()?.expect("a frame")[479][0], 479.0);
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    #[inline(always)]
    pub fn loan(&self) -> Result<Loan<'_, T, N>> {
        let claim = self.handle.claim(Patience::Forever, Patience::None)?;
        Ok(Loan::new(claim, &self.handle))
    }

    /// Lends a free slot, and waits for the write lock and for a slot if others have them.
    ///
    /// Other writers wait as well while this one waits for a slot.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), with [`Error::Busy`](crate::Error::Busy) or
    /// [`Error::NoFreeSlot`](crate::Error::NoFreeSlot) after `timeout`.
    pub fn loan_timeout(&self, timeout: Duration) -> Result<Loan<'_, T, N>> {
        let patience = Patience::timeout(timeout);
        let claim = self.handle.claim(patience, patience)?;
        Ok(Loan::new(claim, &self.handle))
    }

    /// Publishes a copy of a frame with frame_id 0, and waits for the write lock and for a slot if
    /// others have them.
    ///
    /// For streams with lossless subscriptions: waits until they have read on. It looks each
    /// millisecond whether they are alive meanwhile.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), with [`Error::Busy`](crate::Error::Busy) or
    /// [`Error::NoFreeSlot`](crate::Error::NoFreeSlot) after `timeout`; nothing is published then.
    pub fn write_timeout(&self, frame: &[T; N], timeout: Duration) -> Result<u64> {
        self.write_with_id_timeout(0, frame, timeout)
    }

    /// As [`write_timeout`](Self::write_timeout), with a frame_id of the caller's.
    ///
    /// # Errors
    ///
    /// As [`write_timeout`](Self::write_timeout).
    pub fn write_with_id_timeout(
        &self,
        frame_id: u64,
        frame: &[T; N],
        timeout: Duration,
    ) -> Result<u64> {
        let patience = Patience::timeout(timeout);
        let mut claim = self.handle.claim(patience, patience)?;
        claim.write(frame);
        Ok(claim.publish(self.handle.stamp(frame_id)))
    }

    /// Takes the write lock, and waits for it as long as that takes.
    ///
    /// # Errors
    ///
    /// [`Error::Replaced`](crate::Error::Replaced) when another stream has the name now,
    /// [`Error::Forked`](crate::Error::Forked),
    /// [`Error::Limit`](crate::Error::Limit), [`Error::Os`](crate::Error::Os).
    ///
    /// # Examples
    ///
    /// ```
    /// let stream = shmstream::Stream::<u64, 1>::temporary()?;
    /// let writer = stream.lock()?;
    /// for i in 0..1000 {
    ///     writer.write(&[i])?; // no system call
    /// }
    /// # Ok::<(), shmstream::Error>(())
    /// ```
    #[inline]
    pub fn lock(&self) -> Result<LockGuard<'_, T, N>> {
        match self.handle.lock(Patience::Forever)? {
            Some(held) => Ok(LockGuard::new(self, held)),
            None => unreachable!("the patience to wait for the lock is endless"),
        }
    }

    /// Takes the write lock, or returns `None` when another thread or process has it.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    #[inline]
    pub fn try_lock(&self) -> Result<Option<LockGuard<'_, T, N>>> {
        let held = self.handle.lock(Patience::None)?;
        Ok(held.map(|held| LockGuard::new(self, held)))
    }

    /// Takes the write lock, or returns `None` when others have it until `timeout` is over.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<LockGuard<'_, T, N>>> {
        let held = self.handle.lock(Patience::timeout(timeout))?;
        Ok(held.map(|held| LockGuard::new(self, held)))
    }

    /// Returns the process that holds the write lock, or held it when it died; for messages.
    ///
    /// The number is the one that the process has in its own PID namespace, and may be out of date
    /// when it is returned. To learn whether a writer that keeps the lock is alive, try to take it:
    /// [`try_lock`](Self::try_lock) succeeds once the writer is gone.
    #[must_use]
    pub fn lock_holder(&self) -> Option<u32> {
        self.handle.lock_holder()
    }
}
