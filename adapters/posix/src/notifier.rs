//! A descriptor that becomes readable when frames come, for programs that wait in poll or epoll.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::attachment::Attachment;
use crate::error::Error;
use crate::fork::Owner;
use crate::futex;

/// How long the thread may take to notice that it shall move or stop when nothing is published.
const BEAT: Duration = Duration::from_millis(100);

/// An event descriptor of this consumer alone, written by a thread that sleeps on the bell.
///
/// Never shared with a peer: one could fill it, and the producer's write would block.
#[derive(Debug)]
pub struct Notifier {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    owner: Owner,
}

#[derive(Debug)]
struct Shared {
    event: EventFd,
    attachment: Mutex<Arc<Attachment>>,
    /// Another thread sleeps on the bell, for whom the seat has no second flag.
    relay: AtomicBool,
    stop: AtomicBool,
}

/// While it lives, the notifier wakes who sleeps on the bell, as it notices a ring.
#[derive(Debug)]
pub(crate) struct Relay<'n>(&'n AtomicBool);

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Notifier {
    pub(crate) fn start(attachment: &Arc<Attachment>) -> Result<Self, Error> {
        let fail = |operation, source| Error::System { operation, object: "notifier".to_owned(), source };
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|errno| fail("make the event descriptor of the", errno.into()))?;
        let attachment = Mutex::new(Arc::clone(attachment));
        let shared = Arc::new(Shared {
            event,
            attachment,
            relay: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let work = Arc::clone(&shared);
        let thread = Builder::new()
            .name("camlane-notify".to_owned())
            .spawn(move || work.run())
            .map_err(|source| fail("start the thread of the", source))?;
        Ok(Self { shared, thread: Some(thread), owner: Owner::current() })
    }

    /// Makes the descriptor unreadable.
    pub(crate) fn clear(&self) {
        let _ = self.shared.event.read();
    }

    /// Waits until the descriptor is readable.
    pub(crate) fn wait(&self, limit: Duration) {
        let millis = u16::try_from(limit.as_millis().max(1)).unwrap_or(u16::MAX);
        let mut fds = [PollFd::new(self.shared.event.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(millis));
    }

    /// Has the thread wake the caller too, who is about to sleep on the bell.
    pub(crate) fn relay(&self) -> Relay<'_> {
        self.shared.relay.store(true, Ordering::Relaxed);
        // Partner: the fence in `run`. Either the caller's look at the bell, as it falls asleep, sees the ring that the
        // thread saw, or the thread sees this.
        fence(Ordering::SeqCst);
        Relay(&self.shared.relay)
    }

    pub(crate) fn move_to(&self, attachment: &Arc<Attachment>) {
        *self.shared.current() = Arc::clone(attachment);
        let _ = self.shared.event.write(1);
    }
}

impl Shared {
    fn current(&self) -> std::sync::MutexGuard<'_, Arc<Attachment>> {
        self.attachment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut known = None;
        while !self.stop.load(Ordering::Acquire) {
            let attachment = Arc::clone(&self.current());
            let core = attachment.core();
            let bell = core.bell();
            // What was published before the first look is news too. Nobody rings without a producer: then each beat has the
            // reader look for the next one.
            let now = Some((attachment.data.inode, bell));
            if std::mem::replace(&mut known, now) != now || !attachment.producer_lives() {
                let _ = self.event.write(1);
                fence(Ordering::SeqCst);
                if self.relay.load(Ordering::Relaxed) {
                    futex::wake_all(attachment.data.region.bell());
                }
            }
            if let Some(asleep) = core.fall_asleep(bell) {
                futex::wait(asleep.word(), asleep.expected(), BEAT);
            }
        }
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        if !self.owner.is_here() {
            // The thread is the parent's; it may have held the lock at the fork, and will never give it back here.
            std::mem::forget(self.thread.take());
            return;
        }
        self.shared.stop.store(true, Ordering::Release);
        let attachment = Arc::clone(&self.shared.current());
        futex::wake_all(attachment.data.region.bell());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
