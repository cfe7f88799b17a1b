//! A consumer's side of a sealed lane: connects, checks what it was given, notices the end.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use camlane_core::{AttachError, layout};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect as connect_to, getsockopt, recv, recvmsg,
    send, setsockopt, socket,
    sockopt::{PeerCredentials, ReceiveTimeout, SendTimeout},
};
use nix::sys::time::TimeVal;
use zerocopy::IntoBytes as _;

use super::memory::{Seal, is_whole};
use super::system;
use super::wire::{Answer, Hello, Role, Welcome};
use crate::error::Error;
use crate::process;

/// How long a broker may take at each step: to accept, to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Notices taken at once; a queue holds 10 unless the system's owner wants more (net.unix.max_dgram_qlen).
const MOST_NOTICES: u32 = 64;

/// A connection to a sealed lane and what came with it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: OwnedFd,
    pub(crate) data: OwnedFd,
    pub(crate) seat: Option<(u32, OwnedFd)>,
}

/// Connects to the lane behind `path`. `None`: nobody listens there.
///
/// A consumer that pins believes the producer, so the peer must be one of `trusted` users; an observer takes anybody.
pub(crate) fn connect(
    path: &Path,
    role: Role,
    notify: bool,
    trusted: &[u32],
) -> Result<Option<Connection>, Error> {
    for _ in 0..TRIES {
        match attempt(path, role, notify, trusted)? {
            Attempt::Joined(connection) => return Ok(Some(connection)),
            Attempt::NobodyThere => return Ok(None),
            Attempt::HungUp => std::thread::sleep(MOMENT),
        }
    }
    Err(refused(path.display().to_string(), "it closed the connection; perhaps it has too many"))
}

/// A broker that closes a connection without an answer has too many of them, or its producer died or ended at this
/// moment: then nobody listens at the next try, or the next producer does.
const TRIES: u32 = 4;
const MOMENT: Duration = Duration::from_millis(5);

enum Attempt {
    Joined(Connection),
    NobodyThere,
    HungUp,
}

fn attempt(path: &Path, role: Role, notify: bool, trusted: &[u32]) -> Result<Attempt, Error> {
    let object = path.display().to_string();
    let unusable = |source| Error::Unusable { object: object.clone(), source };
    let Some(socket) = dial(path, &object)? else { return Ok(Attempt::NobodyThere) };
    let peer = getsockopt(&socket, PeerCredentials)
        .map_err(|errno| Error::system("ask who serves", &object, errno))?;
    if role == Role::Pin && !trusted.contains(&peer.uid()) {
        let owner =
            format!("served by user {}, {}", peer.uid(), process::describe(peer.pid().cast_unsigned()));
        return Err(Error::Permission { operation: "trust", object, owner });
    }
    let (number, hello) = (socket.as_raw_fd(), Hello::new(role, notify));
    let answered = patiently(|how| send(number, hello.as_bytes(), how | MsgFlags::MSG_NOSIGNAL))
        .and_then(|_| patiently(|how| receive(&socket, how)));
    let (packet, mut objects) = match answered {
        Ok((packet, _)) if packet.is_empty() => return Ok(Attempt::HungUp),
        Err(Errno::ECONNRESET | Errno::EPIPE) => return Ok(Attempt::HungUp),
        Err(Errno::ETIMEDOUT) => return Err(silent(&object)),
        other => other.map_err(|errno| Error::system("talk to", &object, errno))?,
    };
    let Some(welcome) = Welcome::parse(&packet) else { return Err(unusable(AttachError::Foreign)) };
    match welcome.answer() {
        Answer::Welcome => {}
        Answer::Refused => return Err(refused(object, "its policy does not admit this user")),
        Answer::SeatsTaken => {
            let holders = "its producer knows by whom".to_owned();
            return Err(Error::SeatsTaken { lane: object, seats: welcome.seats, holders });
        }
        Answer::Version | Answer::Unknown(_) => {
            return Err(unusable(AttachError::Version { found: welcome.layout, supported: layout::LAYOUT }));
        }
    }
    let page = if role == Role::Pin { objects.pop() } else { None };
    let (Some(data), true) = (objects.pop(), objects.is_empty() && page.is_some() == (role == Role::Pin))
    else {
        return Err(unusable(AttachError::Corrupt { what: "welcome" }));
    };
    // What can still be cut, or is not there yet and might find no memory, would end this process with SIGBUS one day.
    if !Seal::SizeAndWriting.is_on(&data) || page.as_ref().is_some_and(|page| !Seal::Size.is_on(page)) {
        return Err(unusable(AttachError::Corrupt { what: "set of seals" }));
    }
    if !is_whole(&data) || page.as_ref().is_some_and(|page| !is_whole(page)) {
        return Err(unusable(AttachError::Corrupt { what: "object with holes" }));
    }
    Ok(Attempt::Joined(Connection { socket, data, seat: page.map(|page| (welcome.seat, page)) }))
}

