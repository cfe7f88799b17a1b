//! The broker: the thread that admits consumers to a sealed lane, notices their death, and wakes them.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use camlane_core::{Region, Shape};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, accept4, bind,
    getsockopt, listen, recv, send, sendmsg, socket, sockopt::PeerCredentials,
};
use zerocopy::IntoBytes as _;

use super::memory::{SeatTable, read_only};
use super::policy::Policy;
use super::wire::{Answer, Hello, Role, Welcome};
use crate::error::Error;
use crate::futex;
use crate::lock::{self, LockFile};

/// How long a connection may stay silent before it has said hello.
const PATIENCE: Duration = Duration::from_secs(2);

/// Serves a sealed lane until it is dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
    // Last: while it is held, no other producer serves this socket.
    _lock: LockFile,
}

#[derive(Debug)]
struct Orders {
    event: EventFd,
    ring: AtomicBool,
    stop: AtomicBool,
    /// Somebody asked for a notice per publish.
    notices: AtomicBool,
}

/// What the thread serves.
pub(crate) struct Lane {
    pub(crate) region: Region<'static>,
    pub(crate) seats: Arc<SeatTable>,
    pub(crate) data: OwnedFd,
    pub(crate) policy: Policy,
}

/// Holds the lane's place against other producers before anything is made.
#[derive(Debug)]
pub(crate) struct Claim(LockFile);

impl Claim {
    /// Takes the lock beside the socket. `None`: a living producer has it.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>, Error> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)
                .map_err(|source| system("make the directory", &dir.display().to_string(), source))?;
        }
        let lock = LockFile::open_file(&path.with_extension("lock"))?;
        Ok(lock.try_lock(lock::PRODUCER)?.then_some(Self(lock)))
    }
}

