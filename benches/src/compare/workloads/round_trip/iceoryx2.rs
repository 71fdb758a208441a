//! iceoryx2, copying and in place.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{Node, ServiceName, ipc};
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::super::names::unique;
use super::{Size, Trips};
use crate::Outcome;
use crate::contender::Contender;
use crate::transports::iceoryx2::node;

const COPY: Contender = Contender::iceoryx2("iceoryx2, copy");
const IN_PLACE: Contender = Contender::iceoryx2("iceoryx2, in place");

type Service = ipc::Service;

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
        Ok(move |trips: Trips<'_, N>| copies(&copying.borrow(), trips)),
    );
    size.add(
        IN_PLACE,
        Ok(move |trips: Trips<'_, N>| in_place(&ports.borrow(), trips)),
    );
}

/// Both ports, and what keeps them.
struct Ports {
    publisher: Publisher<Service, [f32], ()>,
    subscriber: Subscriber<Service, [f32], ()>,
    _service: PortFactory<Service, [f32], ()>,
    _node: Node<Service>,
}

impl Ports {
    fn new<const N: usize>() -> Outcome<Self> {
        let node = node()?;
        let name = ServiceName::new(&unique())?;
        let service = node
            .service_builder(&name)
            .publish_subscribe::<[f32]>()
            .max_publishers(1)
            .max_subscribers(1)
            .subscriber_max_buffer_size(1)
            .subscriber_max_borrowed_samples(1)
            .create()?;
        Ok(Self {
            publisher: service
                .publisher_builder()
                .initial_max_slice_len(N)
                .max_loaned_samples(1)
                .create()?,
            subscriber: service.subscriber_builder().create()?,
            _service: service,
            _node: node,
        })
    }
}

fn copies<const N: usize>(ports: &Ports, trips: Trips<'_, N>) -> Outcome<()> {
    trips.each(|source, sink| {
        let sample = ports.publisher.loan_slice_uninit(N)?;
        sample.write_from_slice(black_box(source)).send()?;
        let sample = ports.subscriber.receive()?.ok_or("no sample")?;
        sink.copy_from_slice(sample.payload());
        black_box(sink);
        Ok(())
    })
}

fn in_place<const N: usize>(ports: &Ports, trips: Trips<'_, N>) -> Outcome<()> {
    trips.each(|source, sink| {
        let mut sample = ports.publisher.loan_slice_uninit(N)?;
        sample.payload_mut()[0].write(source[0]);
        sample.payload_mut()[N - 1].write(source[N - 1]);
        // SAFETY: `assume_init` asks for initialised elements: the sample lies in a file, which the
        // kernel fills with zeros.
        unsafe { sample.assume_init() }.send()?;
        let sample = ports.subscriber.receive()?.ok_or("no sample")?;
        let frame = sample.payload();
        (sink[0], sink[N - 1]) = black_box((frame[0], frame[N - 1]));
        Ok(())
    })
}
