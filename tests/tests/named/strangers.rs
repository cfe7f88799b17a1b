//! Those who may write a named lane's objects, or the folder they lie in, and use that on purpose. What they can do is what
//! GUARANTEES.md says, "What is not guaranteed", and nothing else: no camera stops while its objects have their length, and
//! nobody panics or hangs.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use camlane::{Consumer, LaneStatus, StreamOptions, StreamWriter};
use camlane_tests::lane::TestLane;
use camlane_tests::peer::Peer;
use camlane_tests::raw::{self, BELL, Dice, seat};
use camlane_tests::wait::{PATIENCE, wait_until};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc::{SIGBUS, off_t};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rstest::rstest;

use crate::surroundings::peer_after;
use crate::{options, peer, source};

const PEER: &str = env!("CARGO_BIN_EXE_peer");
const PUNCH: FallocateFlags = FallocateFlags::FALLOC_FL_PUNCH_HOLE.union(FallocateFlags::FALLOC_FL_KEEP_SIZE);

/// All words of an object, as its owner may write them.
fn words(lane: &TestLane, part: &str) -> &'static [AtomicU32] {
    let file = OpenOptions::new().read(true).write(true).open(lane.file(part)).unwrap();
    let len = file.metadata().unwrap().len() as usize;
    raw::words(&file.into(), len / 4, true).unwrap()
}

/// The words of one seat, found by the header alone (core/FORMAT.md, sections 2 and 7).
fn seat_of(lane: &TestLane, index: usize) -> &'static [AtomicU32] {
    let header = fs::read(lane.file("data")).unwrap();
    let word = |at: usize| u32::from_le_bytes(header[at..][..4].try_into().unwrap()) as usize;
    let at = index * word(0x68) + index % word(0x78).max(1) * 192;
    &words(lane, "seats")[at / 4..][..seat::WORDS]
}

/// Two processes that open the lane again and again and read whatever is there.
fn gazers(lane: &TestLane) -> [Peer; 2] {
    let mut gazers = [peer(), peer()];
    gazers.iter_mut().for_each(|gazer| drop(gazer.must(&format!("gaze {}", lane.name()))));
    gazers
}

/// They must be there still. Returns what they got: frames and refusals.
#[track_caller]
fn looks_of(gazers: [Peer; 2]) -> u64 {
    let looks = gazers.map(|mut gazer| {
        let tally = gazer.must("look 0");
        tally.number("frames") + tally.number("refusals")
    });
    looks.iter().sum()
}

/// Pins of every slot, whatever its state, pins of none, flags, and what looks like part of a seat.
fn nasty(slots: u32) -> Vec<u32> {
    let odd = [slots + 1, 0xffff, 0x1_0000, 0x8000, 1 << 31, u32::MAX, u32::from_le_bytes(*b"seat"), 1 << 16];
    (0..=slots).chain(odd).chain((1..=slots).map(|slot| 0xabcd_0000 | slot)).collect()
}

#[test]
fn no_word_of_two_seats_at_any_value_takes_a_loan_from_the_camera_or_a_frame_from_a_third() {
    let lane = TestLane::new("nasty");
    // Room for three consumers with two pins each, and not one slot more.
    let source = source(&lane, options().seats(3).pins(2).history(1).loans(1)).unwrap();
    let mut honest = peer();
    assert_eq!(honest.must(&format!("open {} read=every", lane.name())).number("seat"), 0);
    let values = nasty(source.producer.shape().slots());
    honest.must("consume 1");
    for word in 0..seat::WORDS {
        for &value in &values {
            for seat in [1, 2] {
                seat_of(&lane, seat)[word].store(value, Ordering::Relaxed);
            }
            // While a slot is being written, too.
            let loan = source.producer.loan().expect("no loan fails");
            seat_of(&lane, 1)[seat::CELLS].store(value, Ordering::Relaxed);
            source.publish(loan).unwrap();
            source.shoot_all(2);
        }
    }
    // And all slots that two seats can pin, at every moment another choice.
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (seats, mut dice) = ([1, 2].map(|seat| seat_of(&lane, seat)), Dice(5));
            while !over.load(Ordering::Relaxed) {
                for words in seats {
                    words[seat::CELLS..][..8].iter().for_each(|cell| {
                        cell.store(values[dice.next().unwrap() as usize % values.len()], Ordering::Relaxed);
                    });
                    words[seat::SLEEPING].store(1, Ordering::Relaxed);
                }
            }
        });
        source.shoot_all(20_000);
        over.store(true, Ordering::Relaxed);
    });
    let published = source.producer.published();
    assert_eq!(source.producer.dropped(), 0);
    let mut tally = honest.must("tally"); // it would have ended at a torn frame
    wait_until("the honest one has read the last", || {
        honest.must("consume 1");
        tally = honest.must("tally");
        tally.number("last") == published
    });
    assert_eq!(tally.number("delivered") + tally.number("missed"), tally.number("distance"), "{tally:?}");
}

