//! Work in place for tests, found by `dlsym` under names that no driver has.

use std::ffi::c_uint;
use std::sync::atomic::Ordering;

use crate::blocks::{Address, span};
use crate::call::{Code, Out, call, context_call};
use crate::log;

/// Combines each 64-bit word with a key, in place, as a kernel would on this queue.
#[unsafe(no_mangle)]
unsafe extern "C" fn standinLaunchXor(
    queue: usize,
    address: Address,
    words: usize,
    key: u64,
) -> Code {
    context_call("standinLaunchXor", |context| {
        let queue = context.queue(queue)?;
        let len = words.saturating_mul(size_of::<u64>());
        span(address, len)?.words()?;
        queue.put_late(move || {
            for word in span(address, len)?.words()? {
                word.fetch_xor(key, Ordering::Relaxed);
            }
            Ok(())
        });
        Ok(())
    })
}

/// Counts the 64-bit words that differ from a value, as a kernel would on this queue, and stores how
/// many in the word at `result`, in device memory or pinned memory.
#[unsafe(no_mangle)]
unsafe extern "C" fn standinLaunchCheck(
    queue: usize,
    address: Address,
    words: usize,
    value: u64,
    result: Address,
) -> Code {
    context_call("standinLaunchCheck", |context| {
        let queue = context.queue(queue)?;
        let len = words.saturating_mul(size_of::<u64>());
        span(address, len)?.words()?;
        span(result, size_of::<u64>())?.words()?;
        queue.put_late(move || {
            let span_checked = span(address, len)?;
            let all = span_checked.words()?.iter();
            let wrong = all.filter(|word| word.load(Ordering::Relaxed) != value);
            let wrong = wrong.map(|_| 1_u64).sum();
            span(result, size_of::<u64>())?.words()?[0].store(wrong, Ordering::Release);
            Ok(())
        });
        Ok(())
    })
}

/// Sets how long a queue waits before each thing that it does to memory.
#[unsafe(no_mangle)]
unsafe extern "C" fn standinSetDelay(queue: usize, microseconds: u64) -> Code {
    context_call("standinSetDelay", |context| {
        context.any_queue(queue)?.set_delay(microseconds);
        Ok(())
    })
}

/// Loses the current context, as a fault on the device does.
#[unsafe(no_mangle)]
unsafe extern "C" fn standinLoseContext() -> Code {
    context_call("standinLoseContext", |context| {
        context.lose();
        Ok(())
    })
}

/// Tells how many calls this process made from inside host functions.
#[unsafe(no_mangle)]
unsafe extern "C" fn standinViolations(result: Out<c_uint>) -> Code {
    call("standinViolations", || result.put(log::violations()))
}
