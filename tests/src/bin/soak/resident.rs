//! The process that lives through all of it: whose handles see every death, and whose descriptors,
//! mappings, threads and memory must be the same at the end as after warming up.

use std::fs::File;
use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shmstream::{Error, Result, Start, Stream, Subscription};
use smol::Timer;
use smol::future::{block_on, or};

use crate::account::Account;
use crate::board::{Call, Count};
use crate::life::{Life, is_replaced};
use crate::order;
use crate::plan::{LARGE, MIDDLE, SMALL, Which};
use crate::read::looked_at;
use crate::sabotage::Sabotage;

/// Rounds before anything is measured: thread pools, allocators and the like have grown by then.
const WARM_UP: u64 = 5;
/// How long to wait for a frame. Those who write may be dead just now.
const PATIENCE: Duration = Duration::from_millis(5);

/// What it keeps open of one stream all the time.
struct Kept<const N: usize> {
    which: Which,
    stream: Stream<u64, N>,
    account: Account,
    subscription: Subscription<Stream<u64, N>>,
    in_order: Account,
}

/// Uses all streams in rounds until it has to end.
pub(crate) fn reside(life: &Life) -> Result<()> {
    let mut small = Kept::<SMALL>::open(life, Which::Small)?;
    let mut ordered = Kept::<MIDDLE>::open(life, Which::Ordered)?;
    let mut large = Kept::<LARGE>::open(life, Which::Large)?;
    let mut observed = Kept::<MIDDLE>::open(life, Which::Observed)?;
    life.begin(small.stream.instance());
    let mut round = 0;
    loop {
        let last = life.must_end();
        small.read(life)?;
        ordered.read(life)?;
        large.read(life)?;
        observed.read(life)?;
        come_and_go(life, &small)?;
        come_and_go(life, &ordered)?;
        come_and_go(life, &large)?;
        come_and_go(life, &observed)?;
        replaced(life)?;
        temporary(life)?;
        round += 1;
        if round > WARM_UP {
            misbehave(life);
            life.board.rounds.store(round - WARM_UP, Ordering::SeqCst);
        }
        // The first that is measured is behind the last of the warm-up, and the last behind the last.
        if round == WARM_UP {
            life.board.resident[0].measure();
        }
        life.board.resident[1].measure();
        if last && round > WARM_UP {
            return Ok(());
        }
    }
}

impl<const N: usize> Kept<N> {
    fn open(life: &Life, which: Which) -> Result<Self> {
        let stream = life.call(Call::Open, || Stream::open(which.name()))?;
        let subscription = life.call(Call::Open, || stream.subscribe(Start::New))?;
        let in_order = Account::starting_at(subscription.position());
        Ok(Self {
            which,
            stream,
            account: Account::default(),
            subscription,
            in_order,
        })
    }

    /// Reads the latest frame, and all in order that are there.
    fn read(&mut self, life: &Life) -> Result<()> {
        if let Some(frame) = life.call(Call::Read, || self.stream.read())? {
            let info = looked_at(life, &self.stream, &frame);
            life.account(&mut self.account, |account| account.pass_latest(info));
            life.agree(self.stream.missed(), &self.account);
        }
        for _ in 0..100 {
            let Some(frame) = life.call(Call::Read, || self.subscription.read())? else {
                break;
            };
            let info = looked_at(life, &self.stream, &frame);
            order::passed(life, &self.subscription, &mut self.in_order, info);
        }
        Ok(())
    }
}

/// Attaches anew in every way, waits, and lets go.
fn come_and_go<const N: usize>(life: &Life, kept: &Kept<N>) -> Result<()> {
    let name = kept.which.name();
    let mut stream = life.call(Call::Open, || Stream::<u64, N>::open(name))?;
    // The seat's words are of another stream, so these waits are not watched; they end by themselves.
    if let Some(frame) = stream.wait_timeout(PATIENCE)? {
        looked_at(life, &stream, &frame);
    }
    let late = async {
        Timer::after(PATIENCE).await;
        None
    };
    block_on(or(async { Some(stream.wait_owned_async().await) }, late)).transpose()?;
    drop(life.call(Call::Open, || stream.readiness())?);
    // Elsewhere writers do not wait for slots.
    let lossless = kept.which == Which::Ordered && life.below(2) == 0;
    let subscription = life.call(Call::Open, || match lossless {
        true => stream.subscribe_lossless(Start::New),
        false => stream.subscribe(Start::Oldest),
    })?;
    drop(subscription.wait_timeout(PATIENCE)?);
    drop(subscription);
    let observer = life.call(Call::Open, || Stream::<u64, N>::observe(name))?;
    match observer.wait_timeout(PATIENCE) {
        Err(Error::Overtaken { .. }) => life.words.add(Count::Overtaken, 1),
        frame => drop(frame?),
    }
    drop(life.call(Call::Open, || stream.status())?);
    Ok(())
}

/// Reads a stream that is replaced meanwhile.
fn replaced(life: &Life) -> Result<()> {
    let read = || {
        let mut stream = Stream::<u64, SMALL>::open(Which::Brief.name())?;
        drop(stream.wait_timeout(PATIENCE)?);
        let late = async {
            Timer::after(PATIENCE).await;
            None
        };
        block_on(or(async { Some(stream.wait_owned_async().await) }, late)).transpose()?;
        shmstream::stat(Which::Brief.name()).map(drop)
    };
    match life.call(Call::Read, read) {
        Err(error) if is_replaced(&error) => Ok(()),
        read => read,
    }
}

/// Makes a stream of its own for a moment.
fn temporary(life: &Life) -> Result<()> {
    let stream = life.call(Call::Open, Stream::<u64, SMALL>::temporary)?;
    stream.write(&[0; SMALL])?;
    life.call(Call::Unlink, || drop(stream));
    Ok(())
}

/// Keeps what it should not, if it is asked to.
fn misbehave(life: &Life) {
    match life.sabotage {
        Some(Sabotage::Descriptor) => std::mem::forget(File::open("/dev/null")),
        Some(Sabotage::Mapping) => {
            let observer = Stream::<u64, SMALL>::observe(Which::Small.name());
            std::mem::forget(observer);
        }
        Some(Sabotage::Memory) => std::mem::forget(black_box(vec![1_u8; 8 << 20])),
        Some(Sabotage::Thread) => {
            std::thread::spawn(|| std::thread::sleep(Duration::from_secs(3600)));
        }
        _ => {}
    }
}
