//! The queue between driver and user: waits, describes frames, copies where it must, counts what was lost.

#![allow(clippy::result_large_err, reason = "errors give back the loans, which must not be lost")]

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use camlane_core::{Details, DmaTarget, Flags, FrameMeta, PixelFormat, Rect};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};

use crate::device::Device;
use crate::error::{Error, NO_DMA_BUF};
use crate::filled::{self, Sequence, Step};
use crate::memory::{Buffers, Dequeued};
use crate::path::MemoryPath;
use crate::picture::Picture;
use crate::stream::{CopyFn, Event, Frame, Held, Refused, Statistics, Stopped};
use crate::sys;

const READ: &str = "take a frame from";
const QUEUE: &str = "hand a buffer to";
/// `V4L2_BUF_TYPE`-independent number of the V4L2 codes in `Details::fourcc_namespace`.
const NAMESPACE: u8 = 1;

/// What lies between the states' types and the driver.
#[derive(Debug)]
pub(crate) struct Queue<L: DmaTarget + 'static> {
    buffers: Buffers<L>,
    /// Loans that wait for a picture to be copied in.
    waiting: VecDeque<L>,
    /// Buffers of the driver's own that the user looks at.
    held: Vec<usize>,
    picture: Picture,
    details: Details,
    copy: CopyFn,
    sequence: Sequence,
    statistics: Statistics,
}

/// What a look at the device brought.
enum Ready {
    Buffer(Dequeued),
    Nothing,
    SourceChanged,
    EndOfStream,
}

impl<L: DmaTarget + fmt::Debug> Queue<L> {
    pub(crate) fn new(buffers: Buffers<L>, picture: Picture, crop: Option<Rect>, copy: CopyFn) -> Self {
        let details = Details {
            colour: picture.colour,
            fourcc_namespace: NAMESPACE,
            fourcc: picture.fourcc.0,
            region_of_interest: crop,
            ..Details::default()
        };
        let (waiting, held) = (VecDeque::new(), Vec::new());
        let (sequence, statistics) = (Sequence::default(), Statistics::default());
        Self { buffers, waiting, held, picture, details, copy, sequence, statistics }
    }

    pub(crate) fn device(&self) -> &Device {
        self.buffers.device()
    }

    pub(crate) const fn memory(&self) -> MemoryPath {
        self.buffers.path()
    }

    pub(crate) const fn picture(&self) -> &Picture {
        &self.picture
    }

    pub(crate) const fn statistics(&self) -> Statistics {
        self.statistics
    }

    pub(crate) const fn buffers(&self) -> usize {
        self.buffers.len()
    }

    pub(crate) fn loans(&self) -> usize {
        self.buffers.loans() + self.waiting.len()
    }

    pub(crate) fn queue(&mut self, loan: L) -> Result<(), Refused<L>> {
        let (needed, found) = (self.picture.slot_bytes as usize, loan.len());
        if found < needed {
            let error = Error::TooSmall { device: self.device().path().into(), needed, found };
            return Err(Refused { loan, error });
        }
        if self.memory() == MemoryPath::Mmap {
            self.waiting.push_back(loan);
            return Ok(());
        }
        self.buffers.lend(loan, self.picture.parts()).map_err(|(loan, errno)| {
            self.statistics.refused += 1;
            let error = match errno {
                Errno::EBADF => Error::NoMemoryPath {
                    device: self.device().path().into(),
                    tried: vec![format!("{}: {NO_DMA_BUF}", self.memory())],
                },
                errno => self.device().error(QUEUE)(errno),
            };
            Refused { loan, error }
        })
    }

    pub(crate) fn start(&mut self) -> Result<(), Error> {
        subscribe(self.device());
        self.offer_idle()?;
        self.buffers.start().map_err(|errno| self.device().error("start")(errno))
    }

