//! Virtual memory management: addresses, and what is mapped there.

use std::collections::BTreeMap;
use std::ffi::c_uint;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use crate::blocks::{self, Address, Block, MARK, Origin, block, blocks_in, insert, take};
use crate::call::{Code, Out, context_call};
use crate::device::{physical, reaches};
use crate::mapping::Mapping;
use crate::status::{Outcome, Status};
use crate::table::lock;
use crate::vmm::{DEVICE, GRANULARITY, Location, find, register};

/// `CU_MEM_ACCESS_FLAGS_PROT_*`: none, read, and both; 2 is none of them.
const NO_ACCESS: c_uint = 0;
const READ: c_uint = 1;
const READ_WRITE: c_uint = 3;

/// `CUmemAccessDesc`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Access {
    location: Location,
    flags: c_uint,
}

struct Reservation {
    mapping: Mapping,
    len: usize,
}

/// The addresses that are reserved, by where they begin.
static RESERVED: Mutex<BTreeMap<usize, Reservation>> = Mutex::new(BTreeMap::new());

fn is_whole(number: usize) -> bool {
    number.is_multiple_of(GRANULARITY)
}

/// Returns the blocks that fill a range, without a gap and without standing out.
fn filling(address: Address, len: usize) -> Outcome<Vec<Arc<Block>>> {
    let found = blocks_in(address, len);
    let sum: usize = found.iter().map(|block| block.size).sum();
    let mapped = |block: &Arc<Block>| matches!(block.origin, Origin::Mapped { .. });
    if address & MARK == 0 || len == 0 || sum != len || !found.iter().all(mapped) {
        return Err(Status::INVALID_VALUE);
    }
    Ok(found)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAddressReserve(
    result: Out<Address>,
    len: usize,
    alignment: usize,
    _wanted: Address,
    flags: u64,
) -> Code {
    context_call("cuMemAddressReserve", |_| {
        let alignment = alignment.max(GRANULARITY);
        if len == 0 || !is_whole(len) || !alignment.is_power_of_two() || flags != 0 {
            return Err(Status::INVALID_VALUE);
        }
        let mapping = Mapping::reservation(len, alignment)?;
        let start = mapping.start().addr().get();
        lock(&RESERVED).insert(start, Reservation { mapping, len });
        result.put(start | MARK)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAddressFree(address: Address, len: usize) -> Code {
    context_call("cuMemAddressFree", |_| {
        let mut all = lock(&RESERVED);
        let start = address & !MARK;
        let found = all.get(&start).ok_or(Status::INVALID_VALUE)?;
        if found.len != len || !blocks_in(address, len).is_empty() {
            return Err(Status::INVALID_VALUE);
        }
        all.remove(&start);
        Ok(())
    })
}

/// Returns where the processor has reserved addresses.
fn reserved(address: Address, len: usize) -> Outcome<NonNull<u8>> {
    let start = address & !MARK;
    let all = lock(&RESERVED);
    let (base, found) = all
        .range(..=start)
        .next_back()
        .ok_or(Status::INVALID_VALUE)?;
    let offset = start - base;
    if address & MARK == 0 || offset >= found.len || len > found.len - offset {
        return Err(Status::INVALID_VALUE);
    }
    // SAFETY: within the reservation, as checked.
    Ok(unsafe { found.mapping.start().add(offset) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemMap(
    address: Address,
    len: usize,
    offset: usize,
    handle: usize,
    flags: u64,
) -> Code {
    context_call("cuMemMap", |context| {
        let backing = find(handle)?;
        let fits = is_whole(address & !MARK) && is_whole(len) && len != 0 && len <= backing.size;
        if !fits || offset != 0 || flags != 0 {
            return Err(Status::INVALID_VALUE);
        }
        let start = reserved(address, len)?;
        let overlaps = block(address).is_ok() || !blocks_in(address, len).is_empty();
        if overlaps {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: reserved, and nothing there, as checked; a reservation is not freed while something is.
        let mapping = unsafe { Mapping::over(start, len, &backing.file) }?;
        let device = backing.device;
        let mut block = Block::new(mapping, len, Origin::Mapped { backing }, context);
        block.device = device;
        insert(block);
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemUnmap(address: Address, len: usize) -> Code {
    context_call("cuMemUnmap", |_| {
        for block in filling(address, len)? {
            let start = block.mapping.start().addr().get() | MARK;
            drop(block);
            take(start)?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemSetAccess(
    address: Address,
    len: usize,
    list: *const Access,
    count: usize,
) -> Code {
    context_call("cuMemSetAccess", |_| {
        let blocks = filling(address, len)?;
        if list.is_null() || count == 0 {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: the driver's contract: `count` entries, not null as checked.
        for access in unsafe { std::slice::from_raw_parts(list, count) } {
            let known = [NO_ACCESS, READ, READ_WRITE].contains(&access.flags);
            if access.location.kind != DEVICE || !known {
                return Err(Status::INVALID_VALUE);
            }
            let device = physical(access.location.id)?;
            for block in &blocks {
                if !reaches(device, block.device) {
                    return Err(Status::INVALID_DEVICE);
                }
                block.set_accessible(access.flags != NO_ACCESS);
            }
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemRetainAllocationHandle(result: Out<usize>, address: Address) -> Code {
    context_call("cuMemRetainAllocationHandle", |_| {
        match &blocks::block(address)?.0.origin {
            Origin::Mapped { backing } => result.put(register(Arc::clone(backing))),
            _ => Err(Status::INVALID_VALUE),
        }
    })
}
