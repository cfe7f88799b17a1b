//! A consumer and an observer of a sealed lane whose server is anybody: what it answers, and what the objects are that
//! come with it.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, OnceLock};

use arbitrary::{Result, Unstructured};
use camlane::{Consumer, FrameMeta, LaneOptions, Observer, Producer};
use camlane_tests::raw::{self, PIN};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::libc::F_SEAL_FUTURE_WRITE;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, listen, socket};
use nix::sys::stat::Mode;

/// Packets with their objects, in the order in which they are sent to each who says hello.
type Reply = Vec<(Vec<u8>, Vec<OwnedFd>)>;

/// A server that says what it is told to, for as long as the process lives.
struct Server {
    address: String,
    reply: Arc<Mutex<Reply>>,
    /// DATA and a seat of a real lane with one frame in it.
    genuine: (Vec<u8>, Vec<u8>),
    _folder: tempfile::TempDir,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let genuine = genuine(&folder);
        let path = folder.path().join("fuzz.sock");
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None);
        let listener = listener.expect("a socket");
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).expect("a short path")).expect("a free path");
        listen(&listener, Backlog::MAXCONN).expect("a socket that listens");
        let reply = Arc::new(Mutex::new(Reply::new()));
        let said = Arc::clone(&reply);
        std::thread::spawn(move || {
            while let Ok(raw) = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
                let socket = owned(raw);
                let _ = raw::hear(&socket);
                for (packet, objects) in said.lock().expect("nobody panicked with it").iter() {
                    let numbers: Vec<i32> = objects.iter().map(OwnedFd::as_raw_fd).collect();
                    let _ = raw::tell(&socket, packet, &numbers);
                }
            } // each connection ends when all was said
        });
        Server { address: format!("sealed:{}", path.display()), reply, genuine, _folder: folder }
    })
}

#[allow(unsafe_code)]
fn owned(raw: i32) -> OwnedFd {
    // SAFETY: `accept4` just returned it; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

fn genuine(folder: &tempfile::TempDir) -> (Vec<u8>, Vec<u8>) {
    let path = folder.path().join("genuine.sock");
    let options = LaneOptions::for_bytes(64).seats(2).pins(1).history(1).loans(1);
    let producer = Producer::create(&format!("sealed:{}", path.display()), &options).expect("a lane");
    let loan = producer.loan().expect("a slot");
    producer.publish(loan, &FrameMeta::bytes(64)).expect("a frame");
    let joined = raw::join(&path, PIN, false).expect("a seat");
    let bytes = |object: OwnedFd| {
        let file = File::from(object);
        let mut bytes = vec![0; file.metadata().map_or(0, |found| found.len()) as usize];
        file.read_exact_at(&mut bytes, 0).expect("its bytes");
        bytes
    };
    (bytes(joined.data), bytes(joined.seat.expect("a seat")))
}

pub(crate) fn run(bytes: &[u8]) {
    crate::with(bytes, body);
}

fn body(input: &mut Unstructured<'_>) -> Result<()> {
    let server = server();
    let pins = input.arbitrary()?;
    let mut reply = Reply::new();
    for _ in 0..=input.int_in_range(0..=1)? {
        reply.push(packet(input, server, pins)?);
    }
    *server.reply.lock().expect("nobody panicked with it") = reply;
    if pins {
        consume(server);
    } else {
        observe(server);
    }
    server.reply.lock().expect("nobody panicked with it").clear();
    Ok(())
}

/// Pins what there is. Whoever pins believes the producer's pixels, not that they are where they should be.
fn consume(server: &Server) {
    let Ok(mut lane) = Consumer::open(&server.address) else { return };
    let (_, _) = (lane.info(), lane.incarnation());
    for _ in 0..2 {
        let Ok(Some(frame)) = lane.try_next() else { break };
        let range = lane.addresses(); // now: reading follows a lane to its new object
        let at = frame.as_ptr() as usize;
        assert!(range.contains(&at) && at + frame.len() <= range.end);
        let sum = frame.iter().chain(frame.user()).fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        let _ = (sum, frame.meta().layout.is_packed(), frame.age());
    }
}

fn observe(server: &Server) {
    let Ok(lane) = Observer::open(&server.address) else { return };
    let _ = (lane.copy_newest(), lane.info(), lane.state());
}

/// A welcome or something like it, and its objects.
fn packet(input: &mut Unstructured<'_>, server: &Server, pins: bool) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    let answer = if input.ratio(1, 8)? { input.arbitrary()? } else { 0 };
    let seat = if input.ratio(1, 8)? { input.arbitrary()? } else { 0 };
    let mut packet = raw::welcome(answer, seat, 2).to_vec();
    match input.int_in_range(0..=15)? {
        0 => packet.truncate(input.int_in_range(0..=32)?),
        1 => packet.extend(input.bytes(input.len().min(64))?),
        2 => packet = input.bytes(input.len().min(100))?.to_vec(),
        3 => {
            let at = input.choose_index(packet.len())?;
            packet[at] = input.arbitrary()?;
        }
        _ => {}
    }
    let usual = 1 + usize::from(pins);
    let count = if input.ratio(1, 8)? { input.int_in_range(0..=4)? } else { usual };
    let mut objects = Vec::new();
    for index in 0..count {
        let genuine = if index == 0 { &server.genuine.0 } else { &server.genuine.1 };
        objects.push(object(input, genuine, index > 0)?);
    }
    Ok((packet, objects))
}

/// A memfd with the bytes of the genuine one and some changed, of any length and with any seals; or something else.
fn object(input: &mut Unstructured<'_>, genuine: &[u8], writable: bool) -> Result<OwnedFd> {
    let mut bytes = genuine.to_vec();
    if input.ratio(1, 8)? {
        bytes.resize(input.int_in_range(0..=2 * genuine.len())?, 0);
    }
    for _ in 0..input.int_in_range(0..=4)? {
        // The front is what counts; pixels are pixels.
        let at = 4 * input.int_in_range(0..=0x600 / 4usize)?;
        let value = match bytes.get(at..at + 4) {
            Some(old) => crate::access::value(input, u32::from_le_bytes([old[0], old[1], old[2], old[3]]))?,
            None => 0,
        };
        if let Some(place) = bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
    if input.arbitrary()? && bytes.len() >= 128 {
        let front = bytes[..128].try_into().unwrap_or([0; 128]);
        bytes[..128].copy_from_slice(&crate::common::hostile::with_right_checksum(front));
    }
    let size = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    let writing = SealFlag::from_bits_retain(F_SEAL_FUTURE_WRITE);
    let seals = match input.int_in_range(0..=15)? {
        0 => SealFlag::empty(),
        1 => size,
        2 => size | SealFlag::F_SEAL_WRITE,
        3 => return Ok(File::open("/dev/zero").expect("a device").into()),
        4 => return Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC).expect("a pipe").0),
        _ if writable => size,
        _ => size | writing,
    };
    let fd = memfd_create("fuzz", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).expect("a memfd");
    let mut file = File::from(fd);
    if input.ratio(1, 16)? {
        file.set_len(bytes.len() as u64).expect("an empty object of that length");
    } else {
        file.write_all(&bytes).expect("room for it");
    }
    let fd = OwnedFd::from(file);
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals)).expect("seals");
    if writable || input.ratio(1, 8)? {
        return Ok(fd);
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).expect("the same, for reading"))
}
