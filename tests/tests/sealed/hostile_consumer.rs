//! Consumers that write what they like where they may: into their own seat.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use camlane_tests::pattern::Source;
use camlane_tests::raw::{self, Dice, PIN, Raw, seat};
use camlane_tests::wait::{PATIENCE, wait_until};
use nix::fcntl::{FallocateFlags, fallocate};
use rstest::rstest;

use crate::{Place, options, peer, source};

/// Frames published against each attack.
const FRAMES: u64 = 20_000;

type Attack = fn(&'static [AtomicU32], &mut Dice);

fn at_random(words: &'static [AtomicU32], dice: &mut Dice) {
    for word in words {
        word.store(dice.next().unwrap(), Ordering::Relaxed);
    }
}

/// Pins every slot in turn, and never the same for two looks.
fn pins_everything(words: &'static [AtomicU32], dice: &mut Dice) {
    for cell in &words[seat::CELLS..seat::CELLS + 8] {
        cell.store(dice.next().unwrap() % 8, Ordering::Relaxed); // of the six that there are, or none
    }
}

/// Pins slots that are not there.
fn pins_nonsense(words: &'static [AtomicU32], dice: &mut Dice) {
    let slots = [0xffff, 0x8000, 1000, 65, 0xffff_ffff, 0xffff_0000];
    for (cell, slot) in words[seat::CELLS..seat::CELLS + 8].iter().zip(slots.iter().cycle()) {
        cell.store(slot ^ (dice.next().unwrap() << 16), Ordering::Relaxed);
    }
}

fn always_sleeps(words: &'static [AtomicU32], _: &mut Dice) {
    words[seat::SLEEPING].store(1, Ordering::Relaxed);
}

fn is_somebody_else(words: &'static [AtomicU32], dice: &mut Dice) {
    for word in &words[..8] {
        word.store(dice.next().unwrap(), Ordering::Relaxed);
    }
}

/// Publishes at full speed while `attack` goes on and another process reads; nothing may come of it.
fn withstands(source: &Source, place: &Place, attack: impl Fn(&AtomicBool) + Sync) {
    let mut honest = peer();
    honest.must(&format!("open {}", place.address()));
    honest.must("consume 1");
    let over = AtomicBool::new(false);
    let mut longest = std::time::Duration::ZERO;
    thread::scope(|scope| {
        scope.spawn(|| attack(&over));
        // On a busy machine the honest one may get its processor only after so many frames; it is to read under attack.
        let mut has_read = || {
            let tally = honest.must("tally");
            honest.must("consume 1"); // the order before ended it
            tally.number("delivered") > 10
        };
        while source.producer.published() < FRAMES || !has_read() {
            for _ in 0..FRAMES {
                let began = Instant::now();
                source.shoot().expect("no loan fails");
                longest = longest.max(began.elapsed());
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(source.producer.dropped(), 0);
    assert!(longest < PATIENCE / 2, "a publish took {longest:?}");
    let mut tally = honest.must("tally"); // it would have ended at a torn frame
    wait_until("the honest one has read the last", || {
        honest.must("consume 1");
        tally = honest.must("tally");
        tally.number("last") == source.producer.published()
    });
    assert_eq!(tally.number("delivered") + tally.number("missed"), tally.number("distance"), "{tally:?}");
    eprintln!("longest publish {longest:?}, delivered {}", tally.number("delivered"));
}

fn sit_down(place: &Place) -> (Raw, &'static [AtomicU32]) {
    let joined = raw::join(&place.socket(), PIN, false).unwrap();
    let words = raw::words(joined.seat.as_ref().unwrap(), 1024, true).unwrap();
    (joined, words)
}

#[rstest]
#[case::random_words(at_random)]
#[case::pins_of_every_slot(pins_everything)]
#[case::pins_out_of_range(pins_nonsense)]
#[case::a_flag_that_always_says_asleep(always_sleeps)]
#[case::a_false_identity(is_somebody_else)]
fn a_seat_full_of(#[case] attack: Attack) {
    let place = Place::new();
    // Room for two consumers with two pins each, and not one slot more.
    let source = source(&place, options().seats(2).pins(2).history(1).loans(1)).unwrap();
    let (_joined, words) = sit_down(&place);
    withstands(&source, &place, |over| {
        let mut dice = Dice(1);
        while !over.load(Ordering::Relaxed) {
            attack(words, &mut dice);
        }
    });
}

#[test]
fn all_seats_but_one_full_of_random_words() {
    let place = Place::new();
    let source = source(&place, options().seats(8).pins(8).history(1).loans(1)).unwrap();
    let hostile: Vec<_> = (0..7).map(|_| sit_down(&place)).collect();
    withstands(&source, &place, |over| {
        let mut dice = Dice(2);
        while !over.load(Ordering::Relaxed) {
            hostile.iter().for_each(|(_, words)| at_random(words, &mut dice));
        }
    });
}

#[test]
fn a_seat_whose_page_is_freed_again_and_again() {
    let place = Place::new();
    let source = source(&place, options().seats(2).pins(2).history(1).loans(1)).unwrap();
    let (joined, words) = sit_down(&place);
    let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    withstands(&source, &place, |over| {
        while !over.load(Ordering::Relaxed) {
            words[seat::CELLS].store(1, Ordering::Relaxed);
            fallocate(joined.seat.as_ref().unwrap(), punch, 0, 4096).unwrap();
        }
    });
}

#[test]
fn consumers_that_come_and_go_without_end() {
    let place = Place::new();
    let source = source(&place, options().seats(2).pins(2).history(1).loans(1)).unwrap();
    withstands(&source, &place, |over| {
        let mut visits = 0;
        while !over.load(Ordering::Relaxed) {
            visits += u32::from(raw::join(&place.socket(), PIN, true).is_ok());
        }
        eprintln!("{visits} visits");
        assert!(visits > 10, "{visits} visits");
    });
}

#[test]
fn an_old_seat_has_no_power_over_who_sits_there_now() {
    let place = Place::new();
    let source = source(&place, options().seats(1).pins(2).history(1).loans(1)).unwrap();
    let (Raw { socket, seat: kept, .. }, words) = sit_down(&place);
    drop(socket);
    let mut newcomer = peer();
    wait_until("the seat is free", || newcomer.ask(&format!("open {}", place.address())).word() == "ok");
    for _ in 0..2 {
        source.shoot_all(1);
        assert_eq!(newcomer.ask("hold 5000").word(), "frame");
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice(3);
            while !over.load(Ordering::Relaxed) {
                words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
                pins_everything(words, &mut dice);
            }
        });
        source.shoot_all(5_000);
        over.store(true, Ordering::Relaxed);
    });
    newcomer.must("verify");
    newcomer.must("release");
    assert_eq!(newcomer.ask("next 5000").number("number"), 5_002);
    drop(kept);
}

#[test]
fn a_seat_that_was_left_pins_nothing_though_its_last_owner_goes_on_writing() {
    let place = Place::new();
    // Over-committed: two slots besides the one that may be pinned.
    let source = source(&place, options().seats(1).pins(8).history(1).loans(1).slots(3)).unwrap();
    let (Raw { socket, seat: kept, .. }, words) = sit_down(&place);
    let pin_all =
        || (1..=3).for_each(|slot| words[seat::CELLS + slot as usize].store(slot, Ordering::Relaxed));
    source.shoot_all(1);
    pin_all();
    wait_until("every slot is pinned", || source.shoot().is_err());
    drop(socket);
    wait_until("the seat was taken from it", || source.shoot().is_ok());
    pin_all();
    source.shoot_all(100);
    drop(kept);
}
