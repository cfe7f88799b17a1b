//! Sleeping and being woken: by frames, by ends, by one of several lanes, through a descriptor.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use camlane::{
    Consumer, ConsumerOptions, FrameMeta, LaneOptions, LaneStatus, Observer, PauseReason, Producer, Read,
    WaitError, wait_any,
};
use camlane_tests::lane::{TestLane, is_asleep};
use camlane_tests::pattern::{self, Source};
use camlane_tests::wait::{PATIENCE, wait_until};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use rstest::rstest;

use crate::{options, peer, source};

/// A sleeper that nobody wakes looks around by itself after 250 ms, which would hide the loss of a wake-up.
const LOOK_AROUND: Duration = Duration::from_millis(240);

/// The other side answers from its sleep, or so fast that the answer comes while this side falls asleep.
#[rstest]
#[case::between_two_sleepers("sleep")]
#[case::by_a_sleeper_whose_peer_spins("spin")]
fn no_wake_up_is_lost_in_twenty_thousand_turns(#[case] wait: &str) {
    const TURNS: u64 = 20_000;
    let (there, back) = (TestLane::new("ping"), TestLane::new("pong"));
    // Short frames, or their checks would take longer than it takes to fall asleep.
    let source =
        Source::create(there.name(), FrameMeta::bytes(64).layout, &LaneOptions::for_bytes(64).seats(1))
            .unwrap();
    let mut other = peer();
    other.must(&format!("create {} bytes=64 seats=1", back.name()));
    other.must(&format!("open {} wait={wait}", there.name()));
    let mut consumer = Consumer::open(back.name()).unwrap();
    other.tell(&format!("echo {TURNS}"));
    let mut late = 0;
    for turn in 1..=TURNS {
        source.shoot_all(1);
        let began = Instant::now();
        let frame = consumer.next(PATIENCE).unwrap();
        assert_eq!(frame.number(), turn);
        late += u64::from(began.elapsed() >= LOOK_AROUND);
        assert!(late < 3, "{late} of {turn} waits ended by time alone");
    }
    let end = other.answer().unwrap();
    assert!(end.number("late") < 3, "{end:?} in {TURNS} turns");
}

#[test]
fn who_waits_for_several_lanes_is_woken_though_a_notifier_sleeps_in_the_same_seat() {
    const TURNS: u64 = 2_000;
    let (there, back) = (TestLane::new("any-ping"), TestLane::new("any-pong"));
    let source =
        Source::create(there.name(), FrameMeta::bytes(64).layout, &LaneOptions::for_bytes(64).seats(1))
            .unwrap();
    let mut other = peer();
    other.must(&format!("create {} bytes=64 seats=1", back.name()));
    other.must(&format!("open {}", there.name()));
    let mut consumer = Consumer::open(back.name()).unwrap();
    consumer.notifier().unwrap();
    other.tell(&format!("echo {TURNS}"));
    let mut late = 0;
    for turn in 1..=TURNS {
        source.shoot_all(1);
        let began = Instant::now();
        let (_, frame) = wait_any(&mut [&mut consumer], PATIENCE).unwrap();
        assert_eq!(frame.number(), turn);
        late += u64::from(began.elapsed() >= LOOK_AROUND);
        assert!(late < 3, "{late} of {turn} waits ended by time alone");
    }
}

#[test]
fn who_waits_for_several_lanes_leaves_the_flag_of_the_seat_to_its_notifier() {
    let lane = TestLane::new("any-flag");
    let _source = source(&lane, options()).unwrap();
    let mut consumer = Consumer::open(lane.name()).unwrap();
    consumer.notifier().unwrap();
    let mut up = 0;
    for _ in 0..20 {
        wait_until("the notifier sleeps", || is_asleep(lane.name()));
        let waited = wait_any(&mut [&mut consumer], Duration::from_millis(2));
        assert!(matches!(waited, Err(WaitError::TimedOut)));
        up += u32::from(is_asleep(lane.name())); // down only as long as the notifier itself looks around
    }
    assert!(up >= 15, "up after {up} of 20 waits");
}

