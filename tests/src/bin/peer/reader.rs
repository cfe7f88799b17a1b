//! The peer as a consumer.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use camlane::core::ReadError;
use camlane::{Change, Consumer, ConsumerOptions, Error, Frame, LaneStatus, Observer, Read, Wait, WaitError};
use camlane_tests::digest::digest;
use camlane_tests::pattern;
use camlane_tests::wait::PATIENCE;

use crate::Peer;
use crate::order::Order;
use camlane_tests::orders::Orders;

/// What `consume` has seen since the consumer was opened.
#[derive(Default)]
pub(crate) struct Tally {
    /// The number after which this reader began.
    base: Option<u64>,
    last: u64,
    delivered: u64,
    missed: u64,
    restarts: u64,
    contended: u64,
    closed: u64,
    gone: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, last, delivered, missed, restarts, contended, closed, gone } = self;
        let distance = last - base.unwrap_or(*last);
        write!(
            f,
            "ok last={last} distance={distance} delivered={delivered} missed={missed} restarts={restarts} "
        )?;
        write!(f, "contended={contended} closed={closed} gone={gone}")
    }
}

impl Tally {
    fn note(&mut self, frame: &Frame) {
        if frame.change().restarted {
            // Numbers begin again: what was counted so far belongs to the producer before.
            (self.base, self.restarts) = (Some(0), self.restarts + 1);
            (self.delivered, self.missed) = (0, 0);
        }
        self.base.get_or_insert(frame.number() - frame.missed() - 1);
        self.last = frame.number();
        self.delivered += 1;
        self.missed += frame.missed();
    }
}

impl Peer {
    pub(crate) fn open(&mut self, order: &Order<'_>) -> Result<String, Error> {
        let read = if order.option("read") == Some("every") { Read::Every } else { Read::Latest };
        let wait = match order.option("wait") {
            None | Some("sleep") => Wait::Sleep,
            Some("adaptive") => Wait::Adaptive,
            Some("spin") => Wait::Spin,
            Some(other) => panic!("wait={other}"),
        };
        let patience = Duration::from_millis(order.option_number("patience").unwrap_or(0).into());
        let consumer = ConsumerOptions::new().read(read).wait(wait).patience(patience).open(order.text(1))?;
        let reply = format!("ok seat={}", consumer.seat());
        self.consumer = Some(consumer);
        self.tally = Tally::default();
        Ok(reply)
    }

    pub(crate) fn next(&mut self, millis: u64, keep: bool) -> Result<String, Error> {
        let began = Instant::now();
        let frame = match self.consumer().next(Duration::from_millis(millis)) {
            Ok(frame) => frame,
            Err(WaitError::TimedOut) => return Ok("timed-out".to_owned()),
            Err(WaitError::Closed) => return Ok("closed".to_owned()),
            Err(WaitError::ProducerGone) => return Ok("gone".to_owned()),
            Err(WaitError::Other(error)) => return Err(error),
            Err(other) => panic!("{other}"),
        };
        if let Err(torn) = pattern::check(&frame) {
            return Ok(torn.to_string());
        }
        let Change { restarted, format, size, .. } = frame.change();
        let reply = format!(
            "frame number={} missed={} restarted={} format={} size={} waited={}",
            frame.number(),
            frame.missed(),
            u8::from(restarted),
            u8::from(format),
            u8::from(size),
            began.elapsed().as_millis(),
        );
        if keep {
            self.frames.push(frame);
        }
        Ok(reply)
    }

    /// Waits for a frame whose content the peer does not know.
    pub(crate) fn see(&mut self, millis: u64) -> String {
        let consumer = self.consumer();
        let frame = match consumer.next(Duration::from_millis(millis)) {
            Ok(frame) => frame,
            Err(error) => return format!("error {error:?} :: {error}"),
        };
        let (meta, inside) = (frame.meta(), consumer.addresses());
        let lies_inside =
            inside.contains(&frame.as_ptr().addr()) && frame.as_ptr_range().end.addr() <= inside.end;
        format!(
            "frame number={} missed={} format={} width={} height={} bytes={} digest={} in-place={} flags={}",
            frame.number(),
            frame.missed(),
            meta.layout.format,
            meta.layout.width,
            meta.layout.height,
            frame.len(),
            digest(&frame),
            u8::from(lies_inside),
            meta.flags.0,
        )
    }

    /// Reads until the next order; holds some frames and looks at them again before it lets go.
    pub(crate) fn consume(&mut self, hold: usize, orders: &Orders) -> Option<String> {
        println!("ok");
        let mut held = VecDeque::new();
        while !orders.waiting() {
            match self.consumer().next(Duration::from_millis(50)) {
                Ok(frame) => {
                    insist(&frame);
                    self.tally.note(&frame);
                    held.push_back(frame);
                    if held.len() > hold {
                        held.pop_front().iter().for_each(insist);
                    }
                }
                Err(WaitError::TimedOut) => {}
                Err(WaitError::Closed) => self.tally.closed += 1,
                Err(WaitError::ProducerGone) => self.tally.gone += 1,
                Err(WaitError::Other(Error::Read(ReadError::Contended))) => self.tally.contended += 1,
                Err(error) => {
                    println!("error {error:?} :: {error}");
                    std::process::exit(8);
                }
            }
        }
        held.iter().for_each(insist);
        None
    }

    pub(crate) fn verify(&self) -> String {
        match self.frames.iter().find_map(|frame| pattern::check(frame).err()) {
            Some(torn) => torn.to_string(),
            None => format!("ok held={}", self.frames.len()),
        }
    }

    /// Writes into a frame that is held, as a program with a stray pointer would.
    pub(crate) fn scribble(&self) -> String {
        let at = self.frames.first().expect("a frame").as_ptr().cast_mut();
        // SAFETY: none; that the system refuses it is what the test is about.
        unsafe { at.write_volatile(0xff) };
        "ok".to_owned()
    }

