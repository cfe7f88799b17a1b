//! Framesets: frames of several lanes that were captured at the same time, for stereo and surround cameras.
//!
//! [`Matcher`] decides which go together and knows no lanes; [`Synchronizer`] feeds it from consumers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use camlane_core::{Clock, ReadError};

use crate::consumer::{self, Consumer, ConsumerOptions, Frame, Read, Totals};
use crate::error::{Error, WaitError};
use crate::notifier::Notifier;

/// Why there is no frameset.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FramesetError {
    /// One lane alone is always in step with itself.
    #[error("{found} lanes were given: a frameset needs two or more")]
    TooFewLanes {
        /// Lanes given.
        found: usize,
    },
    /// A lane's times cannot be compared with another's. Said for each such frame, which counts as unpaired.
    #[error(
        "frames of lane '{lane}' are timed by clock {clock} and those of '{other}' by {others}: have all producers stamp by one \
         clock that their machine shares, for example monotonic"
    )]
    ClocksDiffer {
        /// The lane.
        lane: String,
        /// Its frame's clock.
        clock: String,
        /// The lane that gave the first frame.
        other: String,
        /// That one's clock.
        others: String,
    },
    /// A frame does not say when it was captured, or by a clock of the device alone. It counts as unpaired.
    #[error(
        "a frame of lane '{lane}' has no capture time on a clock that lanes share (its clock is {clock})"
    )]
    NoTime {
        /// The lane.
        lane: String,
        /// The frame's clock.
        clock: String,
    },
    /// A lane has news instead of frames. Waiting on goes on with the others, and with the one that takes its place.
    #[error("lane '{lane}': {source}")]
    Lane {
        /// The lane.
        lane: String,
        /// Its place among those that were given.
        index: usize,
        /// What it is.
        #[source]
        source: WaitError,
    },
    /// No set was complete in time. [`Synchronizer::pauses`] may know why.
    #[error("no frameset was complete in time")]
    TimedOut,
}

/// Frames of all lanes, in the order in which the lanes were given, captured within the tolerance of each other.
#[derive(Debug)]
#[must_use = "dropping it releases its frames"]
pub struct Frameset {
    frames: Vec<Frame>,
}

impl Frameset {
    /// One frame of each lane.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The same, to be kept one by one.
    pub fn into_frames(self) -> Vec<Frame> {
        self.frames
    }

    /// When the first of them was captured, in nanoseconds of their common clock.
    pub fn capture_ns(&self) -> u64 {
        self.times().min().unwrap_or(0)
    }

    /// From the first capture to the last: at most the tolerance.
    pub fn spread(&self) -> Duration {
        Duration::from_nanos(self.times().max().unwrap_or(0) - self.capture_ns())
    }

    fn times(&self) -> impl Iterator<Item = u64> {
        self.frames.iter().map(|frame| frame.meta().capture_ns)
    }
}

/// What became of a lane's frames. `reader.delivered` is `paired + unpaired + waiting`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct SyncTotals {
    /// What the lane's consumer counted; `missed` frames never came this far.
    pub reader: Totals,
    /// Frames that went into framesets.
    pub paired: u64,
    /// Frames that found no partner in every other lane.
    pub unpaired: u64,
    /// Frames held back at this moment, because partners may come.
    pub waiting: u64,
}

/// Reads several lanes in step.
///
/// The rule: of the oldest frame of each lane, if all were captured within the tolerance, they are a set; else the oldest
/// of them can have no partner any more and is given back. No other rule makes more sets. A tolerance below half of the
/// shortest frame period never joins a frame with its neighbour's partner.
///
/// It reads every frame ([`Read::Every`]) and holds back those whose partners may still come, as many as the seat's pins
/// allow; when they are used up, the oldest goes unpaired. So no producer ever waits, also not while another lane pauses,
/// and lanes whose frames arrive long after capture want lanes made with more [`pins`](crate::LaneOptions::pins): as many
/// as frames come in the meantime, and one for the set in hand. A producer that restarts is followed.
///
/// Capture times are compared as they stand: that all lanes mean the same moment by them (start of exposure, end of
/// frame; [`Reference`](crate::Reference)) is for the cameras to see to.
#[derive(Debug)]
pub struct Synchronizer {
    lanes: Vec<Consumer>,
    matcher: Matcher<Frame>,
    /// The clock of all, and the lane that named it.
    clock: Option<(usize, Clock)>,
}

