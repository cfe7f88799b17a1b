//! The broker: the thread that admits consumers to a sealed lane, notices their death, and wakes them.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, FromRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use camlane_core::{Region, layout};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{
    ControlMessage, MsgFlags, SockFlag, UnixCredentials, accept4, getsockopt, recv, send, sendmsg,
    sockopt::PeerCredentials,
};
use zerocopy::IntoBytes as _;

use super::memory::{SeatTable, read_only};
use super::place::{Claim, Place};
use super::policy::Policy;
use super::system;
use super::wire::{Answer, Hello, Role, Welcome};
use crate::error::Error;
use crate::fork::Owner;
use crate::futex;

/// How long a connection may stay silent before it has said hello.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the broker looks for connections that were silent for too long, and for descriptors if it ran out of them.
const BEAT_MS: u8 = 100;
/// Newcomers let in before those who are inside are looked at again: a crowd at the door must not keep frames from them.
const MOST_AT_ONCE: u32 = 16;

/// Serves a sealed lane until it is dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
    owner: Owner,
    // Last: while it is there, no other producer serves this socket.
    _place: Place,
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
    /// Handed out as it is, once it is open for reading only.
    pub(crate) data: OwnedFd,
    pub(crate) policy: Policy,
}

impl Broker {
    /// Listens at the claimed place and starts the thread. The region must stay mapped until the broker is dropped.
    pub(crate) fn start(claim: Claim, lane: Lane) -> Result<Self, Error> {
        const OBJECT: &str = "the broker";
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|errno| Error::system("make an event descriptor for", OBJECT, errno))?;
        let lane = Lane { data: read_only(&lane.data, "the data")?, ..lane };
        let (listener, place) = claim.listen(lane.policy.socket_mode())?;
        let [ring, stop, notices] = [const { AtomicBool::new(false) }; 3];
        let orders = Arc::new(Orders { event, ring, stop, notices });
        let work =
            Work { lane, listener, orders: Arc::clone(&orders), clients: Vec::new(), out_of_breath: false };
        let thread = Builder::new()
            .name("camlane-broker".to_owned())
            .spawn(move || work.run())
            .map_err(|source| system("start", OBJECT, source))?;
        Ok(Self { orders, thread: Some(thread), owner: Owner::current(), _place: place })
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
}