    pub(crate) fn notify(&mut self) -> Result<String, Error> {
        self.consumer().notifier()?;
        Ok("ok".to_owned())
    }

    /// Publishes one frame for each that comes, after a little while that varies, and counts the waits that only a
    /// time-out can have ended.
    pub(crate) fn echo(&mut self, count: u64) -> Result<String, Error> {
        let mut late = 0;
        for turn in 0..count {
            let reply = self.next(10_000, false)?;
            let Some(waited) = reply.split("waited=").nth(1).and_then(|millis| millis.parse::<u64>().ok())
            else {
                return Ok(reply);
            };
            late += u64::from(waited >= 240);
            (0..turn % 500).for_each(|_| std::hint::spin_loop());
            self.source().shoot()?;
        }
        Ok(format!("ok late={late}"))
    }

    pub(crate) fn observe(&mut self, lane: &str) -> Result<String, Error> {
        self.observer = Some(Observer::open(lane)?);
        self.copied = 0;
        Ok("ok".to_owned())
    }

    /// Waits for a frame that this observer has not copied yet, and checks the copy.
    pub(crate) fn copy(&mut self, millis: u64) -> Result<String, Error> {
        let observer = self.observer.as_ref().expect("an observer");
        let began = Instant::now();
        let patience = Duration::from_millis(millis);
        let copied = loop {
            observer.wait(patience.saturating_sub(began.elapsed()));
            let copied = observer.copy_newest();
            // A frame is there before its bell rings: who looks between the two is rung for what it has. And the first wait
            // of all returns at once, maybe before the first frame.
            let known = match &copied {
                Ok(Some(copy)) => copy.observed.number == self.copied,
                Ok(None) => true,
                Err(_) => false,
            };
            if !known || began.elapsed() >= patience {
                break copied;
            }
        };
        let waited = began.elapsed().as_millis();
        let incarnation = LaneStatus::of(&observer.address().to_string())?.lane.map(|lane| lane.incarnation);
        Ok(match (copied, incarnation) {
            (Ok(Some(copy)), Some(incarnation)) => match pattern::check_copy(&copy, incarnation) {
                Ok(()) => {
                    self.copied = copy.observed.number;
                    format!("frame number={} waited={waited}", copy.observed.number)
                }
                Err(torn) => torn.to_string(),
            },
            other => format!("nothing {other:?}"),
        })
    }

    /// Looks and waits as an observer, if it is one.
    pub(crate) fn look(&self, millis: u64) -> String {
        if let Some(observer) = &self.observer {
            let _ = observer.peek(); // what was there before is no news
            observer.wait(Duration::from_millis(millis));
        }
        "ok".to_owned()
    }

    /// Copies from the lane that it observes until the next order.
    pub(crate) fn stare(&self, orders: &Orders) -> String {
        println!("ok");
        let observer = self.observer.as_ref().expect("an observer");
        let (mut frames, mut refusals) = (0, 0);
        while !orders.waiting() {
            match observer.copy_newest() {
                Ok(Some(_)) => frames += 1,
                _ => refusals += 1,
            }
        }
        format!("ok frames={frames} refusals={refusals}")
    }

    fn consumer(&mut self) -> &mut Consumer {
        self.consumer.as_mut().expect("a consumer")
    }
}

/// Opens a lane and looks at all that it gives, as an observer and as a consumer in turns, until the next order.
pub(crate) fn gaze(lane: &str, orders: &Orders) -> String {
    println!("ok");
    let (mut frames, mut refusals, mut bytes) = (0, 0, 0);
    let mut count = |looked: Result<usize, String>| match looked {
        Ok(seen) => (frames, bytes) = (frames + 1, bytes + seen),
        Err(_) => refusals += 1,
    };
    while !orders.waiting() {
        if let Ok(observer) = Observer::open(lane) {
            for _ in 0..10 {
                observer.wait(Duration::from_millis(1));
                let copied = observer.copy_newest().map_err(|error| error.to_string());
                count(
                    copied
                        .and_then(|copy| copy.map(|copy| copy.pixels.len()).ok_or_else(|| "none".to_owned())),
                );
                let _ = (observer.info(), observer.state(), observer.peek());
            }
        }
        for read in [Read::Latest, Read::Every] {
            let Ok(mut consumer) = ConsumerOptions::new().read(read).open(lane) else { continue };
            for _ in 0..10 {
                let frame = consumer.next(Duration::from_millis(1)).map_err(|error| error.to_string());
                // Every byte is touched: one that were not there would end this process.
                count(frame.map(|frame| frame.iter().chain(frame.user()).filter(|&&byte| byte != 1).count()));
            }
        }
        let _ = LaneStatus::of(lane);
    }
    format!("ok frames={frames} refusals={refusals} bytes={bytes}")
}

/// Comes and goes.
pub(crate) fn visits(count: u64, lane: &str) -> Result<String, Error> {
    for _ in 0..count {
        let began = Instant::now();
        let mut consumer = loop {
            match Consumer::open(lane) {
                Err(Error::SeatsTaken { .. }) if began.elapsed() < PATIENCE => std::thread::yield_now(),
                other => break other?,
            }
        };
        let frame = consumer.next(PATIENCE).map_err(|error| error.to_string());
        insist(&frame.expect("a frame"));
        let observer = Observer::open(lane)?;
        observer.copy_newest().expect("a copy").expect("a frame");
    }
    Ok("ok".to_owned())
}

/// Ends this process at the first wrong byte.
fn insist(frame: &Frame) {
    if let Err(torn) = pattern::check(frame) {
        println!("{torn}");
        std::process::exit(9);
    }
}
