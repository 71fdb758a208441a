//! The mapped stream, and the two guards through which payloads are reached.
#![allow(unsafe_code)]
// This file guarantees that
// - references into the control block stay inside its mapping and live no longer than it;
// - pointers to slots stay inside the data area;
// - a payload is read only while a `Pin` stands for it and written only while a `Claim` does.

use std::cell::OnceCell;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use crate::error::Result;
use crate::layout::{Header, Layout};
use crate::name::StreamName;
use crate::os::fork::{self, Unshared};
use crate::os::futex;
use crate::os::map::{Access, Map, Residency, map};
use crate::pod::Pod;
use crate::prefetch;
use crate::protocol::{
    Control, FrameWords, Head, Next, Occupied, Pinned, Pins, Row, Sight, Slot, Torn, Turns, payload,
};
use crate::write_lock::Held;

/// What processors move between their caches.
const LINE: usize = 64;

/// The mappings of one handle.
pub(crate) struct Region {
    /// INVARIANT: maps `layout.control_len` bytes for reading and writing.
    control: Map,
    /// INVARIANT: maps at least `layout.data_len` bytes for reading.
    data: Map,
    /// INVARIANT: maps at least `layout.data_len` bytes for reading and writing.
    writable: OnceCell<Map>,
    /// INVARIANT: that of the file behind the mappings, whose size was checked against it.
    layout: Layout,
    turns: Turns,
    /// Some readers cannot say that they sleep.
    observers: bool,
    residency: Residency,
    generation: u32,
}

impl Region {
    /// Maps a stream whose file has the size that its header says.
    pub(crate) fn map(
        name: &StreamName,
        file: &Unshared,
        header: &Header,
        residency: Residency,
    ) -> Result<Self> {
        // Huge pages are for the data alone.
        let small = Residency {
            huge: false,
            ..residency
        };
        let Layout {
            control,
            control_len,
            ..
        } = header.layout;
        let (data, data_len) = data_range(&header.layout);
        // INVARIANT (control, data): the lengths and accesses are the ones they ask for, or more.
        Ok(Self {
            control: map(name, file, control, control_len, Access::ReadWrite, small)?,
            data: map(name, file, data, data_len, Access::Read, residency)?,
            writable: OnceCell::new(),
            layout: header.layout,
            turns: header.plan.turns(),
            observers: header.plan.observers,
            residency,
            generation: fork::generation(),
        })
    }

