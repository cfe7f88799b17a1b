//! The demo's other processes: this program again, with a hidden command.

use core::time::Duration;
use std::process::ExitCode;
use std::time::Instant;

use camlane::{
    Clock, Consumer, ConsumerOptions, Frame, FrameMeta, LaneOptions, PixelFormat, Producer, Read, Reference,
    Wait, WaitError, clock,
};
use camlane_measure::Times;
use clap::{Args, Subcommand, ValueEnum};

use super::message::{Beat, Order, Orders, Published, Run, Said, Seen, descriptors};
use super::{HISTORY, SEATS};
use crate::children::{self, say};
use crate::{commands, pattern, stop};

/// Plays one part of the demo.
#[derive(Debug, Args)]
pub(crate) struct Worker {
    #[arg(long)]
    lane: String,
    #[arg(long)]
    parent: u32,
    #[arg(long, value_parser = commands::rate)]
    rate: (u32, u32),
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    Produce {
        #[arg(long, value_parser = commands::size)]
        size: (u32, u32),
        #[arg(long, value_parser = commands::format)]
        format: PixelFormat,
        /// The first picture's number: a second producer's pictures are unlike the first's.
        #[arg(long)]
        first: u64,
    },
    Consume {
        part: Part,
    },
}

/// How a consumer behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Part {
    /// Reads every frame, awake when it comes.
    Every,
    /// Reads the newest frame and keeps it for three periods.
    Slow,
    /// Reads the newest frame, asleep until it comes.
    Latest,
}

impl Worker {
    /// Plays the part until the demo says leave, or dies.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if !children::belong_to(self.parent)? {
            return Ok(ExitCode::FAILURE);
        }
        let orders = Orders::listen();
        let played = match self.role {
            Role::Produce { size: (width, height), format, first } => {
                self.produce(&orders, format, (width, height), first)
            }
            Role::Consume { part } => self.consume(&orders, part),
        };
        if let Err(error) = &played {
            say(&Said::Failed { error: format!("{error:#}") })?;
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn produce(
        &self,
        orders: &Orders,
        format: PixelFormat,
        (width, height): (u32, u32),
        first: u64,
    ) -> anyhow::Result<()> {
        let layout = format.layout(width, height, 64)?;
        let options = LaneOptions::for_frames(&layout).seats(SEATS).pins(1).history(HISTORY).loans(1);
        let producer = Producer::create(&self.lane, &options.rate(self.rate.0, self.rate.1))?;
        let mut done = Published { descriptors: (descriptors(), 0), ..Published::default() };
        say(&Said::Ready)?;

        let (mut beat, start, mut turns, mut paused) = (Beat::new(), Instant::now(), 0, false);
        loop {
            let due =
                if paused { Instant::now() + stop::LOOK } else { start + commands::moment(turns, self.rate) };
            match orders.until(due) {
                None if paused => {}
                None => {
                    let mut loan = producer.loan()?;
                    let mut meta = FrameMeta::new(layout);
                    meta.capture_ns = clock::monotonic_ns();
                    (meta.clock, meta.reference) = (Clock::MONOTONIC, Reference::SYNTHETIC);
                    let number = first + done.frames;
                    meta.source_sequence = number as u32;
                    pattern::fill(&layout, number, meta.capture_ns, &mut loan);
                    done.copies += u64::from(!covers(&producer.addresses(), &loan));
                    producer.publish(loan, &meta)?;
                    done.frames += 1;
                    turns += 1;
                }
                Some(Order::Hold) => {} // for consumers
                Some(Order::Pause) => {
                    paused = true;
                    say(&Said::Paused { published: done.frames })?;
                }
                Some(Order::Audit) => say(&audit(&producer)?)?,
                Some(Order::Leave) => break,
            }
            if beat.is_due() {
                say(&Said::Progress { frames: done.frames, frames_of_run: done.frames, run: 1 })?;
            }
        }
        done.dropped = producer.dropped();
        done.descriptors.1 = descriptors();
        drop(producer);
        say(&Said::Published(done))?;
        Ok(())
    }

    fn consume(&self, orders: &Orders, part: Part) -> anyhow::Result<()> {
        let (read, wait) = match part {
            Part::Every => (Read::Every, Wait::Adaptive),
            Part::Slow | Part::Latest => (Read::Latest, Wait::Sleep),
        };
        let mut consumer = ConsumerOptions::new().read(read).wait(wait).populate().open(&self.lane)?;
        say(&Said::Ready)?;
        let (mut beat, mut watcher) = (Beat::new(), Watcher::new(&self.lane));
        let mut order = None;
        loop {
            order = order.or_else(|| orders.now());
            match consumer.next(stop::LOOK) {
                Ok(frame) => {
                    watcher.look_at(&frame, &consumer);
                    if order == Some(Order::Hold) {
                        say(&Said::Holding { number: frame.number(), seen: watcher.seen() })?;
                        while orders.until(Instant::now() + Duration::from_secs(60)) != Some(Order::Leave) {}
                        return Ok(());
                    }
                    if part == Part::Slow {
                        order = order.or(orders.until(Instant::now() + commands::moment(3, self.rate)));
                        watcher.look_again(&frame); // the producer went on meanwhile: these bytes must not have
                    }
                }
                // The producer was told to pause before us: there is nothing left to read.
                Err(WaitError::TimedOut) if order.is_some_and(|order| order != Order::Hold) => break,
                Err(WaitError::TimedOut | WaitError::ProducerGone | WaitError::Closed) => {}
                Err(WaitError::Other(error)) => return Err(error.into()),
                Err(error) => return Err(error.into()),
            }
            if beat.is_due() {
                say(&watcher.progress())?;
            }
        }
        watcher.seen.descriptors.1 = descriptors();
        drop(consumer);
        say(&Said::Seen(watcher.seen()))?;
        Ok(())
    }
}

