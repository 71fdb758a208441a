//! The only code that touches the bytes of payloads.
#![allow(unsafe_code)]
// This file guarantees that payload bytes are read only in slots whose pin the caller vouches for,
// and written only in slots whose claim the caller vouches for; and that no pointer it is given is
// used past the `T` it points to.
//
// Pins and claims exclude each other, so plain copies and references are right here: while a pin
// stands no process writes to the slot, and while a claim stands nobody else reads or writes it.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::pod::Pod;

/// Copies a value into a claimed slot.
///
/// # Safety
///
/// 1. `slot` is aligned for `T` and valid for writes of one `T`.
/// 2. The caller has claimed the slot and nobody reads or writes it until this returns.
#[inline]
pub(crate) unsafe fn write<T: Pod>(slot: NonNull<T>, value: &T) {
    // SAFETY: `copy_nonoverlapping` asks for
    // - a source valid for reads of one `T`, and aligned: it is a reference;
    // - a destination valid for writes and aligned: the caller promises (1);
    // - no overlap: nobody else reaches the slot (2), so no reference points into it.
    unsafe { std::ptr::copy_nonoverlapping(value, slot.as_ptr(), 1) }
}

/// Fills a claimed slot with zero bytes.
///
/// # Safety
///
/// As for [`write`].
#[inline]
pub(crate) unsafe fn clear<T: Pod>(slot: NonNull<T>) {
    // SAFETY: `write_bytes` asks for a destination valid for writes and aligned: the caller promises
    // (1), and nobody else reaches it (2).
    unsafe { slot.as_ptr().write_bytes(0, 1) }
}

/// Copies the value in a pinned slot into a caller's buffer.
///
/// # Safety
///
/// 1. `slot` is aligned for `T` and valid for reads of one `T`.
/// 2. The caller has pinned the slot, or claimed it, until this returns.
#[inline]
pub(crate) unsafe fn read<T: Pod>(slot: NonNull<T>, value: &mut T) {
    // SAFETY: `copy_nonoverlapping` asks for
    // - a source valid for reads and aligned: the caller promises (1); its bytes are initialised,
    //   since they come from a file, and are a valid `T` whatever they are (`ShmPayload`, 1);
    // - a destination valid for writes and aligned: it is a reference;
    // - no overlap: an exclusive reference does not point into a slot that readers share;
    // and nobody writes to the source meanwhile (2).
    unsafe { std::ptr::copy_nonoverlapping(slot.as_ptr(), value, 1) }
}

/// Copies the value in a pinned slot into memory of its own, without a copy on the stack.
///
/// # Safety
///
/// As for [`read`].
pub(crate) unsafe fn read_boxed<T: Pod>(slot: NonNull<T>) -> Box<T> {
    let mut value = Box::<T>::new_uninit();
    // SAFETY: as in `read`, with a destination that the box owns: valid for writes and aligned.
    unsafe { std::ptr::copy_nonoverlapping(slot.as_ptr(), value.as_mut_ptr(), 1) };
    // SAFETY: `assume_init` asks for an initialised value: the line above wrote all of it.
    unsafe { value.assume_init() }
}

/// Borrows the value in a pinned slot.
///
/// # Safety
///
/// 1. `slot` is aligned for `T` and valid for reads of one `T` during `'a`.
/// 2. The caller keeps the slot pinned during `'a`.
#[inline]
pub(crate) unsafe fn borrow<'a, T: Pod>(slot: NonNull<T>) -> &'a T {
    // SAFETY: `as_ref` asks for
    // - alignment and validity for reads: the caller promises (1);
    // - a valid value: every bit pattern is one (`ShmPayload`, 1);
    // - no write during `'a`: the pin keeps writers out (2), and `T` has no interior mutability
    //   (`ShmPayload`, 3).
    unsafe { slot.as_ref() }
}

