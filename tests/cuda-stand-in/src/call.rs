//! What every call goes through: the log, the rules of the test, and the state that it needs.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::context::{Context, current};
use crate::fault::{Fault, fault};
use crate::identity;
use crate::log;
use crate::status::{Outcome, Status};

/// What a function of the driver returns: 0, or why not.
pub(crate) type Code = c_int;

/// Where the caller wants a result, or null.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Out<T>(Option<NonNull<T>>);

impl<T> Out<T> {
    /// Writes the result.
    pub(crate) fn put(self, value: T) -> Outcome {
        let room = self.0.ok_or(Status::INVALID_VALUE)?;
        // SAFETY: the contract of the driver's functions: not null, so it points to room for a result.
        unsafe { room.write_unaligned(value) };
        Ok(())
    }

    /// Writes the result if the caller wants one.
    pub(crate) fn put_if_wanted(self, value: T) {
        if self.0.is_some() {
            let _ = self.put(value);
        }
    }
}

thread_local! {
    /// The call that this thread is in.
    static CALL: Cell<&str> = const { Cell::new("") };
    static IN_HOST_FUNCTION: Cell<bool> = const { Cell::new(false) };
}

static INITIALIZED: AtomicBool = AtomicBool::new(false);

/// Allows the calls that need an initialized driver.
pub(crate) fn initialize() {
    INITIALIZED.store(true, Ordering::Release);
}

/// Runs a function that a caller put into a queue. It must not call the driver.
pub(crate) fn host_function(run: impl FnOnce()) {
    IN_HOST_FUNCTION.set(true);
    run();
    IN_HOST_FUNCTION.set(false);
}

/// Notes that the call that this thread is in waits for a queue.
pub(crate) fn waits() {
    log::wait(CALL.get());
}

/// A call that is allowed at any time.
pub(crate) fn call(name: &'static str, body: impl FnOnce() -> Outcome) -> Code {
    let outcome = admit(name).and_then(|()| body());
    match outcome {
        Ok(()) => 0,
        Err(status) => {
            log::refusal(name, status);
            status.0
        }
    }
}

/// A call that needs an initialized driver.
pub(crate) fn device_call(name: &'static str, body: impl FnOnce() -> Outcome) -> Code {
    call(name, || {
        if !INITIALIZED.load(Ordering::Acquire) {
            return Err(Status::NOT_INITIALIZED);
        }
        body()
    })
}

/// A call that needs a current context that is not lost.
pub(crate) fn context_call(
    name: &'static str,
    body: impl FnOnce(&Arc<Context>) -> Outcome,
) -> Code {
    device_call(name, || {
        let context = current()?;
        context.check()?;
        body(&context)
    })
}

fn admit(name: &'static str) -> Outcome {
    // First of all: after a fork any lock may be held by a thread that is not there.
    if identity::is_forked() {
        return Err(Status::NOT_INITIALIZED);
    }
    log::call(name);
    CALL.set(name);
    if IN_HOST_FUNCTION.get() {
        // The driver may return this, it need not: on a GPU such a call may also hang.
        log::violation(name);
        return Err(Status::NOT_PERMITTED);
    }
    match fault(name) {
        None => Ok(()),
        Some(Fault::Refuse(status)) => Err(status),
        Some(Fault::LoseContext) => {
            current()?.lose();
            Ok(())
        }
    }
}
