//! The mapped stream, and the two guards through which payloads are reached.
#![allow(unsafe_code)]
// This file guarantees that
// - references into the control block stay inside its mapping and live no longer than it;
// - pointers to slots stay inside the data area;
// - a payload is read only while a `Pin` stands for it and written only while a `Claim` does.

use std::cell::OnceCell;
use std::ptr::NonNull;

use crate::error::Result;
use crate::layout::Layout;
use crate::name::StreamName;
use crate::os::fork::{self, Unshared};
use crate::os::futex;
use crate::os::map::{Access, Map, Residency, map};
use crate::pod::Pod;
use crate::protocol::{
    Control, FrameWords, Head, Occupied, Pinned, Pins, Row, Slot, Torn, payload,
};
use crate::write_lock::Held;

/// The mappings of one handle.
pub(crate) struct Region {
    /// INVARIANT: maps `layout.control_len` bytes for reading and writing.
    control: Map,
    /// INVARIANT: maps `layout.data_len` bytes for reading.
    data: Map,
    /// INVARIANT: maps `layout.data_len` bytes for reading and writing.
    writable: OnceCell<Map>,
    /// INVARIANT: that of the file behind the mappings, whose size was checked against it.
    layout: Layout,
    residency: Residency,
    generation: u32,
}

impl Region {
    /// Maps a stream whose file has the size that `layout` says.
    pub(crate) fn map(
        name: &StreamName,
        file: &Unshared,
        layout: Layout,
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
            data,
            data_len,
            ..
        } = layout;
        // INVARIANT (control, data): the lengths and accesses are the ones they ask for.
        Ok(Self {
            control: map(name, file, control, control_len, Access::ReadWrite, small)?,
            data: map(name, file, data, data_len, Access::Read, residency)?,
            writable: OnceCell::new(),
            layout,
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
        let Layout {
            slots,
            participants,
            ..
        } = self.layout;
        let head = self.control.start().cast::<Head>();
        // SAFETY: `add` asks to stay inside the allocation: `control_len` has room for the head, and
        // the mapping for `control_len` (both invariants).
        let first_slot = unsafe { head.add(1) }.cast::<Slot>();
        // SAFETY: as above, with room for `slots` slots behind the head.
        let first_row = unsafe { first_slot.add(slots) }.cast::<Row>();
        // SAFETY: dereferencing asks for
        // - alignment: the mapping begins on a page, and all three types are 128 bytes or a multiple
        //   of that, aligned to 128 (asserted in `layout.rs`);
        // - validity for reads and writes while `&self` lives: the mapping is owned by `self`;
        // - a valid value: the type is made of atomic integers, for which every bit pattern is one;
        // - no aliasing violation: whoever else writes to it, here or in other processes, does so
        //   through atomics.
        let head = unsafe { &*head };
        // SAFETY: `from_raw_parts` asks for the same of `slots` slots.
        let slots = unsafe { std::slice::from_raw_parts(first_slot, slots) };
        // SAFETY: `from_raw_parts` asks for the same of `participants` rows.
        let rows = unsafe { std::slice::from_raw_parts(first_row, participants) };
        Control::new(head, slots, rows)
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

    #[inline]
    fn writable(&self, name: &StreamName, file: &Unshared) -> Result<&Map> {
        match self.writable.get() {
            Some(map) => Ok(map),
            None => self.map_writable(name, file),
        }
    }

    #[cold]
    fn map_writable(&self, name: &StreamName, file: &Unshared) -> Result<&Map> {
        let Layout { data, data_len, .. } = self.layout;
        // INVARIANT (writable): the length and the access are the ones it asks for.
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

    /// Claims a slot to write into.
    ///
    /// `held` is the write lock of this very stream. While no slot is free, `make_room` is told which
    /// are pinned and which are on loan; it makes the attempt worth repeating, or gives up.
    #[inline(always)]
    pub(crate) fn claim<'a>(
        &'a self,
        name: &StreamName,
        file: &Unshared,
        held: Held<'a>,
        make_room: impl Fn(Occupied, u64) -> Result<()>,
    ) -> Result<Claim<'a>> {
        let data = self.writable(name, file)?;
        let slot = loop {
            match self.control().claim(held.loaned()) {
                Ok(slot) => break slot,
                Err(occupied) => make_room(occupied, held.loaned())?,
            }
        };
        held.set_loaned(slot, true);
        // INVARIANT (Claim): the slot was claimed just now and noted as on loan, so neither this
        // thread nor, while `held` lives, anybody else claims it again.
        Ok(Claim {
            region: self,
            data,
            held,
            slot,
        })
    }
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
        if self.pins.remove(control, self.slot) && control.freed().fire() {
            futex::wake_all(control.freed().word());
        }
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
        // SAFETY: `write` asks for
        // 1. alignment and validity for writes: what `slot` returns, in the writable mapping;
        // 2. a claim, and nobody else in the slot: `self` is it (invariant), borrowed exclusively.
        unsafe { payload::write(slot, value) }
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
        if control.notify().fire() {
            futex::wake_all(control.notify().word());
        }
        count
    }
}

impl Drop for Claim<'_> {
    #[inline]
    fn drop(&mut self) {
        self.held.set_loaned(self.slot, false);
    }
}