#[test]
fn one_of_several_lanes_wakes_the_one_who_waits_for_all() {
    let lanes = [TestLane::new("any-a"), TestLane::new("any-b"), TestLane::new("any-c")];
    let mut producers = lanes.each_ref().map(|lane| {
        let mut producer = peer();
        producer.must(&format!("create {}", lane.name()));
        producer
    });
    let mut consumers = lanes.each_ref().map(|lane| Consumer::open(lane.name()).unwrap());
    assert!(matches!(
        wait_any(&mut consumers.each_mut(), Duration::from_millis(20)),
        Err(WaitError::TimedOut)
    ));
    let mut late = 0;
    for round in 0..30 {
        let which = round % 3;
        producers[which].tell(&format!("when-asleep {} 1", lanes[which].name()));
        let began = Instant::now();
        let (index, frame) = wait_any(&mut consumers.each_mut(), PATIENCE).unwrap();
        pattern::check(&frame).unwrap();
        assert_eq!((index, frame.number()), (which, round as u64 / 3 + 1));
        assert_eq!(producers[which].answer().unwrap().word(), "ok");
        late += u32::from(began.elapsed() >= LOOK_AROUND);
    }
    assert!(late < 5, "{late} of 30 waits ended by time alone");
    producers[1].kill();
    assert!(matches!(wait_any(&mut consumers.each_mut(), PATIENCE), Err(WaitError::ProducerGone)));
    assert!(matches!(
        wait_any(&mut consumers.each_mut(), Duration::from_millis(20)),
        Err(WaitError::TimedOut)
    ));
    producers[2].must("publish 1");
    let (index, _) = wait_any(&mut consumers.each_mut(), PATIENCE).expect("the others go on");
    assert_eq!(index, 2);
    producers[1] = peer();
    producers[1].must(&format!("create {}", lanes[1].name()));
    producers[1].must("publish 1");
    let (index, frame) = wait_any(&mut consumers.each_mut(), PATIENCE).unwrap();
    assert!(index == 1 && frame.change().restarted);
}

#[rstest]
#[case::asleep(camlane::Wait::Sleep)]
#[case::adaptive(camlane::Wait::Adaptive)]
#[case::spinning(camlane::Wait::Spin)]
fn a_wait_without_frames_ends_when_its_time_is_over(#[case] wait: camlane::Wait) {
    let lane = TestLane::new("timeout");
    let source = source(&lane, options()).unwrap();
    let mut consumer = ConsumerOptions::new().wait(wait).open(lane.name()).unwrap();
    for millis in [0, 1, 30, 400] {
        let (limit, began) = (Duration::from_millis(millis), Instant::now());
        assert!(matches!(consumer.next(limit), Err(WaitError::TimedOut)));
        let took = began.elapsed();
        assert!(took >= limit && took < limit + Duration::from_secs(5), "{took:?} instead of {limit:?}");
    }
    source.shoot_all(1);
    assert_eq!(consumer.next(Duration::ZERO).unwrap().number(), 1, "what is there needs no time");
}

#[rstest]
#[case::asleep("sleep")]
#[case::adaptive("adaptive")]
#[case::spinning("spin")]
fn every_frame_of_a_rhythm_is_delivered_however_one_waits(#[case] wait: &str) {
    let lane = TestLane::new("rhythm");
    let mut producer = peer();
    producer.must(&format!("create {} bytes=4096 seats=1 history=600", lane.name()));
    let mut consumer = peer();
    consumer.must(&format!("open {} read=every wait={wait}", lane.name()));
    consumer.must("consume 0");
    producer.must("paced 300 2000");
    let mut tally = consumer.must("tally");
    while tally.number("last") < 300 {
        consumer.must("consume 0");
        tally = consumer.must("tally");
    }
    assert_eq!((tally.number("delivered"), tally.number("missed")), (300, 0), "{tally:?}");
}

