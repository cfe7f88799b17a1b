//! The lane that a source's frames go into, one after the other.

use std::time::Instant;

use anyhow::Context as _;
use camlane::{Clock, Flags, FrameMeta, Loan, Producer, Reference, clock};

use super::{Publish, Summary, Target, wrong_source};
use crate::source::{Filled, Source, SourceError, Stream};

/// The lane, and what went into it.
#[derive(Debug)]
pub(super) struct Outlet {
    /// `None` while the lane is made anew.
    producer: Option<Producer>,
    pub(super) start: Instant,
    pub(super) frames: u64,
    /// Dropped by producers of this program that were replaced.
    dropped_before: u64,
    regrown: u32,
}

impl Outlet {
    pub(super) fn open(publish: &Publish, stream: &Stream) -> anyhow::Result<Self> {
        let options = publish.lane_options(stream, stream.largest);
        let producer = Producer::create(&publish.lane.to_string(), &options)?;
        Ok(Self { producer: Some(producer), start: Instant::now(), frames: 0, dropped_before: 0, regrown: 0 })
    }

    pub(super) fn producer(&self) -> anyhow::Result<&Producer> {
        self.producer.as_ref().context("the lane could not be made anew")
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped_before + self.producer.as_ref().map_or(0, |producer| producer.dropped().into())
    }

    pub(super) fn consumers(&self) -> usize {
        self.producer.as_ref().map_or(0, |producer| producer.consumers().len())
    }

    /// Takes one frame from the source and publishes it; false at the end of the source.
    pub(super) fn pass_on(&mut self, publish: &Publish, source: &mut dyn Source) -> anyhow::Result<bool> {
        loop {
            let mut loan = match self.producer()?.loan() {
                Ok(loan) => loan,
                Err(camlane::Error::Loan(_)) => return Ok(true), // counted as dropped: this turn is lost
                Err(error) => return Err(error.into()),
            };
            match source.fill(&mut loan) {
                Ok(Some(filled)) => {
                    self.publish(loan, &filled, source.stream().live)?;
                    return Ok(true);
                }
                Ok(None) => return Ok(false),
                Err(SourceError::SlotTooSmall { needed, room }) if needed > room => {
                    drop(loan);
                    self.regrow(publish, source.stream(), needed)?;
                }
                Err(error) => return Err(wrong_source(error)),
            }
        }
    }

    fn publish(&mut self, loan: Loan, filled: &Filled, live: bool) -> anyhow::Result<()> {
        let mut meta = FrameMeta::new(filled.layout);
        meta.layout.bytes = filled.bytes;
        meta.clock = Clock::MONOTONIC;
        (meta.capture_ns, meta.reference) = match filled.captured_ns {
            Some(made) => (made, Reference::SYNTHETIC),
            // Of a live source nobody knows the exposure: this is when it was in hand.
            None if live => (clock::monotonic_ns(), Reference::DEQUEUED),
            None => (clock::monotonic_ns(), Reference::SYNTHETIC),
        };
        meta.source_sequence = filled.sequence;
        if filled.copied {
            meta.flags |= Flags::COPIED;
        }
        self.producer()?.publish(loan, &meta)?;
        self.frames += 1;
        Ok(())
    }

    /// Makes the lane anew with slots of `needed` bytes. Readers follow, as they follow any restart.
    fn regrow(&mut self, publish: &Publish, stream: &Stream, needed: usize) -> anyhow::Result<()> {
        let slot_size = u32::try_from(needed).context("a frame is larger than any slot can be")?;
        let lane = publish.lane.to_string();
        log::info!("lane '{lane}': made anew, because a frame needs {needed} bytes");
        self.dropped_before = self.dropped();
        self.regrown += 1;
        // Two producers cannot have the name at once, so there is no lane for a moment.
        self.producer = None;
        self.producer = Some(Producer::create(&lane, &publish.lane_options(stream, slot_size))?);
        Ok(())
    }

    pub(super) fn summary(&self, lane: &Target, stream: &Stream, end: &'static str) -> Summary {
        let seconds = self.start.elapsed().as_secs_f64();
        Summary {
            lane: lane.to_string(),
            source: stream.name.clone(),
            frames: self.frames,
            dropped: self.dropped(),
            seconds,
            rate: self.frames as f64 / seconds.max(1e-9),
            regrown: self.regrown,
            end,
        }
    }
}
