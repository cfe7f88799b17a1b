//! The processes on the stage.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use camlane::Observer;
use camlane_tests::peer::{Peer, Reply};
use camlane_tests::random::Random;
use camlane_tests::wait::PATIENCE;
use nix::sys::signal::Signal;

use super::judge::Judge;
use crate::report::{Looks, Said, Tally};

/// How long a reader may take to leave: longer than it allows itself, so that it says what was in its way.
const LEAVING: Duration = PATIENCE.saturating_mul(2);

/// A lane's producer and readers.
pub(super) struct Cast {
    pub(super) lane: String,
    pub(super) seats: u32,
    pins: u32,
    /// What a producer has open before the first reader comes.
    pub(super) descriptors: usize,
    pub(super) producer: Peer,
    /// Sees the last number of a producer that was killed.
    pub(super) witness: Observer,
    pub(super) readers: Vec<Reader>,
    /// When the producer was last heard to publish.
    heard: Instant,
}

/// What a reader does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Pins,
    Copies,
}

/// A reader's process, and the last that it said.
pub(super) struct Reader {
    peer: Peer,
    role: Role,
    stopped: bool,
    tally: Option<Tally>,
    looks: Looks,
    /// When it last got something, or began to be able to.
    heard: Instant,
}

impl Cast {
    pub(super) fn new(lane: String, seats: u32, pins: u32, random: &mut Random) -> Result<Self> {
        let (producer, descriptors) = produce(&lane, seats, pins, random)?;
        let witness = observe(&lane)?;
        Ok(Self {
            lane,
            seats,
            pins,
            descriptors,
            producer,
            witness,
            readers: Vec::new(),
            heard: Instant::now(),
        })
    }

    /// Starts one more reader.
    pub(super) fn enter(&mut self, role: Role, random: &mut Random) {
        let mut command = part(if role == Role::Pins { "read" } else { "look" }, &self.lane);
        if role == Role::Pins {
            command.arg("--hold").arg(random.below(self.pins.into()).to_string());
            for option in ["--every", "--adaptive"] {
                if random.below(2) == 0 {
                    command.arg(option);
                }
            }
        }
        let peer = Peer::run(&mut command);
        let (tally, looks) = (None, Looks::default());
        self.readers.push(Reader { peer, role, stopped: false, tally, looks, heard: Instant::now() });
    }

    /// Takes in what all have said, and misses those who should have.
    pub(super) fn listen(&mut self, judge: &mut Judge) -> Result<()> {
        let lines: Vec<Reply> = self.producer.heard().collect();
        for line in lines {
            self.note(parse(&line)?, judge)?;
        }
        ensure!(self.heard.elapsed() < PATIENCE, "the producer has stood still for {PATIENCE:?}");
        self.readers.iter_mut().try_for_each(|reader| reader.listen(judge))
    }

    fn note(&mut self, said: Said, judge: &mut Judge) -> Result<()> {
        match said {
            Said::Shift(shift) => {
                if shift.published > 0 {
                    self.heard = Instant::now();
                }
                judge.shift(&shift);
                Ok(())
            }
            other => bail!("the producer: {other:?}"),
        }
    }

    /// Has the producer rest, and returns how many frames it has published.
    pub(super) fn rest(&mut self, judge: &mut Judge) -> Result<u64> {
        self.producer.tell("rest");
        loop {
            let reply = self.producer.answer().context("the producer ended")?;
            match parse(&reply)? {
                Said::Rests { published } => {
                    let seen = self.last_number()?;
                    ensure!(seen == published, "an observer sees frame {seen} as the last of {published}");
                    return Ok(published);
                }
                other => self.note(other, judge)?,
            }
        }
    }

    fn last_number(&self) -> Result<u64> {
        Ok(self.witness.peek().context("look at the newest frame")?.map_or(0, |newest| newest.number))
    }

    pub(super) fn kill_the_producer(&mut self, judge: &mut Judge) -> Result<()> {
        self.producer.kill();
        self.bury_the_producer(judge)
    }

    pub(super) fn end_the_producer(&mut self, judge: &mut Judge) -> Result<()> {
        self.producer.tell("quit");
        self.bury_the_producer(judge)
    }

    fn bury_the_producer(&mut self, judge: &mut Judge) -> Result<()> {
        while let Some(reply) = self.producer.answer() {
            self.note(parse(&reply)?, judge)?;
        }
        judge.run_is_over(self.witness.incarnation(), self.last_number()?);
        Ok(())
    }

    /// Starts the next one, with other sizes.
    pub(super) fn replace_the_producer(&mut self, random: &mut Random) -> Result<()> {
        (self.producer, _) = produce(&self.lane, self.seats, self.pins, random)?;
        self.witness = observe(&self.lane)?;
        self.heard = Instant::now();
        for reader in &mut self.readers {
            reader.heard = Instant::now();
        }
        Ok(())
    }

