//! Frames through a Unix socket: copied into the kernel, copied out.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Result;
use peers_drive::{Consume, Description, Door, Job, Peer, Place, Produce, Way};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, sockopt};

pub(crate) struct Socket;

pub(crate) struct Writer {
    door: Door,
    consumers: Vec<UnixStream>,
    frame: Vec<u8>,
}

pub(crate) struct Reader {
    stream: UnixStream,
    frame: Vec<u8>,
    limit: Option<Duration>,
}

/// What is asked for in the kernel; it gives what `net.core.wmem_max` allows.
const BUFFER: usize = 4 << 20;

impl Peer for Socket {
    type Producer = Writer;
    type Consumer = Reader;

    fn describe() -> Description {
        Description {
            name: "Unix socket (copies)".into(),
            version: String::new(),
            limit: false,
            copies: true,
            readers: 64,
            setup:
                "stream socket, the largest buffers that the kernel gives, written to each consumer in turn"
                    .into(),
            jobs: vec![
                (Job::Polling, vec![Way::Default]),
                (Job::Asleep, vec![Way::Default]),
                (Job::Stream, vec![Way::Default]),
                (Job::Rate, vec![Way::Default]),
            ],
        }
    }

    fn producer(place: &Place) -> Result<Writer> {
        Ok(Writer {
            door: Door::open(&place.path("door"))?,
            consumers: Vec::new(),
            frame: vec![0; place.bytes()],
        })
    }

    fn consumer(place: &Place) -> Result<Reader> {
        let (stream, _) = Door::enter(&place.path("door"))?;
        sockopt::set_socket_recv_buffer_size(&stream, BUFFER)?;
        Ok(Reader { stream, frame: vec![0; place.bytes()], limit: None })
    }
}

impl Produce for Writer {
    fn admit(&mut self) -> Result<()> {
        for consumer in self.door.admit(&[])? {
            sockopt::set_socket_send_buffer_size(&consumer, BUFFER)?;
            self.consumers.push(consumer);
        }
        Ok(())
    }

    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.frame);
        self.consumers.retain_mut(|consumer| consumer.write_all(&self.frame).is_ok());
        Ok(())
    }
}

impl Reader {
    /// Takes a frame of which some bytes may be there.
    fn take<T>(&mut self, flags: RecvFlags, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let begun = match recv(&self.stream, &mut self.frame[..], flags) {
            Ok((_, 0)) | Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Ok((_, begun)) => begun,
            Err(error) => return Err(error.into()),
        };
        if self.limit.take().is_some() {
            self.stream.set_read_timeout(None)?;
        }
        match self.stream.read_exact(&mut self.frame[begun..]) {
            Ok(()) => Ok(Some(look(&self.frame))),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None), // the producer ended
            Err(error) => Err(error.into()),
        }
    }
}

impl Consume for Reader {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        self.take(RecvFlags::DONTWAIT, look)
    }

    fn wait<T>(&mut self, limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        if self.limit != Some(limit) {
            self.stream.set_read_timeout(Some(limit))?;
            self.limit = Some(limit);
        }
        self.take(RecvFlags::empty(), look)
    }
}
