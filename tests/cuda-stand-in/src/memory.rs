//! Device memory: blocks, and which addresses are theirs.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::call::{Code, Out, context_call};
use crate::config::config;
use crate::context::Context;
use crate::device::Physical;
use crate::host;
use crate::mapping::{Mapping, file, pages};
use crate::span::Span;
use crate::status::{Outcome, Status};
use crate::table::lock;

/// An address as callers have it.
pub(crate) type Address = usize;

/// What makes a device address one that the processor cannot use: on x86-64 it is not canonical (or
/// never mapped, with five-level pages), on `AArch64` it is outside every table.
const MARK: usize = 1 << 53;
/// What fresh memory holds, so that a read of what nobody wrote is seen.
const FRESH: u8 = 0xA5;
/// What freed memory holds, for a process that still has it open.
const FREED: u8 = 0xDB;

/// A block of device memory.
pub(crate) struct Block {
    pub(crate) mapping: Mapping,
    pub(crate) size: usize,
    pub(crate) origin: Origin,
    pub(crate) device: Physical,
    context: usize,
    /// Whether a free was put into a queue.
    freed: AtomicBool,
}

/// Where a block is from.
pub(crate) enum Origin {
    /// `cuMemAlloc`: other processes can have it.
    Alloc { file: OwnedFd },
    /// `cuMemAllocAsync`.
    Pool,
    /// A handle of another process.
    Import,
}

/// The blocks, by the address where the processor has them.
static BLOCKS: Mutex<BTreeMap<usize, Arc<Block>>> = Mutex::new(BTreeMap::new());
static USED: AtomicUsize = AtomicUsize::new(0);

impl Block {
    pub(crate) fn new(mapping: Mapping, size: usize, origin: Origin, context: &Context) -> Self {
        Self {
            mapping,
            size,
            origin,
            device: context.device,
            context: context.handle,
            freed: AtomicBool::new(false),
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if is_allocated(self) {
            USED.fetch_sub(self.size, Ordering::Relaxed);
        }
    }
}

/// Returns how many bytes this process has allocated.
pub(crate) fn used() -> usize {
    USED.load(Ordering::Relaxed)
}

/// Adds a block, and returns its device address.
pub(crate) fn insert(block: Block) -> Address {
    let start = block.mapping.start().addr().get();
    lock(&BLOCKS).insert(start, Arc::new(block));
    start | MARK
}

/// Returns the block that holds an address, and how far into it that is.
pub(crate) fn block(address: Address) -> Outcome<(Arc<Block>, usize)> {
    if address & MARK == 0 {
        return Err(Status::INVALID_VALUE);
    }
    let start = address & !MARK;
    let blocks = lock(&BLOCKS);
    let (base, block) = blocks
        .range(..=start)
        .next_back()
        .ok_or(Status::INVALID_VALUE)?;
    let offset = start - base;
    if offset >= block.size {
        return Err(Status::INVALID_VALUE);
    }
    Ok((Arc::clone(block), offset))
}

/// Returns the memory at a device address, or at an address of pinned host memory.
pub(crate) fn span(address: Address, len: usize) -> Outcome<Span> {
    if address & MARK == 0 {
        return host::span(address, len);
    }
    let (block, offset) = block(address)?;
    if len > block.size - offset {
        return Err(Status::INVALID_VALUE);
    }
    // SAFETY: within the mapping, since `offset` is below its size.
    let start = unsafe { block.mapping.start().add(offset) };
    // SAFETY: within the mapping, as checked; the block owns the mapping.
    Ok(unsafe { Span::new(start, len, block) })
}

/// Returns the block that begins at an address, if `wanted` likes it.
pub(crate) fn whole(address: Address, wanted: impl Fn(&Block) -> bool) -> Outcome<Arc<Block>> {
    let (block, offset) = block(address)?;
    if offset != 0 || !wanted(&block) {
        return Err(Status::INVALID_VALUE);
    }
    Ok(block)
}

/// Takes the block that begins at an address away. Queues that are at work on it end that first; those
/// that come to it later find nothing.
pub(crate) fn take(address: Address) -> Outcome<Block> {
    let taken = lock(&BLOCKS).remove(&(address & !MARK));
    Ok(alone(taken.ok_or(Status::INVALID_VALUE)?))
}

/// Waits until nobody else has a thing that is in no table any more.
pub(crate) fn alone<T>(mut thing: Arc<T>) -> T {
    loop {
        match Arc::try_unwrap(thing) {
            Ok(thing) => return thing,
            Err(shared) => thing = shared,
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// Takes the memory of a context away.
pub(crate) fn forget(context: &Context) {
    lock(&BLOCKS).retain(|_, block| block.context != context.handle);
}

fn allocate(context: &Context, size: usize, shared: bool) -> Outcome<Address> {
    if size == 0 {
        return Err(Status::INVALID_VALUE);
    }
    let len = pages(size)?;
    // Relaxed: a count that orders nothing.
    if USED.fetch_add(size, Ordering::Relaxed) + size > config().memory {
        USED.fetch_sub(size, Ordering::Relaxed);
        return Err(Status::OUT_OF_MEMORY);
    }
    let (mapping, origin) = if shared {
        let file = file("stand-in memory", len)?;
        (Mapping::of(&file, len)?, Origin::Alloc { file })
    } else {
        (Mapping::anonymous(len)?, Origin::Pool)
    };
    let address = insert(Block::new(mapping, size, origin, context));
    span(address, size)?.fill(FRESH);
    Ok(address)
}

fn free(address: Address) -> Outcome {
    // Whoever still has it open sees that it is gone: undefined with the driver.
    let (block, _) = block(address)?;
    span(address, block.size)?.fill(FREED);
    drop(block);
    take(address).map(drop)
}

fn is_allocated(block: &Block) -> bool {
    matches!(block.origin, Origin::Alloc { .. } | Origin::Pool)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAlloc_v2(result: Out<Address>, size: usize) -> Code {
    context_call("cuMemAlloc_v2", |context| {
        result.put(allocate(context, size, true)?)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemFree_v2(address: Address) -> Code {
    context_call("cuMemFree_v2", |context| {
        if address == 0 {
            return Ok(());
        }
        whole(address, is_allocated)?;
        // Not documented, but what the driver does: work that is put already is done first.
        context.synchronize()?;
        free(address)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAllocAsync(result: Out<Address>, size: usize, queue: usize) -> Code {
    context_call("cuMemAllocAsync", |context| {
        context.queue(queue)?;
        result.put(allocate(context, size, false)?)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemFreeAsync(address: Address, queue: usize) -> Code {
    context_call("cuMemFreeAsync", |context| {
        let queue = context.queue(queue)?;
        let block = whole(address, is_allocated)?;
        if block.freed.swap(true, Ordering::AcqRel) {
            return Err(Status::INVALID_VALUE);
        }
        queue.put(move |_| free(address));
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemGetAddressRange_v2(
    base: Out<Address>,
    size: Out<usize>,
    address: Address,
) -> Code {
    context_call("cuMemGetAddressRange_v2", |_| {
        let (block, offset) = block(address).map_err(|_| Status::NOT_FOUND)?;
        base.put_if_wanted(address - offset);
        size.put_if_wanted(block.size);
        Ok(())
    })
}
