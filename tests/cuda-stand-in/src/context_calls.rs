//! The driver's functions for contexts.

use std::ffi::{c_int, c_uint};

use crate::blocks;
use crate::call::{Code, Out, context_call, device_call};
use crate::config::config;
use crate::context::{create, destroy, is_active, live, release, retain, with_stack};
use crate::device::{ordinal, physical};
use crate::status::Status;

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: Out<usize>, device: c_int) -> Code {
    device_call("cuDevicePrimaryCtxRetain", || {
        context.put(retain(physical(device)?))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxRelease_v2(device: c_int) -> Code {
    device_call("cuDevicePrimaryCtxRelease_v2", || {
        release(physical(device)?)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxGetState(
    device: c_int,
    flags: Out<c_uint>,
    active: Out<c_int>,
) -> Code {
    device_call("cuDevicePrimaryCtxGetState", || {
        let is_active = is_active(physical(device)?);
        flags.put(0)?;
        active.put(c_int::from(is_active))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetCurrent(context: Out<usize>) -> Code {
    device_call("cuCtxGetCurrent", || {
        let current = with_stack(|stack| stack.last().copied());
        context.put(current.unwrap_or(0))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxSetCurrent(context: usize) -> Code {
    device_call("cuCtxSetCurrent", || {
        if context != 0 && live(context).is_none() {
            return Err(Status::INVALID_CONTEXT);
        }
        with_stack(|stack| {
            // Replaces the current one, or with null leaves none.
            stack.pop();
            stack.extend((context != 0).then_some(context));
        });
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetDevice(device: Out<c_int>) -> Code {
    context_call("cuCtxGetDevice", |context| {
        device.put(ordinal(context.device).ok_or(Status::INVALID_DEVICE)?)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxSynchronize() -> Code {
    context_call("cuCtxSynchronize", |context| context.synchronize())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) -> Code {
    context_call("cuMemGetInfo_v2", |_| {
        free.put(config().memory.saturating_sub(blocks::used()))?;
        total.put(config().memory)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxPushCurrent_v2(context: usize) -> Code {
    device_call("cuCtxPushCurrent_v2", || {
        live(context).ok_or(Status::INVALID_CONTEXT)?;
        with_stack(|stack| stack.push(context));
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxPopCurrent_v2(context: Out<usize>) -> Code {
    device_call("cuCtxPopCurrent_v2", || {
        let popped = with_stack(Vec::pop).ok_or(Status::INVALID_CONTEXT)?;
        context.put_if_wanted(popped);
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxCreate_v2(context: Out<usize>, _flags: c_uint, device: c_int) -> Code {
    device_call("cuCtxCreate_v2", || context.put(create(physical(device)?)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxCreate_v4(
    context: Out<usize>,
    _parameters: usize,
    _flags: c_uint,
    device: c_int,
) -> Code {
    device_call("cuCtxCreate_v4", || context.put(create(physical(device)?)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxDestroy_v2(context: usize) -> Code {
    device_call("cuCtxDestroy_v2", || {
        destroy(context)?;
        with_stack(|stack| {
            if stack.last() == Some(&context) {
                stack.pop();
            }
        });
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetStreamPriorityRange(least: Out<c_int>, greatest: Out<c_int>) -> Code {
    context_call("cuCtxGetStreamPriorityRange", |_| {
        // All the same.
        least.put_if_wanted(0);
        greatest.put_if_wanted(0);
        Ok(())
    })
}
