//! Orders: lines on the standard input, read so that one can be noticed without waiting for it.

use std::io::Read;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The lines to come.
#[derive(Default)]
pub(crate) struct Orders {
    bytes: Vec<u8>,
}

impl Orders {
    /// Waits for the next line; `None` when whoever gives the orders is gone.
    pub(crate) fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.bytes.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let mut more = [0; 4096];
            match std::io::stdin().lock().read(&mut more) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.bytes.extend_from_slice(&more[..count]),
            }
        }
    }

    /// Tells whether a line, or the end, is there.
    pub(crate) fn waiting(&self) -> bool {
        let stdin = std::io::stdin();
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        !self.bytes.is_empty() || poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }
}

/// One order: words, some of them `name=value`.
pub(crate) struct Order<'l>(Vec<&'l str>);

impl<'l> Order<'l> {
    pub(crate) fn new(line: &'l str) -> Self {
        Self(line.split_ascii_whitespace().collect())
    }

    pub(crate) fn verb(&self) -> &'l str {
        self.text(0)
    }

    pub(crate) fn text(&self, index: usize) -> &'l str {
        self.0.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn number(&self, index: usize) -> u64 {
        self.text(index).parse().unwrap_or_else(|_| panic!("word {index} of {:?} should be a number", self.0))
    }

    pub(crate) fn option(&self, name: &str) -> Option<&'l str> {
        self.0.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    pub(crate) fn option_number(&self, name: &str) -> Option<u32> {
        self.option(name).map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
    }
}
