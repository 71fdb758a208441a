//! What is left when all processes have ended: nothing but the streams.

use shmstream::{Error, Result, Stream};

use crate::failures::Failure;
use crate::frame::{self, Label};
use crate::life::half;
use crate::plan::{LARGE, MIDDLE, SMALL, Which};

/// Something that is left, how much of it, and where.
pub(crate) type Leak = (Failure, u64, String);

/// Looks for slots, rows and locks of a stream that cannot be used.
pub(crate) fn of_stream(which: Which) -> Vec<Leak> {
    let looked = match which.words() {
        SMALL => look::<SMALL>(which),
        MIDDLE => look::<MIDDLE>(which),
        _ => look::<LARGE>(which),
    };
    match looked {
        Ok(leaks) => leaks,
        // Between two lives.
        Err(Error::NotFound { .. }) if which == Which::Brief => Vec::new(),
        Err(error) => vec![(Failure::Error, 1, format!("{error:?}"))],
    }
}

fn look<const N: usize>(which: Which) -> Result<Vec<Leak>> {
    let stream = Stream::<u64, N>::open(which.name())?;
    let mut leaks = Vec::new();
    let mut leak = |failure, number: usize, what: &str| {
        if number > 0 {
            let text = format!("{}: {number} {what}", which.name());
            leaks.push((failure, number as u64, text));
        }
    };
    if !is_whole(&stream)? {
        leak(Failure::Torn, 1, "latest frame is torn");
    }
    match stream.try_lock()?.is_some() {
        false => leak(Failure::Lock, 1, "write lock is taken"),
        true => {
            let usable = usable_slots(&stream)?;
            leak(
                Failure::Slot,
                stream.slots() - usable,
                "slots cannot be written to",
            );
        }
    }
    let rows = stream.max_participants() - usable_rows(&stream)?;
    leak(Failure::Row, rows, "rows cannot be attached to");
    let rest = stream.status()?.participants.len() - 1;
    leak(
        Failure::Row,
        rest.saturating_sub(rows),
        "rows are attached and nobody's",
    );
    Ok(leaks)
}

fn is_whole<const N: usize>(stream: &Stream<u64, N>) -> Result<bool> {
    let Some(frame) = stream.read()? else {
        return Ok(true);
    };
    let label = Label {
        instance: half(stream.instance()),
        count: frame.info().count,
        number: frame.info().frame_id,
    };
    Ok(frame::check(&frame[..], label).is_ok())
}

/// Publishes into one slot after the other, and holds each.
fn usable_slots<const N: usize>(stream: &Stream<u64, N>) -> Result<usize> {
    let mut held = Vec::new();
    loop {
        let mut loan = match stream.loan() {
            Ok(loan) => loan,
            Err(Error::NoFreeSlot { .. }) => return Ok(held.len()),
            Err(error) => return Err(error),
        };
        let label = Label {
            instance: half(stream.instance()),
            count: stream.count() + 1,
            number: 0,
        };
        frame::fill(&mut loan[..], label);
        loan.publish()?;
        held.extend(stream.read()?);
    }
}

/// Attaches as often as it can, and returns how many rows that makes.
fn usable_rows<const N: usize>(stream: &Stream<u64, N>) -> Result<usize> {
    let mut handles = Vec::new();
    loop {
        match stream.try_clone() {
            Ok(handle) => handles.push(handle),
            Err(Error::TooManyParticipants { .. }) => return Ok(handles.len() + 1),
            Err(error) => return Err(error),
        }
    }
}
