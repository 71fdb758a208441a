//! Allocating and freeing device memory.

use crate::blocks::{Address, Block, Origin, block, insert, reserve, span, take, whole};
use crate::call::{Code, Out, context_call};
use crate::context::Context;
use crate::mapping::{Mapping, file, pages};
use crate::status::{Outcome, Status};

/// What fresh memory holds, so that a read of what nobody wrote is seen.
const FRESH: u8 = 0xA5;
/// What freed memory holds, for a process that still has it open.
const FREED: u8 = 0xDB;

fn allocate(context: &Context, size: usize, shared: bool) -> Outcome<Address> {
    if size == 0 {
        return Err(Status::INVALID_VALUE);
    }
    let len = pages(size)?;
    reserve(size)?;
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
        whole(address, Block::is_allocated)?;
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
        let block = whole(address, Block::is_allocated)?;
        if !block.begin_free() {
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
