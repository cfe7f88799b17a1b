//! The conductor: starts the parts, lets chance loose on them, and proves at the end of each round that nothing is lost.

mod cast;
mod judge;

use std::io::{IsTerminal as _, Write as _, stderr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use camlane::{Consumer, Error, LaneOptions, Producer};
use camlane_tests::random::Random;
use nix::sys::signal::{SigSet, Signal};

use self::cast::{Cast, Role};
use self::judge::Judge;
use crate::report::{Events, Said, Summary};
use crate::world::{self, Inventory};
use crate::{Kind, Plan};

/// Length of a round.
const ROUND: Duration = Duration::from_secs(10);
/// Between two decisions of chance, at most, in microseconds.
const CALM: u64 = 30_000;

/// More of the processor than a loan and its publish may take. Three orders of magnitude above what they do take, so that
/// interrupts and page faults, which the system counts in, are not taken for a loop that readers can lengthen.
const LONGEST: Duration = Duration::from_millis(100);

static STOP: AtomicBool = AtomicBool::new(false);

/// Runs the storm and tells what came of it.
pub(crate) fn run(plan: &Plan) -> ExitCode {
    let private_shm = world::make_private_shm();
    if let Err(error) = on_signals() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let (seed, began) = (plan.seed(), Instant::now());
    if !plan.quiet {
        eprintln!("seed {seed}");
    }
    let mut judge = Judge::default();
    let mut events = Events::default();
    let mut rounds = 0;
    let mut storm = Storm {
        plan,
        random: Random::new(seed),
        judge: &mut judge,
        events: &mut events,
        private_shm,
        began,
        line: Line::new(plan.quiet),
    };
    let done = storm.rounds(&mut rounds);
    drop(storm);
    let broken = done.err().map(|error| format!("round {}: {error:#}", rounds + 1));
    let summary = Summary {
        ok: broken.is_none(),
        broken,
        seed,
        seconds: began.elapsed().as_secs_f64(),
        rounds,
        readers: plan.readers,
        private_shm,
        events,
        ..judge.summary()
    };
    match (plan.json, serde_json::to_string(&summary)) {
        (true, Ok(text)) => println!("{text}"),
        _ => summary.print(),
    }
    if summary.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The first signal asks for an end in good order, the second ends at once.
fn on_signals() -> Result<()> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    thread::Builder::new().spawn(move || {
        while let Ok(signal) = signals.wait() {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(128 + signal as i32);
            }
        }
    })?;
    Ok(())
}

struct Storm<'p> {
    plan: &'p Plan,
    random: Random,
    judge: &'p mut Judge,
    events: &'p mut Events,
    private_shm: bool,
    began: Instant,
    line: Line,
}