    /// Returns whether this process is a fork of the one that mapped the stream.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Returns the control block.
    #[inline]
    pub(crate) fn control(&self) -> Control<'_> {
        // SAFETY: `control_block` asks for a mapping of the layout's control block, for reading and
        // writing: the invariants of the two fields.
        unsafe { control_block(&self.control, &self.layout, self.turns) }
    }

    /// Returns where slot `slot` lies in one of the two mappings of the data area.
    ///
    /// The pointer is aligned for `T` and has `size_of::<T>()` bytes of the mapping behind it.
    #[inline]
    fn slot<T>(&self, data: &Map, slot: usize) -> NonNull<T> {
        let Layout { slots, stride, .. } = self.layout;
        assert!(slot < slots && size_of::<T>() <= stride && stride.is_multiple_of(align_of::<T>()));
        // SAFETY: `add` asks to stay inside the allocation: `slots * stride` is at most `data_len`,
        // which the mapping has (both invariants), and `slot < slots` (asserted).
        let start = unsafe { data.start().add(slot * stride) };
        // SAFETY: `new_unchecked` asks for a pointer that is not null: a mapping's address is not,
        // and `add` does not wrap.
        unsafe { NonNull::new_unchecked(start.cast()) }
    }

    /// Asks for the beginning of a slot's payload, if there is such a slot.
    #[inline(always)]
    fn prefetch(&self, data: &Map, slot: usize, ask: impl Fn(*const u8)) {
        let Layout {
            slots,
            stride,
            frame,
            ..
        } = self.layout;
        if slot < slots {
            let start = data.start().wrapping_add(slot * stride);
            ask(start);
            if frame > LINE {
                ask(start.wrapping_add(LINE));
            }
        }
    }

    #[inline]
    fn writable(&self, name: &StreamName, file: &Unshared) -> Result<&Map> {
        match self.writable.get() {
            Some(map) => Ok(map),
            None => self.map_writable(name, file),
        }
    }

    #[cold]
    fn map_writable(&self, name: &StreamName, file: &Unshared) -> Result<&Map> {
        let (data, data_len) = data_range(&self.layout);
        // INVARIANT (writable): the length and the access are the ones it asks for, or more.
        let map = map(
            name,
            file,
            data,
            data_len,
            Access::ReadWrite,
            self.residency,
        )?;
        Ok(self.writable.get_or_init(|| map))
    }

    /// Maps the data area for writing now and not with the first write.
    pub(crate) fn prepare_writing(&self, name: &StreamName, file: &Unshared) -> Result<()> {
        self.writable(name, file).map(drop)
    }

    /// Pins the latest frame, or returns `None` before the first.
    ///
    /// `note` makes what goes with the pin, before there is one: whatever runs while the guard exists
    /// and could panic would force the guard out of its registers, which doubles the cost of a read.
    #[inline(always)]
    pub(crate) fn pin_latest<'a, R>(
        &'a self,
        pins: &'a Pins,
        note: impl FnOnce(Pinned) -> R,
    ) -> Result<Option<(Pin<'a>, R)>, Torn> {
        self.prefetch(
            &self.data,
            self.control().prefetch_latest(),
            prefetch::to_read,
        );
        match self.control().pin_latest(pins) {
            Ok(Some(pinned)) => {
                let note = note(pinned);
                // INVARIANT (Pin): the slot was counted in `pins` just now, for this one value.
                let pin = Pin {
                    region: self,
                    pins,
                    slot: pinned.slot,
                };
                Ok(Some((pin, note)))
            }
            Ok(None) => Ok(None),
            Err(torn) => Err(torn),
        }
    }

    /// Pins the frame of count `next` or the oldest behind it that is left, or returns `Ok(Err(_))`
    /// with what else came of looking.
    ///
    /// `note` is as for [`pin_latest`](Self::pin_latest).
    #[inline]
    pub(crate) fn pin_next<'a, R>(
        &'a self,
        pins: &'a Pins,
        next: u64,
        hint: usize,
        note: impl FnOnce(Pinned) -> R,
    ) -> Result<Result<(Pin<'a>, R), Next>, Torn> {
        let pinned = match self.control().pin_next(pins, next, hint)? {
            Next::Frame(pinned) => pinned,
            other => return Ok(Err(other)),
        };
        let note = note(pinned);
        // INVARIANT (Pin): the slot was counted in `pins` just now, for this one value.
        let pin = Pin {
            region: self,
            pins,
            slot: pinned.slot,
        };
        Ok(Ok((pin, note)))
    }

    /// Claims a slot to write into.
    ///
    /// `held` is the write lock of this very stream. While no slot is free, `make_room` is told which
    /// are held by participants and which are on loan, and has a place for its own notes between
    /// attempts; it makes the attempt worth repeating, or gives up.
    #[inline(always)]
    pub(crate) fn claim<'a>(
        &'a self,
        name: &StreamName,
        file: &Unshared,
        held: Held<'a>,
        make_room: impl Fn(Occupied, u64, &mut Option<u32>) -> Result<()>,
    ) -> Result<Claim<'a>> {
        let data = self.writable(name, file)?;
        let slot = match held.take_ahead() {
            Some(slot) => slot,
            None => {
                let mut notes = None;
                loop {
                    match self.control().claim(held.loaned()) {
                        Ok(slot) => break slot,
                        Err(occupied) => make_room(occupied, held.loaned(), &mut notes)?,
                    }
                }
            }
        };
        held.set_loaned(slot, true);
        // INVARIANT (Claim): the slot was claimed, just now or ahead under the same lock, and noted as
        // on loan, so neither this thread nor, while `held` lives, anybody else claims it again.
        Ok(Claim {
            region: self,
            data,
            held,
            slot,
        })
    }
}

/// The mappings of somebody who may only look.
pub(crate) struct Outlook {
    /// INVARIANT: maps `layout.control_len` bytes for reading.
    control: Map,
    /// INVARIANT: maps `layout.data_len` bytes for reading.
    data: OnceCell<Map>,
    /// INVARIANT: that of the file behind the mappings, whose size was checked against it.
    layout: Layout,
    turns: Turns,
    generation: u32,
}

impl Outlook {
    /// Maps what processes share of a stream whose file has the size that its header says, and not
    /// its payloads.
    pub(crate) fn map(name: &StreamName, file: impl AsFd, header: &Header) -> Result<Self> {
        let Layout {
            control,
            control_len,
            ..
        } = header.layout;
        let small = Residency::default();
        // INVARIANT (control): the length is the one it asks for.
        Ok(Self {
            control: map(name, file, control, control_len, Access::Read, small)?,
            data: OnceCell::new(),
            layout: header.layout,
            turns: header.plan.turns(),
            generation: fork::generation(),
        })
    }

