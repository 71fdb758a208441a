//! The driver's functions for queues, and for functions that a queue runs on the host.

use std::ffi::{c_int, c_uint, c_void};

use crate::call::{Code, Out, context_call, host_function};
use crate::queue;
use crate::status::Status;

/// `CU_STREAM_NON_BLOCKING`, the only flag there is.
const NON_BLOCKING: c_uint = 1;

/// A function that a queue runs, and what it is given.
struct HostFunction {
    run: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
}

// SAFETY: the driver's contract: it may run on any thread, and its argument is for that.
unsafe impl Send for HostFunction {}

impl HostFunction {
    fn run(self) {
        // SAFETY: the driver's contract: the caller gave it for this, to be run once.
        host_function(|| unsafe { (self.run)(self.argument) });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamCreate(result: Out<usize>, flags: c_uint) -> Code {
    context_call("cuStreamCreate", |context| {
        if flags & !NON_BLOCKING != 0 {
            return Err(Status::INVALID_VALUE);
        }
        result.put(queue::register(context.new_queue()?))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamCreateWithPriority(
    result: Out<usize>,
    flags: c_uint,
    _priority: c_int,
) -> Code {
    context_call("cuStreamCreateWithPriority", |context| {
        if flags & !NON_BLOCKING != 0 {
            return Err(Status::INVALID_VALUE);
        }
        result.put(queue::register(context.new_queue()?))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamDestroy_v2(handle: usize) -> Code {
    context_call("cuStreamDestroy_v2", |_| queue::destroy(handle))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamSynchronize(handle: usize) -> Code {
    context_call("cuStreamSynchronize", |context| {
        context.any_queue(handle)?.synchronize()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamQuery(handle: usize) -> Code {
    context_call("cuStreamQuery", |context| {
        if context.any_queue(handle)?.is_idle() {
            Ok(())
        } else {
            Err(Status::NOT_READY)
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamGetCtx(handle: usize, result: Out<usize>) -> Code {
    context_call("cuStreamGetCtx", |context| {
        result.put(context.any_queue(handle)?.context().handle)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuLaunchHostFunc(
    handle: usize,
    run: Option<unsafe extern "C" fn(*mut c_void)>,
    argument: *mut c_void,
) -> Code {
    context_call("cuLaunchHostFunc", |context| {
        let run = run.ok_or(Status::INVALID_VALUE)?;
        let function = HostFunction { run, argument };
        context.queue(handle)?.put(move |_| {
            function.run();
            Ok(())
        });
        Ok(())
    })
}
