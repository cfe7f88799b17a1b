//! The keeper: a thread of the producer's process that does what the camera's thread shall not wait for.
//!
//! It wakes sleeping consumers of lanes with many seats, and once a second gives back the seats of the dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use camlane_core::{Region, Seats};

use crate::error::Error;
use crate::futex;
use crate::lock::LockFile;
use crate::name::LaneName;
use crate::producer::reclaim;

const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Keeper {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Orders {
    ring: AtomicBool,
    stop: AtomicBool,
}

impl Keeper {
    /// Starts the thread. The region must stay mapped until the keeper is dropped. `lock` is a handle of its own: locks that
    /// the producer holds would not keep the same handle out.
    pub(crate) fn start(
        name: &LaneName,
        region: &Region<'static>,
        seats: Seats<'static>,
        lock: Option<LockFile>,
    ) -> Result<Self, Error> {
        let orders = Arc::new(Orders::default());
        let (shared, bell) = (Arc::clone(&orders), region.bell());
        let work = move || {
            let mut last_look = Instant::now();
            while !shared.stop.load(Ordering::Acquire) {
                if shared.ring.swap(false, Ordering::AcqRel) {
                    futex::wake_all(bell);
                }
                if last_look.elapsed() >= PERIOD {
                    last_look = Instant::now();
                    if let Some(lock) = &lock {
                        reclaim(seats, lock);
                    }
                }
                // An unpark that came since the looks above makes this return at once.
                std::thread::park_timeout(PERIOD.saturating_sub(last_look.elapsed()));
            }
        };
        let thread = Builder::new().name("camlane-keeper".to_owned()).spawn(work).map_err(|source| {
            Error::System { operation: "start the keeper thread of", object: name.to_string(), source }
        })?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Has the sleepers woken: one cheap wake for the caller, however many they are.
    pub(crate) fn ring(&self) {
        self.orders.ring.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