#[test]
fn a_consumer_that_waits_notices_the_death_of_its_producer() {
    let lane = TestLane::new("death");
    let mut producer = peer();
    producer.must(&format!("create {}", lane.name()));
    let mut consumer = peer();
    consumer.must(&format!("open {}", lane.name()));
    consumer.tell("next 60000");
    wait_until("it sleeps", || is_asleep(lane.name()));
    producer.kill();
    let began = Instant::now();
    assert_eq!(consumer.answer().unwrap().word(), "gone");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_stopped_producer_is_not_a_dead_one() {
    let lane = TestLane::new("pause");
    let mut producer = peer();
    producer.must(&format!("create {}", lane.name()));
    let mut consumer = Consumer::open(lane.name()).unwrap();
    producer.signal(Signal::SIGSTOP);
    assert!(matches!(consumer.next(Duration::from_millis(600)), Err(WaitError::TimedOut)));
    producer.signal(Signal::SIGCONT);
    producer.must("publish 1");
    assert_eq!(consumer.next(PATIENCE).unwrap().number(), 1);
}

#[test]
fn a_descriptor_is_readable_for_as_long_as_there_is_something_to_read() {
    let lane = TestLane::new("poll");
    let mut producer = peer();
    producer.must(&format!("create {}", lane.name()));
    let mut consumer = ConsumerOptions::new().read(Read::Every).open(lane.name()).unwrap();
    consumer.notifier().unwrap();
    settle(&mut consumer);

    producer.must("publish 3");
    for number in 1..=3 {
        assert!(readable(&mut consumer, PATIENCE), "frame {number} was not read yet");
        assert_eq!(consumer.try_next().unwrap().unwrap().number(), number);
    }
    settle(&mut consumer);
    producer.must("publish 1");
    assert_eq!(consumer.next(PATIENCE).unwrap().number(), 4, "waiting without poll still works");
    settle(&mut consumer);
    producer.must("publish 1");
    assert!(readable(&mut consumer, PATIENCE));
}

/// An end and a beginning are news as frames are: who sleeps in poll must hear of both.
#[rstest]
#[case::that_was_killed("kill", WaitError::ProducerGone)]
#[case::that_ended("close", WaitError::Closed)]
fn a_descriptor_tells_of_the_end_of_a_producer_and_of_the_next_one(
    #[case] how: &str,
    #[case] expected: WaitError,
) {
    let lane = TestLane::new("poll-again");
    let mut first = peer();
    first.must(&format!("create {}", lane.name()));
    let mut consumer = Consumer::open(lane.name()).unwrap();
    consumer.notifier().unwrap();
    first.must("publish 1");
    assert!(readable(&mut consumer, PATIENCE));
    assert_eq!(consumer.try_next().unwrap().unwrap().number(), 1);
    settle(&mut consumer);

    if how == "kill" {
        first.kill();
    } else {
        first.must(how);
    }
    let told = loop {
        assert!(readable(&mut consumer, PATIENCE), "the end is news");
        match consumer.next(Duration::ZERO) {
            Err(WaitError::TimedOut) => {}
            other => break other,
        }
    };
    assert_eq!(told.unwrap_err().to_string(), expected.to_string());

    let mut second = peer();
    second.must(&format!("create {}", lane.name()));
    second.must("publish 1");
    let began = Instant::now();
    let frame = loop {
        assert!(readable(&mut consumer, PATIENCE) && began.elapsed() < PATIENCE, "the beginning is news");
        if let Some(frame) = consumer.try_next().unwrap() {
            break frame;
        }
    };
    assert!(frame.change().restarted && frame.number() == 1);
}

fn readable(consumer: &mut Consumer, limit: Duration) -> bool {
    let notifier = consumer.notifier().unwrap();
    let mut fds = [PollFd::new(notifier.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::try_from(limit).unwrap()).unwrap() > 0
}

/// Reads until there is nothing, and the descriptor stays unreadable.
fn settle(consumer: &mut Consumer) {
    wait_until("the descriptor stays unreadable", || {
        while consumer.try_next().unwrap().is_some() {}
        !readable(consumer, Duration::from_millis(200))
    });
}

#[rstest]
#[case::named("")]
#[case::sealed("sealed:")]
fn a_reader_is_told_why_no_frames_come_and_for_how_long(#[case] kind: &str) {
    let lane = TestLane::new("pause");
    let socket = std::env::temp_dir().join(format!("{}.sock", lane.name()));
    let address =
        if kind.is_empty() { lane.name().to_owned() } else { format!("{kind}{}", socket.display()) };
    let producer = Producer::create(&address, &LaneOptions::for_bytes(64).seats(1)).unwrap();
    let mut consumer = Consumer::open(&address).unwrap();
    let observer = Observer::open(&address).unwrap();
    assert_eq!((consumer.pause(), observer.pause()), (None, None));

    producer.pause(PauseReason::UNPLUGGED, Some(19));
    assert!(matches!(consumer.next(Duration::from_millis(20)), Err(WaitError::TimedOut)));
    let told = consumer.pause().unwrap();
    assert_eq!((told.reason, told.errno), (PauseReason::UNPLUGGED, Some(19)));
    assert!(told.lasted >= Duration::from_millis(19), "{told:?}");
    let text = told.to_string();
    assert!(text.starts_with("the camera is unplugged (ENODEV") && text.ends_with(", for 0 s"), "{text}");
    assert_eq!(
        LaneStatus::of(&address).unwrap().lane.unwrap().pause.map(|told| told.reason),
        Some(told.reason)
    );

    // Another reason for the same pause: it has lasted since the first.
    producer.pause(PauseReason::BUSY, None);
    let then = observer.pause().unwrap();
    assert_eq!((then.reason, then.errno), (PauseReason::BUSY, None));
    assert!(then.lasted >= told.lasted, "{then:?} after {told:?}");

    producer.resume();
    assert_eq!((consumer.pause(), observer.pause()), (None, None));
    producer.publish(producer.loan().unwrap(), &FrameMeta::bytes(64)).unwrap();
    assert_eq!(consumer.next(PATIENCE).unwrap().number(), 1);
}
