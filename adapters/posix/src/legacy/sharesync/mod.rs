//! The byte stream behind a process-shared pthread mutex, beside programs that still use it.
//!
//! camlane's ends wait for the mutex only so long as they are told, keep their bytes inside the object, deliver the last
//! message, and can be restarted: they leave a position in the struct's padding. What is appended is written before the
//! mutex is taken and what is consumed is copied without it, so that it is held for a few stores.
//!
//! To move to: [`StreamWriter`](crate::StreamWriter) and [`StreamReader`](crate::StreamReader), which have no lock.

mod mutex;
mod reader;
mod writer;

pub use reader::SyncReader;
pub use writer::{SyncOptions, SyncWriter};

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use camlane_core::legacy::sharesync::{
    KIND, KIND_SHARED, LEN, LOCK, MARK, MAX_CAPACITY, OWNER, USERS, WRITED,
};
use camlane_core::legacy::{Mark, Side};

use self::mutex::{Held, Mutex};
use crate::fork::Owner;
use crate::legacy::object::byte;
use crate::legacy::{Error, Map, MapKind, Object};

/// How long the mutex is waited for before a look whether its holder is dead.
const LOOK_AT_HOLDER: Duration = Duration::from_millis(50);
/// How often a side looks for the other. Nobody wakes either.
const LOOK: Duration = Duration::from_millis(1);

/// The object with its struct mapped; the bytes behind it go through `pread` and `pwrite`.
#[derive(Debug)]
struct Stream {
    object: Object,
    head: Map,
    capacity: u32,
    recovered: u32,
    owner: Owner,
}

/// The struct's words.
struct Words<'m> {
    writed: &'m AtomicU32,
    mark: &'m AtomicU32,
    mutex: Mutex<'m>,
}

impl Stream {
    /// # Errors
    /// [`Error::TooShort`] while its creator has not sized it.
    fn map(object: Object) -> Result<Self, Error> {
        let head = object.map(0, LEN, MapKind::Shared)?;
        let room = object.len()?.saturating_sub(LEN as u64);
        let capacity = u32::try_from(room).unwrap_or(u32::MAX).min(MAX_CAPACITY);
        Ok(Self { object, head, capacity, recovered: 0, owner: Owner::current() })
    }

    fn words(&self) -> Result<Words<'_>, Error> {
        self.object.check_len(LEN as u64)?; // a struct that was cut off would answer with SIGBUS
        let word = |at| self.head.word(at).ok_or(Error::UnknownAbi);
        let mutex = Mutex { lock: word(LOCK)?, owner: word(OWNER)?, users: word(USERS)? };
        Ok(Words { writed: word(WRITED)?, mark: word(MARK)?, mutex })
    }

    fn kind(&self) -> Result<u32, Error> {
        self.object.check_len(LEN as u64)?;
        Ok(self.head.word(KIND).ok_or(Error::UnknownAbi)?.load(Relaxed))
    }

    /// Takes the mutex, from a dead holder if that is proved.
    fn lock(&mut self, timeout: Duration) -> Result<(), Error> {
        let kind = self.kind()?;
        if kind != KIND_SHARED {
            return Err(Error::Uninitialised { object: self.object.name().to_string(), kind });
        }
        let mutex = self.words()?.mutex;
        let began = Instant::now();
        loop {
            if mutex.lock(timeout.saturating_sub(began.elapsed()).min(LOOK_AT_HOLDER)) {
                return Ok(());
            }
            let is_over = began.elapsed() >= timeout;
            let object = self.object.name().to_string();
            match mutex.held_by(self.object.file()) {
                Held::Dead { thread } => {
                    if mutex.break_lock(thread) {
                        log::warn!("{object}: thread {thread} died with the mutex, which is free again");
                        self.recovered += 1;
                        return self.lock(timeout);
                    }
                }
                _ if !is_over => {}
                Held::Gone { thread } => return Err(Error::HolderGone { object, thread }),
                Held::Alive { holder } => return Err(Error::Held { object, holder, after: timeout }),
                Held::Nobody => {
                    let holder = "one program after another".to_owned();
                    return Err(Error::Held { object, holder, after: timeout });
                }
            }
        }
    }

    fn unlock(&self) -> Result<(), Error> {
        self.words()?.mutex.unlock();
        Ok(())
    }

    /// Runs `change` with the mutex held.
    fn locked<R>(
        &mut self,
        timeout: Duration,
        change: impl FnOnce(&Words<'_>) -> Result<R, &'static str>,
    ) -> Result<R, Error> {
        self.lock(timeout)?;
        let changed = change(&self.words()?);
        self.unlock()?;
        changed.map_err(|what| Error::Corrupt { object: self.object.name().to_string(), what })
    }

    /// Where `side` stands, as far as the mark tells. `None`: only old programs were here.
    fn position(&mut self, side: Side, timeout: Duration) -> Result<Option<u32>, Error> {
        let capacity = self.capacity;
        let (mark, position) = self.locked(timeout, |words| {
            let Some(mark) = Mark::from_bits(words.mark.load(Relaxed)) else { return Ok((None, None)) };
            Ok((Some(mark), mark.position_of(side, words.writed.load(Relaxed))))
        })?;
        match (mark, position) {
            (None, _) => Ok(None),
            (Some(mark), Some(position)) if !mark.moving && position <= capacity => Ok(Some(position)),
            _ => Err(Error::PositionUnknown { object: self.object.name().to_string() }),
        }
    }

    /// Breaks the lock of a thread that is not to be seen; see `break_lock` of the ends.
    fn break_lock(&mut self) -> Result<bool, Error> {
        let mutex = self.words()?.mutex;
        let broken = match mutex.held_by(self.object.file()) {
            Held::Dead { thread } | Held::Gone { thread } => mutex.break_lock(thread),
            Held::Alive { .. } | Held::Nobody => false,
        };
        self.recovered += u32::from(broken);
        Ok(broken)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // By hand, because a child that is just being made for another program has the descriptor for a moment, too.
        if self.owner.is_here()
            && let Ok(locks) = self.object.locks()
        {
            locks.unlock(byte::WRITER);
            locks.unlock(byte::READER);
        }
    }
}

impl Words<'_> {
    /// Changes `writed` by one side's step, with the mark around it.
    fn step(&self, side: Side, from: u32, to: u32, writed: u32) {
        self.mark.store(Mark { side, position: from, moving: true }.bits(), Relaxed);
        self.writed.store(writed, Relaxed);
        self.mark.store(Mark { side, position: to, moving: false }.bits(), Relaxed);
    }
}
