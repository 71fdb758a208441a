//! Writers.

use std::time::Duration;

use shmstream::{Error, Loan, Result, Stream};

use crate::board::{Call, Count, now_ns};
use crate::failures::Failure;
use crate::frame::{Label, fill};
use crate::life::{Life, half};
use crate::plan::Which;
use std::sync::atomic::Ordering;

/// How long to wait for lossless subscriptions. A wait of more than a second is a hang before that.
const PATIENCE: Duration = Duration::from_secs(30);

/// Publishes in every way until it has to end.
pub(crate) fn write<const N: usize>(life: &Life) -> Result<()> {
    let stream = life.call(Call::Open, || Stream::<u64, N>::open(life.which.name()))?;
    life.begin(stream.instance());
    while !life.must_end() {
        match life.below(16) {
            0 => under_lock(life, &stream)?,
            1 => give_up(life, &stream)?,
            2 => without_patience(life, &stream)?,
            3 => through_another(life, &stream)?,
            _ => publish(life, &stream)?,
        }
        life.rest();
    }
    Ok(())
}

/// Publishes one frame that is filled in its slot.
pub(crate) fn publish<const N: usize>(life: &Life, stream: &Stream<u64, N>) -> Result<()> {
    life.call(Call::Publish, || {
        let began = now_ns();
        fill_and_publish(life, stream, stream.loan_timeout(PATIENCE)?, began)
    })
}

/// The same without a wait for slots.
fn without_patience<const N: usize>(life: &Life, stream: &Stream<u64, N>) -> Result<()> {
    life.call(Call::Publish, || {
        let began = now_ns();
        match stream.loan() {
            Ok(loan) => fill_and_publish(life, stream, loan, began),
            error => full(life, error),
        }
    })
}

/// Publishes some frames from memory under one lock.
fn under_lock<const N: usize>(life: &Life, stream: &Stream<u64, N>) -> Result<()> {
    let mut frame = vec![0; N];
    life.call(Call::Publish, || {
        let guard = match life.below(3) {
            0 => stream.lock()?,
            1 => match stream.try_lock()? {
                Some(guard) => guard,
                None => return Ok(()),
            },
            _ => match stream.lock_timeout(Duration::from_millis(20))? {
                Some(guard) => guard,
                None => return Ok(()),
            },
        };
        // More of those that are small.
        for _ in 0..life.below(8 + 400 / N as u64) {
            let began = now_ns();
            let label = next(life, &guard);
            fill(&mut frame, label);
            let frame = frame.as_slice().try_into().expect("a whole frame");
            match guard.write_with_id(label.number, frame) {
                Ok(count) => published(life, label, count, began),
                error => return full(life, error),
            }
        }
        Ok(())
    })
}

/// Fills half of a slot and gives it up.
fn give_up<const N: usize>(life: &Life, stream: &Stream<u64, N>) -> Result<()> {
    life.call(Call::Publish, || match stream.loan() {
        Ok(mut loan) => {
            loan[..N / 2].fill(u64::MAX);
            Ok(())
        }
        error => full(life, error),
    })
}

/// Publishes through a handle of its own.
fn through_another<const N: usize>(life: &Life, stream: &Stream<u64, N>) -> Result<()> {
    let other = life.call(Call::Open, || stream.try_clone())?;
    publish(life, &other)
}

fn fill_and_publish<const N: usize>(
    life: &Life,
    stream: &Stream<u64, N>,
    mut loan: Loan<'_, u64, N>,
    began: u64,
) -> Result<()> {
    let label = next(life, stream);
    fill(&mut loan[..], label);
    let count = loan.publish_with_id(label.number)?;
    published(life, label, count, began);
    Ok(())
}

/// Returns what the next frame is. The caller has the write lock.
pub(crate) fn next<const N: usize>(life: &Life, stream: &Stream<u64, N>) -> Label {
    Label {
        instance: half(stream.instance()),
        count: stream.count() + 1,
        number: life.number(),
    }
}

/// Notes that a frame was published.
fn published(life: &Life, label: Label, count: u64, began: u64) {
    let ended = now_ns();
    life.words.add(Count::Written, 1);
    if count != label.count {
        let text = format!("published as {count}, and {} was next", label.count);
        life.fail(Failure::Order, text);
    }
    life.stream
        .publish_ns
        .fetch_max(ended - began, Ordering::Relaxed);
    let killed = life.stream.killed_ns.load(Ordering::Relaxed);
    if (began..ended).contains(&killed) {
        life.stream
            .pause_ns
            .fetch_max(ended - killed, Ordering::Relaxed);
    }
}

/// Lets pass that no slot is free where lossless subscriptions may be behind.
fn full<T>(life: &Life, result: Result<T>) -> Result<()> {
    match result {
        Err(Error::NoFreeSlot { .. }) if life.which == Which::Ordered => {
            life.words.add(Count::Full, 1);
            Ok(())
        }
        result => result.map(drop),
    }
}
