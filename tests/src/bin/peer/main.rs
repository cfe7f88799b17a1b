//! A process that tests start, order about line by line, stop, and kill: a producer, a consumer, or both.
//!
//! Each order is answered by one line, except `flood` and `consume`, which answer at once and go on until the next order.
//!
//! | order | what it does |
//! |---|---|
//! | `create LANE [seats= pins= history= loans= slots= bytes= gray= sharing=]` | becomes a producer |
//! | `publish N`, `paced N MICROSECONDS`, `flood` | publishes N frames; at a rhythm; until told otherwise |
//! | `lend`, `publish-lent`, `drain` | keeps a loan; publishes it; counts the loans that can be had |
//! | `seats`, `close` | gives back the seats of the dead and counts the rest; ends the stream |
//! | `open LANE [read= wait= patience=]` | becomes a consumer |
//! | `next MILLISECONDS`, `hold MILLISECONDS` | waits for a frame and checks every byte; and keeps it |
//! | `see MILLISECONDS` | waits for a frame of any content, and tells its number, its digest and where it lies |
//! | `consume HOLD` | reads on and on, checks every byte twice, `HOLD` frames apart; `tally` reports |
//! | `verify`, `release`, `scribble`, `leave` | checks kept frames; drops them; writes into one; stands up |
//! | `notify` | has a descriptor that tells of frames |
//! | `echo N`, `when-asleep LANE N` | publishes a frame for each that comes; N as soon as somebody sleeps there |
//! | `cycles N LANE` | makes and ends a lane N times, with a consumer in it |
//! | `observe LANE`, `copy MILLISECONDS` | becomes an observer; copies a frame and checks every byte |
//! | `look MILLISECONDS` | waits as an observer |
//! | `gaze LANE`, `stare` | opens and reads it as both; copies from the lane it observes; until the next order, whatever it finds |
//! | `visits N LANE` | opens and leaves a lane N times |
//! | `scribble-data N` | writes N times random bytes over all that its lane's data is |
//! | `user UID GID`, `limit N`, `unlimited` | becomes another user; may have N more descriptors; as many as before |
//! | `join SOCKET ROLE`, `misdeeds` | joins a sealed lane without camlane; tries what is forbidden |
//! | `park N [FILE]` | sleeps on the bell N times, of the joined lane or of one whose data is in a file |
//! | `status LANE` | looks at a lane, and at all of them |
//! | `stream-create LANE`, `stream-open LANE` | becomes a byte stream's writer, or its reader |
//! | `stream-write N MILLISECONDS`, `stream-read N MILLISECONDS` | writes N bytes; reads at most N and checks them |
//! | `exec`, `exit-now` | becomes another program, which is this one anew; ends by _exit(2) |
//! | `umask OCTAL`, `objects`, `descriptors`, `drop` | sets it; lists shared memory; counts its own; drops all that is held |
//! | `fork ORDER ; ORDER ...`, `await` | has a forked child obey, and waits for its end; waits for one more line |
#![allow(unsafe_code)] // forks, and writes where it must not

mod order;
mod reader;
mod stranger;
mod stream;
mod writer;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use camlane::{Consumer, Frame, LaneStatus, Loan, Observer, StreamReader, StreamWriter};
use camlane_tests::pattern::Source;
use camlane_tests::raw::Raw;
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

use camlane_tests::orders::Orders;
use order::Order;
use reader::{Tally, gaze, visits};

/// All that this process holds.
#[derive(Default)]
struct Peer {
    source: Option<Source>,
    loans: Vec<Loan>,
    consumer: Option<Consumer>,
    observer: Option<Observer>,
    /// The number of the frame that the observer copied last.
    copied: u64,
    strangers: Vec<Raw>,
    stream_writer: Option<StreamWriter>,
    stream_reader: Option<StreamReader>,
    /// Bytes of the stream that were written and read.
    moved: (u64, u64),
    frames: Vec<Frame>,
    tally: Tally,
}

fn main() -> ExitCode {
    let mut peer = Peer::default();
    let mut orders = Orders::default();
    while let Some(line) = orders.next().filter(|line| line != "quit") {
        if let Some(reply) = peer.obey(&line, &mut orders) {
            println!("{reply}");
        }
    }
    ExitCode::SUCCESS
}

