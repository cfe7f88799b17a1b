//! Starts a measurement's processes, hears their reports, and ends them.

use std::cell::Cell as Counter;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use camlane_measure::Timer;
use peers_drive::{Board, Description, Outcome, Place, Report, Spec};

use crate::cell::Cell;

/// A process that says nothing for so long, beyond the time that it measures, is stuck.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between everybody's "ready" and the start: subscriptions travel in the background in some peers.
const SETTLE: Duration = Duration::from_millis(40);

/// A program with entries.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) command: Vec<String>,
    pub(crate) entries: Vec<Description>,
}

impl Program {
    /// Asks a program what it can do.
    pub(crate) fn describe(command: &str) -> Result<Self> {
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let output = start(&command)?
            .arg("describe")
            .output()
            .with_context(|| format!("start {}", command.join(" ")))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().last().unwrap_or("no reason given");
        ensure!(output.status.success(), "{}: {last}", command.last().map_or("", String::as_str));
        Ok(Self { entries: serde_json::from_slice(&output.stdout).context("read what it can do")?, command })
    }
}

fn start(command: &[String]) -> Result<Command> {
    let [program, arguments @ ..] = command else { bail!("no program") };
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// What a measurement's processes found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) producer: Outcome,
    pub(crate) consumers: Vec<Outcome>,
}

/// Where measurements are made.
#[derive(Debug)]
pub(crate) struct Bench {
    timer: Timer,
    cpus: Vec<usize>,
    folder: PathBuf,
    measurements: Counter<u32>,
}

impl Bench {
    pub(crate) fn new(timer: Timer, cpus: Vec<usize>) -> Result<Self> {
        let folder = Path::new("/dev/shm").join(format!("camlane-peers-{}", std::process::id()));
        std::fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(Self { timer, cpus, folder, measurements: Counter::new(0) })
    }

    /// Makes one measurement.
    pub(crate) fn measure(&self, cell: &Cell) -> Result<Found> {
        self.measurements.set(self.measurements.get() + 1);
        let name = format!("peers-{}-{}", std::process::id(), self.measurements.get());
        let folder = self.folder.join(self.measurements.get().to_string());
        std::fs::create_dir(&folder)?;
        let found = self.measure_in(cell, name, &folder);
        // Removed in any case: what one peer left shall not take the next one's memory.
        std::fs::remove_dir_all(&folder)?;
        found
    }

    fn measure_in(&self, cell: &Cell, name: String, folder: &Path) -> Result<Found> {
        let board = Board::create()?;
        let place = Place {
            name,
            folder: folder.to_owned(),
            size: cell.size,
            readers: cell.readers,
            way: cell.way,
            job: cell.job,
        };
        let mut spec = Spec {
            entry: cell.entry.clone(),
            place,
            doing: cell.doing,
            rate: cell.rate,
            time: cell.time,
            board: board.path().into(),
            timer: self.timer.clone(),
            cpu: self.cpus[0],
            index: 0,
        };
        let patience = PATIENCE + cell.estimate() * 2;
        let mut producer = Process::start(cell, "produce", &spec)?;
        producer.ready(patience)?;
        let mut consumers = Vec::new();
        for index in 0..cell.processes() {
            spec.index = index;
            spec.cpu = self.cpus[1 + index as usize % (self.cpus.len() - 1)];
            consumers.push(Process::start(cell, "consume", &spec)?);
        }
        for consumer in &mut consumers {
            consumer.ready(patience)?;
        }
        std::thread::sleep(SETTLE);
        board.start();
        let found = producer.done(patience);
        board.stop();
        let found = Found {
            producer: found?,
            consumers: consumers.iter_mut().map(|consumer| consumer.done(patience)).collect::<Result<_>>()?,
        };
        for mut consumer in consumers {
            consumer.end()?;
        }
        producer.end()?;
        Ok(found)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // It is in memory: nothing is lost if that fails but the memory, and nobody is there to hear of it.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One side of a measurement. Dropped early, it is killed.
struct Process {
    child: Child,
    reports: Receiver<Report>,
    errors: PathBuf,
}

impl Process {
    fn start(cell: &Cell, side: &str, spec: &Spec) -> Result<Self> {
        let errors = spec.place.path(&format!("{side}-{}.errors", spec.index));
        let mut child = start(&cell.command)?
            .args([side, &serde_json::to_string(spec)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors)?)
            .spawn()
            .with_context(|| format!("start {}", cell.command.join(" ")))?;
        let output = child.stdout.take().context("its output")?;
        let (sender, reports) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if serde_json::from_str(&line).is_ok_and(|report| sender.send(report).is_err()) {
                    return;
                }
            }
        });
        Ok(Self { child, reports, errors })
    }

    fn hear(&mut self, patience: Duration) -> Result<Report> {
        self.reports.recv_timeout(patience).map_err(|_| {
            let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
            match (errors.lines().last(), self.child.try_wait()) {
                (Some(line), _) => anyhow!("{line}"),
                (None, Ok(Some(status))) => anyhow!("ended with {status}"),
                (None, _) => anyhow!("nothing was heard for {} s", patience.as_secs()),
            }
        })
    }

    fn ready(&mut self, patience: Duration) -> Result<()> {
        match self.hear(patience)? {
            Report::Ready => Ok(()),
            Report::Done(_) => bail!("done before it was ready"),
        }
    }

    fn done(&mut self, patience: Duration) -> Result<Outcome> {
        match self.hear(patience)? {
            Report::Done(outcome) => Ok(*outcome),
            Report::Ready => bail!("ready twice"),
        }
    }

    /// Waits for its end, which its closed input asks for.
    fn end(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("did not end when it was done")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // Both can only fail because it has ended by itself.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