impl Drop for Broker {
    fn drop(&mut self) {
        if !self.owner.is_here() {
            // The thread is the parent's. What it holds, this child inherited too: connections and the listening socket
            // stay open until it ends or runs another program, and consumers notice a dead parent only then.
            std::mem::forget(self.thread.take());
            return;
        }
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
    listener: OwnedFd,
    orders: Arc<Orders>,
    clients: Vec<Client>,
    /// Descriptors or memory ran out at the door, where somebody still waits.
    out_of_breath: bool,
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
            if ready[1] || std::mem::take(&mut self.out_of_breath) {
                self.admit();
            }
        }
        let clients = std::mem::take(&mut self.clients);
        clients.iter().filter_map(|client| client.seat).for_each(|seat| self.lane.seats.clear(seat));
    }

    /// Waits until something is to be done: the orders, the listener, then the clients.
    fn wait(&self) -> Vec<bool> {
        // Who cannot be let in would keep the listener readable, and this thread running.
        let door = if self.out_of_breath { PollFlags::empty() } else { PollFlags::POLLIN };
        let mut fds = vec![
            PollFd::new(self.orders.event.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.listener.as_fd(), door),
        ];
        fds.extend(self.clients.iter().map(|client| PollFd::new(client.socket.as_fd(), PollFlags::POLLIN)));
        let waiting = self.out_of_breath || self.clients.iter().any(|client| !client.greeted);
        let timeout = if waiting { PollTimeout::from(BEAT_MS) } else { PollTimeout::NONE };
        let _ = poll(&mut fds, timeout);
        fds.iter().map(|fd| fd.any().unwrap_or(true)).collect()
    }

    fn admit(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let socket = match accept4(self.listener.as_raw_fd(), flags) {
                Ok(raw) => owned(raw),
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR | Errno::ECONNABORTED) => continue,
                Err(_) => {
                    self.out_of_breath = true;
                    return;
                }
            };
            let Ok(who) = getsockopt(&socket, PeerCredentials) else { continue };
            if self.make_room(who.uid()) {
                let since = Instant::now();
                self.clients.push(Client { socket, who, since, greeted: false, seat: None, notify: false });
            } // else closed at once
        }
    }

    /// Finds room for one more connection of a user. Where all are used up, the oldest that has not said hello goes.
    fn make_room(&mut self, user: u32) -> bool {
        let policy = &self.lane.policy;
        let (mut all, mut own) = (0, 0);
        for client in self.clients.iter().filter(|client| client.seat.is_none()) {
            all += 1;
            own += u32::from(client.who.uid() == user);
        }
        let own_are_used_up = own >= policy.most_connections_of_user();
        if !own_are_used_up && all < policy.most_connections() {
            return true;
        }
        let silent = self.clients.iter().enumerate().filter(|(_, client)| !client.greeted);
        let may_go = silent.filter(|(_, client)| !own_are_used_up || client.who.uid() == user);
        let oldest = may_go.min_by_key(|(_, client)| client.since).map(|(index, _)| index);
        oldest.inspect(|&index| self.leave(index)).is_some()
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

    /// Answers a hello. `false`: the client is not to stay.
    fn greet(&mut self, index: usize, (role, notify, version): (Role, bool, u32)) -> bool {
        let who = self.clients[index].who;
        let (answer, seat) = self.decide(who, role, version);
        let client = &mut self.clients[index];
        client.greeted = true;
        client.seat = seat; // from here on `leave` empties it
        client.notify = notify && answer == Answer::Welcome;
        self.count_listeners(); // before the answer: what is published after it brings a notice
        let packet = Welcome::new(answer, seat.unwrap_or(0), self.lane.region.shape().seats());
        if answer != Answer::Welcome {
            tell(&self.clients[index].socket, &packet, &[]);
            return false;
        }
        let made = seat.map(|seat| self.make_seat(seat)).transpose();
        let Ok(page) = made.inspect_err(|error| log::warn!("process {} gets no seat: {error}", who.pid()))
        else {
            return false;
        };
        let objects: Vec<i32> =
            [Some(&self.lane.data), page.as_ref()].into_iter().flatten().map(AsRawFd::as_raw_fd).collect();
        tell(&self.clients[index].socket, &packet, &objects)
    }

    fn decide(&self, who: UnixCredentials, role: Role, version: u32) -> (Answer, Option<u32>) {
        let seated =
            self.clients.iter().filter(|client| client.seat.is_some() && client.who.uid() == who.uid());
        let pins = role == Role::Pin;
        if version >> 16 != layout::LAYOUT >> 16 {
            return (Answer::Version, None);
        }
        if !self.lane.policy.admits(who, pins, seated.count() as u32) {
            return (Answer::Refused, None);
        }
        if !pins {
            return (Answer::Welcome, None);
        }
        let is_free = |seat: &u32| self.clients.iter().all(|client| client.seat != Some(*seat));
        match (0..self.lane.region.shape().seats()).find(is_free) {
            Some(seat) => (Answer::Welcome, Some(seat)),
            None => (Answer::SeatsTaken, None),
        }
    }

    fn make_seat(&self, seat: u32) -> Result<OwnedFd, Error> {
        self.lane.seats.seat(seat, self.lane.region.shape(), self.lane.region.incarnation())
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
        // Partner: the fence of `publish` between the bell and the look at this. Either that look sees the listener, or the
        // listener, who is answered after this, sees the bell.
        fence(Ordering::SeqCst);
    }

    fn ring(&self) {
        futex::wake_all(self.lane.region.bell());
        for client in self.clients.iter().filter(|client| client.notify) {
            // A full queue means that it has been told and did not read yet.
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            let _ = send(client.socket.as_raw_fd(), &[1], flags);
        }
    }
}

impl Client {
    fn is_too_slow(&self) -> bool {
        !self.greeted && self.since.elapsed() > PATIENCE
    }
}

fn tell(socket: &OwnedFd, packet: &Welcome, objects: &[i32]) -> bool {
    let rights = [ControlMessage::ScmRights(objects)];
    let rights = if objects.is_empty() { &rights[..0] } else { &rights[..] };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(packet.as_bytes())], rights, flags, None).is_ok()
}

#[allow(unsafe_code)]
fn owned(raw: i32) -> OwnedFd {
    // SAFETY: `accept4` just returned it; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
