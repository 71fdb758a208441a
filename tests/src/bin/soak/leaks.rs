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
    // All rows are somebody's while the slots are looked at, who holds none of them: what the dead
    // held must be gone with them.
    let handles = attach_all(&stream)?;
    let rows = stream.max_participants().abs_diff(handles.len() + 1);
    leak(Failure::Row, rows, "rows cannot be attached to, or twice");
    match stream.try_lock()?.is_some() {
        false => leak(Failure::Lock, 1, "write lock is taken"),
        true => {
            let usable = usable_slots(&stream)?;
            let off = stream.slots().abs_diff(usable);
            leak(Failure::Slot, off, "slots cannot be written to, or twice");
        }
    }
    drop(handles);
    let rest = stream.status()?.participants.len() - 1;
    let rest = rest.saturating_sub(rows);
    leak(Failure::Row, rest, "rows are attached and nobody's");
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
    // One more than there are: that must fail.
    while held.len() <= stream.slots() {
        let mut loan = match stream.loan() {
            Ok(loan) => loan,
            Err(Error::NoFreeSlot { .. }) => break,
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
    Ok(held.len())
}

/// Attaches as often as it can.
fn attach_all<const N: usize>(stream: &Stream<u64, N>) -> Result<Vec<Stream<u64, N>>> {
    let mut handles = Vec::new();
    while handles.len() < stream.max_participants() {
        match stream.try_clone() {
            Ok(handle) => handles.push(handle),
            Err(Error::TooManyParticipants { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(handles)
}
