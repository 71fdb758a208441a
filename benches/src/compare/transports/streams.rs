//! This library: frames written in place under a held write lock, and read in place.

use std::marker::PhantomData;

use shmstream::{LockGuard, Stream};
use tokio::runtime::Runtime;

use super::{Inlet, Outlet, Send, Transport, Visitor, check, fill, spin};
use crate::Outcome;
use crate::sizes::SIZES;

/// Streams of frames of `WORDS` words, received in one of the ways below.
pub(crate) struct Streams<R, const WORDS: usize>(PhantomData<R>);

/// How frames are received.
pub(crate) trait Receive: 'static {
    type State;

    fn state() -> Outcome<Self::State>;

    fn receive<const WORDS: usize>(stream: &mut Stream<u64, WORDS>, state: &mut Self::State)
    -> u64;
}

/// Finds the type for a size.
pub(crate) fn visit<R: Receive, V: Visitor>(len: usize, visitor: V) -> Outcome<V::Output> {
    const WORD: usize = size_of::<u64>();
    match len {
        _ if len == SIZES[0] => visitor.visit::<Streams<R, { SIZES[0] / WORD }>>(),
        _ if len == SIZES[1] => visitor.visit::<Streams<R, { SIZES[1] / WORD }>>(),
        _ if len == SIZES[2] => visitor.visit::<Streams<R, { SIZES[2] / WORD }>>(),
        _ if len == SIZES[3] => visitor.visit::<Streams<R, { SIZES[3] / WORD }>>(),
        _ if len == SIZES[4] => visitor.visit::<Streams<R, { SIZES[4] / WORD }>>(),
        _ => Err(format!("no stream of {len} bytes was compiled in").into()),
    }
}

impl<R: Receive, const WORDS: usize> Transport for Streams<R, WORDS> {
    type Outlet = Stream<u64, WORDS>;
    type Inlet = StreamInlet<R, WORDS>;

    fn outlet(name: &str, _len: usize, readers: usize) -> Outcome<Stream<u64, WORDS>> {
        // The default for one reader; more can hold more slots at a time.
        let builder = Stream::builder(name).slots(readers + 3);
        Ok(builder.prefault().temporary().create()?)
    }

    fn inlet(name: &str, _len: usize, _readers: usize) -> Outcome<Self::Inlet> {
        Ok(StreamInlet {
            stream: Stream::builder(name).prefault().open()?,
            state: R::state()?,
        })
    }
}

impl<const WORDS: usize> Outlet for Stream<u64, WORDS> {
    type Open<'a> = LockGuard<'a, u64, WORDS>;

    fn open(&mut self) -> LockGuard<'_, u64, WORDS> {
        self.lock().expect("the lock of a stream of one's own")
    }
}

impl<const WORDS: usize> Send for LockGuard<'_, u64, WORDS> {
    #[inline]
    fn send(&mut self, number: u64) {
        let mut loan = self.loan().expect("a free slot");
        fill(&mut loan[..], number);
        loan.publish().expect("no fork");
    }
}

pub(crate) struct StreamInlet<R: Receive, const WORDS: usize> {
    stream: Stream<u64, WORDS>,
    state: R::State,
}

impl<R: Receive, const WORDS: usize> Inlet for StreamInlet<R, WORDS> {
    #[inline]
    fn receive(&mut self) -> u64 {
        R::receive(&mut self.stream, &mut self.state)
    }
}

/// By polling.
pub(crate) struct Poll;

impl Receive for Poll {
    type State = ();

    fn state() -> Outcome<()> {
        Ok(())
    }

    #[inline]
    fn receive<const WORDS: usize>(stream: &mut Stream<u64, WORDS>, (): &mut ()) -> u64 {
        spin(|| {
            let frame = stream.read_new().expect("an intact stream")?;
            Some(check(&frame[..]))
        })
    }
}

/// Asleep.
pub(crate) struct Wait;

impl Receive for Wait {
    type State = ();

    fn state() -> Outcome<()> {
        Ok(())
    }

    #[inline]
    fn receive<const WORDS: usize>(stream: &mut Stream<u64, WORDS>, (): &mut ()) -> u64 {
        check(&stream.wait().expect("an intact stream")[..])
    }
}

/// In a task.
pub(crate) struct Task;

impl Receive for Task {
    type State = Runtime;

    fn state() -> Outcome<Runtime> {
        super::pipe::runtime()
    }

    fn receive<const WORDS: usize>(stream: &mut Stream<u64, WORDS>, runtime: &mut Runtime) -> u64 {
        let frame = runtime.block_on(stream.wait_async());
        check(&frame.expect("an intact stream")[..])
    }
}