impl Synchronizer {
    /// Opens lanes, each for every frame.
    ///
    /// # Errors
    /// [`FramesetError::TooFewLanes`]; [`FramesetError::Lane`] as [`Consumer::open`].
    pub fn open(addresses: &[&str], tolerance: Duration) -> Result<Self, FramesetError> {
        let options = ConsumerOptions::new().read(Read::Every);
        let open = |(index, address): (usize, &&str)| {
            options.open(address).map_err(|error| FramesetError::Lane {
                lane: (*address).to_owned(),
                index,
                source: error.into(),
            })
        };
        Self::of(addresses.iter().enumerate().map(open).collect::<Result<_, _>>()?, tolerance)
    }

    /// Reads from consumers that are open.
    ///
    /// # Errors
    /// [`FramesetError::TooFewLanes`]
    pub fn of(lanes: Vec<Consumer>, tolerance: Duration) -> Result<Self, FramesetError> {
        if lanes.len() < 2 {
            return Err(FramesetError::TooFewLanes { found: lanes.len() });
        }
        let tolerance = u64::try_from(tolerance.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self { matcher: Matcher::new(lanes.len(), tolerance), lanes, clock: None })
    }

    /// The lanes' consumers, in the order in which they were given.
    pub fn lanes(&self) -> &[Consumer] {
        &self.lanes
    }

    /// One descriptor for each lane, readable when [`next`](Self::next) may have something, for programs that wait in poll,
    /// epoll or an event loop. Call `next(Duration::ZERO)` until it says `TimedOut` each time.
    ///
    /// # Errors
    /// [`FramesetError::Lane`] as [`Consumer::notifier`].
    pub fn notifiers(&mut self) -> Result<Vec<&Notifier>, FramesetError> {
        let start = |(index, lane): (usize, &'_ mut Consumer)| {
            let name = lane.address().to_string();
            lane.notifier().map_err(|error| FramesetError::Lane {
                lane: name,
                index,
                source: error.into(),
            })?;
            Ok(())
        };
        self.lanes.iter_mut().enumerate().try_for_each(start)?;
        Ok(self.lanes.iter().filter_map(Consumer::running_notifier).collect())
    }

