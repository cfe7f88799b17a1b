//! The peer as somebody who does not use camlane, or does it as another user.

use std::fs::{File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;

use camlane_tests::raw::{self, BELL, Dice};
use camlane_tests::wait::wait_until;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mprotect, munmap};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::stat::{Mode, fchmod};
use nix::sys::uio::pwrite;
use nix::unistd::{Gid, Uid, ftruncate, setgid, setgroups, setuid, write};

use crate::Peer;
use crate::order::Order;

/// Stack of a thread that only sleeps.
const STACK: usize = 64 * 1024;

/// Gives up being root.
pub(crate) fn become_user(uid: u32, gid: u32) -> String {
    setgroups(&[]).expect("leave the groups");
    setgid(Gid::from_raw(gid)).expect("change the group");
    setuid(Uid::from_raw(uid)).expect("change the user");
    "ok".to_owned()
}

/// Allows this process so many more descriptors; `None`: all that it ever may have.
pub(crate) fn limit_files(more: Option<u64>) -> String {
    let most = getrlimit(Resource::RLIMIT_NOFILE).expect("the limits").1;
    // The limit is one of numbers, and these are given out from below.
    let next = more
        .map(|more| (0..=more).map(|_| File::open("/dev/null").expect("a descriptor")).collect::<Vec<_>>());
    let limit = next.and_then(|files| Some(files.last()?.as_raw_fd() as rlim_t));
    setrlimit(Resource::RLIMIT_NOFILE, limit.unwrap_or(most), most).expect("a limit");
    "ok".to_owned()
}

impl Peer {
    pub(crate) fn join(&mut self, order: &Order<'_>) -> String {
        match raw::join(Path::new(order.text(1)), order.number(2) as u32, false) {
            Ok(joined) => {
                self.strangers.push(joined);
                "ok".to_owned()
            }
            Err(errno) => format!("error {errno:?}"),
        }
    }

    /// Tries all that nobody may do to what a sealed lane hands out, and says how the system answered.
    pub(crate) fn misdeeds(&self) -> String {
        let joined = self.strangers.last().expect("a lane");
        let seat = joined.seat.as_ref().expect("a seat");
        let mut answers: Vec<String> = deeds(&joined.data)
            .into_iter()
            .map(|(deed, answer)| format!("data-{deed}={}", name(answer)))
            .collect();
        for (deed, answer) in deeds(seat) {
            answers.push(format!("seat-{deed}={}", name(answer)));
        }
        format!("ok {}", answers.join(" "))
    }

    /// Has threads sleep on the bell for ever, as an observer can, and answers when all are asleep. The lane is a file, or the
    /// one that was joined.
    pub(crate) fn park(&self, count: usize, file: &str) -> String {
        static PARKED: AtomicUsize = AtomicUsize::new(0);
        let opened = (!file.is_empty()).then(|| OwnedFd::from(File::open(file).expect("a file")));
        let data = opened.as_ref().unwrap_or_else(|| &self.strangers.last().expect("a lane").data);
        let words = raw::words(data, 64, false).expect("map");
        let bell = &words[BELL];
        for _ in 0..count {
            let sleeper = move || {
                PARKED.fetch_add(1, Ordering::Relaxed);
                loop {
                    let now = bell.load(Ordering::Relaxed);
                    let null = std::ptr::null::<libc::timespec>();
                    // SAFETY: the word stays mapped; the kernel only reads it.
                    unsafe { libc::syscall(libc::SYS_futex, bell.as_ptr(), libc::FUTEX_WAIT, now, null) };
                }
            };
            thread::Builder::new().stack_size(STACK).spawn(sleeper).expect("a thread");
        }
        wait_until("all sleep", || PARKED.load(Ordering::Relaxed) >= count && sleeping_threads() >= count);
        "ok".to_owned()
    }

    /// Writes over all of the lane's data, as a producer that has lost its mind.
    pub(crate) fn scribble_data(&self, times: u64) -> String {
        let addresses = self.source().producer.addresses();
        let words = addresses.len() / 4;
        // SAFETY: the producer's own mapping, which lives as long as `self.source` does; atomics may be shared with anybody.
        let data = unsafe { std::slice::from_raw_parts(addresses.start as *const AtomicU32, words) };
        let mut dice = Dice(7);
        for turn in 0..times {
            // All of it now and then; mostly the tables in front, where the protocol's words are.
            let end = if turn % 16 == 0 { words } else { words.min(4096) };
            for (word, value) in data[..end].iter().zip(&mut dice) {
                // Small numbers are more often believed.
                let value = if value % 3 == 0 { value % 64 } else { value };
                word.store(value, Ordering::Relaxed);
            }
        }
        "ok".to_owned()
    }
}

/// Threads of this process that sleep, as proc_pid_stat(5) has it.
fn sleeping_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let is_asleep = |stat: &String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'));
    tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok()).filter(is_asleep).count()
}

fn name(answer: Result<(), Errno>) -> String {
    answer.map_or_else(|errno| format!("{errno:?}"), |()| "done".to_owned())
}

fn deeds(object: &OwnedFd) -> Vec<(&'static str, Result<(), Errno>)> {
    let page = NonZeroUsize::new(4096).expect("a page");
    let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let map = |protection| {
        // SAFETY: the kernel chooses the address.
        unsafe { mmap(None, page, protection, MapFlags::MAP_SHARED, object, 0) }
    };
    let on_a_map = |deed: &dyn Fn(std::ptr::NonNull<std::ffi::c_void>) -> Result<(), Errno>| {
        let at = map(ProtFlags::PROT_READ)?;
        let done = deed(at);
        // SAFETY: mapped above, used no more.
        unsafe { munmap(at, page.get()) }?;
        done
    };
    let protect = |at| {
        // SAFETY: the map is this function's own.
        unsafe { mprotect(at, page.get(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE) }
    };
    let remove = |at| {
        // SAFETY: as above.
        unsafe { madvise(at, page.get(), MmapAdvise::MADV_REMOVE) }
    };
    let reopened = |then: &dyn Fn(&std::fs::File) -> Result<(), Errno>| {
        let path = format!("/proc/self/fd/{}", object.as_raw_fd());
        let file = OpenOptions::new().read(true).write(true).open(path);
        file.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0))).and_then(|file| then(&file))
    };
    let seal = |fd: &dyn AsFd| fcntl(fd.as_fd(), FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).map(drop);
    let map_file = |file: &std::fs::File| {
        // SAFETY: the kernel chooses the address.
        unsafe {
            mmap(None, page, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, file, 0)
        }
        .map(drop)
    };
    vec![
        ("shrink", ftruncate(object, 0)),
        ("grow", ftruncate(object, 1 << 30)),
        ("write", write(object, b"x").map(drop)),
        ("pwrite", pwrite(object, b"x", 0).map(drop)),
        ("map", map(ProtFlags::PROT_READ | ProtFlags::PROT_WRITE).map(drop)),
        ("mprotect", on_a_map(&protect)),
        ("remove", on_a_map(&remove)),
        ("punch", fallocate(object, punch, 0, 4096)),
        ("seal", seal(object)),
        ("chmod", fchmod(object, Mode::from_bits_truncate(0o666))),
        ("reopen", reopened(&|_| Ok(()))),
        ("reopen-shrink", reopened(&|file| ftruncate(file, 0))),
        ("reopen-write", reopened(&|file| pwrite(file, b"x", 0).map(drop))),
        ("reopen-punch", reopened(&|file| fallocate(file, punch, 0, 4096))),
        ("reopen-map", reopened(&map_file)),
        ("reopen-seal", reopened(&|file| seal(file))),
    ]
}