impl Broker {
    /// Listens at `path` and starts the thread. The region must stay mapped until the broker is dropped.
    pub(crate) fn start(claim: Claim, path: &Path, lane: Lane) -> Result<Self, Error> {
        let object = path.display().to_string();
        let listener = listen_at(path, lane.policy.socket_mode())?;
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|errno| Error::system("make an event descriptor for", &object, errno))?;
        let data = read_only(&lane.data, &object)?;
        let [ring, stop, notices] = [const { AtomicBool::new(false) }; 3];
        let orders = Arc::new(Orders { event, ring, stop, notices });
        let work = Work { lane, data, listener, orders: Arc::clone(&orders), clients: Vec::new() };
        let thread = Builder::new()
            .name("camlane-broker".to_owned())
            .spawn(move || work.run())
            .map_err(|source| system("start the broker of", &object, source))?;
        Ok(Self { orders, thread: Some(thread), path: path.to_owned(), _lock: claim.0 })
    }

    /// Has everybody woken who sleeps or asked for notices. Never blocks.
    pub(crate) fn ring(&self) {
        if !self.orders.ring.swap(true, Ordering::AcqRel) {
            let _ = self.orders.event.write(1);
        }
    }

    /// Tells whether somebody asked for a notice per publish, and so cannot say that it sleeps.
    pub(crate) fn has_listeners(&self) -> bool {
        self.orders.notices.load(Ordering::Relaxed)
    }

    /// Forgets thread and socket, in a forked child: they are the parent's.
    pub(crate) fn disown(mut self) {
        std::mem::forget(self.thread.take());
        std::mem::forget(self);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // under the lock: it is ours
        self.orders.stop.store(true, Ordering::Release);
        let _ = self.orders.event.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Client {
    socket: OwnedFd,
    who: UnixCredentials,
    since: Instant,
    greeted: bool,
    seat: Option<u32>,
    notify: bool,
}

struct Work {
    lane: Lane,
    data: OwnedFd,
    listener: OwnedFd,
    orders: Arc<Orders>,
    clients: Vec<Client>,
}

impl Work {
    fn run(mut self) {
        while !self.orders.stop.load(Ordering::Acquire) {
            let ready = self.wait();
            let _ = self.orders.event.read();
            if self.orders.ring.swap(false, Ordering::AcqRel) {
                self.ring();
            }
            // From the back, so that one that leaves does not move those still to be looked at.
            for index in (0..self.clients.len()).rev() {
                let due = ready.get(index + 2).copied().unwrap_or(false);
                if (due && !self.serve(index)) || self.clients.get(index).is_some_and(Client::is_too_slow) {
                    self.leave(index);
                }
            }
            if ready[1] {
                self.admit();
            }
        }
        let clients = std::mem::take(&mut self.clients);
        clients.iter().filter_map(|client| client.seat).for_each(|seat| self.lane.seats.clear(seat));
    }

    /// Waits until something is to be done: the orders, the listener, then the clients.
    fn wait(&self) -> Vec<bool> {
        let mut fds = vec![
            PollFd::new(self.orders.event.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.clients.iter().map(|client| PollFd::new(client.socket.as_fd(), PollFlags::POLLIN)));
        let waiting = self.clients.iter().any(|client| !client.greeted);
        let timeout = if waiting { PollTimeout::from(100u8) } else { PollTimeout::NONE };
        let _ = poll(&mut fds, timeout);
        fds.iter().map(|fd| fd.any().unwrap_or(true)).collect()
    }

    fn admit(&mut self) {
        while let Ok(raw) = accept4(self.listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
            let socket = owned(raw);
            if self.clients.len() >= self.lane.policy.most_connections() as usize {
                continue; // dropped: closed at once
            }
            if let Ok(who) = getsockopt(&socket, PeerCredentials) {
                let since = Instant::now();
                self.clients.push(Client { socket, who, since, greeted: false, seat: None, notify: false });
            }
        }
    }

    /// Reads what a client sent. `false`: it is gone, or says what it should not.
    fn serve(&mut self, index: usize) -> bool {
        let Some(client) = self.clients.get(index) else { return false };
        let mut packet = [0; size_of::<Hello>() + 1]; // one more: a longer packet is not a hello
        // Plain `recv`: descriptors that a peer attaches are closed by the kernel.
        let len = match recv(client.socket.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return false,
            Ok(len) => len,
            Err(errno) => return matches!(errno, Errno::EAGAIN | Errno::EINTR),
        };
        match Hello::parse(&packet[..len]) {
            Some(hello) if !client.greeted => self.greet(index, hello),
            _ => false,
        }
    }

    fn greet(&mut self, index: usize, (role, notify, layout): (Role, bool, u32)) -> bool {
        let shape = *self.lane.region.shape();
        let who = self.clients[index].who;
        let seats_of_user =
            self.clients.iter().filter(|client| client.seat.is_some() && client.who.uid() == who.uid()).count();
        let pins = role == Role::Pin;
        let answer = if layout >> 16 != camlane_core::layout::LAYOUT >> 16 {
            Answer::Version
        } else if !self.lane.policy.admits(who, pins, seats_of_user as u32) {
            Answer::Refused
        } else {
            Answer::Welcome
        };
        let free = |seat: &u32| self.clients.iter().all(|client| client.seat != Some(*seat));
        let (answer, seat) = match (answer, pins) {
            (Answer::Welcome, true) => match (0..shape.seats()).find(free) {
                Some(seat) => (Answer::Welcome, Some(seat)),
                None => (Answer::SeatsTaken, None),
            },
            (answer, _) => (answer, None),
        };
        let client = &mut self.clients[index];
        client.greeted = true;
        client.seat = seat;
        client.notify = notify && answer == Answer::Welcome;
        self.count_listeners(); // before the answer: what is published after it brings a notice
        let packet = Welcome::new(answer, seat.unwrap_or(0), shape.seats());
        match self.objects(answer, seat, &shape) {
            Ok(objects) => tell(&self.clients[index].socket, &packet, &objects) && answer == Answer::Welcome,
            Err(error) => {
                log::warn!("process {} gets no seat: {error}", who.pid());
                false // leaving clears the seat
            }
        }
    }

    /// The descriptors that come with an answer.
    fn objects(&self, answer: Answer, seat: Option<u32>, shape: &Shape) -> Result<Vec<OwnedFd>, Error> {
        if answer != Answer::Welcome {
            return Ok(Vec::new());
        }
        let data = self.data.try_clone().map_err(|source| system("hand out", "the data", source))?;
        let mut objects = vec![data];
        if let Some(seat) = seat {
            objects.push(self.lane.seats.seat(seat, shape, self.lane.region.incarnation())?);
        }
        Ok(objects)
    }

    fn leave(&mut self, index: usize) {
        let client = self.clients.swap_remove(index);
        if let Some(seat) = client.seat {
            self.lane.seats.clear(seat);
        }
        self.count_listeners();
    }

    fn count_listeners(&self) {
        self.orders.notices.store(self.clients.iter().any(|client| client.notify), Ordering::Relaxed);
    }

    fn ring(&self) {
        futex::wake_all(self.lane.region.bell());
        for client in self.clients.iter().filter(|client| client.notify) {
            // A full queue means that it has been told and did not read yet.
            let _ = send(client.socket.as_raw_fd(), &[1], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        }
    }
}

impl Client {
    fn is_too_slow(&self) -> bool {
        !self.greeted && self.since.elapsed() > PATIENCE
    }
}

fn tell(socket: &OwnedFd, packet: &Welcome, objects: &[OwnedFd]) -> bool {
    let raw: Vec<i32> = objects.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let rights = if raw.is_empty() { &rights[..0] } else { &rights[..] };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(packet.as_bytes())], rights, flags, None).is_ok()
}

/// Listens at a path that only the holder of the lock beside it uses; what a dead producer left there is removed.
fn listen_at(path: &Path, mode: u32) -> Result<OwnedFd, Error> {
    let object = path.display().to_string();
    let fail = |operation| {
        let object = object.clone();
        move |errno: Errno| Error::system(operation, &object, errno)
    };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            std::fs::remove_file(path).map_err(|source| system("remove the stale", &object, source))?;
        }
        Ok(_) => {
            return Err(system("listen at", &object, io::Error::other("a file that is no socket is in the way")));
        }
        Err(_) => {}
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).map_err(fail("make the socket"))?;
    let address = UnixAddr::new(path).map_err(fail("use the path (at most 107 bytes) of"))?;
    bind(listener.as_raw_fd(), &address).map_err(fail("bind"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|source| system("set the mode of", &object, source))?;
    listen(&listener, Backlog::MAXALLOWABLE).map_err(fail("listen at"))?;
    Ok(listener)
}

fn system(operation: &'static str, object: &str, source: io::Error) -> Error {
    Error::System { operation, object: object.to_owned(), source }
}

#[allow(unsafe_code)]
fn owned(raw: i32) -> OwnedFd {
    // SAFETY: `accept4` just returned it; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
