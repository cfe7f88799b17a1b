//! Everything at once: a producer at full speed, and consumers that die, stop and come back at random moments.

use std::env;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use camlane::LaneStatus;
use camlane_tests::lane::TestLane;
use camlane_tests::peer::{Peer, Reply};
use camlane_tests::wait::wait_until;
use nix::sys::signal::Signal;

use crate::peer;

/// How long it lasts unless `CAMLANE_STORM_SECONDS` says otherwise.
const SECONDS: u64 = 8;
const CONSUMERS: usize = 6;
const PINS: usize = 3;
const HISTORY: u64 = 4;

#[test]
fn in_a_storm_no_frame_is_torn_none_is_miscounted_and_nothing_is_left_over() {
    let seconds =
        env::var("CAMLANE_STORM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut random = Random(seed | 1);
    let lane = TestLane::new("storm");
    let mut producer = peer();
    producer.must(&format!(
        "create {} bytes=60000 seats={CONSUMERS} pins={PINS} history={HISTORY} loans=2",
        lane.name()
    ));
    let mut consumers: Vec<Peer> = (0..CONSUMERS).map(|_| newcomer(&lane, &mut random)).collect();
    producer.must("flood");

    let (began, mut events) = (Instant::now(), [0u32; 4]);
    while began.elapsed() < Duration::from_secs(seconds) {
        let goal = published(&lane).wrapping_add(random.below(300) as u32);
        wait_until("the producer went on", || published(&lane).wrapping_sub(goal) < 1 << 29);
        let victim = random.below(CONSUMERS as u64) as usize;
        let event = random.below(4) as usize;
        events[event] += 1;
        match event {
            0 => {
                bury(consumers.swap_remove(victim));
                consumers.push(newcomer(&lane, &mut random));
            }
            1 => consumers[victim].signal(Signal::SIGSTOP),
            2 => consumers[victim].signal(Signal::SIGCONT),
            _ => {
                finish(consumers.swap_remove(victim));
                consumers.push(newcomer(&lane, &mut random));
            }
        }
    }
    let mut frames = 0;
    for consumer in consumers {
        frames += finish(consumer);
    }
    let end = producer.must("drain");
    let slots = CONSUMERS as u64 * PINS as u64 + HISTORY + 2;
    eprintln!(
        "seed {seed}: kills, stops, resumes, restarts {events:?}; {end:?}; {frames} frames read by the last six"
    );
    assert_eq!(end.number("loans"), slots - HISTORY, "every slot outside the history can be had");
    assert_eq!(end.number("dropped"), 0, "the producer never went without");
    assert!(end.number("published") > 1000 && frames > 0);
    let mut seats = producer.must("seats");
    wait_until("the dead are cleared away", || {
        seats = producer.must("seats");
        seats.number("taken") == 0
    });
    assert_eq!(seats.number("pins"), 0);
}

/// Starts a consumer that reads without end.
fn newcomer(lane: &TestLane, random: &mut Random) -> Peer {
    let mut consumer = peer();
    let read = if random.below(2) == 0 { "latest" } else { "every" };
    let order = format!("open {} read={read}", lane.name());
    wait_until("a seat is free", || consumer.ask(&order).word() == "ok");
    consumer.must(&format!("consume {}", random.below(PINS as u64)));
    consumer
}

/// Kills a consumer, which has said nothing: it speaks only of what is wrong.
fn bury(mut consumer: Peer) {
    consumer.kill();
    assert_eq!(consumer.answer(), None);
}

/// Ends a consumer in good order, checks its accounts, and returns how many frames it got.
fn finish(mut consumer: Peer) -> u64 {
    consumer.signal(Signal::SIGCONT);
    let tally: Reply = consumer.must("tally");
    assert_eq!(tally.number("delivered") + tally.number("missed"), tally.number("distance"), "{tally:?}");
    assert_eq!(tally.number("gone") + tally.number("closed") + tally.number("restarts"), 0, "{tally:?}");
    consumer.must("leave");
    assert!(consumer.end().success());
    tally.number("delivered")
}

fn published(lane: &TestLane) -> u32 {
    LaneStatus::of(lane.name()).unwrap().lane.unwrap().published
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
