//! Readers without permission to write.

use std::time::Duration;

use shmstream::{Error, FrameInfo, Observer, Result, Stream};

use crate::account::Account;
use crate::board::{Call, Count};
use crate::life::Life;
use crate::read::buffer;

/// Observes in every way until it has to end.
pub(crate) fn observe<const N: usize>(life: &Life) -> Result<()> {
    let builder = Stream::<u64, N>::builder(life.which.name()).allow_other_owner();
    let observer = life.call(Call::Open, || builder.observe())?;
    life.begin(observer.instance());
    let mut account = Account::default();
    let mut buffer = buffer::<N>();
    while !life.must_end() {
        match look(life, &observer, account.last(), &mut buffer) {
            Ok(Some(info)) => life.account(&mut account, |account| account.pass_latest(info)),
            Ok(None) => {}
            // Writers were faster than the copy, as they may be.
            Err(Error::Overtaken { .. }) => life.words.add(Count::Overtaken, 1),
            Err(error) => return Err(error),
        }
        if life.below(32) == 0 {
            quickly(life, &observer, &mut account, &mut buffer)?;
        }
        if life.below(4) == 0 {
            life.rest();
        }
    }
    Ok(())
}

/// Copies frames as fast as it can, so that writers overtake some of the copies.
fn quickly<const N: usize>(
    life: &Life,
    observer: &Observer<Stream<u64, N>>,
    account: &mut Account,
    buffer: &mut [u64; N],
) -> Result<()> {
    life.call(Call::Read, || {
        for _ in 0..300 {
            match observer.read_into(buffer) {
                Ok(Some(info)) => {
                    life.check(buffer, info, observer.instance());
                    life.account(account, |account| account.pass_latest(info));
                }
                Ok(None) => {}
                Err(Error::Overtaken { .. }) => life.words.add(Count::Overtaken, 1),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
}

/// Looks at a frame, or none.
fn look<const N: usize>(
    life: &Life,
    observer: &Observer<Stream<u64, N>>,
    last: u64,
    buffer: &mut [u64; N],
) -> Result<Option<FrameInfo>> {
    let instance = observer.instance();
    let owned = match life.below(8) {
        0 => return life.call(Call::Read, || observer.info()),
        1 => {
            let info = life.call(Call::Read, || observer.read_into(buffer))?;
            return Ok(info.inspect(|&info| life.check(buffer, info, instance)));
        }
        2 => {
            let patience = life.up_to(5000);
            let info = life.wait(last, || observer.wait_timeout_into(buffer, patience))?;
            return Ok(info.inspect(|&info| life.check(buffer, info, instance)));
        }
        3 => {
            let patience = Duration::from_millis(20);
            return life.wait(last, || observer.wait_timeout_info(patience));
        }
        4 => life.call(Call::Read, || observer.read_new())?,
        _ => Some(life.wait(last, || observer.wait())?),
    };
    Ok(owned.map(|frame| {
        life.check(&frame[..], frame.info(), instance);
        frame.info()
    }))
}
