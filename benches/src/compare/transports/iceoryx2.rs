//! iceoryx2: samples of slices, loaned and sent; a listener of a second service to sleep on.

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{LogLevel, Node, NodeBuilder, ServiceName, ipc, set_log_level};
use iceoryx2::service::port_factory::{event, publish_subscribe};

use super::{Inlet, Outlet, Send, Transport, check, fill, spin};
use crate::Outcome;

type Service = ipc::Service;

/// Makes a node, which a process needs before anything else.
pub(crate) fn node() -> Outcome<Node<Service>> {
    set_log_level(LogLevel::Error);
    Ok(NodeBuilder::new().create::<Service>()?)
}

/// Opens a service of slices, with the defaults but for the number of participants.
fn service(
    node: &Node<Service>,
    name: &str,
    readers: usize,
) -> Outcome<publish_subscribe::PortFactory<Service, [u64], ()>> {
    let name = ServiceName::new(name)?;
    Ok(node
        .service_builder(&name)
        .publish_subscribe::<[u64]>()
        .max_publishers(1)
        .max_subscribers(readers)
        .max_nodes(readers + 2)
        .open_or_create()?)
}

fn events(
    node: &Node<Service>,
    name: &str,
    readers: usize,
) -> Outcome<event::PortFactory<Service>> {
    let name = ServiceName::new(name)?;
    Ok(node
        .service_builder(&name)
        .event()
        .max_listeners(readers)
        .max_nodes(readers + 2)
        .open_or_create()?)
}

/// Polled.
pub(crate) struct Polled;

/// Asleep on a listener.
pub(crate) struct Notified;

/// Everything stays open while there are ports.
pub(crate) struct PolledOutlet {
    publisher: Publisher<Service, [u64], ()>,
    words: usize,
    _service: publish_subscribe::PortFactory<Service, [u64], ()>,
    node: Node<Service>,
}

pub(crate) struct PolledInlet {
    subscriber: Subscriber<Service, [u64], ()>,
    _service: publish_subscribe::PortFactory<Service, [u64], ()>,
    node: Node<Service>,
}

impl Transport for Polled {
    type Outlet = PolledOutlet;
    type Inlet = PolledInlet;

    fn outlet(name: &str, len: usize, readers: usize) -> Outcome<PolledOutlet> {
        let node = node()?;
        let service = service(&node, name, readers)?;
        let words = len / size_of::<u64>();
        let publisher = service.publisher_builder().initial_max_slice_len(words);
        Ok(PolledOutlet {
            publisher: publisher.create()?,
            words,
            _service: service,
            node,
        })
    }

    fn inlet(name: &str, _len: usize, readers: usize) -> Outcome<PolledInlet> {
        let node = node()?;
        let service = service(&node, name, readers)?;
        Ok(PolledInlet {
            subscriber: service.subscriber_builder().create()?,
            _service: service,
            node,
        })
    }
}

impl Outlet for PolledOutlet {
    type Open<'a> = &'a mut Self;

    fn open(&mut self) -> &mut Self {
        self
    }
}

impl Send for &mut PolledOutlet {
    #[inline]
    fn send(&mut self, number: u64) {
        let mut sample = self
            .publisher
            .loan_slice_uninit(self.words)
            .expect("a free sample");
        let words = sample.payload_mut();
        // SAFETY: a slice of `MaybeUninit<u64>` has the layout of one of `u64`, and its bytes are
        // initialised: the sample lies in a file, which the kernel fills with zeros.
        let words = unsafe { &mut *(std::ptr::from_mut(words) as *mut [u64]) };
        fill(words, number);
        // SAFETY: `assume_init` asks for initialised elements: see above.
        let sample = unsafe { sample.assume_init() };
        sample.send().expect("a subscriber that takes it");
    }
}

impl PolledInlet {
    #[inline]
    fn try_receive(&self) -> Option<u64> {
        let sample = self.subscriber.receive().expect("an intact connection")?;
        Some(check(sample.payload()))
    }
}

impl Inlet for PolledInlet {
    #[inline]
    fn receive(&mut self) -> u64 {
        spin(|| self.try_receive())
    }
}

pub(crate) struct NotifiedOutlet {
    notifier: Notifier<Service>,
    _events: event::PortFactory<Service>,
    frames: PolledOutlet,
}

pub(crate) struct NotifiedInlet {
    listener: Listener<Service>,
    _events: event::PortFactory<Service>,
    frames: PolledInlet,
}

impl Transport for Notified {
    type Outlet = NotifiedOutlet;
    type Inlet = NotifiedInlet;

    fn outlet(name: &str, len: usize, readers: usize) -> Outcome<NotifiedOutlet> {
        let frames = Polled::outlet(name, len, readers)?;
        let events = events(&frames.node, name, readers)?;
        Ok(NotifiedOutlet {
            notifier: events.notifier_builder().create()?,
            _events: events,
            frames,
        })
    }

    fn inlet(name: &str, len: usize, readers: usize) -> Outcome<NotifiedInlet> {
        let frames = Polled::inlet(name, len, readers)?;
        let events = events(&frames.node, name, readers)?;
        Ok(NotifiedInlet {
            listener: events.listener_builder().create()?,
            _events: events,
            frames,
        })
    }
}

impl Outlet for NotifiedOutlet {
    type Open<'a> = &'a mut Self;

    fn open(&mut self) -> &mut Self {
        self
    }
}

impl Send for &mut NotifiedOutlet {
    #[inline]
    fn send(&mut self, number: u64) {
        (&mut self.frames).send(number);
        self.notifier.notify().expect("a listener that takes it");
    }
}

impl Inlet for NotifiedInlet {
    #[inline]
    fn receive(&mut self) -> u64 {
        loop {
            if let Some(number) = self.frames.try_receive() {
                return number;
            }
            self.listener
                .blocking_wait(|_| {})
                .expect("an intact connection");
        }
    }
}
