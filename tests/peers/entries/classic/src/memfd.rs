//! A ring in a memfd whose descriptor is passed once, and a socket that says which slot is next and which is free again:
//! what PipeWire and Wayland do, by hand. Reaches the slots' bytes.
#![allow(unsafe_code)]

use std::fs::OpenOptions;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result};
use camlane_measure::Shared;
use peers_drive::{Consume, Description, Door, Job, Peer, Place, Produce, Way};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Frames that the ring holds for one consumer; each more brings two.
const SLOTS: usize = 8;

pub(crate) struct Memfd;

pub(crate) struct Writer {
    shared: Shared,
    bytes: usize,
    door: Door,
    consumers: Vec<UnixStream>,
    /// How many consumers have each slot.
    held: Vec<u32>,
    next: usize,
}

pub(crate) struct Reader {
    shared: Shared,
    bytes: usize,
    producer: UnixStream,
    limit: Option<Duration>,
}

fn slot(shared: &Shared, bytes: usize, index: usize) -> *mut u8 {
    shared.at(index * bytes.next_multiple_of(4096), bytes).as_ptr()
}

impl Peer for Memfd {
    type Producer = Writer;
    type Consumer = Reader;

    fn describe() -> Description {
        Description {
            name: "memfd ring + socket".into(),
            version: String::new(),
            limit: false,
            copies: false,
            readers: 64,
            setup: "descriptor passed once (SCM_RIGHTS), then a byte per frame and consumer, and one back when it is free".into(),
            jobs: vec![
                (Job::Polling, vec![Way::Default]),
                (Job::Asleep, vec![Way::Default]),
                (Job::Stream, vec![Way::Default]),
                (Job::Rate, vec![Way::Default, Way::Streaming]),
                (Job::Attach, vec![Way::Default]),
            ],
        }
    }

    fn producer(place: &Place) -> Result<Writer> {
        let slots = SLOTS + 2 * place.readers as usize;
        Ok(Writer {
            shared: Shared::create(slots * place.bytes().next_multiple_of(4096))?,
            bytes: place.bytes(),
            door: Door::open(&place.path("door"))?,
            consumers: Vec::new(),
            held: vec![0; slots],
            next: 0,
        })
    }

    fn consumer(place: &Place) -> Result<Reader> {
        let (producer, descriptors) = Door::enter(&place.path("door"))?;
        let memory = descriptors.first().context("the memory's descriptor is missing")?;
        let shared = Shared::open(&format!("/proc/self/fd/{}", memory.as_raw_fd()))?;
        Ok(Reader { shared, bytes: place.bytes(), producer, limit: None })
    }
}

impl Writer {
    /// The next slot that nobody has; `None` if consumers are so far behind that they have all.
    fn free(&mut self) -> Result<Option<usize>> {
        self.next = (self.next + 1) % self.held.len();
        if self.held[self.next] > 0 {
            self.collect()?;
        }
        let slots = self.held.len();
        let free = (0..slots).map(|step| (self.next + step) % slots).find(|&slot| self.held[slot] == 0);
        self.next = free.unwrap_or(self.next);
        Ok(free)
    }

    /// Takes back what consumers have sent, and forgets those that have gone.
    fn collect(&mut self) -> Result<()> {
        let mut slots = [0; 256];
        let mut failure = None;
        let (before, held) = (self.consumers.len(), &mut self.held);
        self.consumers.retain(|consumer| {
            loop {
                match recv(consumer, &mut slots[..], RecvFlags::DONTWAIT) {
                    Ok((_, 0)) | Err(Errno::CONNRESET) => return false,
                    Ok((_, count)) => slots[..count].iter().for_each(|&slot| {
                        held[slot as usize] = held[slot as usize].saturating_sub(1);
                    }),
                    Err(Errno::AGAIN) => return true,
                    Err(error) => {
                        failure = Some(error);
                        return false;
                    }
                }
            }
        });
        if self.consumers.len() < before {
            held.fill(0); // consumers come one after the other where they go: what the last one had is free again
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}

impl Produce for Writer {
    fn admit(&mut self) -> Result<()> {
        let path = self.shared.path();
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        self.consumers.extend(self.door.admit(&[file.as_fd()])?);
        Ok(())
    }

    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let Some(index) = self.free()? else { return Ok(()) }; // the frame is lost
        // SAFETY: mapped, and no consumer has the slot.
        fill(unsafe { std::slice::from_raw_parts_mut(slot(&self.shared, self.bytes, index), self.bytes) });
        for consumer in &self.consumers {
            // One that is far behind loses the frame; one that has gone is noticed when slots are collected.
            if send(consumer, &[index as u8], SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok() {
                self.held[index] += 1;
            }
        }
        Ok(())
    }
}

impl Reader {
    fn take<T>(&self, flags: RecvFlags, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let mut index = [0];
        match recv(&self.producer, &mut index[..], flags) {
            Ok((_, 0)) | Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        // SAFETY: mapped; the producer leaves the slot alone until it is given back.
        let frame = unsafe {
            std::slice::from_raw_parts(slot(&self.shared, self.bytes, index[0] as usize), self.bytes)
        };
        let seen = look(frame);
        send(&self.producer, &index, SendFlags::NOSIGNAL)?;
        Ok(Some(seen))
    }
}

impl Consume for Reader {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        self.take(RecvFlags::DONTWAIT, look)
    }

    fn wait<T>(&mut self, limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        if self.limit != Some(limit) {
            self.producer.set_read_timeout(Some(limit))?;
            self.limit = Some(limit);
        }
        self.take(RecvFlags::empty(), look)
    }
}
