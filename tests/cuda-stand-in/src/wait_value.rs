//! Stream memory operations: a queue writes a word of memory, or waits for one.

use std::ffi::c_uint;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::blocks::{Address, span};
use crate::call::{Code, context_call};
use crate::status::{Outcome, Status};

/// `CU_STREAM_WAIT_VALUE_*`: greater or equal in a cyclic sense, equal, some bits set, some bits clear.
const GREATER_OR_EQUAL: c_uint = 0;
const EQUAL: c_uint = 1;
const AND: c_uint = 2;
const NOR: c_uint = 3;
/// A flag besides: make earlier writes of other devices visible. Nothing to do here.
const FLUSH: c_uint = 1 << 30;
/// `CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER`.
const NO_BARRIER: c_uint = 1;

fn holds(word: u64, value: u64, condition: c_uint) -> bool {
    match condition {
        GREATER_OR_EQUAL => word.wrapping_sub(value) < 1 << 63,
        EQUAL => word == value,
        AND => word & value != 0,
        _ => !(word | value) != 0,
    }
}

/// Checks that a word can be there.
fn check(address: Address) -> Outcome {
    span(address, size_of::<u64>())?.words().map(|_| ())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamWriteValue64_v2(
    queue: usize,
    address: Address,
    value: u64,
    flags: c_uint,
) -> Code {
    context_call("cuStreamWriteValue64_v2", |context| {
        if flags & !NO_BARRIER != 0 {
            return Err(Status::INVALID_VALUE);
        }
        check(address)?;
        context.queue(queue)?.put(move |_| {
            let span = span(address, size_of::<u64>())?;
            span.words()?[0].store(value, Ordering::Release);
            Ok(())
        });
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamWaitValue64_v2(
    queue: usize,
    address: Address,
    value: u64,
    flags: c_uint,
) -> Code {
    context_call("cuStreamWaitValue64_v2", |context| {
        let condition = flags & !FLUSH;
        if condition > NOR {
            return Err(Status::INVALID_VALUE);
        }
        check(address)?;
        context.queue(queue)?.put(move |queue| {
            // Looked up each time, so that memory can be freed while a queue waits for it.
            loop {
                let word = span(address, size_of::<u64>())?;
                if holds(word.words()?[0].load(Ordering::Acquire), value, condition) {
                    return Ok(());
                }
                drop(word);
                queue.context().check()?;
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_those_of_the_driver() {
        assert!(holds(5, 5, GREATER_OR_EQUAL));
        assert!(holds(0, u64::MAX, GREATER_OR_EQUAL), "cyclic");
        assert!(!holds(4, 5, GREATER_OR_EQUAL));
        assert!(holds(5, 5, EQUAL) && !holds(6, 5, EQUAL));
        assert!(holds(6, 2, AND) && !holds(4, 2, AND));
        assert!(holds(0, 1, NOR) && !holds(u64::MAX, 1, NOR));
    }
}
