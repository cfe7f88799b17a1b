//! The other side of a sealed lane, spoken by somebody who has read FORMAT.md and does not use camlane.
#![allow(unsafe_code)] // takes descriptors from the kernel and maps what it likes

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::AtomicU32;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, connect,
    recvmsg, sendmsg, socket,
};

/// The role of one who takes a seat.
pub const PIN: u32 = 1;
/// The role of one who only looks.
pub const OBSERVE: u32 = 2;

/// Where the words of a seat are, in words; `core/FORMAT.md`, section 7.
pub mod seat {
    /// `sleeping`.
    pub const SLEEPING: usize = 8;
    /// The first of eight cells.
    pub const CELLS: usize = 32;
    /// All words that mean something.
    pub const WORDS: usize = 48;
}

/// Where `bell` is in DATA, in words; `core/FORMAT.md`, section 3.
pub const BELL: usize = 33;

/// A connection to a broker, and what came over it.
#[derive(Debug)]
pub struct Raw {
    /// The connection.
    pub socket: OwnedFd,
    /// DATA.
    pub data: OwnedFd,
    /// The seat, for one that pins.
    pub seat: Option<OwnedFd>,
}

/// The packet that asks for a role.
#[must_use]
pub fn hello(role: u32, notify: bool) -> [u8; 32] {
    packet(&[1 << 16, role, notify.into(), 0, 0, 0])
}

/// The packet that answers: 0 is a welcome.
#[must_use]
pub fn welcome(answer: u32, seat: u32, seats: u32) -> [u8; 32] {
    packet(&[answer, 1 << 16, seat, seats, 0, 0])
}

fn packet(words: &[u32; 6]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(b"camlane\0");
    for (into, word) in bytes[8..].chunks_exact_mut(4).zip(words) {
        into.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Connects and says nothing.
///
/// # Errors
/// As connect(2).
pub fn dial(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}

/// Joins a lane.
///
/// # Errors
/// The system's, ECONNREFUSED if the answer is no welcome.
pub fn join(path: &Path, role: u32, notify: bool) -> Result<Raw, Errno> {
    let socket = dial(path)?;
    tell(&socket, &hello(role, notify), &[])?;
    let (packet, objects) = hear(&socket)?;
    let mut objects = objects.into_iter();
    match (packet.get(8..12), objects.next()) {
        (Some([0, 0, 0, 0]), Some(data)) => Ok(Raw { socket, data, seat: objects.next() }),
        _ => Err(Errno::ECONNREFUSED),
    }
}

/// Sends one packet with descriptors.
///
/// # Errors
/// As sendmsg(2).
pub fn tell(socket: &OwnedFd, packet: &[u8], objects: &[RawFd]) -> Result<(), Errno> {
    let rights = [ControlMessage::ScmRights(objects)];
    let rights = if objects.is_empty() { &rights[..0] } else { &rights[..] };
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(packet)], rights, MsgFlags::MSG_NOSIGNAL, None).map(drop)
}

/// Receives one packet with its descriptors; an empty one is the end.
///
/// # Errors
/// As recvmsg(2).
pub fn hear(socket: &OwnedFd) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
    let mut packet = vec![0; 256];
    let mut space = nix::cmsg_space!([RawFd; 8]);
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
    packet.truncate(len);
    Ok((packet, objects))
}

/// Maps the start of an object for ever.
///
/// # Errors
/// As mmap(2).
///
/// # Panics
/// If `words` is 0.
pub fn words(object: &OwnedFd, words: usize, write: bool) -> Result<&'static [AtomicU32], Errno> {
    let len = std::num::NonZeroUsize::new(words * 4).expect("a length");
    let protection = if write { ProtFlags::PROT_READ | ProtFlags::PROT_WRITE } else { ProtFlags::PROT_READ };
    // SAFETY: the kernel chooses the address.
    let base = unsafe { mmap(None, len, protection, MapFlags::MAP_SHARED, object, 0) }?;
    // SAFETY: mapped for at least that many words, never unmapped; atomics may be shared with anybody.
    Ok(unsafe { std::slice::from_raw_parts(base.cast().as_ptr(), words) })
}

/// Numbers that look random and are the same in every run (Numerical Recipes' generator).
#[derive(Clone, Copy, Debug)]
pub struct Dice(pub u32);

impl Iterator for Dice {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(self.0 ^ self.0 >> 16)
    }
}