/// Takes every slot that is not in the history, as the lane's shape promises when nobody holds any.
fn audit(producer: &Producer) -> anyhow::Result<Said> {
    let pins = producer.consumers().iter().map(|seat| seat.pins.max(1)).sum();
    let expected = producer.shape().slots() - producer.shape().history().min(producer.published() as u32);
    let mut loans = Vec::new();
    while (loans.len() as u32) < expected {
        match producer.loan() {
            Ok(loan) => loans.push(loan),
            Err(camlane::Error::Loan(_)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Said::Audited { expected, lent: loans.len() as u32, pins })
}

/// Checks frames and counts.
struct Watcher {
    object: String,
    seen: Seen,
    latency: Times,
    started: Instant,
    /// What picture number 0 would be called in this run.
    offset: u64,
    /// Whether the mapping of this run is the lane's object.
    is_the_object: bool,
}

impl Watcher {
    fn new(lane: &str) -> Self {
        Self {
            object: format!("/dev/shm/camlane.{lane}.data"),
            seen: Seen::default(),
            latency: Times::new(),
            started: Instant::now(),
            offset: 0,
            is_the_object: false,
        }
    }

    /// Accounts for a frame, and compares each of its bytes.
    fn look_at(&mut self, frame: &Frame, consumer: &Consumer) {
        if let Some(age) = frame.age() {
            self.latency.record(age.as_nanos() as u64); // first of all: the rest takes time
        }
        let (number, meta) = (frame.number(), frame.meta());
        let is_first = self.seen.runs.is_empty();
        if is_first || frame.change().restarted {
            self.offset = u64::from(meta.source_sequence).wrapping_sub(number);
            self.is_the_object = mapped_object(frame.as_ptr().addr())
                .is_none_or(|path| path.trim_end_matches(" (deleted)") == self.object);
            self.seen.runs.push(Run { first: number, missed_before: frame.missed(), ..Run::default() });
        } else if let Some(run) = self.seen.runs.last_mut() {
            run.missed += frame.missed();
        }
        if let Some(run) = self.seen.runs.last_mut() {
            run.frames += 1;
            run.last = number;
            run.dropped += u64::from(frame.dropped());
        }
        if is_first {
            self.started = Instant::now();
            self.seen.descriptors.0 = descriptors();
        }
        let in_place = self.is_the_object && covers(&consumer.addresses(), frame);
        self.seen.copies += u64::from(!in_place);
        self.seen.frames += 1;
        self.seen.bytes += frame.len() as u64;
        self.look_again(frame);
        self.seen.nanos = self.started.elapsed().as_nanos() as u64;
    }

    /// Compares each byte of a frame.
    fn look_again(&mut self, frame: &Frame) {
        let (number, meta) = (frame.number(), frame.meta());
        let wrong = match pattern::check(&meta.layout, frame) {
            Err(torn) => Some(format!("{torn:?}")),
            Ok(stamp) => {
                let belongs = stamp.number as u32 == meta.source_sequence
                    && stamp.time_ns == meta.capture_ns
                    && stamp.number == number.wrapping_add(self.offset);
                (!belongs).then(|| format!("the picture is {stamp:?}, its description {meta:?}"))
            }
        };
        if let Some(wrong) = wrong {
            self.seen.torn += 1;
            self.seen.first_torn.get_or_insert_with(|| format!("frame {number}: {wrong}"));
        }
    }

    fn progress(&self) -> Said {
        let runs = &self.seen.runs;
        let frames_of_run = runs.last().map_or(0, |run| run.frames);
        Said::Progress { frames: self.seen.frames, frames_of_run, run: runs.len() }
    }

    fn seen(&self) -> Seen {
        Seen { latency: self.latency.to_pairs(), ..self.seen.clone() }
    }
}

fn covers(range: &core::ops::Range<usize>, bytes: &[u8]) -> bool {
    let bytes = bytes.as_ptr_range();
    range.start <= bytes.start.addr() && bytes.end.addr() <= range.end
}

/// The file that is mapped at an address of this process (proc_pid_maps(5)). `None`: nobody says.
fn mapped_object(address: usize) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let mut words = line.splitn(6, ' ');
        let (start, end) = words.next()?.split_once('-')?;
        let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
        (start..end).contains(&address).then(|| words.nth(4).unwrap_or_default().trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_itself_is_found_in_its_own_map() {
        let program = std::fs::read_link("/proc/self/exe").unwrap();
        let code = descriptors as fn() -> usize as usize;
        assert_eq!(mapped_object(code), Some(program.display().to_string()));
        assert_eq!(mapped_object(0), None);
    }

    #[test]
    fn bytes_beyond_a_range_are_not_covered() {
        let bytes = [0u8; 16];
        let start = bytes.as_ptr().addr();
        assert!(covers(&(start..start + 16), &bytes));
        assert!(!covers(&(start..start + 15), &bytes));
        assert!(!covers(&(start + 1..start + 32), &bytes));
    }
}
