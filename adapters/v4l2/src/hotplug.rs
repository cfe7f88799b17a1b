//! Waiting for device nodes to come and go, without looking again and again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Tells when something happens in `/dev`: a node appears, goes, or gets other permissions, as udev gives them after the
/// kernel made the node.
#[derive(Debug)]
pub struct Hotplug(Inotify);

impl Hotplug {
    /// Begins to listen. What happens from here on is not missed.
    ///
    /// # Errors
    /// The system's: no more inotify instances for this user.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let what = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_ATTRIB;
        inotify.add_watch("/dev", what)?;
        Ok(Self(inotify))
    }

    /// Sleeps until something happened to a node of a camera, or the time is over; tells which.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            match self.0.read_events() {
                Ok(events) => {
                    let is_camera = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("video");
                    if events.iter().any(|event| event.name.as_ref().is_some_and(is_camera)) {
                        return Ok(true);
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let left = deadline.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(false);
            }
            let wait = PollTimeout::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], wait) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Hotplug {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How long to wait between attempts: from 100 ms, doubled each time, to 2 s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackOff(Duration);

impl BackOff {
    const FIRST: Duration = Duration::from_millis(100);
    const LAST: Duration = Duration::from_secs(2);

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(Self::LAST);
        wait
    }
}

impl Default for BackOff {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_below_their_limit() {
        let mut back_off = BackOff::default();
        let waits: Vec<_> = (0..8).map(|_| back_off.next_wait().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 2000, 2000, 2000]);
    }

    #[test]
    fn a_wait_without_news_ends() {
        assert!(!Hotplug::new().unwrap().wait(Duration::from_millis(10)).unwrap());
    }
}
