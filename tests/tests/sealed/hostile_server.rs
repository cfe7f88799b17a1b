//! Servers that are no camlane: whatever they send, a consumer gets a typed error in time and keeps nothing of it.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use camlane_tests::peer::Peer;
use camlane_tests::raw::{self, PIN};
use camlane_tests::wait::wait_until;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::libc::{F_SEAL_FUTURE_WRITE, SYS_recvmsg, c_long};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, listen, socket};
use nix::sys::stat::Mode;
use rstest::rstest;

use crate::{Place, options, peer, source};

/// What a lane's objects hold.
struct Genuine {
    data: Vec<u8>,
    seat: Vec<u8>,
}

impl Genuine {
    /// Copies the objects of a real lane with one frame in it.
    fn copied() -> Self {
        let place = Place::new();
        let source = source(&place, options().seats(2)).unwrap();
        source.shoot_all(1);
        let joined = raw::join(&place.socket(), PIN, false).unwrap();
        let bytes = |object: OwnedFd| {
            let file = File::from(object);
            let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        Self { data: bytes(joined.data), seat: bytes(joined.seat.unwrap()) }
    }
}

const SIZE: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW);
const ALL: SealFlag = SIZE.union(SealFlag::from_bits_retain(F_SEAL_FUTURE_WRITE));

