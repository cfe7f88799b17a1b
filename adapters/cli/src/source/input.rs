//! Bytes from a file, a pipe or a child, with reads that a stop flag ends.

use super::decoder::Decoder;
use camlane::format::FrameLayout;
use core::sync::atomic::{AtomicBool, Ordering};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

/// Where bytes come from.
#[derive(Debug)]
pub(super) enum Feed {
    /// A file, or whatever standard input is.
    File(File),
    /// What a child writes to its standard output.
    Child(Decoder),
}

/// Reads a feed. A read that waits for bytes looks at the stop flag ten times a second; once it is raised,
/// every read fails with [`io::ErrorKind::WouldBlock`].
#[derive(Debug)]
pub(super) struct Input {
    pub(super) feed: Feed,
    stop: &'static AtomicBool,
}

impl Input {
    pub(super) fn new(feed: Feed, stop: &'static AtomicBool) -> Self {
        Self { feed, stop }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.stop.load(Ordering::Relaxed) {
            let fd = match &self.feed {
                Feed::File(file) => file.as_fd(),
                Feed::Child(decoder) => decoder.output.as_fd(),
            };
            match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::from(100u8)) {
                Ok(0) | Err(Errno::EINTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let read = match &mut self.feed {
                Feed::File(file) => file.read(buffer),
                Feed::Child(decoder) => decoder.output.read(buffer),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Returns how many bytes a frame has in a file: rows without padding, planes one after another.
pub(super) fn packed_bytes(layout: &FrameLayout) -> u64 {
    let planes = layout.planes().iter().enumerate();
    planes.map(|(plane, at)| u64::from(layout.row_bytes(plane)) * u64::from(at.rows)).sum()
}

/// Reads a packed frame into the rows of a slot, in as few reads as its padding allows. Returns how many bytes
/// came before the end of the input; all of [`packed_bytes`] if it did not end.
///
/// # Errors
/// The input's.
pub(super) fn read_frame(input: &mut impl Read, layout: &FrameLayout, slot: &mut [u8]) -> io::Result<u64> {
    if layout.is_packed() {
        return read_full(input, &mut slot[..layout.bytes as usize]).map(|bytes| bytes as u64);
    }
    let mut total = 0;
    for (plane, at) in layout.planes().iter().enumerate() {
        let row_bytes = layout.row_bytes(plane) as usize;
        let rows = slot[at.offset as usize..][..at.bytes as usize].chunks_exact_mut(at.stride as usize);
        for row in rows {
            let bytes = read_full(input, &mut row[..row_bytes])?;
            total += bytes as u64;
            if bytes < row_bytes {
                return Ok(total);
            }
        }
    }
    Ok(total)
}

/// Reads until the buffer is full or the input ends; unlike `read_exact` it says how far it came.
pub(super) fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..])? {
            0 => break,
            bytes => filled += bytes,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlane::format::PixelFormat;
    use core::time::Duration;
    use std::time::Instant;

    #[test]
    fn rows_go_to_their_strides_and_padding_is_left_alone() {
        let layout = PixelFormat::I420.layout(3, 3, 8).unwrap();
        let packed: Vec<u8> = (1..=17).collect();
        let mut slot = vec![0; layout.bytes as usize];
        assert_eq!(packed_bytes(&layout), 17);
        assert_eq!(read_frame(&mut &packed[..], &layout, &mut slot).unwrap(), 17);
        let rows: Vec<&[u8]> = slot.chunks(8).collect();
        assert_eq!(rows[0], [1, 2, 3, 0, 0, 0, 0, 0]);
        assert_eq!(rows[2], [7, 8, 9, 0, 0, 0, 0, 0]);
        assert_eq!(rows[3], [10, 11, 0, 0, 0, 0, 0, 0]);
        assert_eq!(rows[6], [16, 17, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_input_that_ends_says_how_far_it_came() {
        for row_align in [1, 8] {
            let layout = PixelFormat::GRAY8.layout(3, 3, row_align).unwrap();
            let mut slot = vec![0; layout.bytes as usize];
            assert_eq!(read_frame(&mut &[1u8; 5][..], &layout, &mut slot).unwrap(), 5);
        }
    }

    #[test]
    fn a_read_that_waits_ends_soon_after_the_stop_flag() {
        let (reader, writer) = std::io::pipe().unwrap();
        let stop: &'static AtomicBool = Box::leak(Box::default());
        let mut input = Input::new(Feed::File(File::from(std::os::fd::OwnedFd::from(reader))), stop);
        let (started, waits) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            started.send(()).unwrap();
            input.read(&mut [0; 16]).unwrap_err().kind()
        });
        waits.recv().unwrap();
        let raised = Instant::now();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(waiting.join().unwrap(), io::ErrorKind::WouldBlock);
        assert!(raised.elapsed() < Duration::from_secs(2), "{:?}", raised.elapsed());
        drop(writer);
    }
}
