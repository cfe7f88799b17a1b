//! shmem-ipc: a ring between one producer and one consumer, signalled by eventfds.
#![allow(unsafe_code)] // the ring hands out raw memory

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use peers_drive::{Consume, Description, Door, Job, Peer, Place, Produce, Way, entry};
use shmem_ipc::sharedring::{Receiver, Sender};

fn main() -> ExitCode {
    peers_drive::main(&[entry::<ShmemIpc>()])
}

struct ShmemIpc;

struct Writer {
    sender: Sender<u8>,
    bytes: usize,
    signals: bool,
    door: Door,
    consumers: Vec<UnixStream>,
}

struct Reader {
    receiver: Receiver<u8>,
    bytes: usize,
    _producer: UnixStream,
}

/// Frames that the ring holds.
const SLOTS: usize = 8;

impl Peer for ShmemIpc {
    type Producer = Writer;
    type Consumer = Reader;

    fn describe() -> Description {
        Description {
            name: "shmem-ipc".into(),
            version: "0.3.0".into(),
            limit: false,
            copies: false,
            readers: 1,
            setup: "ring of 8 frames of bytes, the low-level sender where the consumer polls, send_raw and poll on the eventfd where it sleeps".into(),
            jobs: vec![
                (Job::Polling, vec![Way::Default]),
                (Job::Asleep, vec![Way::Default]),
                (Job::Stream, vec![Way::Default]),
                (Job::Rate, vec![Way::Default, Way::Streaming]),
            ],
        }
    }

    fn producer(place: &Place) -> Result<Writer> {
        let sender = Sender::new(place.bytes() * SLOTS)?;
        let door = Door::open(&place.path("door"))?;
        let signals = matches!(place.job, Job::Asleep | Job::Stream);
        Ok(Writer { sender, bytes: place.bytes(), signals, door, consumers: Vec::new() })
    }

    fn consumer(place: &Place) -> Result<Reader> {
        let (producer, descriptors) = Door::enter(&place.path("door"))?;
        let [memory, empty, full] = &descriptors[..] else { bail!("three descriptors were expected") };
        let file = |descriptor: &OwnedFd| descriptor.try_clone().map(File::from);
        let receiver = Receiver::open(place.bytes() * SLOTS, file(memory)?, file(empty)?, file(full)?)?;
        Ok(Reader { receiver, bytes: place.bytes(), _producer: producer })
    }
}

impl Produce for Writer {
    fn admit(&mut self) -> Result<()> {
        let memory = self.sender.memfd().as_file();
        let descriptors = [memory, self.sender.empty_signal(), self.sender.full_signal()].map(File::as_fd);
        self.consumers.extend(self.door.admit(&descriptors)?);
        Ok(())
    }

    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let bytes = self.bytes;
        if self.sender.sender_mut().write_count()? < 2 * bytes {
            return Ok(()); // a consumer that is behind: the frame is lost
        }
        let mut fill = Some(fill);
        while fill.is_some() {
            let write = |slot: *mut u8, room: usize| {
                if room < bytes {
                    return room; // what is left at the ring's end, which is no whole number of frames
                }
                if let Some(fill) = fill.take() {
                    // SAFETY: the ring gives `room` bytes that the consumer does not read before they are sent.
                    fill(unsafe { std::slice::from_raw_parts_mut(slot, bytes) });
                }
                bytes
            };
            if self.signals {
                self.sender.send_raw(write)?;
            } else {
                self.sender.sender_mut().send(write)?;
            }
        }
        Ok(())
    }
}

impl Consume for Reader {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let bytes = self.bytes;
        let mut seen = None;
        self.receiver.receive_raw(|frame, there| {
            if there < bytes {
                return there; // the ring's end
            }
            // SAFETY: the ring gives `there` bytes that the producer does not write before they are given back.
            seen = Some(look(unsafe { std::slice::from_raw_parts(frame, bytes) }));
            bytes
        })?;
        Ok(seen)
    }

    fn wait<T>(&mut self, limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        if self.receiver.receiver_mut().read_count()? < self.bytes {
            // The count of the signal is taken, or the next poll would return at once.
            let signal = self.receiver.empty_signal();
            let mut asked = [PollFd::new(signal.as_fd(), PollFlags::POLLIN)];
            if poll(&mut asked, PollTimeout::try_from(limit)?)? == 0 {
                return Ok(None);
            }
            let mut signal = signal;
            std::io::Read::read_exact(&mut signal, &mut [0; 8])?;
        }
        self.poll(look)
    }
}
