//! Functions for tests, found by `dlsym` under names that no driver has.

use std::ffi::c_uint;

use crate::blocks::{Address, span};
use crate::call::{Code, Out, call, context_call};
use crate::kernel::Kernel;
use crate::log;
use crate::status::Outcome;

/// Checks that words of 64 bits can be there.
fn check(address: Address, words: usize) -> Outcome {
    let len = words.saturating_mul(size_of::<u64>());
    span(address, len)?.words().map(|_| ())
}

fn arguments<const N: usize>(numbers: [usize; N]) -> [u64; N] {
    numbers.map(|number| u64::try_from(number).unwrap_or(u64::MAX))
}

/// Combines each 64-bit word with a key, in place.
#[unsafe(no_mangle)]
unsafe extern "C" fn standinLaunchXor(
    queue: usize,
    address: Address,
    words: usize,
    key: u64,
) -> Code {
    context_call("standinLaunchXor", |context| {
        check(address, words)?;
        let [address, words] = arguments([address, words]);
        Kernel::XorWords.launch(&*context.queue(queue)?, vec![address, words, key]);
        Ok(())
    })
}

/// Adds to the word at `count` how many 64-bit words differ from a value.
#[unsafe(no_mangle)]
unsafe extern "C" fn standinLaunchCheck(
    queue: usize,
    address: Address,
    words: usize,
    value: u64,
    count: Address,
) -> Code {
    context_call("standinLaunchCheck", |context| {
        check(address, words)?;
        check(count, 1)?;
        let [address, words, count] = arguments([address, words, count]);
        let arguments = vec![address, words, value, count];
        Kernel::CheckWords.launch(&*context.queue(queue)?, arguments);
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