/// Connects. `None`: nobody listens there.
fn dial(path: &Path, object: &str) -> Result<Option<OwnedFd>, Error> {
    let fail = |operation| move |errno| Error::system(operation, object, errno);
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
        .map_err(fail("make a socket for"))?;
    // Of two seconds in the life of a broker that hangs, connecting is one: its queue may be full.
    let limit = TimeVal::new(PATIENCE.as_secs().cast_signed() as _, 0);
    setsockopt(&socket, SendTimeout, &limit).map_err(fail("set the time-out of"))?;
    setsockopt(&socket, ReceiveTimeout, &limit).map_err(fail("set the time-out of"))?;
    let address = UnixAddr::new(path).map_err(fail("use the path (at most 107 bytes) of"))?;
    let flags = |flags| fcntl(&socket, FcntlArg::F_SETFL(flags));
    let connected = patiently(|how| {
        // connect(2) takes no flags of a message.
        flags(if how.is_empty() { OFlag::empty() } else { OFlag::O_NONBLOCK })?;
        connect_to(socket.as_raw_fd(), &address)
    });
    match connected.and_then(|()| flags(OFlag::empty()).map(drop)) {
        Ok(()) => Ok(Some(socket)),
        Err(Errno::ENOENT | Errno::ECONNREFUSED | Errno::ENOTDIR) => Ok(None),
        Err(Errno::ETIMEDOUT) => Err(silent(object)),
        Err(errno) => Err(fail("connect to")(errno)),
    }
}

/// Repeats what a signal interrupted, as a call with a time-out always is (signal(7)), until the time is over. Then it is
/// tried once more without waiting: a process that was stopped for so long has its answer by now.
fn patiently<T>(mut call: impl FnMut(MsgFlags) -> Result<T, Errno>) -> Result<T, Errno> {
    let began = Instant::now();
    let mut how = MsgFlags::empty();
    loop {
        match call(how) {
            Err(Errno::EINTR) if how.is_empty() => {
                if began.elapsed() >= PATIENCE {
                    how = MsgFlags::MSG_DONTWAIT;
                }
            }
            Err(Errno::EINTR | Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
            done => return done,
        }
    }
}

fn refused(object: String, why: &str) -> Error {
    Error::Permission { operation: "join", object, owner: why.to_owned() }
}

fn silent(object: &str) -> Error {
    let source = io::Error::new(io::ErrorKind::TimedOut, "it does not answer; its producer may be stopped");
    system("join", object, source)
}

/// Descriptors that one message can carry at most: SCM_MAX_FD of unix(7).
const MOST_RIGHTS: usize = 253;

/// Receives one packet and what came with it.
fn receive(socket: &OwnedFd, how: MsgFlags) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
    let mut packet = vec![0; size_of::<Welcome>() + 1]; // one more: a longer packet is no welcome
    let mut control = vec![0; CMSG_HEADER + MOST_RIGHTS * size_of::<RawFd>()];
    let mut parts = [IoSliceMut::new(&mut packet)];
    let flags = how | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let (len, cut) = (message.bytes, message.flags.contains(MsgFlags::MSG_CTRUNC));
    packet.truncate(len);
    let objects = rights(&control);
    // The buffer has room for all, so what was missing was room among this process's descriptors.
    if cut { Err(Errno::EMFILE) } else { Ok((packet, objects)) }
}

/// Bytes of the kernel's `struct cmsghdr`: a length that counts them too, level, type.
const CMSG_HEADER: usize = size_of::<usize>() + 8;

/// Takes the descriptors out of a control buffer that was zero before the kernel filled it (cmsg(3)).
///
/// Not by nix, which shows none of a message that was cut short: those that did come would stay open for ever.
#[allow(unsafe_code)]
fn rights(control: &[u8]) -> Vec<OwnedFd> {
    let Some((len, rest)) = control.split_first_chunk() else { return Vec::new() };
    let (len, Some((kind, rest))) = (usize::from_ne_bytes(*len), rest.split_first_chunk::<8>()) else {
        return Vec::new();
    };
    let [level, kind] =
        [&kind[..4], &kind[4..]].map(|bytes| i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let Some(rest) = rest.get(..len.saturating_sub(CMSG_HEADER)) else { return Vec::new() };
    if (level, kind) != (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
        return Vec::new();
    }
    let numbers = rest.as_chunks().0.iter().map(|bytes| RawFd::from_ne_bytes(*bytes));
    // SAFETY: the kernel just installed these descriptors for us; the buffer is read once.
    numbers.map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }).collect()
}

impl Connection {
    /// Tells whether the producer still serves this connection.
    pub(crate) fn is_served(socket: &OwnedFd) -> bool {
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
        match poll(&mut fds, PollTimeout::ZERO) {
            Ok(0) | Err(_) => true,
            Ok(_) => false,
        }
    }

    /// Waits for a notice or the end, and takes the notices that are there.
    pub(crate) fn wait(socket: &OwnedFd, timeout: PollTimeout) {
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, timeout);
        let mut notice = [0; 1];
        // Not for ever: a server can send faster than this reads.
        for _ in 0..MOST_NOTICES {
            if !matches!(recv(socket.as_raw_fd(), &mut notice, MsgFlags::MSG_DONTWAIT), Ok(1..)) {
                break;
            }
        }
    }
}
