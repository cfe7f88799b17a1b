//! A camera with buffers, in the driver's own states: [`Device`] without, [`Ready`] with buffers, [`Streaming`].

#![allow(
    clippy::result_large_err,
    reason = "errors give back the camera and the loans, which must not be lost"
)]

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use camlane_core::{DmaTarget, FrameMeta};
use nix::errno::Errno;

use crate::device::Device;
use crate::error::{self, Error};
use crate::memory::{Buffers, Dequeued};
use crate::path::MemoryPath;
use crate::picture::Picture;
use crate::queue::Queue;

/// Copies the second slice over the first, which has its length.
pub type CopyFn = fn(&mut [u8], &[u8]);

/// How pictures shall come into memory.
#[derive(Clone, Debug)]
#[must_use = "pass it to `Device::stream`"]
pub struct Plan {
    /// Ways of sharing memory, in the order in which they are tried.
    pub memory: Vec<MemoryPath>,
    /// Buffers of the driver's queue. With [`MemoryPath::UserPtr`] and [`MemoryPath::DmaBuf`] they cost next to nothing; as
    /// many as there are slots (32 at most) lets the driver remember each slot's pages. With [`MemoryPath::Mmap`] each is
    /// a picture of memory.
    pub buffers: u32,
    /// Buffers with [`MemoryPath::Mmap`].
    pub mmap_buffers: u32,
    /// The copy that [`MemoryPath::Mmap`] makes.
    pub copy: CopyFn,
}

impl Default for Plan {
    /// All ways, best first; an ordinary copy.
    fn default() -> Self {
        Self { memory: MemoryPath::ALL.to_vec(), buffers: 16, mmap_buffers: 4, copy: <[u8]>::copy_from_slice }
    }
}

/// What happened to frames so far. Counters of this stream; a new one begins at 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Frames that were given out.
    pub frames: u64,
    /// Frames that the driver lost: gaps in its sequence.
    pub lost_by_driver: u64,
    /// Frames that came while no memory for them was there ([`MemoryPath::Mmap`]).
    pub no_room: u64,
    /// Frames given out that the driver marked as damaged.
    pub damaged: u64,
    /// Frames given out that were shorter than their format says.
    pub short: u64,
    /// Compressed frames without a byte, which were not given out.
    pub empty: u64,
    /// Numbers of the driver's that came twice.
    pub repeated: u64,
    /// Buffers that the driver did not take at once.
    pub refused: u64,
}

/// A filled frame.
#[derive(Debug)]
#[must_use = "publish it, or queue its memory again"]
pub struct Frame<L> {
    /// The memory, ours again.
    pub loan: L,
    /// What the driver says about it.
    pub meta: FrameMeta,
}

/// What a wait brought.
#[derive(Debug)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all are frames, and a box for each would be an allocation"
)]
pub enum Event<L> {
    /// A frame.
    Frame(Frame<L>),
    /// The time is over.
    TimedOut,
    /// The source has another size: stop, configure, and start again.
    SourceChanged,
    /// The driver says that there will be no more.
    EndOfStream,
}

/// A loan that the driver did not take, and why.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Refused<L: fmt::Debug> {
    /// The loan, unchanged.
    pub loan: L,
    /// Why.
    pub error: Error,
}

/// A camera that could not be started; nothing is lost.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NotStarted<L: fmt::Debug> {
    /// The camera; `None` if it is gone.
    pub device: Option<Device>,
    /// The loans, unchanged.
    pub loans: Vec<L>,
    /// Why.
    pub error: Error,
}

/// What remains of a camera that was stopped.
#[derive(Debug)]
#[must_use = "the loans go with it"]
pub struct Stopped<L> {
    /// The camera; `None` if it is gone.
    pub device: Option<Device>,
    /// All loans that it had.
    pub loans: Vec<L>,
}

/// A camera that has buffers and does not stream yet.
#[derive(Debug)]
pub struct Ready<L: DmaTarget + 'static>(Queue<L>);

/// A camera that streams.
#[derive(Debug)]
pub struct Streaming<L: DmaTarget + 'static> {
    queue: Queue<L>,
    refused: Vec<String>,
}

/// A buffer of the driver's own that was filled, and is kept from the driver until it is released.
///
/// ```compile_fail,E0382
/// use camlane_v4l2::{Held, Pages, Streaming};
/// fn too_late(camera: &mut Streaming<Pages>, held: Held) {
///     camera.release(held).unwrap();
///     let _ = camera.bytes(&held, 0);
/// }
/// ```
#[derive(Debug)]
#[must_use = "release it, or the driver has a buffer less"]
pub struct Held {
    pub(crate) raw: Dequeued,
    /// What the driver says about the frame. Its planes are told as they would lie in a slot.
    pub meta: FrameMeta,
}