/// A memfd with these bytes and seals.
fn memfd(bytes: &[u8], seals: SealFlag) -> OwnedFd {
    let fd = memfd_create("test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
    let mut file = File::from(fd);
    file.write_all(bytes).unwrap();
    let fd = OwnedFd::from(file);
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    fd
}

/// A memfd of that length with nothing in it.
fn sparse(len: u64) -> OwnedFd {
    let fd = memfd_create("test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
    let file = File::from(fd);
    file.set_len(len).unwrap();
    let fd = OwnedFd::from(file);
    fcntl(&fd, FcntlArg::F_ADD_SEALS(ALL)).unwrap();
    fd
}

/// Opened anew for reading only, as a broker hands out DATA.
fn for_reading(object: &OwnedFd) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", object.as_raw_fd());
    open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap()
}

/// What a server does with a connection that has said hello.
type Reply = Box<dyn Fn(&OwnedFd) + Send>;

/// A server that does what it likes, until it is dropped.
struct Server {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    place: Place,
}

impl Server {
    fn start(reply: Reply) -> Self {
        let place = Place::new();
        let listener = listener(&place, Backlog::MAXCONN);
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let thread = thread::spawn(move || {
            while let Ok(raw) = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
                if is_over.load(Ordering::Acquire) {
                    break;
                }
                let socket = owned(raw);
                let _ = raw::hear(&socket);
                reply(&socket);
                let _ = raw::hear(&socket); // until the other side is gone
            }
        });
        Self { over, thread: Some(thread), place }
    }

    /// One that sends this welcome with these objects.
    fn welcoming(welcome: [u8; 32], objects: Vec<OwnedFd>) -> Self {
        Self::start(Box::new(move |socket| {
            let raw: Vec<RawFd> = objects.iter().map(AsRawFd::as_raw_fd).collect();
            let _ = raw::tell(socket, &welcome, &raw);
        }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = raw::dial(&self.place.socket());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listener(place: &Place, backlog: Backlog) -> OwnedFd {
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(&place.socket()).unwrap()).unwrap();
    listen(&listener, backlog).unwrap();
    listener
}

#[allow(unsafe_code)]
fn owned(raw: RawFd) -> OwnedFd {
    // SAFETY: `accept4` just returned it; nobody else has it.
    unsafe { std::os::fd::FromRawFd::from_raw_fd(raw) }
}

/// Has a consumer or an observer try some times, and checks what it is told and what it keeps.
fn is_refused(place: &Place, order: &str, expected: &str) {
    let mut consumer = peer();
    consumer.must("verify");
    let before = consumer.descriptors();
    for _ in 0..10 {
        let answer = consumer.ask(&format!("{order} {}", place.address()));
        assert!(answer.says("error ") && answer.says(expected), "{order}: {answer:?}");
    }
    assert_eq!(consumer.descriptors(), before, "{order}: descriptors were left open");
}

#[test]
fn a_faithful_copy_of_a_lane_is_accepted() {
    let Genuine { data, seat } = Genuine::copied();
    let data = for_reading(&memfd(&data, ALL));
    let server = Server::welcoming(raw::welcome(0, 0, 2), vec![data, memfd(&seat, SIZE)]);
    let mut consumer = peer();
    consumer.must(&format!("open {}", server.place.address()));
    assert_eq!(consumer.ask("next 5000").number("number"), 1);
}

/// What is wrong with DATA, with the message that says so.
fn wrong_data(what: &str, genuine: &[u8]) -> (OwnedFd, &'static str) {
    let mut bytes = genuine.to_vec();
    let mut sealed = |change: &dyn Fn(&mut Vec<u8>)| {
        change(&mut bytes);
        memfd(&bytes, ALL)
    };
    match what {
        "pipe" => (nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap().0, "seals"),
        "directory" => (File::open("/").unwrap().into(), "seals"),
        "socket" => {
            (socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap(), "seals")
        }
        "device" => (File::open("/dev/zero").unwrap().into(), "seals"),
        "file" => {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(genuine).unwrap();
            (file.into(), "seals")
        }
        "unsealed" => (memfd(genuine, SealFlag::empty()), "seals"),
        "shrinkable" => (memfd(genuine, ALL - SealFlag::F_SEAL_SHRINK), "seals"),
        "growable" => (memfd(genuine, ALL - SealFlag::F_SEAL_GROW), "seals"),
        "writable" => (memfd(genuine, SIZE), "seals"),
        "empty" => (sealed(&Vec::clear), "TooShort"),
        "shorter than a header" => (sealed(&|bytes| bytes.truncate(100)), "TooShort"),
        "shorter than its header says" => (sealed(&|bytes| bytes.truncate(8192)), "TooShort"),
        "full of holes" => (sparse(genuine.len() as u64), "holes"),
        "a terabyte of holes" => (sparse(1 << 40), "holes"),
        "all zero" => (sealed(&|bytes| bytes.fill(0)), "Foreign"),
        "all ones" => (sealed(&|bytes| bytes.fill(0xff)), "Foreign"),
        "of another version" => (sealed(&|bytes| bytes[10] = 9), "Version"),
        "with a changed header" => (sealed(&|bytes| bytes[0x28] ^= 1), "Checksum"),
        "not ready" => (sealed(&|bytes| bytes[0x88] = 0), "NotReady"),
        "in no state" => (sealed(&|bytes| bytes[0x88] = 77), "Corrupt"),
        other => panic!("{other}"),
    }
}

#[rstest]
fn data_that_is_no_lanes_data_is_refused_if_it_is(
    #[values(
        "pipe",
        "directory",
        "socket",
        "device",
        "file",
        "unsealed",
        "shrinkable",
        "growable",
        "writable",
        "empty",
        "shorter than a header",
        "shorter than its header says",
        "full of holes",
        "a terabyte of holes",
        "all zero",
        "all ones",
        "of another version",
        "with a changed header",
        "not ready",
        "in no state"
    )]
    what: &str,
) {
    let genuine = Genuine::copied();
    let (data, expected) = wrong_data(what, &genuine.data);
    let seat = memfd(&genuine.seat, SIZE);
    let pinning = Server::welcoming(raw::welcome(0, 0, 2), vec![data.try_clone().unwrap(), seat]);
    is_refused(&pinning.place, "open", expected);
    let observing = Server::welcoming(raw::welcome(0, 0, 2), vec![data]);
    is_refused(&observing.place, "observe", expected);
}

#[rstest]
#[case::index_that_is_another_seats(1, "seat", SIZE, "OtherIncarnation")]
#[case::index_beyond_the_lane(2, "seat", SIZE, "Corrupt")]
#[case::index_without_bound(u32::MAX, "seat", SIZE, "Corrupt")]
#[case::page_of_another_lane(0, "other", SIZE, "OtherIncarnation")]
#[case::page_that_can_be_cut(0, "seat", SealFlag::F_SEAL_GROW, "seals")]
#[case::page_that_is_short(0, "short", SIZE, "TooShort")]
#[case::page_that_is_empty(0, "empty", SIZE, "TooShort")]
#[case::page_that_cannot_be_written(0, "seat", ALL, "Permission")]
fn a_seat_is_refused_for_an(
    #[case] index: u32,
    #[case] bytes: &str,
    #[case] seals: SealFlag,
    #[case] expected: &str,
) {
    let genuine = Genuine::copied();
    let seat = match bytes {
        "seat" => genuine.seat,
        "other" => Genuine::copied().seat,
        "short" => genuine.seat[..100].to_vec(),
        _ => Vec::new(),
    };
    let objects = vec![for_reading(&memfd(&genuine.data, ALL)), memfd(&seat, seals)];
    let server = Server::welcoming(raw::welcome(0, index, 2), objects);
    is_refused(&server.place, "open", expected);
}

#[rstest]
#[case::none(0, "welcome", "welcome")]
#[case::one(1, "welcome", "")]
#[case::two(2, "", "welcome")]
#[case::three(3, "welcome", "welcome")]
#[case::ten(10, "welcome", "welcome")]
#[case::as_many_as_can_be_sent(253, "welcome", "welcome")]
fn a_welcome_brings_as_many_descriptors_as_it_should_and_not(
    #[case] count: usize,
    #[case] pins: &str,
    #[case] observes: &str,
) {
    let genuine = Genuine::copied();
    let (data, seat) = (for_reading(&memfd(&genuine.data, ALL)), memfd(&genuine.seat, SIZE));
    let server = Server::start(Box::new(move |socket| {
        let mut raw = vec![data.as_raw_fd(); count];
        if count == 2 {
            raw[1] = seat.as_raw_fd();
        }
        let _ = raw::tell(socket, &raw::welcome(0, 0, 2), &raw);
    }));
    for (order, expected) in [("open", pins), ("observe", observes)] {
        if expected.is_empty() {
            peer().must(&format!("{order} {}", server.place.address()));
        } else {
            is_refused(&server.place, order, expected);
        }
    }
}

#[test]
fn a_consumer_that_runs_out_of_descriptors_in_the_middle_of_a_welcome_keeps_none() {
    let genuine = Genuine::copied();
    let data = for_reading(&memfd(&genuine.data, ALL));
    let server = Server::start(Box::new(move |socket| {
        let _ = raw::tell(socket, &raw::welcome(0, 0, 2), &[data.as_raw_fd(); 20]);
    }));
    let mut consumer: Peer = peer();
    consumer.must("verify");
    let before = consumer.descriptors();
    for room in 1..30 {
        consumer.must(&format!("limit {room}"));
        for order in ["open", "observe"] {
            let answer = consumer.ask(&format!("{order} {}", server.place.address()));
            assert!(answer.word() == "error", "room for {room}: {answer:?}");
        }
        consumer.must("unlimited");
        assert_eq!(consumer.descriptors(), before, "room for {room}");
    }
}

#[rstest]
#[case::of_the_wrong_magic(vec![b'x'; 32], "Foreign")]
#[case::that_is_short(raw::welcome(0, 0, 2)[..31].to_vec(), "Foreign")]
#[case::that_is_long(raw::welcome(0, 0, 2).iter().copied().chain([0]).collect(), "Foreign")]
#[case::of_one_byte(vec![1], "Foreign")]
#[case::of_nothing(vec![], "Permission")]
#[case::that_refuses(raw::welcome(1, 0, 2).to_vec(), "Permission")]
#[case::that_has_no_seat(raw::welcome(2, 0, 2).to_vec(), "SeatsTaken")]
#[case::of_another_layout(raw::welcome(3, 0, 2).to_vec(), "Version")]
#[case::that_nobody_knows(raw::welcome(77, 0, 2).to_vec(), "Version")]
fn an_answer(#[case] packet: Vec<u8>, #[case] expected: &str) {
    let genuine = Genuine::copied();
    let data = for_reading(&memfd(&genuine.data, ALL));
    let seat = memfd(&genuine.seat, SIZE);
    let server = Server::start(Box::new(move |socket| {
        let _ = raw::tell(socket, &packet, &[data.as_raw_fd(), seat.as_raw_fd()]);
        // And no more: an empty packet and the end look alike.
        let _ = nix::sys::socket::shutdown(socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }));
    is_refused(&server.place, "open", expected);
    is_refused(&server.place, "observe", expected);
}

#[rstest]
#[case::that_accepts_and_says_nothing(true)]
#[case::whose_queue_is_full(false)]
fn the_wait_for_a_server_ends(#[case] accepts: bool) {
    let place = Place::new();
    let listener = listener(&place, Backlog::new(0).unwrap());
    let crowd: Vec<OwnedFd> = if accepts { Vec::new() } else { fill(&place) };
    let began = Instant::now();
    let mut consumer = peer();
    let answer = consumer.ask(&format!("open {}", place.address()));
    assert!(answer.says("error System") && answer.says("TimedOut"), "{answer:?}");
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(4) && waited < Duration::from_secs(15), "{waited:?}");
    drop((listener, crowd));
}

/// A consumer that followed its producer was told that permission was denied, when the producer that it had come upon was
/// killed after it accepted and before it answered.
#[rstest]
#[case::that_opens("open")]
#[case::that_observes("observe")]
fn a_server_that_dies_before_it_answers_refuses_nobody(#[case] order: &str) {
    let place = Place::new();
    let listener = listener(&place, Backlog::MAXCONN);
    let mut reader = peer();
    reader.tell(&format!("{order} {}", place.address()));
    let accepted = owned(accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC).unwrap());
    raw::hear(&accepted).unwrap();
    drop((listener, accepted)); // in this order: as its descriptors are closed, nobody listens any more
    let answer = reader.answer().unwrap();
    assert!(answer.says("error NoSuchLane"), "{answer:?}");
}

