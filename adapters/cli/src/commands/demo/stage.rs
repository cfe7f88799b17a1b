//! The demo's processes as the demo sees them: started, heard, killed, and never left behind.

use core::time::Duration;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use anyhow::{Context as _, bail};

use super::message::{Order, Published, Said, Seen};
use crate::output::{Output, Status};
use crate::{children, stop};

/// How often conditions that nobody announces are looked at.
const LOOK: Duration = Duration::from_millis(2);

/// One process and what it last said.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) name: &'static str,
    child: Child,
    ear: Option<ChildStdin>,
    /// Its end is not a surprise.
    may_end: bool,
    ended: bool,
    pub(super) ready: bool,
    pub(super) frames: u64,
    pub(super) frames_of_run: u64,
    pub(super) run: usize,
    pub(super) holding: Option<u64>,
    pub(super) paused: Option<u64>,
    pub(super) audit: Option<(u32, u32, u32)>,
    pub(super) published: Option<Published>,
    pub(super) seen: Option<Seen>,
}

impl Actor {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn hear(&mut self, said: Said) -> anyhow::Result<()> {
        match said {
            Said::Ready => self.ready = true,
            Said::Progress { frames, frames_of_run, run } => {
                (self.frames, self.frames_of_run, self.run) = (frames, frames_of_run, run);
            }
            Said::Holding { number, seen } => (self.holding, self.seen) = (Some(number), Some(seen)),
            Said::Paused { published } => self.paused = Some(published),
            Said::Audited { expected, lent, pins } => self.audit = Some((expected, lent, pins)),
            Said::Published(published) => self.published = Some(published),
            Said::Seen(seen) => self.seen = Some(seen),
            Said::Failed { error } => bail!("{}: {error}", self.name),
        }
        Ok(())
    }
}

/// Which actor, for as long as the stage stands.
pub(super) type Index = usize;

/// All processes of one demo.
#[derive(Debug)]
pub(super) struct Stage {
    lane: String,
    pub(super) actors: Vec<Actor>,
    heard: Receiver<(Index, Option<Said>)>,
    mouth: Sender<(Index, Option<Said>)>,
    status: Status,
    shown: Instant,
    begun: Instant,
    limit: Duration,
}

impl Stage {
    /// An empty stage. After `limit` whatever is waited for is given up.
    pub(super) fn new(lane: &str, limit: Duration, output: Output) -> Self {
        let (mouth, heard) = channel();
        let (begun, status) = (Instant::now(), Status::new(output));
        Self { lane: lane.to_owned(), actors: Vec::new(), heard, mouth, status, shown: begun, begun, limit }
    }

    /// Starts this program again, in a part of the demo.
    pub(super) fn start(
        &mut self,
        name: &'static str,
        rate: (u32, u32),
        part: &[String],
    ) -> anyhow::Result<Index> {
        let mut child = children::command("demo-worker")?
            .args(["--lane", &self.lane])
            .args(["--rate", &format!("{}/{}", rate.0, rate.1)])
            .args(part)
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        let (index, mouth) = (self.actors.len(), self.mouth.clone());
        children::listen(&mut child, move |line| match line.map(|line| serde_json::from_str(&line)) {
            Some(Err(_)) => true, // no message
            Some(Ok(said)) => mouth.send((index, Some(said))).is_ok(),
            None => mouth.send((index, None)).is_ok(),
        });
        let ear = child.stdin.take();
        self.actors.push(Actor {
            name,
            child,
            ear,
            may_end: false,
            ended: false,
            ready: false,
            frames: 0,
            frames_of_run: 0,
            run: 0,
            holding: None,
            paused: None,
            audit: None,
            published: None,
            seen: None,
        });
        Ok(index)
    }

    /// Gives an order.
    pub(super) fn order(&mut self, index: Index, order: Order) -> anyhow::Result<()> {
        let actor = &mut self.actors[index];
        actor.may_end |= order == Order::Leave;
        let Some(ear) = &mut actor.ear else { bail!("the {} does not listen any more", actor.name) };
        ear.write_all(format!("{}\n", order.word()).as_bytes())
            .with_context(|| format!("the {} is gone", actor.name))
    }

    /// Kills a process as the kernel or an operator would, and returns the signal that it died of.
    pub(super) fn kill(&mut self, index: Index) -> anyhow::Result<Option<i32>> {
        let actor = &mut self.actors[index];
        actor.may_end = true;
        actor.child.kill().with_context(|| format!("cannot kill the {}", actor.name))?;
        let status = actor.child.wait()?;
        self.until("the end of a killed process", |actors| actors[index].ended)?;
        Ok(status.signal())
    }

    /// Waits for a process that was told to leave; whether it ended well.
    pub(super) fn reap(&mut self, index: Index) -> anyhow::Result<bool> {
        self.until("a process that was told to leave", |actors| actors[index].ended)?;
        Ok(self.actors[index].child.wait()?.success())
    }

    /// Listens until a condition holds, and shows meanwhile how it goes.
    ///
    /// # Errors
    /// Ctrl-C, an actor that failed or ended, the limit.
    pub(super) fn until(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&[Actor]) -> bool,
    ) -> anyhow::Result<()> {
        while !condition(&self.actors) {
            if stop::requested() {
                bail!("interrupted; everything is taken down");
            }
            if self.begun.elapsed() > self.limit {
                bail!("gave up after {} s, waiting for {what}", self.limit.as_secs());
            }
            match self.heard.recv_timeout(LOOK) {
                Ok((index, Some(said))) => self.actors[index].hear(said)?,
                Ok((index, None)) => {
                    let actor = &mut self.actors[index];
                    actor.ended = true;
                    if !actor.may_end {
                        bail!("the {} ended by itself ({})", actor.name, actor.child.wait()?);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            self.show();
        }
        Ok(())
    }

    /// Writes a line that stays.
    pub(super) fn say(&mut self, text: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.status.say(format_args!("{seconds:5.1} s  {text}"));
    }

    fn show(&mut self) {
        let pause = Duration::from_millis(if self.status.is_live() { 100 } else { 1000 });
        if self.shown.elapsed() < pause {
            return;
        }
        self.shown = Instant::now();
        let living = self.actors.iter().filter(|actor| !actor.ended);
        let counts: Vec<_> = living.map(|actor| format!("{} {}", actor.name, actor.frames)).collect();
        let seconds = self.begun.elapsed().as_secs_f64();
        self.status.show(&format!("{seconds:5.1} s  frames: {}", counts.join(", ")));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for actor in &mut self.actors {
            // Both fail only for a process that has been waited for.
            let _ = actor.child.kill();
            let _ = actor.child.wait();
        }
        children::forget_lane(&self.lane); // if they could not remove it themselves
    }
}