    /// Gives the driver those of its own buffers that nobody holds.
    fn offer_idle(&mut self) -> Result<(), Error> {
        let idle: Vec<usize> = self.buffers.idle().filter(|index| !self.held.contains(index)).collect();
        let many = idle.len();
        let mut failed = None;
        for index in idle {
            if let Err(errno) = self.buffers.offer(index) {
                self.statistics.refused += 1;
                failed = Some(errno);
            }
        }
        match failed {
            // The others go on; the refused one is offered again at the next frame.
            Some(errno) if many == self.buffers.len() || errno == Errno::ENODEV => {
                Err(self.device().error(QUEUE)(errno))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn dequeue(&mut self, timeout: Duration) -> Result<Event<L>, Error> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            self.offer_idle()?;
            let raw = match self.look(deadline)? {
                Ready::Buffer(raw) => raw,
                Ready::Nothing => return Ok(Event::TimedOut),
                Ready::SourceChanged => return Ok(Event::SourceChanged),
                Ready::EndOfStream => return Ok(Event::EndOfStream),
            };
            let Some(meta) = self.describe(&raw)? else {
                if let Some(loan) = self.buffers.take(raw.index)
                    && let Err(Refused { error, .. }) = self.queue(loan)
                {
                    return Err(error);
                }
                continue;
            };
            let loan = match self.memory() {
                MemoryPath::Mmap => self.copy_out(&raw),
                _ => self.buffers.take(raw.index),
            };
            let Some(loan) = loan else { continue };
            self.count(&meta);
            return Ok(Event::Frame(Frame { loan, meta }));
        }
    }

    /// Copies a picture into the loan that waits longest; the driver gets its buffer back with the next look.
    fn copy_out(&mut self, raw: &Dequeued) -> Option<L> {
        let Some(mut loan) = self.waiting.pop_front() else {
            self.statistics.no_room += 1;
            return None;
        };
        for (index, part) in self.picture.parts().iter().enumerate() {
            let Some(from) = self.bytes_of(raw, index) else { continue };
            let from = &from[..from.len().min(part.len as usize)];
            let at = part.offset as usize;
            if let Some(to) = loan.get_mut(at..at + from.len()) {
                (self.copy)(to, from);
            }
        }
        if let Err(errno) = self.buffers.offer(raw.index) {
            log::debug!("a buffer that the driver does not take back: {errno}");
            self.statistics.refused += 1;
        }
        Some(loan)
    }

    /// The used bytes of a part, behind what the driver put before them.
    fn bytes_of(&self, raw: &Dequeued, part: usize) -> Option<&[u8]> {
        let filled = raw.filled.get(part)?;
        let all = self.buffers.bytes(raw.index, part)?;
        all.get(filled.offset as usize..(filled.used as usize).min(all.len()))
    }

    pub(crate) fn hold(&mut self, timeout: Duration) -> Result<Option<Held>, Error> {
        if self.memory() != MemoryPath::Mmap {
            return Err(self.device().error("hold a buffer of")(Errno::EOPNOTSUPP));
        }
        let deadline = Instant::now().checked_add(timeout);
        loop {
            self.offer_idle()?;
            let Ready::Buffer(raw) = self.look(deadline)? else { return Ok(None) };
            if let Some(mut meta) = self.describe(&raw)? {
                meta.flags = Flags(meta.flags.0 & !self.memory().flags().0); // it came into no slot
                self.held.push(raw.index);
                self.count(&meta);
                return Ok(Some(Held { raw, meta }));
            }
        }
    }

    pub(crate) fn bytes(&self, held: &Held, part: usize) -> Option<&[u8]> {
        self.held.contains(&held.raw.index).then_some(())?;
        self.bytes_of(&held.raw, part)
    }

    pub(crate) fn release(&mut self, held: Held) -> Result<(), Error> {
        self.held.retain(|index| *index != held.raw.index);
        self.buffers.offer(held.raw.index).map_err(|errno| self.device().error(QUEUE)(errno))
    }

    pub(crate) fn export(&self, index: u32, part: u32) -> Result<OwnedFd, Error> {
        self.buffers.export(index, part).map_err(|errno| self.device().error("export a buffer of")(errno))
    }

    pub(crate) fn stop(self) -> Stopped<L> {
        let (device, mut loans) = self.buffers.stop();
        loans.extend(self.waiting);
        Stopped { device, loans }
    }

    /// Sleeps until the driver has a buffer or an event, or the time is over.
    fn look(&mut self, deadline: Option<Instant>) -> Result<Ready, Error> {
        loop {
            let left = deadline.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            // Rounded up: a wait of 0 ms would spin through the last millisecond.
            let wait = PollTimeout::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.device().as_fd(), PollFlags::POLLIN | PollFlags::POLLPRI)];
            let polled = poll(&mut fds, wait);
            let told = fds[0].revents().unwrap_or(PollFlags::empty());
            match polled {
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(self.device().error("wait for")(errno)),
                Ok(0) => return Ok(Ready::Nothing),
                Ok(_) => {}
            }
            if told.contains(PollFlags::POLLPRI)
                && let Some(event) = self.event()
            {
                return Ok(event);
            }
            match self.buffers.dequeue() {
                Ok(raw) => return Ok(Ready::Buffer(raw)),
                Err(Errno::EPIPE) => return Ok(Ready::EndOfStream), // the last buffer was taken before
                // An error that poll tells and DQBUF does not would be told again at once, for ever.
                Err(Errno::EAGAIN) if told.contains(PollFlags::POLLERR) => {
                    return Err(self.device().error(READ)(Errno::EIO));
                }
                Err(Errno::EAGAIN) => {}
                Err(Errno::EINVAL) => return Err(self.stopped()),
                Err(errno) => return Err(self.device().error(READ)(errno)),
            }
        }
    }

    /// What it means that the queue does not stream any more, though nobody here stopped it (vb2 says EINVAL then): a driver
    /// that lost its device stops the queue before the node goes, so the device is asked whether it is there.
    fn stopped(&self) -> Error {
        let errno = if self.device().is_there() { Errno::EIO } else { Errno::ENODEV };
        self.device().error(READ)(errno)
    }

    /// Takes the events that wait; `None` if none of them matters here.
    fn event(&self) -> Option<Ready> {
        let mut found = None;
        let mut event = sys::Event::zeroed();
        while sys::dequeue_event(self.device().as_fd(), &mut event).is_ok() {
            let changes = event.data[0] as u32;
            match event.kind {
                sys::EVENT_SOURCE_CHANGE if changes & sys::SOURCE_CHANGE_RESOLUTION != 0 => {
                    found = Some(Ready::SourceChanged);
                }
                sys::EVENT_EOS if found.is_none() => found = Some(Ready::EndOfStream),
                _ => {}
            }
        }
        found
    }

    /// Puts what the driver said into a frame's description; `None`: there is nothing to describe.
    fn describe(&mut self, raw: &Dequeued) -> Result<Option<FrameMeta>, Error> {
        let lost = match self.sequence.step(raw.buffer.sequence) {
            Step::Lost(frames) => frames,
            Step::Repeated => {
                self.statistics.repeated += 1;
                0
            }
            Step::Restarted => 0,
        };
        self.statistics.lost_by_driver += u64::from(lost);
        let format = self.picture.layout.format;
        let mut meta = FrameMeta::new(self.picture.layout);
        let has_rows = format.info().is_some_and(|info| info.has_rows());
        let copied = self.memory() == MemoryPath::Mmap;
        let used = |part: usize| raw.filled[part].used.saturating_sub(raw.filled[part].offset);
        let mut short = false;
        if has_rows {
            for (index, part) in self.picture.parts().iter().enumerate() {
                short |= used(index) < self.picture.least_bytes(index);
                let moved = if copied { 0 } else { raw.filled[index].offset };
                let ends = index + 1 == self.picture.parts().len();
                for plane in meta.layout.planes.iter_mut().take(meta.layout.count.into()) {
                    if plane.offset >= part.offset && plane.offset < part.offset + part.len.max(1) {
                        plane.offset += moved;
                    }
                }
                meta.layout.bytes += if ends { moved } else { 0 };
            }
        } else {
            let moved = if copied { 0 } else { raw.filled[0].offset };
            let bytes = used(0);
            if bytes == 0 {
                self.statistics.empty += 1;
                return Ok(None);
            }
            (meta.layout.planes[0].offset, meta.layout.planes[0].bytes) = (moved, bytes);
            meta.layout.bytes = moved + bytes;
        }
        meta.layout
            .check(self.picture.slot_bytes)
            .map_err(|source| Error::Layout { device: self.device().path().into(), source })?;
        (meta.capture_ns, meta.clock, meta.reference) = filled::moment(&raw.buffer, now_ns());
        meta.source_sequence = raw.buffer.sequence;
        meta.flags = filled::flags(&raw.buffer, format == PixelFormat::JPEG);
        meta.details = Some(self.details);
        if short {
            self.statistics.short += 1;
            meta.flags |= Flags::CORRUPT;
        }
        if lost > 0 {
            meta.flags |= Flags::DISCONTINUITY;
        }
        meta.flags |= self.memory().flags();
        Ok(Some(meta))
    }

    fn count(&mut self, meta: &FrameMeta) {
        self.statistics.frames += 1;
        self.statistics.damaged += u64::from(meta.flags.contains(Flags::CORRUPT));
    }
}

/// Asks to be told of a new size and of the end. Drivers that have no events say so, and are not asked again.
fn subscribe(device: &Device) {
    let mut input = 0; // a change is told of one input; a driver without inputs has number 0
    let _ = sys::get_input(device.as_fd(), &mut input);
    for (kind, id) in [(sys::EVENT_SOURCE_CHANGE, input.cast_unsigned()), (sys::EVENT_EOS, 0)] {
        let mut asked = sys::EventSubscription { kind, id, ..sys::EventSubscription::zeroed() };
        if let Err(errno) = sys::subscribe(device.as_fd(), &mut asked) {
            log::debug!("{}: no event {kind}: {errno}", device.path().display());
        }
    }
}

fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |now| now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}
