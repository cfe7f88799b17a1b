//! The processes of one measurement: started, told to begin, heard, and never left behind.

use core::time::Duration;
use std::io::Write as _;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use anyhow::{Context as _, bail};
use camlane_measure::{Shared, Timer, place};

use super::job::{Job, Part, Report, Said, Task, Way};
use super::worker::Desk;
use crate::{children, stop};

/// How long a measurement may take before it is given up.
const LIMIT: Duration = Duration::from_secs(300);

/// What is the same for all measurements of a run.
#[derive(Debug)]
pub(super) struct Conditions {
    pub(super) timer: Timer,
    pub(super) real_time: bool,
    /// Whether each process stays on a processor of its own.
    pub(super) pinned: bool,
}

/// What both ends measured.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) producer: Report,
    /// All readers together.
    pub(super) readers: Report,
}

/// Runs one measurement.
///
/// # Errors
/// What a process could not do, or Ctrl-C.
pub(super) fn measure(conditions: &Conditions, job: Job) -> anyhow::Result<Outcome> {
    let readers = match (job.readers, job.crowd) {
        (0, _) => Vec::new(),
        (_, true) => vec![Part::Crowd],
        (readers, false) => (0..readers).map(Part::Consume).collect(),
    };
    perform(conditions, job, &readers)
}

/// Measures how long it takes to open a lane.
///
/// # Errors
/// As [`measure`].
pub(super) fn attach(
    conditions: &Conditions,
    job: Job,
    times: u32,
    populate: bool,
) -> anyhow::Result<Outcome> {
    perform(conditions, job, &[Part::Attach { times, populate }])
}

fn perform(conditions: &Conditions, job: Job, readers: &[Part]) -> anyhow::Result<Outcome> {
    let desk = Shared::create(Desk::LEN).context("no memory")?;
    let (mouth, heard) = channel();
    let lane = format!("bench-{}", std::process::id());
    let mut crew = Crew { lane, job, members: Vec::new(), mouth, heard, begun: Instant::now() };
    let task = |part: Part, ring: &str, cpu: usize| Task {
        part,
        job,
        lane: format!("bench-{}", std::process::id()),
        ring: ring.to_owned(),
        desk: desk.path(),
        timer: conditions.timer.clone(),
        cpu: conditions.pinned.then_some(cpu),
        real_time: conditions.real_time,
    };
    let cpus = place::cpus();
    let (first, others) = cpus.split_first().context("no processor")?;
    let others = if others.is_empty() { &cpus[..] } else { others };
    crew.start(&task(Part::Produce, "", *first))?;
    let ring = crew.until_ready(0)?;
    for (index, &part) in readers.iter().enumerate() {
        crew.start(&task(part, &ring, others[index % others.len()]))?;
        crew.until_ready(index + 1)?;
    }
    crew.begin()?;
    let mut outcome = Outcome { producer: crew.until_done(0)?, readers: Report::default() };
    let silent = job.crowd && !job.is_closed_loop();
    for index in (1..=readers.len()).filter(|_| !silent) {
        outcome.readers.merge(&crew.until_done(index)?);
    }
    Ok(outcome)
}

#[derive(Debug)]
struct Member {
    child: Child,
    ready: Option<String>,
    done: Option<Report>,
}

#[derive(Debug)]
struct Crew {
    lane: String,
    job: Job,
    members: Vec<Member>,
    mouth: Sender<(usize, Option<String>)>,
    heard: Receiver<(usize, Option<String>)>,
    begun: Instant,
}

impl Crew {
    fn start(&mut self, task: &Task) -> anyhow::Result<()> {
        let mut child = children::command("bench-worker")?
            .args(["--task", &serde_json::to_string(task)?])
            .spawn()
            .context("cannot start a process of the measurement")?;
        let (index, mouth) = (self.members.len(), self.mouth.clone());
        children::listen(&mut child, move |line| mouth.send((index, line)).is_ok());
        self.members.push(Member { child, ready: None, done: None });
        Ok(())
    }

    /// Gives the word to the producer.
    fn begin(&mut self) -> anyhow::Result<()> {
        let ear = self.members.first_mut().and_then(|member| member.child.stdin.as_mut());
        ear.context("nobody to begin")?.write_all(b"begin\n").context("the producer is gone")
    }

    fn until_ready(&mut self, index: usize) -> anyhow::Result<String> {
        self.until(|members| members[index].ready.is_some())?;
        Ok(self.members[index].ready.clone().unwrap_or_default())
    }

    fn until_done(&mut self, index: usize) -> anyhow::Result<Report> {
        self.until(|members| members[index].done.is_some())?;
        Ok(self.members[index].done.as_mut().map(core::mem::take).unwrap_or_default())
    }

    fn until(&mut self, condition: impl Fn(&[Member]) -> bool) -> anyhow::Result<()> {
        while !condition(&self.members) {
            if stop::requested() {
                bail!("interrupted; everything is taken down");
            }
            if self.begun.elapsed() > LIMIT {
                bail!("gave up after {} s: {:?}", LIMIT.as_secs(), self.job);
            }
            match self.heard.recv_timeout(stop::LOOK) {
                Ok((index, Some(line))) => match serde_json::from_str(&line) {
                    Ok(Said::Ready(place)) => self.members[index].ready = Some(place),
                    Ok(Said::Done(report)) => self.members[index].done = Some(*report),
                    Ok(Said::Failed(error)) => bail!("{error} (in {:?})", self.job),
                    Err(error) => bail!("a process of the measurement said {line:?}: {error}"),
                },
                Ok((index, None)) if self.members[index].done.is_none() => {
                    let status = self.members[index].child.wait()?;
                    bail!("a process of the measurement ended by itself ({status}; {:?})", self.job);
                }
                Ok(_) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        Ok(())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for member in &mut self.members {
            if member.done.is_none() {
                // Both fail only for a process that has been waited for.
                let _ = member.child.kill();
            }
            let _ = member.child.wait();
        }
        if self.job.way == Way::Lane {
            children::forget_lane(&self.lane);
        }
    }
}
