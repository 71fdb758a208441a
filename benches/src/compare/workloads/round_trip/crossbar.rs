//! crossbar, copying and in place.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use crossbar::{Publisher, Stream, Subscriber, Topic};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::super::names::unique;
use super::{Size, Trips};
use crate::Outcome;
use crate::contender::Contender;
use crate::transports::crossbar::{Leftovers, config};

const COPY: Contender = Contender::crossbar("crossbar, copy");
const IN_PLACE: Contender = Contender::crossbar("crossbar, in place");
const TOPIC: &str = "/frames";

pub(super) fn add<const N: usize>(size: &mut Size<'_>)
where
    [f32; N]: FromBytes + IntoBytes + Immutable + KnownLayout,
{
    let ports = match Ports::new::<N>() {
        Ok(ports) => Rc::new(RefCell::new(ports)),
        Err(error) => return size.leave_out(COPY, error),
    };
    let copying = Rc::clone(&ports);
    size.add(
        COPY,
        Ok(move |trips: Trips<'_, N>| copies(&mut copying.borrow_mut(), trips)),
    );
    size.add(
        IN_PLACE,
        Ok(move |trips: Trips<'_, N>| in_place(&mut ports.borrow_mut(), trips)),
    );
}

struct Ports {
    publisher: Publisher,
    topic: Topic,
    stream: Stream,
    _subscriber: Subscriber,
    _leftovers: Leftovers,
}

impl Ports {
    fn new<const N: usize>() -> Outcome<Self> {
        let name = unique();
        let mut config = config(N * size_of::<f32>(), 1)?;
        // As many as two slots of a stream, and those that a publisher keeps to itself.
        config.ring_depth = 2;
        let mut publisher = Publisher::create(&name, config)?;
        let topic = publisher.register(TOPIC)?;
        let subscriber = Subscriber::connect(&name)?;
        Ok(Self {
            publisher,
            topic,
            stream: subscriber.subscribe(TOPIC)?,
            _subscriber: subscriber,
            _leftovers: Leftovers(name),
        })
    }
}

fn copies<const N: usize>(ports: &mut Ports, trips: Trips<'_, N>) -> Outcome<()>
where
    [f32; N]: FromBytes + IntoBytes + Immutable + KnownLayout,
{
    trips.each(|source, sink| {
        ports
            .publisher
            .publish(&ports.topic, black_box(source).as_bytes())?;
        let sample = ports.stream.try_recv().ok_or("no sample")?;
        sink.as_mut_bytes().copy_from_slice(&sample);
        black_box(sink);
        Ok(())
    })
}

fn in_place<const N: usize>(ports: &mut Ports, trips: Trips<'_, N>) -> Outcome<()> {
    const LEN: usize = size_of::<f32>();
    trips.each(|source, sink| {
        let mut loan = ports.publisher.loan(&ports.topic)?;
        let block = loan.as_mut_slice();
        block[..LEN].copy_from_slice(&source[0].to_ne_bytes());
        block[(N - 1) * LEN..N * LEN].copy_from_slice(&source[N - 1].to_ne_bytes());
        loan.set_len(N * LEN)?;
        loan.publish();
        let sample = ports.stream.try_recv().ok_or("no sample")?;
        let number = |at: usize| f32::from_ne_bytes([0, 1, 2, 3].map(|i| sample[at * LEN + i]));
        (sink[0], sink[N - 1]) = black_box((number(0), number(N - 1)));
        Ok(())
    })
}
