//! Readers of a stream that is unlinked and created anew all the time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use shmstream::{Error, Result, Stream};

use crate::account::Account;
use crate::board::{Call, Count};
use crate::life::{Life, half, is_replaced};
use crate::order;
use crate::plan::SMALL;
use crate::read::looked_at;

type Frames = Stream<u64, SMALL>;

/// Opens whatever has the name and reads it until it is replaced, until it has to end.
pub(crate) fn follow(life: &Life) -> Result<()> {
    life.words.add(Count::Lives, 1);
    while !life.must_end() {
        let read = match life.below(4) {
            0 => observe(life),
            1 => subscribe(life),
            _ => wait(life),
        };
        match read {
            Ok(()) => {}
            Err(Error::NotFound { .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) if is_replaced(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn reads(life: &Life, instance: u128) -> impl Iterator<Item = ()> {
    let instance = half(instance);
    life.words.instance.store(instance, Ordering::SeqCst);
    (0..life.below(100))
        .take_while(|_| !life.must_end())
        .map(drop)
}

fn wait(life: &Life) -> Result<()> {
    let stream = life.call(Call::Open, || Frames::open(life.which.name()))?;
    let mut account = Account::default();
    for () in reads(life, stream.instance()) {
        let frame = life.wait(account.last(), || stream.wait())?;
        let info = looked_at(life, &stream, &frame);
        life.account(&mut account, |account| account.pass(info));
    }
    Ok(())
}

fn subscribe(life: &Life) -> Result<()> {
    let stream = life.call(Call::Open, || Frames::open(life.which.name()))?;
    life.words
        .instance
        .store(half(stream.instance()), Ordering::SeqCst);
    let (subscription, mut account) = order::begin(life, &stream, false)?;
    for () in reads(life, stream.instance()) {
        let frame = life.wait(account.last(), || subscription.wait())?;
        let info = looked_at(life, &stream, &frame);
        order::passed(life, &subscription, &mut account, info);
    }
    Ok(())
}

fn observe(life: &Life) -> Result<()> {
    let observer = life.call(Call::Open, || Frames::observe(life.which.name()))?;
    let instance = observer.instance();
    let mut account = Account::default();
    for () in reads(life, instance) {
        let frame = match life.wait(account.last(), || observer.wait()) {
            Err(Error::Overtaken { .. }) => {
                life.words.add(Count::Overtaken, 1);
                continue;
            }
            frame => frame?,
        };
        life.check(&frame[..], frame.info(), instance);
        life.account(&mut account, |account| account.pass(frame.info()));
    }
    Ok(())
}