    /// Kills a reader, and looks at what it had counted.
    pub(super) fn kill(&mut self, index: usize, judge: &mut Judge) -> Result<Role> {
        let mut reader = self.readers.swap_remove(index);
        reader.peer.kill();
        while let Some(reply) = reader.peer.answer() {
            reader.note(parse(&reply)?, judge)?;
        }
        reader.close(judge)?;
        Ok(reader.role)
    }

    /// Has a reader leave in good order.
    pub(super) fn dismiss(&mut self, index: usize, judge: &mut Judge) -> Result<Role> {
        let mut reader = self.readers.swap_remove(index);
        reader.resume();
        reader.peer.tell("leave");
        reader.leave(judge)
    }

    /// Has all readers read to the end and leave.
    pub(super) fn drain(&mut self, published: u64, judge: &mut Judge) -> Result<()> {
        let run = self.witness.incarnation();
        for reader in &mut self.readers {
            reader.resume();
            reader.peer.tell(&format!("drain {published} {}", run.map(|word| word.to_string()).join(" ")));
        }
        self.readers.drain(..).try_for_each(|reader| reader.leave(judge).map(drop))
    }
}

impl Reader {
    pub(super) fn stop(&mut self) {
        self.peer.signal(Signal::SIGSTOP);
        self.stopped = true;
    }

    pub(super) fn resume(&mut self) {
        self.peer.signal(Signal::SIGCONT);
        if std::mem::replace(&mut self.stopped, false) {
            self.heard = Instant::now();
        }
    }

    fn listen(&mut self, judge: &Judge) -> Result<()> {
        let lines: Vec<Reply> = self.peer.heard().collect();
        for line in lines {
            self.note(parse(&line)?, judge)?;
        }
        let (role, status) = (self.role, self.peer.ended());
        ensure!(status.is_none(), "a reader that {role:?} ended: {status:?}");
        ensure!(
            self.stopped || self.heard.elapsed() < PATIENCE,
            "a reader that {role:?} got nothing for {PATIENCE:?}"
        );
        Ok(())
    }

    fn note(&mut self, said: Said, judge: &Judge) -> Result<()> {
        match said {
            Said::Tally(tally) | Said::Left(tally) => {
                if self.tally.is_none_or(|before| tally.checked > before.checked) {
                    self.heard = Instant::now();
                }
                judge.audit(&tally)?;
                self.tally = Some(tally);
            }
            Said::Looks(looks) => {
                if looks.copies > self.looks.copies {
                    self.heard = Instant::now();
                }
                self.looks = looks;
            }
            other => bail!("a reader that {:?}: {other:?}", self.role),
        }
        Ok(())
    }

    /// Waits for its end.
    fn leave(mut self, judge: &mut Judge) -> Result<Role> {
        while let Some(reply) =
            self.peer.answer_within(LEAVING).with_context(|| format!("{:?}: {:?}", self.role, self.tally))?
        {
            self.note(parse(&reply)?, judge)?;
        }
        self.close(judge)?;
        let role = self.role;
        let status = self.peer.end();
        ensure!(status.success(), "a reader that {role:?} ended: {status:?}");
        Ok(role)
    }

    fn close(&self, judge: &mut Judge) -> Result<()> {
        judge.close_looks(&self.looks);
        self.tally.iter().try_for_each(|tally| judge.close(tally))
    }
}

/// Asks a producer.
pub(super) fn ask(producer: &mut Peer, order: &str) -> Result<Said> {
    producer.tell(order);
    match producer.answer() {
        Some(reply) => parse(&reply),
        None => bail!("the producer ended at {order:?} with {:?}", producer.ended()),
    }
}

fn parse(reply: &Reply) -> Result<Said> {
    match serde_json::from_str(&reply.0)
        .with_context(|| format!("a line that nobody should say: {reply:?}"))?
    {
        Said::Broken { what } => bail!("{what}"),
        said => Ok(said),
    }
}

/// Starts a producer; it has so many descriptors.
fn produce(lane: &str, seats: u32, pins: u32, random: &mut Random) -> Result<(Peer, usize)> {
    let mut command = part("produce", lane);
    let history = 1 + random.below(8);
    for (name, value) in [
        ("--bytes", random.pick(&[64, 1000, 4096, 16_384, 60_000, 100_000])),
        ("--seats", seats.into()),
        ("--pins", pins.into()),
        ("--history", history),
        ("--seed", random.bits()),
    ] {
        command.arg(name).arg(value.to_string());
    }
    let mut peer = Peer::run(&mut command);
    match peer.answer().map(|reply| parse(&reply)).transpose().context("start a producer")? {
        Some(Said::Born { descriptors }) => Ok((peer, descriptors)),
        other => bail!("a producer starts with {other:?}"),
    }
}

fn observe(lane: &str) -> Result<Observer> {
    Observer::open(lane).context("observe the new producer")
}

/// This program as one of its parts, out of reach of the terminal's Ctrl-C.
fn part(name: &str, lane: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into()));
    command.arg(name).arg("--lane").arg(lane).process_group(0);
    command
}