impl Peer {
    /// Does one thing and answers; `None` if it answered already.
    fn obey(&mut self, line: &str, orders: &mut Orders) -> Option<String> {
        let order = Order::new(line);
        let answer = match order.verb() {
            "create" => self.create(&order),
            "publish" => self.publish(order.number(1)),
            "paced" => self.paced(order.number(1), order.number(2)),
            "flood" => return self.flood(orders),
            "lend" => self.lend(),
            "publish-lent" => self.publish_lent(),
            "drain" => self.drain(),
            "seats" => self.seats(),
            "close" => {
                self.source = None;
                Ok("ok".to_owned())
            }
            "open" => self.open(&order),
            "next" => self.next(order.number(1), false),
            "hold" => self.next(order.number(1), true),
            "see" => Ok(self.see(order.number(1))),
            "consume" => return self.consume(order.number(1) as usize, orders),
            "tally" => Ok(self.tally.to_string()),
            "verify" => Ok(self.verify()),
            "release" => {
                self.frames.clear();
                Ok("ok".to_owned())
            }
            "scribble" => Ok(self.scribble()),
            "leave" => {
                self.consumer = None;
                Ok("ok".to_owned())
            }
            "notify" => self.notify(),
            "observe" => self.observe(order.text(1)),
            "copy" => self.copy(order.number(1)),
            "look" => Ok(self.look(order.number(1))),
            "stare" => return Some(self.stare(orders)),
            "gaze" => return Some(gaze(order.text(1), orders)),
            "visits" => visits(order.number(1), order.text(2)),
            "scribble-data" => Ok(self.scribble_data(order.number(1))),
            "user" => Ok(stranger::become_user(order.number(1) as u32, order.number(2) as u32)),
            "limit" => Ok(stranger::limit_files(Some(order.number(1)))),
            "unlimited" => Ok(stranger::limit_files(None)),
            "join" => Ok(self.join(&order)),
            "misdeeds" => Ok(self.misdeeds()),
            "park" => Ok(self.park(order.number(1) as usize, order.text(2))),
            "status" => status(order.text(1)),
            "stream-create" => self.stream_create(order.text(1)),
            "stream-open" => self.stream_open(order.text(1)),
            "stream-write" => self.stream_write(order.number(1), order.number(2)),
            "stream-read" => self.stream_read(order.number(1), order.number(2)),
            "exec" => Ok(exec()),
            "exit-now" => nix_exit(),
            "echo" => self.echo(order.number(1)),
            "when-asleep" => self.when_asleep(order.text(1), order.number(2)),
            "cycles" => cycles(order.number(1), order.text(2)),
            "umask" => {
                umask(Mode::from_bits_truncate(
                    u32::from_str_radix(order.text(1), 8).expect("an octal number"),
                ));
                Ok("ok".to_owned())
            }
            "objects" => Ok(objects()),
            "descriptors" => {
                Ok(format!("ok count={}", fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)))
            }
            "drop" => {
                *self = Self::default();
                Ok("ok".to_owned())
            }
            "fork" => Ok(self.fork(&line["fork".len()..], orders)),
            "await" => {
                orders.next();
                Ok("ok".to_owned())
            }
            unknown => panic!("no such order: {unknown}"),
        };
        Some(answer.unwrap_or_else(|error| format!("error {error:?} :: {error}")))
    }

    /// A child that goes on with copies of all handles, as `fork` leaves them.
    fn fork(&mut self, lines: &str, orders: &mut Orders) -> String {
        // SAFETY: the other threads of this process belong to camlane, and hold no lock that the child takes: that is what
        // the tests that give this order are about.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Parent { child } => format!("ok child={:?}", waitpid(child, None)),
            ForkResult::Child => {
                for line in lines.split(';') {
                    if let Some(reply) = self.obey(line.trim(), orders) {
                        println!("child: {reply}");
                    }
                }
                std::process::exit(0)
            }
        }
    }
}

/// One lane made and ended again and again, with a consumer in it.
fn cycles(count: u64, lane: &str) -> Result<String, camlane::Error> {
    let mut peer = Peer::default();
    for _ in 0..count {
        peer.create(&Order::new(&format!("create {lane} bytes=4096")))?;
        peer.open(&Order::new(&format!("open {lane}")))?;
        peer.publish(2)?;
        let reply = peer.next(1000, true)?;
        assert!(reply.starts_with("frame"), "{reply}");
        peer = Peer::default();
    }
    Ok("ok".to_owned())
}

/// Looks at a lane, and at all that there are: both must come back, whatever is there.
fn status(lane: &str) -> Result<String, camlane::Error> {
    let all = LaneStatus::all().len();
    match LaneStatus::of(lane) {
        Ok(status) => Ok(format!("ok all={all} health={:?}", status.health)),
        Err(camlane::Error::NoSuchLane { .. }) => Ok(format!("ok all={all} health=none")),
        Err(error) => Err(error),
    }
}

/// Runs this program in place of itself: all memory goes, and every descriptor that is not to be inherited.
fn exec() -> String {
    let program = std::env::current_exe().expect("a path");
    format!("error {}", Command::new(program).exec())
}

/// Ends without any handler or destructor, as a child of a larger program does.
fn nix_exit() -> ! {
    // SAFETY: ends the process; nothing of it runs after this.
    unsafe { nix::libc::_exit(0) }
}

fn objects() -> String {
    let mut names: Vec<String> = fs::read_dir("/dev/shm")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    format!("ok {}", names.join(" "))
}