#[test]
fn who_may_write_the_seats_can_take_a_frame_from_under_another_and_no_more() {
    let lane = TestLane::new("unpinned");
    let source = source(&lane, options().seats(2).pins(2).history(1).loans(1)).unwrap();
    let (mut victim, mut other) = (peer(), peer());
    for peer in [&mut victim, &mut other] {
        peer.must(&format!("open {}", lane.name()));
    }
    source.shoot_all(1);
    for peer in [&mut victim, &mut other] {
        assert_eq!(peer.ask("hold 5000").number("number"), 1);
    }
    let (own, others) = (seat_of(&lane, 0), seat_of(&lane, 1));
    own[seat::CELLS..][..8].iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
    source.shoot_all(100);
    other.must("verify"); // its pin is of the same slot
    others[seat::CELLS..][..8].iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
    source.shoot_all(100);
    for peer in [&mut victim, &mut other] {
        assert!(peer.ask("verify").says("torn"), "that is what a sealed lane is for");
        peer.must("release");
        assert_eq!(peer.ask("next 5000").number("number"), 201);
    }
}

#[test]
fn consumers_whose_own_seats_are_scribbled_over_neither_die_nor_hang() {
    let lane = TestLane::new("scribbled-seats");
    let source = source(&lane, options().seats(4)).unwrap();
    source.shoot_all(1);
    let gazers = gazers(&lane);
    let (seats, mut dice) = ([0, 1, 2, 3].map(|seat| seat_of(&lane, seat)), Dice(6));
    let values = nasty(source.producer.shape().slots());
    for turn in 0..20_000 {
        let words = seats[dice.next().unwrap() as usize % seats.len()];
        // The identity now and then: with a wrong one nobody sits down.
        let first = if turn % 50 == 0 { 0 } else { seat::SLEEPING };
        let word = first + dice.next().unwrap() as usize % (seat::WORDS - first);
        words[word].store(values[dice.next().unwrap() as usize % values.len()], Ordering::Relaxed);
        source.shoot_all(1);
    }
    assert_eq!(source.producer.dropped(), 0);
    assert!(looks_of(gazers) > 0);
}

#[test]
fn the_camera_does_not_believe_its_own_data_and_readers_survive_every_word_of_it() {
    let lane = TestLane::new("nasty-data");
    let source = source(&lane, options().seats(4)).unwrap();
    source.shoot_all(10);
    let gazers = gazers(&lane);
    let shape = *source.producer.shape();
    let (data, values) = (words(&lane, "data"), nasty(shape.slots()));
    let front = shape.payload_offset() as usize / 4;
    for word in (0..front).filter(|word| data[*word].load(Ordering::Relaxed) != 0 || word % 7 == 0) {
        for &value in values.iter().step_by(1 + word % 5) {
            let before = data[word].swap(value, Ordering::Relaxed);
            source.shoot_all(1);
            if word < 64 {
                data[word].store(before, Ordering::Relaxed); // the header: else nobody attaches any more
            }
        }
        // What no producer writes again stays wrong, and one who is overtaken by it is told that the lane is corrupt.
    }
    let bell = &data[BELL];
    for _ in 0..1_000 {
        bell.store(bell.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed); // rung back: as if nothing came
        source.shoot_all(1);
    }
    assert_eq!(source.producer.dropped(), 0, "the camera has books of its own");
    assert!(looks_of(gazers) > 0);
}

#[test]
fn holes_in_a_lane_are_other_pixels_and_nobody_ends() {
    let lane = TestLane::new("holes");
    let source = source(&lane, options().seats(4)).unwrap();
    source.shoot_all(10);
    let mut holder = peer();
    holder.must(&format!("open {}", lane.name()));
    assert_eq!(holder.ask("hold 5000").number("number"), 10);
    let gazers = gazers(&lane);
    let files = ["data", "seats"].map(|part| OpenOptions::new().write(true).open(lane.file(part)).unwrap());
    for turn in 0..500 {
        for file in &files {
            let (page, pages) = (4096, file.metadata().unwrap().len() as off_t / 4096); // 32 bits on some processors
            fallocate(file, PUNCH, 0, pages * page).unwrap();
            fallocate(file, PUNCH, turn % pages * page, page).unwrap();
        }
        source.shoot_all(3);
    }
    assert_eq!(source.producer.dropped(), 0);
    assert!(holder.ask("verify").says("torn"), "its pixels are zeros");
    holder.must("release");
    looks_of(gazers); // most find no lane to open
    // Nobody new: there is no header any more. The next camera is told, as for every foreign object.
    assert!(Consumer::open(lane.name()).is_err());
    drop(source);
    assert_eq!(lane.parts(), ["lock"]);
}

