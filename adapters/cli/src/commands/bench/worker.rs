//! The bench's other processes: this program again, with a hidden command.

use core::time::Duration;
use std::io::{self, BufRead as _};
use std::process::ExitCode;

use anyhow::Context as _;
use camlane_measure::{Shared, place};
use clap::Args;

use super::job::{Part, Report, Said, Task};
use super::{consume, produce};
use crate::children::{self, say};
use crate::stop;

/// Plays one part of a measurement.
#[derive(Debug, Args)]
pub(crate) struct Worker {
    #[arg(long)]
    parent: u32,
    #[arg(long)]
    task: String,
}

impl Worker {
    /// Plays the part, or as much of it as there is time for.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if !children::belong_to(self.parent)? {
            return Ok(ExitCode::FAILURE);
        }
        let task: Task = serde_json::from_str(&self.task).context("this is no task")?;
        let said = match play(&task) {
            Ok(report) => Said::Done(Box::new(report)),
            Err(error) => Said::Failed(format!("{error:#}")),
        };
        say(&said)?;
        Ok(if matches!(said, Said::Done(_)) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn play(task: &Task) -> anyhow::Result<Report> {
    let desk = Desk(Shared::open(&task.desk).context("the bench is gone")?);
    match task.part {
        Part::Produce => produce::run(task, &desk),
        Part::Consume(index) => consume::run(task, &desk, index),
        Part::Crowd => consume::crowd(task, &desk),
        Part::Attach { times, populate } => consume::attach(task, &desk, times, populate),
    }
}

/// Settles where the work is done. After the lane is made or opened: threads started there would be pinned too.
pub(super) fn settle(task: &Task) -> anyhow::Result<()> {
    if let Some(cpu) = task.cpu {
        place::pin(cpu).with_context(|| format!("cannot run on processor {cpu}"))?;
    }
    if task.real_time {
        place::real_time().context("no real-time priority: run as root, or leave out --real-time")?;
    }
    Ok(())
}

/// Waits for the word to begin. `false`: there will be none.
pub(super) fn may_begin() -> bool {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).is_ok_and(|len| len > 0)
}

/// Where readers say which frame they have finished: a cache line each.
#[derive(Debug)]
pub(super) struct Desk(pub(super) Shared);

impl Desk {
    /// Adjacent lines are fetched in pairs: readers are further apart.
    const STRIDE: usize = 256;
    pub(super) const READERS: u32 = 64;
    pub(super) const LEN: usize = Self::STRIDE * Self::READERS as usize;

    /// Reader `index` has finished frame `number`.
    pub(super) fn finish(&self, index: u32, number: u64) {
        let word = self.0.wide(Self::STRIDE * index as usize);
        word.store(number, std::sync::atomic::Ordering::Release);
    }

    /// Waits until all of `readers` have finished frame `number`. `false`: the end was asked for.
    pub(super) fn until(&self, readers: u32, number: u64) -> bool {
        for reader in 0..readers {
            let word = self.0.wide(Self::STRIDE * reader as usize);
            let mut patience = Patience::default();
            while word.load(std::sync::atomic::Ordering::Acquire) < number {
                if !patience.spin() {
                    return false;
                }
            }
        }
        true
    }
}

/// Spins, but not for ever and not at the cost of who is waited for.
#[derive(Debug, Default)]
pub(super) struct Patience(u32);

impl Patience {
    /// Looks after which the processor is offered to others.
    const LONG: u32 = 1 << 14;

    /// One turn. `false`: the end was asked for.
    #[inline]
    pub(super) fn spin(&mut self) -> bool {
        self.0 = self.0.wrapping_add(1);
        std::hint::spin_loop();
        if self.0.is_multiple_of(Self::LONG) {
            std::thread::yield_now();
        }
        !stop::requested()
    }
}

/// How long a sleep lasts before the stop flag is looked at.
pub(super) const LOOK: Duration = stop::LOOK;
