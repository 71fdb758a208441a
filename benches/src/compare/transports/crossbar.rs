//! crossbar: blocks of a pool, loaned, published by a ring, and reference-counted.

use std::time::Duration;

use crossbar::{Config, Publisher, Stream, Subscriber, Topic};
use zerocopy::FromBytes;

use super::{Inlet, Outlet, Send, Transport, check, fill, spin};
use crate::Outcome;

const TOPIC: &str = "/frames";
/// What crossbar puts before the data of a block.
const BLOCK_HEADER: usize = 8;

/// Returns a configuration for frames of `len` bytes: room for what is kept and what is read.
pub(crate) fn config(len: usize, readers: usize) -> Outcome<Config> {
    Ok(Config {
        max_topics: 1,
        // The ring, as many that a publisher keeps to itself, and what readers hold.
        block_count: u32::try_from(16 + 2 * readers)?,
        block_size: u32::try_from(len + BLOCK_HEADER)?,
        // A publisher that pauses, as they do here in turns, is not dead.
        stale_timeout: Duration::from_secs(3600),
        ..Config::default()
    })
}

pub(crate) struct CrossbarOutlet {
    publisher: Publisher,
    topic: Topic,
    len: usize,
    _leftovers: Leftovers,
}

/// Removes the lock file that crossbar leaves behind.
pub(crate) struct Leftovers(pub(crate) String);

impl Drop for Leftovers {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(format!("/dev/shm/crossbar-{}.lock", self.0));
    }
}

pub(crate) struct CrossbarInlet {
    stream: Stream,
    /// What the stream's memory belongs to.
    _subscriber: Subscriber,
}

fn outlet(name: &str, len: usize, readers: usize) -> Outcome<CrossbarOutlet> {
    let mut publisher = Publisher::create(name, config(len, readers)?)?;
    let topic = publisher.register(TOPIC)?;
    Ok(CrossbarOutlet {
        publisher,
        topic,
        len,
        _leftovers: Leftovers(name.to_owned()),
    })
}

fn inlet(name: &str) -> Outcome<CrossbarInlet> {
    let subscriber = Subscriber::connect(name)?;
    Ok(CrossbarInlet {
        stream: subscriber.subscribe(TOPIC)?,
        _subscriber: subscriber,
    })
}

/// Returns how many words of a frame of `len` bytes are written and read.
fn line_words(len: usize) -> usize {
    (len / size_of::<u64>()).min(8)
}

/// Fills the first line of a block.
#[inline]
fn fill_block(block: &mut [u8], len: usize, number: u64) {
    let line = &mut block[..line_words(len) * size_of::<u64>()];
    let words = <[u64]>::mut_from_bytes(line).expect("blocks are aligned to 8");
    fill(words, number);
}

#[inline]
fn check_block(block: &[u8]) -> u64 {
    let line = &block[..line_words(block.len()) * size_of::<u64>()];
    check(<[u64]>::ref_from_bytes(line).expect("blocks are aligned to 8"))
}

macro_rules! transport {
    ($(#[$doc:meta])* $name:ident, $open:ident, $inlet:ident, $loan:ident, |$stream:ident| $receive:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl Transport for $name {
            type Outlet = $open;
            type Inlet = $inlet;

            fn outlet(name: &str, len: usize, readers: usize) -> Outcome<$open> {
                outlet(name, len, readers).map($open)
            }

            fn inlet(name: &str, _len: usize, _readers: usize) -> Outcome<$inlet> {
                inlet(name).map($inlet)
            }
        }

        pub(crate) struct $open(CrossbarOutlet);

        impl Outlet for $open {
            type Open<'a> = &'a mut Self;

            fn open(&mut self) -> &mut Self {
                self
            }
        }

        impl Send for &mut $open {
            #[inline]
            fn send(&mut self, number: u64) {
                let CrossbarOutlet {
                    publisher,
                    topic,
                    len,
                    ..
                } = &mut self.0;
                // Taken again while a reader has the only block of the pinned mode.
                let mut loan = loop {
                    if let Ok(loan) = publisher.$loan(topic) {
                        break loan;
                    }
                };
                fill_block(loan.as_mut_slice(), *len, number);
                loan.set_len(*len).expect("a frame fits into its block");
                loan.publish();
            }
        }

        pub(crate) struct $inlet(CrossbarInlet);

        impl Inlet for $inlet {
            #[inline]
            fn receive(&mut self) -> u64 {
                let $stream = &self.0.stream;
                $receive
            }
        }
    };
}

transport!(
    /// Polled.
    Polled, PolledOutlet, PolledInlet, loan,
    |stream| spin(|| stream.try_recv().map(|sample| check_block(&sample)))
);
transport!(
    /// Asleep after a moment of polling.
    Blocked, BlockedOutlet, BlockedInlet, loan,
    |stream| check_block(&stream.recv().expect("a publisher that lives"))
);
transport!(
    /// In its mode of one block, where a reader holds the writer up.
    Pinned, PinnedOutlet, PinnedInlet, loan_pinned,
    |stream| spin(|| stream.try_recv_pinned().map(|sample| check_block(&sample)))
);