/// A page that was punched out needs memory again.
#[test]
fn a_hole_where_no_memory_is_left_ends_the_camera_with_sigbus() {
    let Some(mut camera) = peer_after(&["-m"], "mount -t tmpfs -o size=8m shm /dev/shm") else { return };
    camera.must("create x");
    camera.must("publish 1");
    let script =
        "fallocate -p -o 0 -l 1m /dev/shm/camlane.x.data; cat /dev/zero > /dev/shm/fill 2>&1 || true";
    let pid = camera.pid().to_string();
    let vandal = Command::new("nsenter").args(["--target", &pid, "--mount", "sh", "-ec", script]).output();
    let vandal = vandal.unwrap();
    assert!(vandal.status.success(), "{vandal:?}");
    camera.tell("publish 1");
    assert_eq!(camera.death(), Some(SIGBUS));
}

#[rstest]
#[case::of_the_data("data")]
#[case::of_the_seats("seats")]
fn cutting_an_object_ends_its_camera_with_sigbus_and_leaves_the_name_to_the_next(#[case] part: &str) {
    let lane = TestLane::new("cut-camera");
    let mut camera = peer();
    camera.must(&format!("create {}", lane.name()));
    camera.must("publish 10");
    OpenOptions::new().write(true).open(lane.file(part)).unwrap().set_len(0).unwrap();
    camera.tell("publish 10");
    assert_eq!(camera.death(), Some(SIGBUS));
    let next = source(&lane, options()).unwrap();
    next.shoot_all(1);
    assert_eq!(Consumer::open(lane.name()).unwrap().next(PATIENCE).unwrap().number(), 1);
}

/// Puts something under a part's name. What it is must still be there if it was refused.
fn put(lane: &TestLane, part: &str, what: &str) {
    let path = lane.file(part);
    match what {
        "directory" => fs::create_dir(&path).unwrap(),
        "pipe" => mkfifo(&path, Mode::S_IRWXU).unwrap(),
        "device" => symlink("/dev/zero", &path).unwrap(),
        "link" => symlink(lane.file("nowhere"), &path).unwrap(),
        "socket" => drop(UnixListener::bind(&path).unwrap()),
        "empty" => drop(File::create(&path).unwrap()),
        "odd" => fs::write(&path, [b'c'; 4097]).unwrap(),
        "seats" => {
            let other = TestLane::new("kind");
            let _source = source(&other, options()).unwrap();
            fs::copy(other.file("seats"), &path).unwrap();
        }
        "stream" => {
            let other = TestLane::new("kind");
            let _writer = StreamWriter::create(other.name(), &StreamOptions::new(4096)).unwrap();
            fs::copy(other.file("data"), &path).unwrap();
        }
        _ => unreachable!("{what}"),
    }
}

/// Whoever could write in `/dev/shm` could once stop every reader, and `camlane ls` of all users, for as long as he liked:
/// opening a pipe waits for its other end.
#[rstest]
fn what_is_no_object_of_a_lane_is_refused_at_once_and_left_as_it_is(
    #[values("data", "seats", "lock", "data.new", "seats.new")] part: &str,
    #[values("directory", "pipe", "device", "link", "socket", "empty", "odd", "seats", "stream")] what: &str,
) {
    let lane = TestLane::new("kinds");
    put(&lane, part, what);
    let kind = |lane: &TestLane| fs::symlink_metadata(lane.file(part)).map(|found| found.file_type()).ok();
    let before = kind(&lane);
    let mut stranger = peer();
    // Readers first: they find no lane, or part of none.
    for order in ["open", "observe", "stream-open"] {
        let reply = stranger.ask(&format!("{order} {}", lane.name()));
        if (order, part, what) == ("observe", "data", "stream") {
            // One may look at a stream, but there is no frame in it.
            assert!(reply.word() == "ok" && stranger.ask("copy 0").word() == "nothing", "{reply:?}");
        } else {
            assert!(reply.word() == "error" && reply.says(" :: "), "{order}: {reply:?}");
        }
        assert_eq!(kind(&lane), before, "{order}");
    }
    stranger.must(&format!("status {}", lane.name()));
    for order in ["create", "stream-create"] {
        let reply = stranger.ask(&format!("{order} {}", lane.name()));
        if reply.word() == "ok" {
            assert!(before.is_none_or(|kind| !kind.is_dir()), "a folder is in the way");
            stranger.must("drop");
        } else {
            assert!(reply.word() == "error" && reply.says(" :: "), "{order}: {reply:?}");
            assert_eq!(kind(&lane), before, "{order} was refused: {reply:?}");
        }
    }
    let _ = fs::remove_dir(lane.file(part));
    lane.remove();
    stranger.must(&format!("create {}", lane.name()));
}