impl Storm<'_> {
    fn rounds(&mut self, done: &mut u32) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let name = format!("storm-{}", std::process::id());
        let end = self.began + self.plan.length();
        while Instant::now() < end && !STOP.load(Ordering::Relaxed) {
            let kind =
                self.plan.kind.unwrap_or(if done.is_multiple_of(2) { Kind::Named } else { Kind::Sealed });
            let lane = match kind {
                Kind::Named => name.clone(),
                Kind::Sealed => format!("sealed:{}", folder.path().join("storm.sock").display()),
            };
            let before = Inventory::take(self.private_shm)?;
            let mut cast = self.assemble(lane)?;
            self.let_loose(&mut cast, end.min(Instant::now() + ROUND))?;
            self.prove(cast)?;
            let (left, wanted) = match kind {
                Kind::Named => {
                    let left = world::names("/dev/shm".as_ref(), &format!("camlane.{name}."));
                    (left, format!("camlane.{name}.lock"))
                }
                Kind::Sealed => (world::names(folder.path(), ""), "storm.sock.lock".to_owned()),
            };
            ensure!(left == [wanted], "the lane has ended and left {left:?}");
            before.check(&Inventory::take(self.private_shm)?)?;
            *done += 1;
        }
        let _ = std::fs::remove_file(format!("/dev/shm/camlane.{name}.lock"));
        Ok(())
    }

    /// Starts a producer and its readers: as many as may be in every other round of a kind, else fewer.
    fn assemble(&mut self, lane: String) -> Result<Cast> {
        let most = u64::from(self.plan.readers);
        let count = if self.random.below(2) == 0 { most } else { 1 + self.random.below(most) };
        let pins = 1 + self.random.below(3) as u32;
        // One who pins at least, and one in five who copies.
        let pinning = count - self.random.below(count / 5 + 1);
        let mut cast = Cast::new(lane, pinning as u32, pins, &mut self.random)?;
        for index in 0..count {
            cast.enter(if index < pinning { Role::Pins } else { Role::Copies }, &mut self.random);
        }
        Ok(cast)
    }

    fn let_loose(&mut self, cast: &mut Cast, end: Instant) -> Result<()> {
        while Instant::now() < end && !STOP.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_micros(self.random.below(CALM)));
            cast.listen(self.judge)?;
            if self.line.is_due() {
                self.line.show(&self.progress());
            }
            let victim = self.random.below(cast.readers.len() as u64) as usize;
            match self.random.below(100) {
                0..30 => {
                    self.events.readers_killed += 1;
                    let role = cast.kill(victim, self.judge)?;
                    cast.enter(role, &mut self.random);
                }
                30..60 => {
                    self.events.readers_stopped += 1;
                    cast.readers[victim].stop();
                }
                60..85 => {
                    self.events.readers_resumed += 1;
                    cast.readers[victim].resume();
                }
                85..93 => {
                    self.events.readers_restarted += 1;
                    let role = cast.dismiss(victim, self.judge)?;
                    cast.enter(role, &mut self.random);
                }
                93..96 => {
                    self.events.producers_stopped += 1;
                    cast.producer.signal(Signal::SIGSTOP);
                    thread::sleep(Duration::from_micros(self.random.below(50_000)));
                    cast.producer.signal(Signal::SIGCONT);
                }
                96..98 => {
                    self.events.producers_killed += 1;
                    cast.kill_the_producer(self.judge)?;
                    cast.replace_the_producer(&mut self.random)?;
                }
                98 => {
                    self.events.producers_restarted += 1;
                    cast.rest(self.judge)?;
                    cast.end_the_producer(self.judge)?;
                    cast.replace_the_producer(&mut self.random)?;
                }
                _ => {
                    self.events.intruders_refused += 1;
                    match Producer::create(&cast.lane, &LaneOptions::for_bytes(64)) {
                        Err(Error::Taken { .. }) => {}
                        other => bail!("a second producer got {other:?}"),
                    }
                }
            }
        }
        Ok(())
    }

    /// Everybody leaves or dies, and nothing is missing.
    fn prove(&mut self, mut cast: Cast) -> Result<()> {
        let published = cast.rest(self.judge)?;
        // Some die where nobody takes their seats after them, and would hide what they held.
        for _ in 0..self.random.below(cast.readers.len() as u64) {
            cast.kill(0, self.judge)?;
        }
        cast.drain(published, self.judge)?;
        let Cast { lane, seats, descriptors, mut producer, witness, .. } = cast;
        drop(witness); // it has a connection of its own
        let proof = match cast::ask(&mut producer, &format!("prove {descriptors}"))? {
            Said::Proof(proof) => proof,
            other => bail!("no proof, but {other:?}"),
        };
        ensure!(proof.seats_taken == 0, "everybody has left, and {} seats look taken", proof.seats_taken);
        ensure!(proof.loans == proof.loans_due, "{} of {} slots can be lent", proof.loans, proof.loans_due);
        ensure!(proof.dropped == 0, "{} frames dropped where every loan must succeed", proof.dropped);
        ensure!(
            proof.descriptors == descriptors,
            "the producer has {} descriptors after everybody has left, {descriptors} before anybody came",
            proof.descriptors
        );
        let mut sitting = Vec::new();
        for seat in 1..=seats {
            sitting.push(Consumer::open(&lane).with_context(|| format!("take seat {seat} of {seats}"))?);
        }
        match Consumer::open(&lane) {
            Err(Error::SeatsTaken { .. }) => {}
            other => bail!("there was one more than {seats} seats: {other:?}"),
        }
        drop(sitting);
        self.judge.seats += u64::from(seats);
        self.judge.slots += proof.loans;
        let longest = self.judge.longest_publish();
        ensure!(longest < LONGEST, "a loan and publish took {longest:?} of the processor");
        let status = producer.end();
        ensure!(status.success(), "the producer ended: {status:?}");
        Ok(())
    }

    fn progress(&self) -> String {
        let judge = &self.judge;
        format!(
            "{:5.0} s  {} events  {} published  {} checked  {} copied  0 torn",
            self.began.elapsed().as_secs_f64(),
            self.events.sum(),
            judge.published,
            judge.checked(),
            judge.copies()
        )
    }
}

/// One line on standard error: anew each second on a terminal, else every ten seconds.
struct Line {
    shown: Instant,
    terminal: bool,
    quiet: bool,
}

impl Line {
    fn new(quiet: bool) -> Self {
        Self { shown: Instant::now(), terminal: stderr().is_terminal(), quiet }
    }

    fn is_due(&self) -> bool {
        !self.quiet && self.shown.elapsed() >= Duration::from_secs(if self.terminal { 1 } else { 10 })
    }

    fn show(&mut self, text: &str) {
        self.shown = Instant::now();
        let (before, after) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let _ = write!(stderr(), "{before}{text}{after}");
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.terminal && !self.quiet {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
