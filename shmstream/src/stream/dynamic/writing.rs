//! What writers do with a `DynStream`.

use std::time::Duration;

use super::{DynLoan, DynLockGuard, DynStream};
use crate::error::{Error, Result};
use crate::pod::{Pod, bytes_of_slice};
use crate::write_lock::Patience;

/// Writing.
///
/// Every write takes the write lock, unless this thread holds it, as those of a
/// [`Stream`](crate::Stream) do.
impl DynStream {
    /// Publishes a copy of these values as a frame with frame_id 0, and returns its count.
    ///
    /// `T` is the element of the stream, or an array of the innermost dimensions of a frame; there
    /// are as many values as make a frame.
    ///
    /// # Errors
    ///
    /// - [`Error::Type`] and [`Error::Shape`] when a frame is not made of `T`, [`Error::Invalid`]
    ///   when there are more or fewer values than make a frame; nothing is published;
    /// - those of [`Stream::write`](crate::Stream::write).
    pub fn write<T: Pod>(&self, values: &[T]) -> Result<u64> {
        self.write_with_id(0, values)
    }

    /// Publishes a copy of these values as a frame with a frame_id of the caller's.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_with_id<T: Pod>(&self, frame_id: u64, values: &[T]) -> Result<u64> {
        self.fill(frame_id, values, Patience::Forever, Patience::None)
    }

    /// As [`write`](Self::write), and waits for the write lock and for a slot if others have them.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), with [`Error::Busy`] or [`Error::NoFreeSlot`] after `timeout`.
    pub fn write_timeout<T: Pod>(&self, values: &[T], timeout: Duration) -> Result<u64> {
        self.write_with_id_timeout(0, values, timeout)
    }

    /// As [`write_timeout`](Self::write_timeout), with a frame_id of the caller's.
    ///
    /// # Errors
    ///
    /// As [`write_timeout`](Self::write_timeout).
    pub fn write_with_id_timeout<T: Pod>(
        &self,
        frame_id: u64,
        values: &[T],
        timeout: Duration,
    ) -> Result<u64> {
        let patience = Patience::timeout(timeout);
        self.fill(frame_id, values, patience, patience)
    }

    fn fill<T: Pod>(
        &self,
        frame_id: u64,
        values: &[T],
        for_lock: Patience,
        for_slot: Patience,
    ) -> Result<u64> {
        self.check_values(values)?;
        let mut claim = self.handle.claim(for_lock, for_slot)?;
        claim.bytes_mut().copy_from_slice(bytes_of_slice(values));
        Ok(claim.publish(self.handle.stamp(frame_id)))
    }

    /// Publishes a copy of these bytes as a frame with frame_id 0, and returns its count.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`] when there are more or fewer bytes than make a frame; nothing is
    ///   published;
    /// - those of [`Stream::write`](crate::Stream::write).
    pub fn write_bytes(&self, bytes: &[u8]) -> Result<u64> {
        self.write_bytes_with_id(0, bytes)
    }

    /// Publishes a copy of these bytes as a frame with a frame_id of the caller's.
    ///
    /// # Errors
    ///
    /// As [`write_bytes`](Self::write_bytes).
    pub fn write_bytes_with_id(&self, frame_id: u64, bytes: &[u8]) -> Result<u64> {
        self.check_len(bytes.len())?;
        let mut claim = self.handle.claim(Patience::Forever, Patience::None)?;
        claim.bytes_mut().copy_from_slice(bytes);
        Ok(claim.publish(self.handle.stamp(frame_id)))
    }

    /// Checks that a buffer has as many bytes as a frame.
    pub(super) fn check_len(&self, len: usize) -> Result<()> {
        let size = self.frame_size();
        if len == size {
            return Ok(());
        }
        let reason = format!("must be the {size} of a frame, not {len}");
        Err(Error::invalid(self.name(), "the number of bytes", reason))
    }

    /// Publishes a frame of zeros with frame_id 0, and returns its count.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::write`](crate::Stream::write).
    pub fn clear(&self) -> Result<u64> {
        let mut claim = self.handle.claim(Patience::Forever, Patience::None)?;
        claim.bytes_mut().fill(0);
        Ok(claim.publish(self.handle.stamp(0)))
    }

    /// Lends a free slot, to fill in place and then [publish](DynLoan::publish).
    ///
    /// # Errors
    ///
    /// Those of [`Stream::loan`](crate::Stream::loan).
    #[inline]
    pub fn loan(&self) -> Result<DynLoan<'_>> {
        let claim = self.handle.claim(Patience::Forever, Patience::None)?;
        Ok(DynLoan::new(claim, self))
    }

    /// Lends a free slot, and waits for the write lock and for a slot if others have them.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::loan_timeout`](crate::Stream::loan_timeout).
    pub fn loan_timeout(&self, timeout: Duration) -> Result<DynLoan<'_>> {
        let patience = Patience::timeout(timeout);
        let claim = self.handle.claim(patience, patience)?;
        Ok(DynLoan::new(claim, self))
    }

    /// Takes the write lock, and waits for it as long as that takes.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::lock`](crate::Stream::lock).
    pub fn lock(&self) -> Result<DynLockGuard<'_>> {
        match self.handle.lock(Patience::Forever)? {
            Some(held) => Ok(DynLockGuard::new(self, held)),
            None => unreachable!("the patience to wait for the lock is endless"),
        }
    }

    /// Takes the write lock, or returns `None` when another thread or process has it.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::lock`](crate::Stream::lock).
    pub fn try_lock(&self) -> Result<Option<DynLockGuard<'_>>> {
        let held = self.handle.lock(Patience::None)?;
        Ok(held.map(|held| DynLockGuard::new(self, held)))
    }

    /// Takes the write lock, or returns `None` when others have it until `timeout` is over.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::lock`](crate::Stream::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<DynLockGuard<'_>>> {
        let held = self.handle.lock(Patience::timeout(timeout))?;
        Ok(held.map(|held| DynLockGuard::new(self, held)))
    }

    /// Returns the process that holds the write lock, or held it when it died; see
    /// [`Stream::lock_holder`](crate::Stream::lock_holder).
    #[must_use]
    pub fn lock_holder(&self) -> Option<u32> {
        self.handle.lock_holder()
    }
}