impl Device {
    /// Makes buffers for a picture as [`configure`](Self::configure) obtained it.
    ///
    /// # Errors
    /// [`Error::Busy`] while another program streams, [`Error::NoMemoryPath`] if the driver has not this one.
    pub fn allocate<L: DmaTarget + fmt::Debug>(
        self,
        picture: Picture,
        path: MemoryPath,
        buffers: u32,
        copy: CopyFn,
    ) -> Result<Ready<L>, NotStarted<L>> {
        let node = self.path().to_owned();
        let crop = self.crop().filter(|crop| Some(*crop) != self.default_crop());
        match Buffers::new(self, path, buffers) {
            Ok(buffers) => Ok(Ready(Queue::new(buffers, picture, crop, copy))),
            Err((device, errno)) => {
                let error = match errno {
                    Errno::EINVAL => {
                        Error::NoMemoryPath { device: node, tried: vec![error::refusal(path, errno)] }
                    }
                    errno => Error::of(errno, "get buffers of", &node),
                };
                Err(NotStarted { device, loans: Vec::new(), error })
            }
        }
    }

    /// Starts the camera by the first way of the plan that the driver takes for these loans.
    ///
    /// # Errors
    /// [`Error::NoMemoryPath`] with the reason against each; others as for [`Ready::start`].
    pub fn stream<L: DmaTarget + fmt::Debug>(
        self,
        picture: Picture,
        plan: &Plan,
        loans: Vec<L>,
    ) -> Result<Streaming<L>, NotStarted<L>> {
        let (mut device, mut loans) = (self, loans);
        let mut tried = Vec::new();
        let has = match device.memory_paths() {
            Ok(has) => has,
            Err(error) => return Err(NotStarted { device: Some(device), loans, error }),
        };
        for &path in &plan.memory {
            if !has.contains(&path) {
                tried.push(error::refusal(path, Errno::EINVAL));
                continue;
            }
            let buffers = if path == MemoryPath::Mmap { plan.mmap_buffers } else { plan.buffers };
            let mut ready = match device.allocate(picture, path, buffers, plan.copy) {
                Ok(ready) => ready,
                Err(NotStarted {
                    device: Some(same),
                    error: Error::NoMemoryPath { tried: reasons, .. },
                    ..
                }) => {
                    device = same;
                    tried.extend(reasons);
                    continue;
                }
                Err(NotStarted { device, error, .. }) => return Err(NotStarted { device, loans, error }),
            };
            let mut reason = None;
            for _ in 0..loans.len() {
                let loan = loans.remove(0);
                if let Err(Refused { loan, error }) = ready.queue(loan) {
                    loans.push(loan);
                    reason = Some(error);
                    break;
                }
            }
            match reason {
                None => {
                    return ready.start().map(|mut streaming| {
                        streaming.refused = tried;
                        streaming
                    });
                }
                Some(error) => {
                    let stopped = ready.release();
                    loans.extend(stopped.loans);
                    if matches!(error, Error::TooSmall { .. }) {
                        return Err(NotStarted { device: stopped.device, loans, error }); // by any way
                    }
                    let Some(same) = stopped.device else {
                        return Err(NotStarted { device: None, loans, error });
                    };
                    device = same;
                    match error {
                        Error::NoMemoryPath { tried: reasons, .. } => tried.extend(reasons),
                        error => tried.push(format!("{path}: {error}")),
                    }
                }
            }
        }
        let error = Error::NoMemoryPath { device: device.path().into(), tried };
        Err(NotStarted { device: Some(device), loans, error })
    }
}

impl<L: DmaTarget + fmt::Debug> Ready<L> {
    /// Hands a loan to the driver, or keeps it until a picture comes to be copied.
    ///
    /// # Errors
    /// [`Refused`] gives the loan back: [`Error::TooSmall`], [`Error::NoMemoryPath`] if it has no dma-buf or the driver
    /// cannot reach it, [`Error::System`] if the queue is full or the driver says no.
    pub fn queue(&mut self, loan: L) -> Result<(), Refused<L>> {
        self.0.queue(loan)
    }