    /// Maps the payloads as well.
    pub(crate) fn map_data(
        &self,
        name: &StreamName,
        file: impl AsFd,
        residency: Residency,
    ) -> Result<()> {
        let Layout { data, data_len, .. } = self.layout;
        // INVARIANT (data): the length is the one it asks for.
        let map = map(name, file, data, data_len, Access::Read, residency)?;
        self.data.get_or_init(|| map);
        Ok(())
    }

    /// Returns whether this process is a fork of the one that mapped the stream.
    pub(crate) fn is_forked(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Returns a view of what processes share.
    pub(crate) fn sight(&self) -> Sight<'_> {
        // SAFETY: `control_block` asks for a mapping of the layout's control block: the invariant;
        // and since that is for reading only, for nothing but relaxed loads: all that `Sight` does.
        Sight::new(unsafe { control_block(&self.control, &self.layout, self.turns) })
    }

    /// Copies as many bytes as the buffer has from the start of a slot, which a writer may be
    /// changing; false if the payloads are not mapped or the slot has fewer.
    pub(crate) fn copy(&self, slot: usize, bytes: &mut [u8]) -> bool {
        let Layout { slots, stride, .. } = self.layout;
        let Some(data) = self.data.get() else {
            return false;
        };
        if slot >= slots || bytes.len() > stride {
            return false;
        }
        // SAFETY: `add` asks to stay inside the allocation: `slots * stride` is at most `data_len`,
        // which the mapping has (both invariants), and `slot < slots` (checked).
        let start = unsafe { data.start().add(slot * stride) };
        // SAFETY: `read_unpinned` asks for
        // 1. a pointer aligned to 8 and valid for reads of `bytes.len()` bytes: the mapping begins on
        //    a page, `stride` is a multiple of 128, and the slot has `stride` bytes (checked);
        // 2. a mapping that nobody unmaps meanwhile: `self` owns it.
        unsafe { payload::read_unpinned(start, bytes) };
        kill_point!(ObserveCopied);
        true
    }
}

/// Returns which part of the file to map for payloads: where a stream has none, something that is
/// there, since nothing cannot be mapped. A slot of it has no bytes.
fn data_range(layout: &Layout) -> (usize, usize) {
    match layout.data_len {
        0 => (layout.control, layout.control_len),
        len => (layout.data, len),
    }
}

/// The words that processes share, for whoever needs them on several threads.
#[cfg(feature = "cuda")]
pub(crate) struct Board {
    /// INVARIANT: maps `layout.control_len` bytes for reading and writing.
    control: Map,
    /// INVARIANT: maps at least `layout.data_len` bytes for reading and writing.
    mirror: Map,
    /// INVARIANT: that of the file behind the mapping, whose size was checked against it.
    layout: Layout,
    turns: Turns,
    generation: u32,
}

#[cfg(feature = "cuda")]
impl Board {
    /// Returns where on the host a slot is mirrored, for whoever has claimed it, and the slot's size:
    /// zero if there is no mirror.
    pub(crate) fn mirror(&self, slot: usize) -> (*mut u8, usize) {
        let Layout {
            slots,
            stride,
            frame,
            ..
        } = self.layout;
        assert!(slot < slots, "no such slot");
        // Inside of the mapping: `slots * stride` is at most `data_len` (both invariants).
        (self.mirror.start().wrapping_add(slot * stride), frame)
    }

    /// Returns where all mirrors lie, and their size; zero if there are none.
    pub(crate) fn mirrors(&self) -> (*mut u8, usize) {
        (self.mirror.start(), self.layout.data_len)
    }

    /// Maps what processes share of a stream whose file has the size that its header says.
    pub(crate) fn map(name: &StreamName, file: impl AsFd, header: &Header) -> Result<Self> {
        let Layout {
            control,
            control_len,
            ..
        } = header.layout;
        let (access, small) = (Access::ReadWrite, Residency::default());
        let (data, data_len) = data_range(&header.layout);
        // INVARIANT (control, mirror): the lengths and the access are the ones they ask for, or more.
        Ok(Self {
            control: map(name, &file, control, control_len, access, small)?,
            mirror: map(name, &file, data, data_len, access, small)?,
            layout: header.layout,
            turns: header.plan.turns(),
            generation: fork::generation(),
        })
    }

