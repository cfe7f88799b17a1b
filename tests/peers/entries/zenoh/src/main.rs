//! Zenoh: frames in its shared memory, sent between two peers that are connected by a Unix socket.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use peers_drive::{Consume, Description, Job, Peer, Place, Produce, Way, entry};
use zenoh::handlers::{RingChannel, RingChannelHandler};
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::qos::CongestionControl;
use zenoh::sample::Sample;
use zenoh::shm::{BlockOn, GarbageCollect, PosixShmProviderBackend, ShmProvider, ShmProviderBuilder};
use zenoh::{Config, Session, Wait};

fn main() -> ExitCode {
    peers_drive::main(&[entry::<Zenoh>()])
}

struct Zenoh;

struct Writer {
    publisher: Publisher<'static>,
    provider: ShmProvider<PosixShmProviderBackend>,
    bytes: usize,
    _session: Session,
}

struct Reader {
    subscriber: Subscriber<RingChannelHandler<Sample>>,
    _session: Session,
}

/// Frames that the provider has room for.
const SLOTS: usize = 8;

/// A peer that finds the other by address, not by searching.
fn session(place: &Place, side: &str) -> Result<Session> {
    let mut config = Config::default();
    let endpoint = format!("[\"unixsock-stream/{}\"]", place.path("zenoh").display());
    for (key, value) in [
        ("mode", "\"peer\""),
        ("scouting/multicast/enabled", "false"),
        ("transport/shared_memory/mode", "\"init\""),
        (side, endpoint.as_str()),
    ] {
        config.insert_json5(key, value).map_err(|error| anyhow!("{key}: {error}"))?;
    }
    zenoh::open(config).wait().map_err(|error| anyhow!(error))
}

impl Peer for Zenoh {
    type Producer = Writer;
    type Consumer = Reader;

    fn describe() -> Description {
        Description {
            name: "Zenoh, shared memory".into(),
            version: "1.10.2".into(),
            limit: false,
            copies: false,
            readers: 64,
            setup: "peer to peer over unixsock-stream without scouting, shared memory initialised at start, \
                    BlockOn<GarbageCollect>, express, ring channel of 1"
                .into(),
            jobs: vec![
                (Job::Asleep, vec![Way::Default]),
                (Job::Stream, vec![Way::Default]),
                (Job::Attach, vec![Way::Default]),
            ],
        }
    }

    fn producer(place: &Place) -> Result<Writer> {
        let session = session(place, "listen/endpoints")?;
        let backend = PosixShmProviderBackend::builder(place.bytes() * SLOTS)
            .wait()
            .map_err(|error| anyhow!("{error}"))?;
        let provider = ShmProviderBuilder::backend(backend).wait();
        let publisher = session
            .declare_publisher(place.name.clone())
            .congestion_control(CongestionControl::Block)
            .express(true)
            .wait()
            .map_err(|error| anyhow!(error))?;
        Ok(Writer { publisher, provider, bytes: place.bytes(), _session: session })
    }

    fn consumer(place: &Place) -> Result<Reader> {
        let session = session(place, "connect/endpoints")?;
        let subscriber = session
            .declare_subscriber(place.name.clone())
            .with(RingChannel::new(1))
            .wait()
            .map_err(|error| anyhow!(error))?;
        Ok(Reader { subscriber, _session: session })
    }
}

impl Produce for Writer {
    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let allocation = self.provider.alloc(self.bytes).with_policy::<BlockOn<GarbageCollect>>();
        let mut slot = allocation.wait().map_err(|error| anyhow!("{error:?}"))?;
        fill(&mut slot);
        self.publisher.put(slot).wait().map_err(|error| anyhow!(error))
    }
}

impl Consume for Reader {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let sample = self.subscriber.try_recv().map_err(|error| anyhow!(error))?;
        sample.map(|sample| show(&sample, look)).transpose()
    }

    fn wait<T>(&mut self, limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let sample = self.subscriber.recv_timeout(limit).map_err(|error| anyhow!(error))?;
        sample.map(|sample| show(&sample, look)).transpose()
    }
}

fn show<T>(sample: &Sample, look: impl FnOnce(&[u8]) -> T) -> Result<T> {
    let frame =
        sample.payload().as_shm().ok_or_else(|| anyhow!("the frame did not come in shared memory"))?;
    Ok(look(frame))
}
