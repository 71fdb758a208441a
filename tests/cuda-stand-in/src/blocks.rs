//! Blocks of device memory, and which addresses are theirs.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::config::config;
use crate::context::Context;
use crate::device::Physical;
use crate::host;
use crate::mapping::Mapping;
use crate::span::Span;
use crate::status::{Outcome, Status};
use crate::table::lock;
use crate::vmm::Backing;

/// An address as callers have it.
pub(crate) type Address = usize;

/// What makes a device address one that the processor cannot use: on x86-64 it is not canonical (or
/// never mapped, with five-level pages), on `AArch64` it is outside every table.
pub(crate) const MARK: usize = 1 << 53;

/// A block of device memory.
pub(crate) struct Block {
    pub(crate) mapping: Mapping,
    pub(crate) size: usize,
    pub(crate) origin: Origin,
    pub(crate) device: Physical,
    context: usize,
    /// Whether a free was put into a queue.
    freed: AtomicBool,
    /// Whether devices may touch it. Mapped physical memory begins without.
    accessible: AtomicBool,
}

/// Where a block is from.
pub(crate) enum Origin {
    /// `cuMemAlloc`: other processes can have it.
    Alloc { file: OwnedFd },
    /// `cuMemAllocAsync`.
    Pool,
    /// A handle of another process.
    Import,
    /// `cuMemMap`: it belongs to no context.
    Mapped { backing: Arc<Backing> },
}

/// The blocks, by the address where the processor has them.
static BLOCKS: Mutex<BTreeMap<usize, Arc<Block>>> = Mutex::new(BTreeMap::new());
static USED: AtomicUsize = AtomicUsize::new(0);

impl Block {
    pub(crate) fn new(mapping: Mapping, size: usize, origin: Origin, context: &Context) -> Self {
        Self {
            accessible: AtomicBool::new(!matches!(origin, Origin::Mapped { .. })),
            mapping,
            size,
            origin,
            device: context.device,
            context: context.handle,
            freed: AtomicBool::new(false),
        }
    }

    /// Returns the context that it was made in.
    pub(crate) fn context(&self) -> usize {
        self.context
    }

    /// Returns whether it was allocated here, with an address.
    pub(crate) fn is_allocated(&self) -> bool {
        matches!(self.origin, Origin::Alloc { .. } | Origin::Pool)
    }

    /// Notes that a free is on its way; tells whether it is the first.
    pub(crate) fn begin_free(&self) -> bool {
        !self.freed.swap(true, Ordering::AcqRel)
    }

    /// Lets devices touch mapped physical memory, or not.
    pub(crate) fn set_accessible(&self, accessible: bool) {
        self.accessible.store(accessible, Ordering::Release);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.is_allocated() {
            give_back(self.size);
        }
    }
}

/// Returns how many bytes this process has allocated.
pub(crate) fn used() -> usize {
    USED.load(Ordering::Relaxed)
}

/// Takes bytes of the device's memory, if there are as many left.
pub(crate) fn reserve(size: usize) -> Outcome {
    // Relaxed: a count that orders nothing.
    if USED.fetch_add(size, Ordering::Relaxed) + size > config().memory {
        give_back(size);
        return Err(Status::OUT_OF_MEMORY);
    }
    Ok(())
}

/// Gives bytes of the device's memory back.
pub(crate) fn give_back(size: usize) {
    USED.fetch_sub(size, Ordering::Relaxed);
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
    if len > block.size - offset || !block.accessible.load(Ordering::Acquire) {
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
    lock(&BLOCKS).retain(|_, block| {
        block.context != context.handle || matches!(block.origin, Origin::Mapped { .. })
    });
}

/// Returns the blocks that begin in a range.
pub(crate) fn blocks_in(address: Address, len: usize) -> Vec<Arc<Block>> {
    let start = address & !MARK;
    let blocks = lock(&BLOCKS);
    let found = blocks.range(start..start.saturating_add(len));
    found.map(|(_, block)| Arc::clone(block)).collect()
}
