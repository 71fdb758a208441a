//! Pinned memory of the host: allocated here, or registered by a caller.

use std::collections::BTreeMap;
use std::ffi::c_uint;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use crate::blocks::{Address, alone};
use crate::call::{Code, Out, context_call};
use crate::mapping::{Mapping, pages};
use crate::span::Span;
use crate::status::{Outcome, Status};
use crate::table::lock;

/// `CU_MEMHOSTALLOC_*`: portable, device-mapped, write-combined.
const ALLOC_FLAGS: c_uint = 7;
/// `CU_MEMHOSTREGISTER_*`: portable, device-mapped, memory of a device, read-only.
const REGISTER_FLAGS: c_uint = 15;
/// The last of them, without which a mapping that cannot be written is refused.
const READ_ONLY: c_uint = 8;

struct Pinned {
    len: usize,
    flags: c_uint,
    /// None for memory of the caller.
    mapping: Option<Mapping>,
}

static PINNED: Mutex<BTreeMap<usize, Arc<Pinned>>> = Mutex::new(BTreeMap::new());

/// Returns pinned memory; refuses other memory.
pub(crate) fn span(address: Address, len: usize) -> Outcome<Span> {
    let pinned = lock(&PINNED);
    let (base, found) = pinned
        .range(..=address)
        .next_back()
        .ok_or(Status::INVALID_VALUE)?;
    let offset = address - base;
    if offset > found.len || len > found.len - offset {
        return Err(Status::INVALID_VALUE);
    }
    let start = std::ptr::with_exposed_provenance_mut(address);
    let start = NonNull::new(start).ok_or(Status::INVALID_VALUE)?;
    // SAFETY: mapped here, or by the caller, who keeps it until it is unregistered: the driver's
    // contract. Both wait until nobody has the entry (`release`).
    Ok(unsafe { Span::new(start, len, Arc::clone(found) as Arc<_>) })
}

/// Returns whether a range may be written.
pub(crate) fn is_writable(address: Address) -> bool {
    let pinned = lock(&PINNED);
    let found = pinned.range(..=address).next_back();
    found.is_none_or(|(start, found)| {
        address - start >= found.len || found.mapping.is_some() || found.flags & READ_ONLY == 0
    })
}

/// Returns whether the system has all of a range mapped, and writable if that is asked for.
fn is_mapped(address: usize, size: usize, writable: bool) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some(end) = address.checked_add(size) else {
        return false;
    };
    let mut reached = address;
    for line in maps.lines() {
        let Some((start, stop, rights)) = mapping(line) else {
            continue;
        };
        let usable = rights.starts_with('r') && (!writable || rights[1..].starts_with('w'));
        if usable && start <= reached && reached < stop {
            reached = stop;
        }
    }
    reached >= end
}

/// Reads a line of the system's list: where a mapping is, and what may be done with it.
fn mapping(line: &str) -> Option<(usize, usize, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, stop) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let stop = usize::from_str_radix(stop, 16).ok()?;
    Some((start, stop, rest))
}

/// Returns whether all of a range is pinned.
pub(crate) fn is_pinned(address: Address, len: usize) -> bool {
    span(address, len).is_ok()
}

fn insert(address: usize, pinned: Pinned) -> Outcome {
    let end = address.checked_add(pinned.len);
    let end = end.ok_or(Status::INVALID_VALUE)?;
    let mut all = lock(&PINNED);
    let before = all.range(..end).next_back();
    if before.is_some_and(|(start, other)| start + other.len > address) {
        return Err(Status::HOST_MEMORY_ALREADY_REGISTERED);
    }
    all.insert(address, Arc::new(pinned));
    Ok(())
}

fn release(address: usize, ours: bool, unknown: Status) -> Outcome {
    let mut all = lock(&PINNED);
    let found = all.get(&address).ok_or(unknown)?;
    if found.mapping.is_some() != ours {
        return Err(unknown);
    }
    let found = all.remove(&address);
    drop(all);
    if let Some(found) = found {
        alone(found);
    }
    Ok(())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostAlloc(result: Out<usize>, size: usize, flags: c_uint) -> Code {
    context_call("cuMemHostAlloc", |_| {
        if size == 0 || flags & !ALLOC_FLAGS != 0 {
            return Err(Status::INVALID_VALUE);
        }
        let len = pages(size)?;
        let mapping = Mapping::anonymous(len)?;
        let address = mapping.start().as_ptr().expose_provenance();
        insert(
            address,
            Pinned {
                len,
                flags,
                mapping: Some(mapping),
            },
        )?;
        result.put(address)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemFreeHost(address: usize) -> Code {
    context_call("cuMemFreeHost", |context| {
        context.synchronize()?;
        release(address, true, Status::INVALID_VALUE)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostRegister_v2(address: usize, size: usize, flags: c_uint) -> Code {
    context_call("cuMemHostRegister_v2", |_| {
        if address == 0 || size == 0 || flags & !REGISTER_FLAGS != 0 {
            return Err(Status::INVALID_VALUE);
        }
        // Documented to be refused; with which code is a guess.
        if !is_mapped(address, size, flags & READ_ONLY == 0) {
            return Err(Status::INVALID_VALUE);
        }
        let mapping = None;
        insert(
            address,
            Pinned {
                len: size,
                flags,
                mapping,
            },
        )
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostUnregister(address: usize) -> Code {
    context_call("cuMemHostUnregister", |context| {
        context.synchronize()?;
        release(address, false, Status::HOST_MEMORY_NOT_REGISTERED)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostGetDevicePointer_v2(
    result: Out<Address>,
    address: usize,
    flags: c_uint,
) -> Code {
    context_call("cuMemHostGetDevicePointer_v2", |_| {
        if flags != 0 || !is_pinned(address, 1) {
            return Err(Status::INVALID_VALUE);
        }
        result.put(address)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostGetFlags(result: Out<c_uint>, address: usize) -> Code {
    context_call("cuMemHostGetFlags", |_| {
        let all = lock(&PINNED);
        let found = all.get(&address).ok_or(Status::INVALID_VALUE)?;
        result.put(found.flags)
    })
}
