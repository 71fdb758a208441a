//! Readers of the latest frame: those that look, and those that wait.

use std::time::Duration;

use shmstream::{Frame, FrameInfo, Result, Stream};

use crate::account::Account;
use crate::board::Call;
use crate::life::Life;
use crate::plan::MIDDLE;

/// Reads in every way that does not wait, until it has to end.
pub(crate) fn read<const N: usize>(life: &Life) -> Result<()> {
    let stream = life.call(Call::Open, || Stream::<u64, N>::open(life.which.name()))?;
    life.begin(stream.instance());
    let mut account = Account::default();
    let mut buffer = buffer::<N>();
    let mut kept: Option<Frame<'_, u64, N>> = None;
    while !life.must_end() {
        let seen = life.call(Call::Read, || {
            Ok(match life.below(8) {
                0 => stream.read_into(&mut buffer)?.inspect(|&info| {
                    life.check(&buffer[..], info, stream.instance());
                }),
                1 => stream.read_owned()?.map(|frame| {
                    life.check(&frame[..], frame.info(), stream.instance());
                    frame.info()
                }),
                2 => {
                    // Held across other reads, and still whole when it is let go.
                    if let Some(frame) = kept.take() {
                        life.check(&frame[..], frame.info(), stream.instance());
                    }
                    kept = stream.read()?;
                    kept.as_ref().map(Frame::info)
                }
                3 => stream
                    .read_new()?
                    .map(|frame| looked_at(life, &stream, &frame)),
                _ => stream.read()?.map(|frame| looked_at(life, &stream, &frame)),
            })
        });
        if let Some(info) = seen? {
            life.account(&mut account, |account| account.pass_latest(info));
            life.agree(stream.missed(), &account);
        }
        if life.below(16) == 0 {
            quickly(life, &stream, &mut account)?;
        }
        if life.below(64) == 0 {
            let other = life.call(Call::Open, || stream.try_clone())?;
            if let Some(frame) = life.call(Call::Read, || other.read())? {
                looked_at(life, &other, &frame);
            }
        }
        life.rest();
    }
    Ok(())
}

/// Reads small frames as fast as it can, so that it is interrupted between any two instructions.
fn quickly<const N: usize>(
    life: &Life,
    stream: &Stream<u64, N>,
    account: &mut Account,
) -> Result<()> {
    life.call(Call::Read, || {
        for _ in 0..20 * MIDDLE / N {
            if let Some(frame) = stream.read()? {
                life.check(&frame[..], frame.info(), stream.instance());
                life.account(account, |account| account.pass_latest(frame.info()));
            }
        }
        Ok(())
    })
}

/// Waits for frames, until it has to end.
pub(crate) fn wait<const N: usize>(life: &Life) -> Result<()> {
    let stream = life.call(Call::Open, || Stream::<u64, N>::open(life.which.name()))?;
    life.begin(stream.instance());
    let mut account = Account::default();
    while !life.must_end() {
        let last = account.last();
        let frame = match life.below(4) {
            0 => life.wait(last, || stream.wait_timeout(life.up_to(5000)))?,
            1 => {
                // Later than the next: all up to it are missed.
                let after = last + life.below(3);
                let patience = Duration::from_millis(50);
                life.wait(after, || stream.wait_after_timeout(after, patience))?
            }
            _ => Some(life.wait(last, || stream.wait())?),
        };
        if let Some(frame) = frame {
            let info = looked_at(life, &stream, &frame);
            life.account(&mut account, |account| account.pass(info));
            life.agree(stream.missed(), &account);
        }
        if life.below(4) == 0 {
            life.rest();
        }
    }
    Ok(())
}

/// Checks a frame in place, now and then twice.
pub(crate) fn looked_at<const N: usize>(
    life: &Life,
    stream: &Stream<u64, N>,
    frame: &Frame<'_, u64, N>,
) -> FrameInfo {
    life.check(&frame[..], frame.info(), stream.instance());
    if life.below(8) == 0 {
        life.rest();
        life.check(&frame[..], frame.info(), stream.instance());
    }
    frame.info()
}

/// Makes a buffer for a frame, on the heap.
pub(crate) fn buffer<const N: usize>() -> Box<[u64; N]> {
    let words = vec![0; N].into_boxed_slice();
    words.try_into().expect("as many words as asked for")
}