    /// Returns whether this process was forked since the words were mapped.
    pub(crate) fn is_forked(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Returns the control block.
    pub(crate) fn control(&self) -> Control<'_> {
        // SAFETY: `control_block` asks for a mapping of the layout's control block, for reading and
        // writing: the invariants of the two fields.
        unsafe { control_block(&self.control, &self.layout, self.turns) }
    }
}

/// Returns the control block in a mapping.
///
/// # Safety
///
/// `map` maps `layout.control_len` bytes, from the start of the control block of a stream with that
/// layout. If it maps them for reading only, the caller does nothing with the result but relaxed
/// loads.
#[inline]
unsafe fn control_block<'a>(map: &'a Map, layout: &Layout, turns: Turns) -> Control<'a> {
    let Layout {
        slots,
        participants,
        ..
    } = *layout;
    let head = map.start().cast::<Head>();
    // SAFETY: `add` asks to stay inside the allocation: `control_len` has room for the head (its
    // invariant), and the mapping for `control_len` (the caller promises).
    let first_slot = unsafe { head.add(1) }.cast::<Slot>();
    // SAFETY: as above, with room for `slots` slots behind the head.
    let first_row = unsafe { first_slot.add(slots) }.cast::<Row>();
    // SAFETY: dereferencing asks for
    // - alignment: the mapping begins on a page, and all three types are 128 bytes or a multiple of
    //   that, aligned to 128 (asserted in `layout.rs`);
    // - validity for reads while the borrow of `map` lasts, and for writes unless the caller only
    //   loads: it is a mapping;
    // - a valid value: the type is made of atomic integers, for which every bit pattern is one;
    // - no aliasing violation: whoever else writes to it, here or in other processes, does so
    //   through atomics.
    let head = unsafe { &*head };
    // SAFETY: `from_raw_parts` asks for the same of `slots` slots.
    let slots = unsafe { std::slice::from_raw_parts(first_slot, slots) };
    // SAFETY: `from_raw_parts` asks for the same of `participants` rows.
    let rows = unsafe { std::slice::from_raw_parts(first_row, participants) };
    Control::new(head, slots, rows, turns)
}

/// One pin on one slot, taken back when dropped.
///
/// INVARIANT: stands for one count in `pins`, which only its drop takes back.
pub(crate) struct Pin<'a> {
    region: &'a Region,
    pins: &'a Pins,
    slot: usize,
}

impl Pin<'_> {
    /// Borrows the payload.
    #[inline]
    pub(crate) fn payload<T: Pod>(&self) -> &T {
        let slot = self.region.slot(&self.region.data, self.slot);
        // SAFETY: `borrow` asks for
        // 1. alignment and validity for reads while `&self` lives: what `slot` returns, in a mapping
        //    that `self` borrows;
        // 2. a pin meanwhile: `self` is one (invariant).
        unsafe { payload::borrow(slot) }
    }

    /// Copies the payload into a caller's buffer.
    #[inline]
    pub(crate) fn copy_into<T: Pod>(&self, value: &mut T) {
        let slot = self.region.slot(&self.region.data, self.slot);
        // SAFETY: `read` asks for the same as `borrow` above.
        unsafe { payload::read(slot, value) }
    }

    /// Copies the payload into memory of its own.
    pub(crate) fn to_boxed<T: Pod>(&self) -> Box<T> {
        let slot = self.region.slot(&self.region.data, self.slot);
        // SAFETY: `read_boxed` asks for the same as `borrow` above.
        unsafe { payload::read_boxed(slot) }
    }
}

impl Drop for Pin<'_> {
    #[inline]
    fn drop(&mut self) {
        // In a forked child the row is the parent's.
        if self.region.is_forked() {
            return;
        }
        let control = self.region.control();
        // Unpinning is a release store and may still be on its way when the signal is looked at, so
        // a writer that arms it at this moment can be missed. Such a writer looks again after a
        // millisecond; a full barrier here would cost every read.
        if self.pins.remove(control, self.slot) && control.freed().fire().is_some() {
            futex::wake_all(control.freed().word());
        }
        kill_point!(UnpinTold);
    }
}

/// Payloads whose type is known at run time.
impl Pin<'_> {
    /// Borrows the bytes of the frame.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        let slot = self.region.slot::<u8>(&self.region.data, self.slot);
        // SAFETY: `borrow_bytes` asks for
        // 1. validity for reads of a frame while `&self` lives: `slot` has the whole stride behind
        //    it, which is at least a frame (invariant of `Layout`), in a mapping that `self` borrows;
        // 2. a pin meanwhile: `self` is one (invariant).
        unsafe { payload::borrow_bytes(slot, self.region.layout.frame) }
    }
}

