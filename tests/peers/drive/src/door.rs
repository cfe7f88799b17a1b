//! How descriptors get from the producer to consumers where a peer leaves that to its user: over a Unix socket.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Result, ensure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// Most descriptors in one message.
const MOST: usize = 4;

/// The producer's end.
#[derive(Debug)]
pub struct Door(UnixListener);

impl Door {
    /// Listens at a path.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// Takes in the consumers that have come, and hands each the descriptors. The connections are the caller's.
    ///
    /// # Errors
    /// The system's.
    pub fn admit(&self, descriptors: &[BorrowedFd<'_>]) -> Result<Vec<UnixStream>> {
        let mut all = Vec::new();
        while let Ok((stream, _)) = self.0.accept() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                ensure!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)), "too many descriptors");
            }
            sendmsg(&stream, &[IoSlice::new(b"!")], &mut ancillary, SendFlags::empty())?;
            all.push(stream);
        }
        Ok(all)
    }

    /// Connects to a producer and receives its descriptors.
    ///
    /// # Errors
    /// The system's.
    pub fn enter(path: &Path) -> Result<(UnixStream, Vec<OwnedFd>)> {
        let stream = UnixStream::connect(path)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        recvmsg(&stream, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let mut all = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                all.extend(descriptors);
            }
        }
        Ok((stream, all))
    }
}
