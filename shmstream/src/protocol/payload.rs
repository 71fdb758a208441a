//! The only code that touches the bytes of payloads.
#![allow(unsafe_code)]
// This file guarantees that payload bytes are read only in slots whose pin the caller vouches for,
// and written only in slots whose claim the caller vouches for; and that no pointer it is given is
// used past the `T` it points to.
//
// Pins and claims exclude each other, so plain copies and references are right here: while a pin
// stands no process writes to the slot, and while a claim stands nobody else reads or writes it.

use std::ptr::NonNull;

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