/// Payloads whose type is known at run time.
impl Claim<'_> {
    /// Borrows the bytes of the frame.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        let slot = self.region.slot::<u8>(self.data, self.slot);
        // SAFETY: `borrow_bytes` asks for
        // 1. validity for reads of a frame while `&self` lives: as in `Pin::bytes`;
        // 2. that nobody writes meanwhile: as in `payload` below.
        unsafe { payload::borrow_bytes(slot, self.region.layout.frame) }
    }

    /// Borrows the bytes of the frame, to fill it in place.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let slot = self.region.slot::<u8>(self.data, self.slot);
        // SAFETY: `borrow_bytes_mut` asks for
        // 1. validity for reads and writes of a frame while `&mut self` lives: as in `Pin::bytes`,
        //    in the writable mapping;
        // 2. a claim and no other reference meanwhile: as in `payload_mut` below.
        unsafe { payload::borrow_bytes_mut(slot, self.region.layout.frame) }
    }
}

/// One claimed slot, given up when dropped.
///
/// INVARIANT: `slot` is claimed, noted as on loan, and no other `Claim` has it.
pub(crate) struct Claim<'a> {
    region: &'a Region,
    /// INVARIANT: the writable mapping of `region`.
    data: &'a Map,
    held: Held<'a>,
    slot: usize,
}

impl Claim<'_> {
    /// Copies a payload into the slot.
    #[inline]
    pub(crate) fn write<T: Pod>(&mut self, value: &T) {
        let slot = self.region.slot(self.data, self.slot);
        kill_point!(FillBegun);
        // SAFETY: `write` asks for
        // 1. alignment and validity for writes: what `slot` returns, in the writable mapping;
        // 2. a claim, and nobody else in the slot: `self` is it (invariant), borrowed exclusively.
        unsafe { payload::write(slot, value) }
        kill_point!(FillDone);
    }

    /// Fills the slot's payload with zero bytes.
    #[inline]
    pub(crate) fn clear<T: Pod>(&mut self) {
        let slot = self.region.slot::<T>(self.data, self.slot);
        // SAFETY: `clear` asks for the same as `write` above.
        unsafe { payload::clear(slot) }
    }

    /// Borrows the payload.
    #[inline]
    pub(crate) fn payload<T: Pod>(&self) -> &T {
        let slot = self.region.slot(self.data, self.slot);
        // SAFETY: `borrow` asks for
        // 1. alignment and validity for reads while `&self` lives: what `slot` returns;
        // 2. that nobody writes meanwhile: `self` is the claim (invariant), and while it is borrowed
        //    shared its other methods that write cannot be called.
        unsafe { payload::borrow(slot) }
    }

    /// Borrows the payload, to fill it in place.
    #[inline]
    pub(crate) fn payload_mut<T: Pod>(&mut self) -> &mut T {
        let slot = self.region.slot(self.data, self.slot);
        // SAFETY: `borrow_mut` asks for
        // 1. alignment and validity for reads and writes while `&mut self` lives: what `slot`
        //    returns, in the writable mapping;
        // 2. a claim and no other reference meanwhile: `self` is the claim (invariant), borrowed
        //    exclusively; the read-only mapping is read under pins only, and there is none.
        unsafe { payload::borrow_mut(slot) }
    }

    /// Makes the slot the latest, wakes who waits for that, and returns the frame's count.
    ///
    /// Called once, right before the claim goes: by reference only because moving the claim would
    /// put it in memory.
    #[inline]
    pub(crate) fn publish(&mut self, frame: FrameWords) -> u64 {
        let control = self.region.control();
        let count = control.publish(self.slot, frame);
        let waiting = if self.region.observers {
            Some(control.notify().announce())
        } else {
            control.notify().fire()
        };
        if let Some(waiting) = waiting {
            self.held.tell(control.notify(), waiting);
        }
        // An observer may still be copying the frame in the slot that would be claimed.
        if !self.region.observers && self.held.wants_ahead() {
            self.claim_ahead();
        }
        count
    }

    #[inline]
    fn claim_ahead(&self) {
        let claimed = self.region.control().claim_ahead(self.held.loaned());
        if let Some(slot) = claimed {
            self.held.set_ahead(slot);
            kill_point!(ClaimedAhead);
            self.region.prefetch(self.data, slot, prefetch::to_write);
        }
    }
}

impl Drop for Claim<'_> {
    #[inline]
    fn drop(&mut self) {
        self.held.set_loaned(self.slot, false);
        kill_point!(ClaimDropped);
    }
}

#[cfg(test)]
mod tests;
