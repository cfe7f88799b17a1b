//! iceoryx2: publish-subscribe of slices, and its event service for consumers that sleep.
#![allow(unsafe_code)] // loans are uninitialised memory

use std::mem::MaybeUninit;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::{event, publish_subscribe};
use peers_drive::{Consume, Description, Job, Peer, Place, Produce, Way, entry};

fn main() -> ExitCode {
    set_log_level(LogLevel::Error);
    peers_drive::main(&[entry::<Iceoryx2>()])
}

struct Iceoryx2;

struct Writer {
    publisher: Publisher<ipc::Service, [u8], ()>,
    notifier: Option<Notifier<ipc::Service>>,
    bytes: usize,
    _node: Node<ipc::Service>,
}

struct Reader {
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    listener: Option<Listener<ipc::Service>>,
    _node: Node<ipc::Service>,
}

type Frames = publish_subscribe::PortFactory<ipc::Service, [u8], ()>;
type Bells = event::PortFactory<ipc::Service>;

/// The node, the frames' service, and the bell's if somebody shall sleep.
fn services(place: &Place) -> Result<(Node<ipc::Service>, Frames, Option<Bells>)> {
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let name: ServiceName = place.name.as_str().try_into()?;
    let readers = place.readers.max(1) as usize;
    let nodes = readers + 2;
    // Of frames that nobody takes the newest are kept, and the publisher never waits.
    let frames = node
        .service_builder(&name)
        .publish_subscribe::<[u8]>()
        .enable_safe_overflow(true)
        .subscriber_max_buffer_size(2)
        .subscriber_max_borrowed_samples(1)
        .history_size(0)
        .max_publishers(1)
        .max_subscribers(readers)
        .max_nodes(nodes)
        .open_or_create()?;
    let sleeps = !matches!(place.job, Job::Polling | Job::Readers | Job::Rate);
    let bells = if sleeps {
        let builder = node.service_builder(&name).event();
        Some(builder.max_notifiers(1).max_listeners(readers).max_nodes(nodes).open_or_create()?)
    } else {
        None
    };
    Ok((node, frames, bells))
}

impl Peer for Iceoryx2 {
    type Producer = Writer;
    type Consumer = Reader;

    fn describe() -> Description {
        Description {
            name: "iceoryx2".into(),
            version: "0.10.0".into(),
            limit: false,
            copies: false,
            readers: 64,
            setup: "[u8] slices, loan_slice_uninit, safe overflow, buffer of 2, history 0, one borrowed sample; event service \
                    (Notifier, Listener::timed_wait) where consumers sleep"
                .into(),
            jobs: vec![
                (Job::Polling, vec![Way::Default]),
                (Job::Asleep, vec![Way::Default]),
                (Job::Stream, vec![Way::Default]),
                (Job::Readers, vec![Way::Default]),
                (Job::Rate, vec![Way::Default, Way::Streaming]),
                (Job::Attach, vec![Way::Default]),
            ],
        }
    }

    fn producer(place: &Place) -> Result<Writer> {
        let (node, frames, bells) = services(place)?;
        let publisher =
            frames.publisher_builder().initial_max_slice_len(place.bytes()).max_loaned_samples(1).create()?;
        let notifier = bells.map(|bells| bells.notifier_builder().create()).transpose()?;
        Ok(Writer { publisher, notifier, bytes: place.bytes(), _node: node })
    }

    fn consumer(place: &Place) -> Result<Reader> {
        let (node, frames, bells) = services(place)?;
        let subscriber = frames.subscriber_builder().create()?;
        let listener = bells.map(|bells| bells.listener_builder().create()).transpose()?;
        Ok(Reader { subscriber, listener, _node: node })
    }
}

impl Produce for Writer {
    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let mut sample = self.publisher.loan_slice_uninit(self.bytes)?;
        let slot: *mut [MaybeUninit<u8>] = sample.payload_mut();
        // SAFETY: shared memory is mapped, so its bytes have values, whatever they are; the borrow ends with the call.
        fill(unsafe { &mut *(slot as *mut [u8]) });
        // SAFETY: as above.
        unsafe { sample.assume_init() }.send()?;
        if let Some(notifier) = &self.notifier {
            notifier.notify()?;
        }
        Ok(())
    }
}

impl Consume for Reader {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        Ok(self.subscriber.receive()?.map(|sample| look(sample.payload())))
    }

    fn wait<T>(&mut self, limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        // What is there already is taken before sleeping, as the documentation asks.
        if !self.subscriber.has_samples()? {
            if let Some(listener) = &self.listener {
                listener.timed_wait(|_| {}, limit)?;
            }
        }
        self.poll(look)
    }
}