/// A consumer that was stopped while it waited for its welcome, and for longer than it would have waited, was told that
/// nobody answered, though the answer was there.
#[test]
fn the_time_for_which_a_consumer_is_stopped_is_not_the_servers() {
    let place = Place::new();
    let listener = listener(&place, Backlog::MAXCONN);
    let genuine = Genuine::copied();
    let (data, seat) = (for_reading(&memfd(&genuine.data, ALL)), memfd(&genuine.seat, SIZE));
    let mut consumer = peer();
    consumer.tell(&format!("open {}", place.address()));
    let accepted = owned(accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC).unwrap());
    raw::hear(&accepted).unwrap();
    // recvmsg(2); on i686 its own number, or that of socketcall(2).
    let calls = if cfg!(target_arch = "x86") { vec![372, 102] } else { vec![SYS_recvmsg] };
    let is_in = |call: &c_long| {
        let stat = std::fs::read_to_string(format!("/proc/{}/syscall", consumer.pid())).unwrap_or_default();
        stat.starts_with(&format!("{call} "))
    };
    wait_until("it waits for its welcome", || calls.iter().any(is_in));
    consumer.signal(Signal::SIGSTOP);
    thread::sleep(Duration::from_millis(5_200)); // it would have waited for 5 s
    raw::tell(&accepted, &raw::welcome(0, 0, 2), &[data.as_raw_fd(), seat.as_raw_fd()]).unwrap();
    consumer.signal(Signal::SIGCONT);
    let answer = consumer.answer().unwrap();
    assert_eq!(answer.word(), "ok", "{answer:?}");
}

