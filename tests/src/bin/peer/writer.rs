//! The peer as a producer.

use std::thread;
use std::time::Duration;

use camlane::{Error, FrameMeta, LaneOptions, PixelFormat, Sharing};
use camlane_tests::lane::is_asleep;
use camlane_tests::pattern::Source;
use camlane_tests::wait::wait_until;

use crate::Peer;
use crate::order::Order;
use camlane_tests::orders::Orders;

impl Peer {
    pub(crate) fn create(&mut self, order: &Order<'_>) -> Result<String, Error> {
        let layout = match order.option_number("gray") {
            Some(side) => PixelFormat::GRAY8.layout(side, side, 1)?,
            None => FrameMeta::bytes(order.option_number("bytes").unwrap_or(16 * 1024)).layout,
        };
        let mut options = LaneOptions::for_frames(&layout);
        for (name, set) in [
            ("seats", LaneOptions::seats as fn(LaneOptions, u32) -> LaneOptions),
            ("pins", LaneOptions::pins),
            ("history", LaneOptions::history),
            ("loans", LaneOptions::loans),
            ("slots", LaneOptions::slots),
        ] {
            if let Some(value) = order.option_number(name) {
                options = set(options, value);
            }
        }
        options = options.sharing(match order.option("sharing") {
            None | Some("owner") => Sharing::Owner,
            Some("group") => Sharing::Group,
            Some("everyone") => Sharing::Everyone,
            Some(other) => panic!("sharing={other}"),
        });
        let source = Source::create(order.text(1), layout, &options)?;
        let reply = format!("ok slots={}", source.producer.shape().slots());
        self.source = Some(source);
        Ok(reply)
    }

    pub(crate) fn publish(&mut self, count: u64) -> Result<String, Error> {
        let source = self.source();
        let mut last = 0;
        for _ in 0..count {
            last = source.shoot()?;
        }
        Ok(format!("ok number={last}"))
    }

    /// Publishes as a camera does: a frame at each tick.
    pub(crate) fn paced(&mut self, count: u64, micros: u64) -> Result<String, Error> {
        for _ in 0..count {
            self.source().shoot()?;
            thread::sleep(Duration::from_micros(micros));
        }
        Ok(format!("ok number={}", self.source().producer.published()))
    }

    /// Publishes as fast as it can until the next order.
    pub(crate) fn flood(&mut self, orders: &Orders) -> Option<String> {
        println!("ok");
        while !orders.waiting() {
            for _ in 0..16 {
                if let Err(error) = self.source().shoot() {
                    println!("error {error:?} :: {error}");
                }
            }
        }
        None
    }

    /// Publishes as soon as a consumer of that lane is asleep.
    pub(crate) fn when_asleep(&mut self, lane: &str, count: u64) -> Result<String, Error> {
        wait_until("somebody sleeps", || is_asleep(lane));
        self.publish(count)
    }

    pub(crate) fn lend(&mut self) -> Result<String, Error> {
        self.loans.push(self.source().producer.loan()?);
        Ok("ok".to_owned())
    }

    pub(crate) fn publish_lent(&mut self) -> Result<String, Error> {
        let loan = self.loans.pop().expect("a loan");
        Ok(format!("ok number={}", self.source().publish(loan)?))
    }

    /// Counts the loans that can be had at once, and gives them back.
    pub(crate) fn drain(&mut self) -> Result<String, Error> {
        let producer = &self.source().producer;
        let published = producer.published();
        let mut loans = Vec::new();
        let refused = loop {
            match producer.loan() {
                Ok(loan) => loans.push(loan),
                Err(error) => break error,
            }
        };
        // The refusal that ends the count is counted as a dropped frame.
        let dropped = producer.dropped() - 1;
        match refused {
            Error::Loan(_) => Ok(format!("ok loans={} published={published} dropped={dropped}", loans.len())),
            error => Err(error),
        }
    }

    /// Gives the seats of the dead back and says who sits in the others.
    pub(crate) fn seats(&mut self) -> Result<String, Error> {
        let producer = &self.source().producer;
        let reclaimed = producer.reclaim();
        let consumers = producer.consumers();
        let pins: u32 = consumers.iter().map(|seat| seat.pins).sum();
        Ok(format!("ok reclaimed={reclaimed} taken={} pins={pins}", consumers.len()))
    }

    pub(crate) fn source(&self) -> &Source {
        self.source.as_ref().expect("a producer")
    }
}
