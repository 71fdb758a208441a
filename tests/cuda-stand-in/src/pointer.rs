//! What an address is of.

use std::ffi::{c_int, c_uint};

use crate::blocks::{Address, Block, Origin, block};
use crate::call::{Code, context_call};
use crate::device::ordinal;
use crate::host;
use crate::status::{Outcome, Status};

/// `CU_MEMORYTYPE_*`.
const HOST: c_uint = 1;
const DEVICE: c_uint = 2;

/// An answer, in the size that the caller has room for.
enum Answer {
    Flag(bool),
    Number(c_int),
    Word(usize),
}

/// Answers one question about device memory. The numbers are `CU_POINTER_ATTRIBUTE_*`.
fn ask(question: c_uint, address: Address, block: &Block, offset: usize) -> Outcome<Answer> {
    let exportable = matches!(block.origin, Origin::Alloc { .. });
    let mapped = matches!(block.origin, Origin::Mapped { .. });
    Ok(match question {
        1 if mapped => Answer::Word(0),
        1 => Answer::Word(block.context()),
        2 => Answer::Number(c_int::try_from(DEVICE).unwrap_or(0)),
        3 => Answer::Word(address),
        // Never reused here while the block lives, as with the driver.
        7 => Answer::Word(block.mapping.start().addr().get()),
        8 => Answer::Flag(false),
        9 => Answer::Number(ordinal(block.device).ok_or(Status::INVALID_DEVICE)?),
        10 => Answer::Flag(exportable),
        11 => Answer::Word(address - offset),
        12 => Answer::Word(block.size),
        13 => Answer::Flag(true),
        _ => return Err(Status::INVALID_VALUE),
    })
}

fn ask_of_host(question: c_uint, address: Address) -> Outcome<Answer> {
    if !host::is_pinned(address, 1) {
        return Err(Status::INVALID_VALUE);
    }
    Ok(match question {
        2 => Answer::Number(c_int::try_from(HOST).unwrap_or(0)),
        3 | 4 => Answer::Word(address),
        8 | 10 => Answer::Flag(false),
        13 => Answer::Flag(true),
        _ => return Err(Status::INVALID_VALUE),
    })
}

fn answer(question: c_uint, address: Address) -> Outcome<Answer> {
    match block(address) {
        Ok((block, offset)) => ask(question, address, &block, offset),
        Err(_) => ask_of_host(question, address),
    }
}

/// Writes an answer.
///
/// # Safety
///
/// `room` has room for it.
unsafe fn put(room: *mut u8, answer: &Answer) {
    let (number, word);
    let bytes: &[u8] = match answer {
        Answer::Flag(flag) => &[u8::from(*flag)],
        Answer::Number(value) => {
            number = value.to_ne_bytes();
            &number
        }
        Answer::Word(value) => {
            word = value.to_ne_bytes();
            &word
        }
    };
    // SAFETY: the function's contract.
    unsafe { room.copy_from(bytes.as_ptr(), bytes.len()) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuPointerGetAttribute(
    room: *mut u8,
    question: c_uint,
    address: Address,
) -> Code {
    context_call("cuPointerGetAttribute", |_| {
        if room.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        let answer = answer(question, address)?;
        // SAFETY: the driver's contract: room for the answer to that question.
        unsafe { put(room, &answer) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuPointerGetAttributes(
    count: c_uint,
    questions: *const c_uint,
    rooms: *const *mut u8,
    address: Address,
) -> Code {
    context_call("cuPointerGetAttributes", |_| {
        if questions.is_null() || rooms.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        let count = usize::try_from(count).map_err(|_| Status::INVALID_VALUE)?;
        // SAFETY: the driver's contract: `count` questions, not null as checked.
        let questions = unsafe { std::slice::from_raw_parts(questions, count) };
        // SAFETY: the driver's contract: as many rooms.
        let rooms = unsafe { std::slice::from_raw_parts(rooms, count) };
        for (&question, &room) in questions.iter().zip(rooms) {
            // Of an address that it does not know the driver says nothing but zeros.
            if let Ok(answer) = answer(question, address) {
                // SAFETY: the driver's contract: room for the answer to that question.
                unsafe { put(room, &answer) };
            } else {
                // SAFETY: the driver's contract: room for an answer, which is a byte at least.
                unsafe { room.write(0) };
            }
        }
        Ok(())
    })
}