/// Borrows the value in a claimed slot, to fill it in place.
///
/// # Safety
///
/// 1. `slot` is aligned for `T` and valid for reads and writes of one `T` during `'a`.
/// 2. The caller keeps the claim during `'a`, and makes no other reference to the slot.
#[inline]
pub(crate) unsafe fn borrow_mut<'a, T: Pod>(mut slot: NonNull<T>) -> &'a mut T {
    // SAFETY: `as_mut` asks for
    // - alignment and validity: the caller promises (1);
    // - a valid value: every bit pattern is one (`ShmPayload`, 1);
    // - no other access during `'a`: the claim keeps other processes out, and the caller makes no
    //   other reference (2).
    unsafe { slot.as_mut() }
}

/// Borrows the bytes of a pinned slot.
///
/// # Safety
///
/// 1. `slot` is valid for reads of `len` bytes during `'a`.
/// 2. The caller keeps the slot pinned, or claimed and unchanged, during `'a`.
#[inline]
pub(crate) unsafe fn borrow_bytes<'a>(slot: NonNull<u8>, len: usize) -> &'a [u8] {
    // SAFETY: `from_raw_parts` asks for
    // - validity for reads of `len` bytes in one allocation: the caller promises (1); bytes have no
    //   alignment, and are initialised, since they come from a file;
    // - no write during `'a`: the pin keeps writers out (2);
    // - at most `isize::MAX` bytes: they are mapped.
    unsafe { std::slice::from_raw_parts(slot.as_ptr(), len) }
}

/// Borrows the bytes of a claimed slot, to fill it in place.
///
/// # Safety
///
/// 1. `slot` is valid for reads and writes of `len` bytes during `'a`.
/// 2. The caller keeps the claim during `'a`, and makes no other reference to the slot.
#[inline]
pub(crate) unsafe fn borrow_bytes_mut<'a>(slot: NonNull<u8>, len: usize) -> &'a mut [u8] {
    // SAFETY: `from_raw_parts_mut` asks for the same as `from_raw_parts` above, for writes as well
    // (1), and for no other access during `'a`: the claim keeps other processes out, and the caller
    // makes no other reference (2).
    unsafe { std::slice::from_raw_parts_mut(slot.as_ptr(), len) }
}

/// Copies bytes that a writer may be changing, as relaxed atomic words.
///
/// What arrives can be torn: a mixture of frames. The caller looks at it only after a check of the
/// slot's state that would have noticed the writer.
///
/// The writer's side is not atomic: it fills slots through plain references. It is another process,
/// and what it does is for this one a change of memory between two loads; the loads are atomic so that
/// the compiler of this program makes no assumption about what they return.
///
/// # Safety
///
/// 1. `slot` is aligned to 8 and valid for reads of `bytes.len()` bytes.
/// 2. The mapping behind it stays until this returns.
pub(crate) unsafe fn read_unpinned(slot: *const u8, bytes: &mut [u8]) {
    const WORD: usize = size_of::<u64>();
    let words = slot.cast::<AtomicU64>();
    let mut chunks = bytes.chunks_exact_mut(WORD);
    let mut done = 0;
    for chunk in &mut chunks {
        // SAFETY: `add` asks to stay inside the allocation: `done` whole words are less than
        // `bytes.len()` bytes, which the caller promises are there (1, 2).
        let word = unsafe { words.add(done) };
        // SAFETY: dereferencing asks for alignment and validity for reads: the caller promises both
        // (1), and a multiple of 8 from there is aligned as well; every bit pattern is a valid value.
        let word = unsafe { &*word };
        chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        done += 1;
    }
    for (i, byte) in chunks.into_remainder().iter_mut().enumerate() {
        // SAFETY: `add`: as above, with single bytes behind the last whole word.
        let source = unsafe { slot.add(done * WORD + i) }.cast::<AtomicU8>();
        // SAFETY: dereferencing: as above; a byte has no alignment.
        *byte = unsafe { &*source }.load(Ordering::Relaxed);
    }
}