    /// Why no sets come, as far as the lanes' producers say it, in words for people: worth a look after
    /// [`FramesetError::TimedOut`]. For programs, each of [`lanes`](Self::lanes) has its [`pause`](Consumer::pause).
    pub fn pauses(&self) -> Option<String> {
        let told = |lane: &Consumer| lane.pause().map(|pause| format!("lane '{}': {pause}", lane.address()));
        let all: Vec<String> = self.lanes.iter().filter_map(told).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// What became of the frames of lane `index`; `None` if there is no such lane.
    pub fn totals(&self, index: usize) -> Option<SyncTotals> {
        let queue = self.matcher.lanes.get(index)?;
        Some(SyncTotals {
            reader: self.lanes[index].totals(),
            paired: self.matcher.sets,
            unpaired: queue.unpaired,
            waiting: queue.frames.len() as u64,
        })
    }

    /// Waits for the next frameset, at most `timeout`.
    ///
    /// # Errors
    /// [`FramesetError`]. After each of them, calling again goes on.
    pub fn next(&mut self, timeout: Duration) -> Result<Frameset, FramesetError> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(frames) = self.matcher.take() {
                return Ok(Frameset { frames });
            }
            let mut came = false;
            // One of each in turn, so that a fast lane does not keep a slow one from being read.
            for index in 0..self.lanes.len() {
                if let Some(frame) = self.read(index)? {
                    came = true;
                    self.add(index, frame)?;
                }
            }
            if !came {
                let left =
                    deadline.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
                self.wait(left)?;
            }
        }
    }

    /// Waits for one frame of any lane.
    fn wait(&mut self, left: Duration) -> Result<(), FramesetError> {
        let mut ends: Vec<&mut Consumer> = self.lanes.iter_mut().collect();
        match consumer::wait_any_of(&mut ends, left) {
            Ok((index, frame)) => self.add(index, frame),
            Err((_, WaitError::TimedOut)) => Err(FramesetError::TimedOut),
            Err((index, WaitError::Other(error))) => self.make_room(index, error),
            Err((index, news)) => Err(self.news(index, news)),
        }
    }

    fn read(&mut self, index: usize) -> Result<Option<Frame>, FramesetError> {
        loop {
            match self.lanes[index].try_next() {
                Ok(frame) => return Ok(frame),
                Err(error) => self.make_room(index, error)?,
            }
        }
    }

    /// Gives the oldest frame of a lane back if its pins are used up.
    fn make_room(&mut self, index: usize, error: Error) -> Result<(), FramesetError> {
        let full = matches!(error, Error::Read(ReadError::AllPinned { .. }));
        if full && self.matcher.drop_oldest(index) { Ok(()) } else { Err(self.news(index, error.into())) }
    }

    fn add(&mut self, index: usize, frame: Frame) -> Result<(), FramesetError> {
        let (clock, time) = (frame.meta().clock, frame.meta().capture_ns);
        let lane = || self.lanes[index].address().to_string();
        if time == 0 || matches!(clock, Clock::UNKNOWN | Clock::DEVICE) {
            self.matcher.lanes[index].unpaired += 1;
            return Err(FramesetError::NoTime { lane: lane(), clock: clock.name().to_owned() });
        }
        let (named, common) = *self.clock.get_or_insert((index, clock));
        if clock != common && index != named {
            self.matcher.lanes[index].unpaired += 1;
            let other = self.lanes[named].address().to_string();
            let (clock, others) = (clock.name().to_owned(), common.name().to_owned());
            return Err(FramesetError::ClocksDiffer { lane: lane(), clock, other, others });
        }
        if clock != common {
            // A successor on another clock: what was timed by the old one cannot be compared with what comes.
            self.clock = Some((index, clock));
            while (0..self.lanes.len()).any(|lane| self.matcher.drop_oldest(lane)) {}
        }
        self.matcher.push(index, time, frame);
        Ok(())
    }

    fn news(&self, index: usize, source: WaitError) -> FramesetError {
        FramesetError::Lane { lane: self.lanes[index].address().to_string(), index, source }
    }
}

/// Decides which frames are a set, by their times alone.
#[derive(Debug)]
struct Matcher<T> {
    lanes: Vec<Queue<T>>,
    tolerance: u64,
    sets: u64,
}

/// Frames of one lane that are in no set yet, oldest first.
#[derive(Debug)]
struct Queue<T> {
    frames: VecDeque<(u64, T)>,
    unpaired: u64,
}

impl<T> Matcher<T> {
    fn new(lanes: usize, tolerance: u64) -> Self {
        let queue = || Queue { frames: VecDeque::new(), unpaired: 0 };
        Self { lanes: (0..lanes).map(|_| queue()).collect(), tolerance, sets: 0 }
    }

    /// Takes a frame in. One that is older than frames before it takes its place among them.
    fn push(&mut self, lane: usize, time: u64, frame: T) {
        let frames = &mut self.lanes[lane].frames;
        let at = frames.partition_point(|(other, _)| *other <= time);
        frames.insert(at, (time, frame));
    }

    /// Gives a lane's oldest frame up.
    fn drop_oldest(&mut self, lane: usize) -> bool {
        let queue = &mut self.lanes[lane];
        let dropped = queue.frames.pop_front().is_some();
        queue.unpaired += u64::from(dropped);
        dropped
    }