    /// Lets the driver begin.
    ///
    /// # Errors
    /// [`NotStarted`] gives camera and loans back: [`Error::Busy`], [`Error::NoBandwidth`], [`Error::NoSignal`], ...
    pub fn start(mut self) -> Result<Streaming<L>, NotStarted<L>> {
        match self.0.start() {
            Ok(()) => Ok(Streaming { queue: self.0, refused: Vec::new() }),
            Err(error) => {
                let Stopped { device, loans } = self.0.stop();
                Err(NotStarted { device, loans, error })
            }
        }
    }

    /// Exports plane `part` of the driver's buffer `index` as a dma-buf, for whoever wants the descriptor. It stays good
    /// after the camera is gone.
    ///
    /// # Errors
    /// [`Error::System`] if the memory is not the driver's ([`MemoryPath::Mmap`]), or it cannot export.
    pub fn export(&self, index: u32, part: u32) -> Result<OwnedFd, Error> {
        self.0.export(index, part)
    }

    /// How many buffers the driver made.
    #[must_use]
    pub fn buffers(&self) -> usize {
        self.0.buffers()
    }

    /// Frees the buffers and gives everything back.
    pub fn release(self) -> Stopped<L> {
        self.0.stop()
    }
}

impl<L: DmaTarget + fmt::Debug> Streaming<L> {
    /// As [`Ready::queue`].
    ///
    /// # Errors
    /// As [`Ready::queue`].
    pub fn queue(&mut self, loan: L) -> Result<(), Refused<L>> {
        self.queue.queue(loan)
    }

    /// Loans that the camera has: with the driver, or waiting for a picture.
    #[must_use]
    pub fn loans(&self) -> usize {
        self.queue.loans()
    }

    /// Waits for a frame at most `timeout`. The camera sleeps in poll(2) meanwhile.
    ///
    /// # Errors
    /// [`Error::Disconnected`]: unplugged; [`Error::StreamBroken`]: stop, and start again; others end the stream, too.
    pub fn dequeue(&mut self, timeout: Duration) -> Result<Event<L>, Error> {
        self.queue.dequeue(timeout)
    }

    /// As [`dequeue`](Self::dequeue), but leaves the picture in the driver's own buffer, to be looked at or passed on by its
    /// descriptor ([`export`](Self::export)). Only with [`MemoryPath::Mmap`]. `None`: nothing came.
    ///
    /// # Errors
    /// As `dequeue`; [`Error::System`] with another memory path.
    pub fn hold(&mut self, timeout: Duration) -> Result<Option<Held>, Error> {
        self.queue.hold(timeout)
    }

    /// The bytes of a held buffer's plane `part`, without what the driver put before them.
    #[must_use]
    pub fn bytes<'s>(&'s self, held: &'s Held, part: usize) -> Option<&'s [u8]> {
        self.queue.bytes(held, part)
    }

    /// Gives a held buffer back to the driver.
    ///
    /// # Errors
    /// The driver's; the buffer is offered again with the next wait.
    pub fn release(&mut self, held: Held) -> Result<(), Error> {
        self.queue.release(held)
    }

    /// The number of the driver's buffer that is held, for [`export`](Self::export).
    #[must_use]
    pub const fn index_of(&self, held: &Held) -> u32 {
        held.raw.index as u32
    }

    /// As [`Ready::export`].
    ///
    /// # Errors
    /// As [`Ready::export`].
    pub fn export(&self, index: u32, part: u32) -> Result<OwnedFd, Error> {
        self.queue.export(index, part)
    }

    /// The way in which pictures come into memory.
    #[must_use]
    pub fn memory(&self) -> MemoryPath {
        self.queue.memory()
    }

    /// The better ways that were tried before, each with the reason against it.
    #[must_use]
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// What the camera was set to.
    #[must_use]
    pub fn picture(&self) -> &Picture {
        self.queue.picture()
    }

    /// What happened to frames so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.queue.statistics()
    }

    /// Sets a control while the camera streams, as [`Device::set_control`].
    ///
    /// # Errors
    /// As [`Device::set_control`].
    pub fn set_control(&self, name: &str, value: &str) -> Result<i64, Error> {
        self.queue.device().set_control(name, value)
    }

    /// Stops the driver and gives everything back, frames that nobody took included.
    pub fn stop(self) -> Stopped<L> {
        self.queue.stop()
    }
}

/// For an event loop: readable when [`dequeue`](Streaming::dequeue) has something, priority data for events.
impl<L: DmaTarget + fmt::Debug> AsFd for Streaming<L> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.device().as_fd()
    }
}