#[rstest]
fn a_lane_whose_names_become_something_else_goes_on_for_who_is_inside(
    #[values("directory", "pipe", "link", "socket", "odd", "stream")] what: &str,
) {
    let lane = TestLane::new("replaced");
    let mut camera = peer();
    camera.must(&format!("create {}", lane.name()));
    let mut inside = peer();
    inside.must(&format!("open {} read=every", lane.name()));
    for part in ["data", "seats", "lock"] {
        fs::remove_file(lane.file(part)).unwrap();
        put(&lane, part, what);
    }
    camera.must("publish 3");
    for number in 1..=3 {
        assert_eq!(inside.ask("next 5000").number("number"), number);
    }
    assert!(peer().ask(&format!("open {}", lane.name())).says("error "));
    camera.kill();
    // It looks for a successor, and may say what it found: at once, whatever that is.
    let told = inside.ask("next 300");
    assert!(["gone", "error", "closed"].contains(&told.word()), "{told:?}");
    inside.must("leave");
    for part in ["data", "seats", "lock"] {
        let _ = fs::remove_dir(lane.file(part));
    }
    assert!(LaneStatus::of(lane.name()).is_ok() || !lane.file("data").exists());
}

const WAITERS: usize = 2_000;
const FRAMES: usize = 50;

/// Who may only read could once make the camera's own thread wake as many sleepers as he liked, where a lane had at most four
/// seats and one honest sleeper.
#[test]
fn with_two_thousand_waiters_on_a_named_lane_the_cameras_thread_wakes_five_at_most() {
    let able = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !able.is_ok_and(|status| status.success()) {
        return camlane_tests::skip::skipped("strace is missing or may not trace (apt install strace)");
    }
    let lane = TestLane::new("crowd");
    let log = std::env::temp_dir().join(format!("{}.trace", lane.name()));
    let strace = ["-qq", "-f", "-e", "trace=futex,write", "-o"];
    let mut camera = Peer::run(Command::new("strace").args(strace).arg(&log).arg(PEER));
    camera.must(&format!("create {} seats=2", lane.name()));
    let mut crowd = peer();
    crowd.must(&format!("park {WAITERS} {}", lane.file("data").display()));
    for _ in 0..FRAMES {
        // A seat that sleeps: again, because the keeper clears what nobody sits in.
        seat_of(&lane, 0)[seat::SLEEPING].store(1, Ordering::Relaxed);
        camera.must("publish 1");
    }
    // The keeper comes to it when it comes to it.
    wait_until("the rest was woken", || {
        woken(&fs::read_to_string(&log).unwrap(), false).iter().any(|&n| n > 5)
    });
    drop(crowd);
    let trace = fs::read_to_string(&log).unwrap();
    camera.must("close");
    camera.end();
    fs::remove_file(log).unwrap();
    let own = woken(&trace, true);
    assert!(own.len() >= FRAMES / 2 && own.iter().all(|&count| count <= 5), "the camera woke {own:?}");
}

/// How many sleepers each shared wake woke, since the camera has its lane: of the camera's thread, or of all others. Those of
/// the standard library's locks are private. One that another thread's line interrupted says its result when it goes on.
fn woken(trace: &str, by_the_camera: bool) -> Vec<usize> {
    let lines: Vec<(&str, &str)> = trace.lines().filter_map(|line| line.split_once(' ')).collect();
    let begins = lines.iter().position(|(_, call)| call.contains("write(1, \"ok slots")).unwrap();
    let camera = lines[begins].0;
    let mine = lines[begins..].iter().filter(|(thread, _)| (*thread == camera) == by_the_camera);
    let wakes = mine.filter(|(_, call)| call.contains("FUTEX_WAKE,") || call.contains("futex resumed"));
    wakes.filter_map(|(_, call)| call.rsplit_once("= ")?.1.trim().parse().ok()).collect()
}
