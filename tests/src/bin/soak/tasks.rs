//! Readers that wait without a thread.

use rustix::event::{PollFd, PollFlags, poll};
use shmstream::{FrameInfo, Result, Start, Stream, Subscription};
use smol::Timer;
use smol::future::{block_on, or};
use smol::stream::StreamExt;

use crate::account::Account;
use crate::board::Call;
use crate::life::Life;
use crate::order;
use crate::read::looked_at;

/// Waits for the latest frame in every way until it has to end.
pub(crate) fn latest<const N: usize>(life: &Life) -> Result<()> {
    let mut stream = life.call(Call::Open, || Stream::<u64, N>::open(life.which.name()))?;
    let instance = stream.instance();
    life.begin(instance);
    let mut account = Account::default();
    while !life.must_end() {
        let last = account.last();
        match life.below(8) {
            0 => await_descriptor(life, &stream, last, &mut account)?,
            1 => {
                let another = life.call(Call::Open, || stream.try_clone())?;
                await_frames(life, another)?;
            }
            2 => {
                let frame = life.wait(last, || block_on(stream.wait_owned_async()))?;
                life.check(&frame[..], frame.info(), instance);
                pass(life, &mut account, frame.info());
            }
            3 => {
                // A wait that is given up.
                let waited = life.wait(last, || {
                    let late = async {
                        Timer::after(life.up_to(2000)).await;
                        None
                    };
                    block_on(or(async { Some(stream.wait_owned_async().await) }, late))
                });
                if let Some(frame) = waited.transpose()? {
                    life.check(&frame[..], frame.info(), instance);
                    pass(life, &mut account, frame.info());
                }
            }
            _ => {
                let frame = life.wait(last, || block_on(stream.wait_async()))?;
                life.check(&frame[..], frame.info(), instance);
                pass(life, &mut account, frame.info());
            }
        }
        life.agree(stream.missed(), &account);
    }
    Ok(())
}

fn pass(life: &Life, account: &mut Account, info: FrameInfo) {
    life.account(account, |account| account.pass(info));
}

/// Takes some frames of a handle of their own.
fn await_frames<const N: usize>(life: &Life, stream: Stream<u64, N>) -> Result<()> {
    let instance = stream.instance();
    let mut frames = stream.into_frames();
    let mut account = Account::default();
    for _ in 0..life.below(20) {
        let Some(frame) = life.wait(account.last(), || block_on(frames.next())) else {
            break;
        };
        let frame = frame?;
        life.check(&frame[..], frame.info(), instance);
        pass(life, &mut account, frame.info());
    }
    Ok(())
}

/// Polls a descriptor until it is readable, and reads what there is.
fn await_descriptor<const N: usize>(
    life: &Life,
    stream: &Stream<u64, N>,
    last: u64,
    account: &mut Account,
) -> Result<()> {
    let readiness = life.call(Call::Open, || stream.readiness())?;
    life.wait(last, || {
        let mut sources = [PollFd::new(&readiness, PollFlags::IN)];
        while poll(&mut sources, None).is_err() {}
    });
    readiness.clear()?;
    while let Some(frame) = life.call(Call::Read, || stream.read_new())? {
        let info = looked_at(life, stream, &frame);
        pass(life, account, info);
    }
    Ok(())
}

/// Waits for frames in order until it has to end.
pub(crate) fn in_order<const N: usize>(life: &Life) -> Result<()> {
    let stream = life.call(Call::Open, || Stream::<u64, N>::open(life.which.name()))?;
    life.begin(stream.instance());
    while !life.must_end() {
        let lossless = life.below(2) == 0;
        match life.below(4) {
            0 => all_frames(life, &stream, lossless)?,
            _ => {
                let (subscription, account) = order::begin(life, &stream, lossless)?;
                await_in_order(life, subscription, account)?;
            }
        }
    }
    Ok(())
}

/// Awaits some frames one by one.
fn await_in_order<const N: usize>(
    life: &Life,
    mut subscription: Subscription<Stream<u64, N>>,
    mut account: Account,
) -> Result<()> {
    for _ in 0..life.below(300) {
        if life.must_end() {
            break;
        }
        let last = account.last();
        let frame = life.wait(last, || block_on(subscription.wait_owned_async()))?;
        life.check(&frame[..], frame.info(), subscription.stream().instance());
        order::passed(life, &subscription, &mut account, frame.info());
    }
    Ok(())
}

/// Awaits some frames as a stream of them.
fn all_frames<const N: usize>(life: &Life, stream: &Stream<u64, N>, lossless: bool) -> Result<()> {
    let subscription = life.call(Call::Open, || match lossless {
        true => stream.subscribe_lossless(Start::New),
        false => stream.subscribe(Start::New),
    })?;
    let first = subscription.position();
    let mut account = Account::starting_at(first).keeping(lossless.then_some(first));
    let mut frames = subscription.into_frames();
    for _ in 0..life.below(300) {
        if life.must_end() {
            break;
        }
        let Some(frame) = life.wait(account.last(), || block_on(frames.next())) else {
            break;
        };
        let frame = frame?;
        life.check(&frame[..], frame.info(), stream.instance());
        order::passed(life, frames.source(), &mut account, frame.info());
    }
    Ok(())
}