/// Connects until the queue is full.
fn fill(place: &Place) -> Vec<OwnedFd> {
    let mut crowd = Vec::new();
    loop {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let one = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
        let path = UnixAddr::new(&place.socket()).unwrap();
        match nix::sys::socket::connect(one.as_raw_fd(), &path) {
            Ok(()) => crowd.push(one),
            Err(nix::errno::Errno::EAGAIN) => return crowd,
            Err(errno) => panic!("{errno}"),
        }
    }
}

#[test]
fn an_observer_of_a_server_that_sends_notices_without_end_still_returns() {
    const LOOKS: usize = 100;
    let genuine = Genuine::copied();
    let data = for_reading(&memfd(&genuine.data, ALL));
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server = Server::start(Box::new(move |socket| {
        let _ = raw::tell(socket, &raw::welcome(0, 0, 2), &[data.as_raw_fd()]);
        let flood = || {
            while raw::tell(socket, &[1], &[]).is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(flood))));
    }));
    let mut observer = peer();
    observer.must(&format!("observe {}", server.place.address()));

    for _ in 0..LOOKS {
        observer.must("look 1000");
    }
    let sent = sent.load(Ordering::Relaxed);
    eprintln!("{sent} notices in {LOOKS} looks");
    assert!(sent > 2_000, "{sent} notices are no flood");
    // The socket's buffer holds some hundreds.
    assert!(sent < 64 * LOOKS + 2_000, "{sent} notices in {LOOKS} looks, which take 64 each");
}
