//! Orders: lines on the standard input, read so that one can be noticed without waiting for it.

use std::io::Read;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The lines to come.
#[derive(Default)]
pub struct Orders {
    bytes: Vec<u8>,
}

impl Iterator for Orders {
    type Item = String;

    /// Waits for the next line; `None` when whoever gives the orders is gone.
    fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.bytes.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let mut more = [0; 4096];
            match std::io::stdin().lock().read(&mut more) {
                Ok(0) => return None,
                Err(_) => {} // a test may have every call refused, this one too
                Ok(count) => self.bytes.extend_from_slice(&more[..count]),
            }
        }
    }
}

impl Orders {
    /// Tells whether a line, or the end, is there.
    pub fn waiting(&self) -> bool {
        let stdin = std::io::stdin();
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        !self.bytes.is_empty() || poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }
}