    /// The next set, if there is one.
    fn take(&mut self) -> Option<Vec<T>> {
        loop {
            let mut heads = Vec::with_capacity(self.lanes.len());
            for queue in &self.lanes {
                heads.push(queue.frames.front()?.0);
            }
            let (oldest, newest) = (*heads.iter().min()?, *heads.iter().max()?);
            if newest - oldest <= self.tolerance {
                self.sets += 1;
                return Some(
                    self.lanes
                        .iter_mut()
                        .filter_map(|queue| queue.frames.pop_front())
                        .map(|(_, f)| f)
                        .collect(),
                );
            }
            // The lane with the newest head has nothing older, and will not get it: times rise.
            let lane = heads.iter().position(|&head| head == oldest)?;
            self.drop_oldest(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The most sets that frames of these times, rising in each lane, can make: every choice is tried.
    fn most(lanes: &[&[u64]], tolerance: u64) -> u64 {
        if lanes.iter().any(|lane| lane.is_empty()) {
            return 0;
        }
        let heads = || lanes.iter().map(|lane| lane[0]);
        let without = |skip: &dyn Fn(usize) -> bool| -> Vec<&[u64]> {
            lanes.iter().enumerate().map(|(at, lane)| if skip(at) { &lane[1..] } else { *lane }).collect()
        };
        let mut best = 0;
        if heads().max().unwrap() - heads().min().unwrap() <= tolerance {
            best = 1 + most(&without(&|_| true), tolerance);
        }
        for lane in 0..lanes.len() {
            best = best.max(most(&without(&|at| at == lane), tolerance));
        }
        best
    }

    proptest! {
        /// In whatever order the lanes' frames arrive: as many sets as can be, each within the tolerance and of frames in
        /// order, and every frame accounted for.
        #[test]
        fn no_choice_of_frames_makes_more_sets(
            times in prop::collection::vec(prop::collection::vec(0u64..40, 0..6), 2..4),
            tolerance in 0u64..8,
            turns in prop::collection::vec(any::<prop::sample::Index>(), 20),
        ) {
            let mut times = times;
            times.iter_mut().for_each(|lane| lane.sort_unstable());
            let mut matcher = Matcher::new(times.len(), tolerance);
            let mut next = vec![0; times.len()];
            let mut sets: Vec<Vec<u64>> = Vec::new();
            let mut turns = turns.iter().cycle();
            while (0..times.len()).any(|lane| next[lane] < times[lane].len()) {
                let waiting: Vec<usize> = (0..times.len()).filter(|&lane| next[lane] < times[lane].len()).collect();
                let lane = *turns.next().unwrap().get(&waiting);
                let time = times[lane][next[lane]];
                next[lane] += 1;
                matcher.push(lane, time, time);
                while let Some(set) = matcher.take() {
                    sets.push(set);
                }
                prop_assert!(matcher.lanes.iter().any(|queue| queue.frames.is_empty()));
            }
            for set in &sets {
                prop_assert_eq!(set.len(), times.len());
                prop_assert!(set.iter().max().unwrap() - set.iter().min().unwrap() <= tolerance);
            }
            for pair in sets.windows(2) {
                prop_assert!(pair[0].iter().zip(&pair[1]).all(|(before, after)| before <= after));
            }
            for (queue, lane) in matcher.lanes.iter().zip(&times) {
                let (unpaired, held) = (queue.unpaired, queue.frames.len() as u64);
                prop_assert_eq!(matcher.sets + unpaired + held, lane.len() as u64);
            }
            let all: Vec<&[u64]> = times.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(sets.len() as u64, most(&all, tolerance));
        }
    }

    #[test]
    fn a_frame_that_comes_late_takes_its_place() {
        let mut matcher = Matcher::new(2, 1);
        matcher.push(0, 20, "second");
        matcher.push(0, 10, "first");
        matcher.push(1, 10, "partner");
        assert_eq!(matcher.take(), Some(vec!["first", "partner"]));
        matcher.push(1, 21, "partner of the second");
        assert_eq!(matcher.take(), Some(vec!["second", "partner of the second"]));
    }

    #[test]
    fn a_clock_that_steps_back_costs_frames_and_not_all_that_come_after() {
        let mut matcher = Matcher::new(2, 1);
        matcher.push(0, 1000, ());
        matcher.push(1, 5, ());
        assert_eq!((matcher.take(), matcher.lanes[1].unpaired), (None, 1));
        matcher.push(0, 7, ());
        matcher.push(1, 7, ());
        assert!(matcher.take().is_some());
    }
}
