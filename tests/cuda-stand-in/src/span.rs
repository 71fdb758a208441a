//! Ranges of memory that a queue works on.
//!
//! Nothing here makes a reference to the bytes of a span but to atomics: other processes, and other
//! queues of this one, may write to them at any time.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::status::{Outcome, Status};

/// A range of mapped memory.
pub(crate) struct Span {
    /// INVARIANT: begins `len` bytes that stay mapped, readable and writable, as long as `_owner` lives.
    start: NonNull<u8>,
    len: usize,
    _owner: Arc<dyn Any + Send + Sync>,
}

impl Span {
    /// Makes a span.
    ///
    /// # Safety
    ///
    /// `start` begins `len` bytes that stay mapped, readable and writable, as long as `owner` lives.
    pub(crate) unsafe fn new(
        start: NonNull<u8>,
        len: usize,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self {
            start,
            len,
            _owner: owner,
        }
    }

    /// Sets every byte.
    pub(crate) fn fill(&self, value: u8) {
        // SAFETY: the field's invariant.
        unsafe { self.start.write_bytes(value, self.len) };
    }

    /// Copies another span of the same length here. They may overlap.
    pub(crate) fn copy_from(&self, other: &Self) {
        let len = self.len.min(other.len);
        // SAFETY: the invariants of both, for the shorter length.
        unsafe { self.start.copy_from(other.start, len) };
    }

    /// Copies bytes of the host here.
    pub(crate) fn copy_from_slice(&self, bytes: &[u8]) {
        let len = self.len.min(bytes.len());
        // SAFETY: the field's invariant, and a slice of at least `len` bytes.
        unsafe { self.start.as_ptr().copy_from(bytes.as_ptr(), len) };
    }

    /// Copies all to memory of the host.
    ///
    /// # Safety
    ///
    /// `to` begins as many bytes as the span has, which may be written.
    pub(crate) unsafe fn copy_to(&self, to: *mut u8) {
        // SAFETY: the field's invariant; the function's contract.
        unsafe { self.start.as_ptr().copy_to(to, self.len) };
    }

    /// Returns the 64-bit words of the span.
    pub(crate) fn words(&self) -> Outcome<&[AtomicU64]> {
        let start = self.start.cast::<AtomicU64>();
        if !start.is_aligned() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: aligned as checked; the field's invariant; atomics may be shared with whoever writes.
        Ok(unsafe { std::slice::from_raw_parts(start.as_ptr(), self.len / size_of::<u64>()) })
    }
}
