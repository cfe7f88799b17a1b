//! camlane, as a user writes it: the README's producer and reader.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use camlane::{
    Consumer, ConsumerOptions, CopyKind, FrameMeta, LaneOptions, PixelFormat, Producer, Read, Wait, WaitError,
};
use peers_drive::{Consume, Description, Job, Peer, Place, Produce, Way, entry};

fn main() -> ExitCode {
    peers_drive::main(&[entry::<Named>(), entry::<Sealed>()])
}

/// A lane with a name.
struct Named;

/// A lane whose consumers can do no harm.
struct Sealed;

struct Writer {
    producer: Producer,
    meta: FrameMeta,
}

struct Reader(Consumer);

/// The version of camlane, which is not this package's.
fn version() -> &'static str {
    let manifest = include_str!("../../../../../Cargo.toml");
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    line.map_or("", |version| version.trim_matches('"'))
}

fn producer(address: &str, place: &Place) -> Result<Writer> {
    let (width, height) = place.size.pixels();
    let layout = PixelFormat::BGR8.layout(width, height, 1)?;
    let mut options = LaneOptions::for_frames(&layout).seats(place.readers.max(1));
    if place.job == Job::Rate {
        options = options.history(2); // as many as may be on their way: what is kept besides falls out of the cache
    }
    Ok(Writer { producer: Producer::create(address, &options)?, meta: FrameMeta::new(layout) })
}

fn consumer(address: &str, place: &Place) -> Result<Reader> {
    let mut options = ConsumerOptions::new();
    if place.job == Job::Rate {
        options = options.read(Read::Every);
    }
    match place.way {
        Way::Adaptive => options = options.wait(Wait::Adaptive),
        Way::Spinning => options = options.wait(Wait::Spin),
        _ => {}
    }
    if place.job != Job::Attach || place.way == Way::Populated {
        options = options.populate();
    }
    Ok(Reader(options.open(address)?))
}

fn sealed(place: &Place) -> String {
    format!("sealed:{}", place.path("lane").display())
}

impl Peer for Named {
    type Producer = Writer;
    type Consumer = Reader;

    fn describe() -> Description {
        Description {
            name: "camlane".into(),
            version: version().into(),
            limit: false,
            copies: false,
            readers: 64,
            setup: "named lane, a seat per reader, Read::Latest (Read::Every and a history of 2 for the rate), pages populated"
                .into(),
            jobs: vec![
                (Job::Polling, vec![Way::Default]),
                (Job::Asleep, vec![Way::Default]),
                (Job::Stream, vec![Way::Default, Way::Adaptive, Way::Spinning]),
                (Job::Readers, vec![Way::Default]),
                (Job::Rate, vec![Way::Default, Way::Memcpy, Way::Streaming]),
                (Job::Attach, vec![Way::Default, Way::Populated]),
            ],
        }
    }

    fn producer(place: &Place) -> Result<Writer> {
        producer(&place.name, place)
    }

    fn consumer(place: &Place) -> Result<Reader> {
        consumer(&place.name, place)
    }
}

impl Peer for Sealed {
    type Producer = Writer;
    type Consumer = Reader;

    fn describe() -> Description {
        Description {
            name: "camlane, sealed".into(),
            setup: "sealed lane, otherwise as the named one".into(),
            jobs: vec![
                (Job::Polling, vec![Way::Default]),
                (Job::Asleep, vec![Way::Default]),
                (Job::Stream, vec![Way::Default]),
                (Job::Attach, vec![Way::Default]),
            ],
            ..Named::describe()
        }
    }

    fn producer(place: &Place) -> Result<Writer> {
        producer(&sealed(place), place)
    }

    fn consumer(place: &Place) -> Result<Reader> {
        consumer(&sealed(place), place)
    }
}

impl Produce for Writer {
    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let mut loan = self.producer.loan()?;
        fill(&mut loan);
        self.producer.publish(loan, &self.meta)?;
        Ok(())
    }

    fn publish_copy(&mut self, frame: &[u8], way: Way, mark: impl FnOnce(&mut [u8])) -> Result<()> {
        let mut loan = self.producer.loan()?;
        match way {
            Way::Memcpy => loan.copy_from_as(frame, CopyKind::Cached)?,
            Way::Streaming => loan.copy_from_as(frame, CopyKind::Streaming)?,
            _ => loan.copy_from(frame)?,
        }
        mark(&mut loan[..frame.len()]);
        self.producer.publish(loan, &self.meta)?;
        Ok(())
    }
}

impl Consume for Reader {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        Ok(self.0.try_next()?.map(|frame| look(&frame)))
    }

    fn wait<T>(&mut self, limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        match self.0.next(limit) {
            Ok(frame) => Ok(Some(look(&frame))),
            Err(WaitError::TimedOut | WaitError::Closed) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
