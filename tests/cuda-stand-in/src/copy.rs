//! Copies and fills.
//!
//! As documented: what a copy reads from pageable memory of the host is read before the call returns,
//! and what it writes there is written before the call returns. With pinned memory an asynchronous copy
//! touches it when its turn comes. Copies between devices, and fills, never wait, in either form.

use std::ffi::c_uint;
use std::sync::Arc;

use crate::blocks::{Address, block, span};
use crate::call::{Code, context_call};
use crate::context::Context;
use crate::host::{is_pinned, is_writable};
use crate::status::{Outcome, Status};

/// An address of the host that a job may write to.
struct HostTarget(*mut u8);

// SAFETY: an address; who puts it into a job waits for that job.
unsafe impl Send for HostTarget {}

fn to_device(
    context: &Arc<Context>,
    queue: usize,
    to: Address,
    from: *const u8,
    len: usize,
) -> Outcome {
    if len == 0 {
        return Ok(());
    }
    // A device address on the host's side is a mistake that the driver refuses too.
    if from.is_null() || block(from.addr()).is_ok() {
        return Err(Status::INVALID_VALUE);
    }
    span(to, len)?;
    if is_pinned(from.addr(), len) {
        return between(context, queue, to, from.expose_provenance(), len);
    }
    // SAFETY: the driver's contract: `len` bytes to read, not null as checked.
    let bytes = unsafe { std::slice::from_raw_parts(from, len) }.to_vec();
    context.queue(queue)?.put_late(move || {
        span(to, bytes.len())?.copy_from_slice(&bytes);
        Ok(())
    });
    Ok(())
}

fn to_host(
    context: &Arc<Context>,
    queue: usize,
    to: *mut u8,
    from: Address,
    len: usize,
) -> Outcome {
    if len == 0 {
        return Ok(());
    }
    if to.is_null() || block(to.addr()).is_ok() {
        return Err(Status::INVALID_VALUE);
    }
    span(from, len)?;
    if is_pinned(to.addr(), len) {
        return between(context, queue, to.expose_provenance(), from, len);
    }
    let target = HostTarget(to);
    context.queue(queue)?.put_late(move || {
        let target = target;
        let from = span(from, len)?;
        // SAFETY: the driver's contract: `len` bytes to write, while the call lasts, which waits.
        unsafe { from.copy_to(target.0) };
        Ok(())
    });
    context.queue(queue)?.synchronize()
}

fn between(
    context: &Arc<Context>,
    queue: usize,
    to: Address,
    from: Address,
    len: usize,
) -> Outcome {
    span(to, len)?;
    span(from, len)?;
    if !is_writable(to) {
        return Err(Status::INVALID_VALUE);
    }
    context.queue(queue)?.put_late(move || {
        span(to, len)?.copy_from(&span(from, len)?);
        Ok(())
    });
    Ok(())
}

fn fill(context: &Arc<Context>, queue: usize, to: Address, value: u8, len: usize) -> Outcome {
    span(to, len)?;
    context.queue(queue)?.put_late(move || {
        span(to, len)?.fill(value);
        Ok(())
    });
    Ok(())
}

fn fill_words(
    context: &Arc<Context>,
    queue: usize,
    to: Address,
    value: c_uint,
    count: usize,
) -> Outcome {
    let len = count.checked_mul(size_of::<c_uint>());
    let len = len.ok_or(Status::INVALID_VALUE)?;
    if !to.is_multiple_of(size_of::<c_uint>()) {
        return Err(Status::INVALID_VALUE);
    }
    span(to, len)?;
    context.queue(queue)?.put_late(move || {
        let bytes = value.to_ne_bytes().repeat(count);
        span(to, len)?.copy_from_slice(&bytes);
        Ok(())
    });
    Ok(())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyHtoDAsync_v2(
    to: Address,
    from: *const u8,
    len: usize,
    queue: usize,
) -> Code {
    context_call("cuMemcpyHtoDAsync_v2", |context| {
        to_device(context, queue, to, from, len)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoHAsync_v2(
    to: *mut u8,
    from: Address,
    len: usize,
    queue: usize,
) -> Code {
    context_call("cuMemcpyDtoHAsync_v2", |context| {
        to_host(context, queue, to, from, len)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoDAsync_v2(
    to: Address,
    from: Address,
    len: usize,
    queue: usize,
) -> Code {
    context_call("cuMemcpyDtoDAsync_v2", |context| {
        between(context, queue, to, from, len)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyHtoD_v2(to: Address, from: *const u8, len: usize) -> Code {
    context_call("cuMemcpyHtoD_v2", |context| {
        to_device(context, 0, to, from, len)?;
        // Of pageable memory the call may return before the device has it, as documented.
        if is_pinned(from.addr(), len) {
            context.queue(0)?.synchronize()?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoH_v2(to: *mut u8, from: Address, len: usize) -> Code {
    context_call("cuMemcpyDtoH_v2", |context| {
        to_host(context, 0, to, from, len)?;
        context.queue(0)?.synchronize()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoD_v2(to: Address, from: Address, len: usize) -> Code {
    context_call("cuMemcpyDtoD_v2", |context| {
        between(context, 0, to, from, len)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyAsync(to: Address, from: Address, len: usize, queue: usize) -> Code {
    context_call("cuMemcpyAsync", |context| {
        between(context, queue, to, from, len)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyPeerAsync(
    to: Address,
    _to_context: usize,
    from: Address,
    _from_context: usize,
    len: usize,
    queue: usize,
) -> Code {
    context_call("cuMemcpyPeerAsync", |context| {
        between(context, queue, to, from, len)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemsetD8Async(to: Address, value: u8, len: usize, queue: usize) -> Code {
    context_call("cuMemsetD8Async", |context| {
        fill(context, queue, to, value, len)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemsetD8_v2(to: Address, value: u8, len: usize) -> Code {
    context_call("cuMemsetD8_v2", |context| fill(context, 0, to, value, len))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemsetD32Async(
    to: Address,
    value: c_uint,
    count: usize,
    queue: usize,
) -> Code {
    context_call("cuMemsetD32Async", |context| {
        fill_words(context, queue, to, value, count)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemsetD32_v2(to: Address, value: c_uint, count: usize) -> Code {
    context_call("cuMemsetD32_v2", |context| {
        fill_words(context, 0, to, value, count)
    })
}
