//! A consumer's side of a sealed lane: connects, checks what it was given, notices the end.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, FromRawFd as _, OwnedFd};
use std::path::Path;

use camlane_core::AttachError;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, connect as connect_to, getsockopt, recv,
    recvmsg, send, socket, sockopt::PeerCredentials, sockopt::ReceiveTimeout, setsockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use zerocopy::IntoBytes as _;

use super::memory::Seal;
use super::wire::{Answer, Hello, Role, Welcome};
use crate::error::Error;
use crate::process;

/// How long a broker may take to answer.
const PATIENCE_S: i64 = 5;

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
pub(crate) fn connect(path: &Path, role: Role, notify: bool, trusted: &[u32]) -> Result<Option<Connection>, Error> {
    let object = path.display().to_string();
    let fail = |operation: &'static str| {
        let object = object.clone();
        move |errno: Errno| Error::system(operation, &object, errno)
    };
    let socket =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).map_err(fail("make a socket for"))?;
    let address = UnixAddr::new(path).map_err(fail("use the path (at most 107 bytes) of"))?;
    match connect_to(socket.as_raw_fd(), &address) {
        Ok(()) => {}
        Err(Errno::ENOENT | Errno::ECONNREFUSED | Errno::ENOTDIR) => return Ok(None),
        Err(errno) => return Err(fail("connect to")(errno)),
    }
    let peer = getsockopt(&socket, PeerCredentials).map_err(fail("ask who serves"))?;
    if role == Role::Pin && !trusted.contains(&peer.uid()) {
        let owner = format!("served by user {}, {}", peer.uid(), process::describe(peer.pid().cast_unsigned()));
        return Err(Error::Permission { operation: "trust", object, owner });
    }
    setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(PATIENCE_S)).map_err(fail("set the time-out of"))?;
    send(socket.as_raw_fd(), Hello::new(role, notify).as_bytes(), MsgFlags::MSG_NOSIGNAL).map_err(fail("greet"))?;
    let (welcome, mut objects) = match answer(&socket) {
        Ok(Some(answer)) => answer,
        Ok(None) | Err(Errno::ECONNRESET) => return Err(refused(&object, "it closed the connection")),
        Err(errno) => return Err(fail("get an answer from")(errno)),
    };
    match welcome.answer() {
        Answer::Welcome => {}
        Answer::Refused => return Err(refused(&object, "its policy does not admit this user")),
        Answer::SeatsTaken => {
            let holders = "its producer knows by whom".to_owned();
            return Err(Error::SeatsTaken { lane: object, seats: welcome.seats, holders });
        }
        Answer::Version | Answer::Unknown(_) => {
            let source =
                AttachError::Version { found: welcome.layout, supported: camlane_core::layout::LAYOUT };
            return Err(Error::Unusable { object, source });
        }
    }
    let seat = (role == Role::Pin).then(|| objects.pop()).flatten().map(|fd| (welcome.seat, fd));
    let (Some(data), true) = (objects.pop(), objects.is_empty() && seat.is_some() == (role == Role::Pin)) else {
        return Err(Error::Unusable { object, source: AttachError::Corrupt { what: "welcome" } });
    };
    // What can still be cut, or is not ours alone to size, could kill this process with SIGBUS later.
    let sealed = Seal::SizeAndWriting.is_on(&data) && seat.as_ref().is_none_or(|(_, fd)| Seal::Size.is_on(fd));
    if !sealed {
        return Err(Error::Unusable { object, source: AttachError::Corrupt { what: "set of seals" } });
    }
    Ok(Some(Connection { socket, data, seat }))
}

fn refused(object: &str, why: &str) -> Error {
    Error::Permission { operation: "join", object: object.to_owned(), owner: why.to_owned() }
}

#[allow(unsafe_code)]
fn answer(socket: &OwnedFd) -> Result<Option<(Welcome, Vec<OwnedFd>)>, Errno> {
    let mut packet = [0; size_of::<Welcome>()];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 2]);
    let mut parts = [IoSliceMut::new(&mut packet)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut objects = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the kernel just installed these descriptors for us.
            objects.extend(raw.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
        }
    }
    let len = message.bytes;
    Ok(Welcome::parse(&packet[..len]).map(|welcome| (welcome, objects)))
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

    /// Waits for a notice or the end, and takes all notices that are there.
    pub(crate) fn wait(socket: &OwnedFd, timeout: PollTimeout) {
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, timeout);
        let mut notice = [0; 1];
        while matches!(recv(socket.as_raw_fd(), &mut notice, MsgFlags::MSG_DONTWAIT), Ok(1..)) {}
    }
}
