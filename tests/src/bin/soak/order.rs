//! Readers in order, plain and lossless.

use shmstream::{Result, Start, Stream, Subscription};

use crate::account::Account;
use crate::board::Call;
use crate::failures::Failure;
use crate::life::Life;
use crate::plan::Role;
use crate::read::looked_at;

/// Subscribes, reads, and subscribes anew now and then, until it has to end.
pub(crate) fn subscribe<const N: usize>(life: &Life) -> Result<()> {
    let stream = life.call(Call::Open, || Stream::<u64, N>::open(life.which.name()))?;
    life.begin(stream.instance());
    while !life.must_end() {
        let lossless = life.role == Role::Lossless;
        let (subscription, mut account) = begin(life, &stream, lossless)?;
        for _ in 0..life.below(1000) {
            if life.must_end() {
                break;
            }
            follow(life, &subscription, &mut account)?;
        }
    }
    Ok(())
}

/// Subscribes, at some start.
pub(crate) fn begin<const N: usize>(
    life: &Life,
    stream: &Stream<u64, N>,
    lossless: bool,
) -> Result<(Subscription<Stream<u64, N>>, Account)> {
    let start = match life.below(4) {
        0 => Start::Oldest,
        1 => Start::Latest,
        2 => Start::New,
        _ => Start::Count(stream.count().saturating_sub(life.below(30))),
    };
    let subscription = life.call(Call::Open, || match lossless {
        true => stream.subscribe_lossless(start),
        false => stream.subscribe(start),
    })?;
    let account = Account::starting_at(subscription.position());
    // From the latest on, all are kept. Of those before, some may have been gone already.
    let kept = match start {
        Start::Latest | Start::New => subscription.position(),
        _ => stream.count() + 1,
    };
    Ok((subscription, account.keeping(lossless.then_some(kept))))
}

/// Reads one frame, or none.
fn follow<const N: usize>(
    life: &Life,
    subscription: &Subscription<Stream<u64, N>>,
    account: &mut Account,
) -> Result<()> {
    let last = account.last();
    let frame = match life.below(4) {
        0 => life.call(Call::Read, || subscription.read())?,
        1 => life.wait(last, || subscription.wait_timeout(life.up_to(5000)))?,
        _ => Some(life.wait(last, || subscription.wait())?),
    };
    if let Some(frame) = frame {
        let info = looked_at(life, subscription.stream(), &frame);
        passed(life, subscription, account, info);
    }
    if life.below(8) == 0 {
        life.rest();
    }
    Ok(())
}

/// Takes down the frame that a subscription returned last.
pub(crate) fn passed<const N: usize>(
    life: &Life,
    subscription: &Subscription<Stream<u64, N>>,
    account: &mut Account,
    info: shmstream::FrameInfo,
) {
    let due = account.last() + 1;
    life.account(account, |account| account.pass(info));
    life.agree(subscription.missed(), account);
    let gap = subscription.gap().map(|gap| (gap.first, gap.last));
    let expected = (info.missed > 0).then(|| (due, info.count - 1));
    if gap != expected {
        life.fail(
            Failure::Missed,
            format!("gap {gap:?}, and {expected:?} was missed"),
        );
    }
}
