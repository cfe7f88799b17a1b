//! ZeroMQ: PUB and SUB over a Unix socket, the newest frame only.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use peers_drive::{Consume, Description, Job, Peer, Place, Produce, Way, entry};

fn main() -> ExitCode {
    peers_drive::main(&[entry::<ZeroMq>()])
}

struct ZeroMq;

struct Writer {
    socket: zmq::Socket,
    frame: Vec<u8>,
}

struct Reader {
    socket: zmq::Socket,
    limit: i32,
}

fn endpoint(place: &Place) -> String {
    format!("ipc://{}", place.path("zeromq").display())
}

impl Peer for ZeroMq {
    type Producer = Writer;
    type Consumer = Reader;

    fn describe() -> Description {
        let (major, minor, patch) = zmq::version();
        Description {
            name: "ZeroMQ (copies)".into(),
            version: format!("{major}.{minor}.{patch}"),
            limit: false,
            copies: true,
            readers: 64,
            setup: "PUB and SUB over ipc, high-water mark 2".into(),
            jobs: vec![
                (Job::Asleep, vec![Way::Default]),
                (Job::Stream, vec![Way::Default]),
                (Job::Rate, vec![Way::Default]),
            ],
        }
    }

    fn producer(place: &Place) -> Result<Writer> {
        let socket = zmq::Context::new().socket(zmq::PUB)?;
        socket.set_sndhwm(2)?;
        socket.set_linger(0)?;
        socket.bind(&endpoint(place))?;
        Ok(Writer { socket, frame: vec![0; place.bytes()] })
    }

    fn consumer(place: &Place) -> Result<Reader> {
        let socket = zmq::Context::new().socket(zmq::SUB)?;
        socket.set_rcvhwm(2)?;
        socket.set_subscribe(b"")?;
        socket.connect(&endpoint(place))?;
        Ok(Reader { socket, limit: -1 })
    }
}

impl Produce for Writer {
    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.frame);
        Ok(self.socket.send(&self.frame[..], 0)?)
    }
}

impl Reader {
    fn take<T>(&self, flags: i32, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        match self.socket.recv_msg(flags) {
            Ok(message) => Ok(Some(look(&message))),
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Consume for Reader {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        self.take(zmq::DONTWAIT, look)
    }

    fn wait<T>(&mut self, limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let limit = limit.as_millis() as i32;
        if self.limit != limit {
            self.socket.set_rcvtimeo(limit)?;
            self.limit = limit;
        }
        self.take(0, look)
    }
}
