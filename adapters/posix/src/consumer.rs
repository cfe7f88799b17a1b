//! A consumer of a named lane: reads in place, sleeps without polling, follows a producer that restarts.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use camlane_core::{self as core, FrameMeta, LaneState, PixelFormat};

use crate::address::Address;
use crate::attachment::{Attachment, Opening, PinnedFrame};
use crate::error::{Error, WaitError};
use crate::futex;
use crate::name::LaneName;
use crate::notifier::{Notifier, Relay};
use crate::pace::Pace;
use crate::pause::Pause;

/// Longest sleep without a look at what a futex cannot tell: a producer that died, a name that went to another object.
const LOOK_AROUND: Duration = Duration::from_millis(250);
/// How often a consumer looks for the producer that follows one that ended or died.
const LOOK_FOR_SUCCESSOR: Duration = Duration::from_millis(20);

/// Looks at the bell for each look at the clock while spinning: about a microsecond.
const LOOKS_PER_TIME: u32 = 64;

/// Which frames a consumer wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Read {
    /// The newest each time; what came between counts as missed.
    #[default]
    Latest,
    /// Every frame in order, as far as the lane's history reaches.
    Every,
}

/// How a consumer waits for the next frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wait {
    /// Sleeps until the producer wakes it: least processor time.
    #[default]
    Sleep,
    /// Sleeps most of the period of a regular source and spins for the last moments before a frame is due: frames are in
    /// hand within microseconds, for about four times the processor time. Sets this thread's timer slack to its least.
    Adaptive,
    /// Never sleeps: lowest latency, one processor fully used.
    Spin,
}

/// How to open a lane.
#[derive(Clone, Debug, Default)]
#[must_use = "finish with `open`"]
pub struct ConsumerOptions {
    read: Read,
    wait: Wait,
    opening: Opening,
    patience: Duration,
}

impl ConsumerOptions {
    /// The newest frames, sleeping, at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which frames to read.
    pub const fn read(mut self, read: Read) -> Self {
        self.read = read;
        self
    }

    /// How to wait for them.
    pub const fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Takes all page faults while opening (milliseconds) instead of at the first look at each slot.
    pub fn populate(mut self) -> Self {
        self.opening.populate = true;
        self
    }

    /// Accepts a sealed lane that this user serves; else it must be this process's own user, or root.
    pub fn trust_user(mut self, uid: u32) -> Self {
        self.opening.trusted.push(uid);
        self
    }

    /// Waits that long for a lane with a producer that lives. What a dead one left is opened as it is when that time is over,
    /// or at once without patience: its last frame, then the end.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Opens the lane.
    ///
    /// # Errors
    /// As [`Consumer::open`].
    pub fn open(&self, address: &str) -> Result<Consumer, Error> {
        self.open_while(address, || true)
    }

    /// Opens the lane as [`open`](Self::open) does. Its [`patience`](Self::patience) is over as soon as `patient` says
    /// `false`; it is asked before each wait, of 20 ms at most.
    ///
    /// # Errors
    /// As [`Consumer::open`].
    pub fn open_while(&self, address: &str, mut patient: impl FnMut() -> bool) -> Result<Consumer, Error> {
        let address: Address = address.parse()?;
        let began = Instant::now();
        let mut waits = || {
            let left = self.patience.saturating_sub(began.elapsed());
            let waits = !left.is_zero() && patient();
            if waits {
                std::thread::sleep(LOOK_FOR_SUCCESSOR.min(left));
            }
            waits
        };
        let mut opening = self.opening.clone();
        let attachment = 'open: loop {
            match Attachment::open(&address, &opening) {
                Err(Error::NoSuchLane { .. }) if waits() => {}
                Ok(left) if !self.patience.is_zero() && !left.is_served(&address) && waits() => {
                    // Kept meanwhile: a producer that has begun to make the lane anew has the lock already, but not yet the name.
                    while !left.may_be_replaced(&address) {
                        if left.is_continued(&address) || !waits() {
                            break 'open left;
                        }
                    }
                    opening.seat = left.seat_lock();
                }
                opened => break opened?,
            }
        };
        Ok(Consumer {
            address,
            options: self.clone(),
            attachment,
            pace: Pace::default(),
            pending: Change::default(),
            seen: None,
            told_gone: false,
            looked: Instant::now(),
            notifier: None,
            totals: Totals::default(),
        })
    }
}

/// The end of a named lane that reads.
///
/// `Send`, not `Clone`: one value for one thread at a time; its frames can go anywhere. It sits in a seat of the lane
/// until it and its frames are gone. When the producer is restarted or changes its format it moves to the new object by
/// itself and says so in [`Frame::change`]. In a forked child it does nothing.
///
/// **Trust:** frames are `&[u8]` into memory that the producer can write. Whoever can write `/camlane.<lane>.data` (its
/// owner) must be a camlane producer ([why this is safe all the same](crate#why-opening-a-lane-is-safe)); with one that you
/// do not trust, be an [`Observer`](crate::Observer).
///
/// **Crash safety:** killed at any moment, it keeps its frames pinned until its seat is reclaimed, milliseconds after
/// somebody needs it; the producer never waits for that.
#[derive(Debug)]
pub struct Consumer {
    address: Address,
    options: ConsumerOptions,
    attachment: Arc<Attachment>,
    pace: Pace,
    pending: Change,
    seen: Option<(PixelFormat, (u32, u32))>,
    told_gone: bool,
    /// When it was last seen that the producer lives.
    looked: Instant,
    notifier: Option<Notifier>,
    totals: Totals,
}

/// What a consumer has counted since it was opened, over all incarnations of the producer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Frames delivered.
    pub delivered: u64,
    /// Frames published that this reader skipped or was too slow for.
    pub missed: u64,
    /// Frames that the producer could not take, as far as frames delivered tell.
    pub dropped: u64,
    /// Producers that took over from another while this consumer was there.
    pub restarts: u64,
}

impl Consumer {
    /// Opens a lane for its newest frames, sleeping while there are none.
    ///
    /// # Errors
    /// - [`Error::NoSuchLane`] with the lanes that there are; [`Error::InvalidName`].
    /// - [`Error::SeatsTaken`] with who sits there.
    /// - [`Error::Unusable`]: another version, or no camlane object.
    /// - [`Error::Permission`], [`Error::System`]: the system refuses.
    pub fn open(address: &str) -> Result<Self, Error> {
        ConsumerOptions::new().open(address)
    }

    /// The lane's name.
    pub const fn name(&self) -> &LaneName {
        self.address.name()
    }

    /// Where the lane is.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The lane's shape, of the present incarnation.
    pub fn shape(&self) -> &core::Shape {
        self.attachment.data.region.shape()
    }

    /// What the lane says about itself, of the present incarnation.
    ///
    /// # Errors
    /// [`Error::Unusable`] if the record was damaged.
    pub fn info(&self) -> Result<core::LaneInfo, Error> {
        let unusable = |source| Error::Unusable { object: self.address.to_string(), source };
        self.attachment.data.region.info().map_err(unusable)
    }

    /// Why no frames come, if the producer says so: worth a look after [`WaitError::TimedOut`].
    pub fn pause(&self) -> Option<Pause> {
        Pause::of(&self.attachment.data.region)
    }

    /// Names the present run of the producer.
    pub fn incarnation(&self) -> [u32; 4] {
        self.attachment.data.region.incarnation()
    }

    /// The seat that this consumer sits in.
    pub fn seat(&self) -> u32 {
        self.attachment.seat()
    }

    /// What was counted so far.
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// The addresses at which this process sees the lane's data, to check that nothing was copied.
    pub fn addresses(&self) -> std::ops::Range<usize> {
        self.attachment.data.mapping.addresses()
    }

    /// The next frame, if one is there now.
    ///
    /// # Errors
    /// [`Error::Read`] if this consumer holds all frames it may, or the producer was faster at every try;
    /// [`Error::Forked`].
    pub fn try_next(&mut self) -> Result<Option<Frame>, Error> {
        if self.has_no_news() {
            return Ok(None);
        }
        match self.read() {
            Ok(None) => self.look_again(),
            done => done,
        }
    }

    /// What one who polls asks most of the time: two cache lines that stay with it until something happens.
    #[inline]
    fn has_no_news(&self) -> bool {
        let core = self.attachment.core();
        let quiet = self.attachment.is_here() && self.notifier.is_none();
        quiet && core.state() == LaneState::Live && !core.is_behind()
    }

    /// What else there is to look at when the first look finds nothing.
    fn look_again(&mut self) -> Result<Option<Frame>, Error> {
        if let Some(notifier) = &self.notifier {
            notifier.clear(); // what is published from now on makes it readable again; what was, the next look finds
            if let Some(frame) = self.read()? {
                return Ok(Some(frame));
            }
        }
        if self.attachment.core().state() != LaneState::Live {
            // It may have published its last between the two looks.
            if let Some(frame) = self.read()? {
                return Ok(Some(frame));
            }
            if self.follow()? {
                return self.read();
            }
        }
        Ok(None)
    }

    /// Waits for the next frame, at most `timeout`.
    ///
    /// # Errors
    /// - [`WaitError::TimedOut`]: none came, the producer lives. [`pause`](Self::pause) may know why.
    /// - [`WaitError::Closed`]: the producer ended the stream and all of it was read. Said at once the first time;
    ///   calls after that wait for another producer.
    /// - [`WaitError::ProducerGone`]: it died. Said as soon as it is noticed, then like `Closed`.
    /// - [`WaitError::Other`]: as [`try_next`](Self::try_next).
    pub fn next(&mut self, timeout: Duration) -> Result<Frame, WaitError> {
        // Before the look, so that what comes after the look changes it.
        let bell = self.attachment.core().bell();
        match self.read() {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => self.wait(bell, timeout),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the next frame; the first look, after `bell` was read, found none. A frame that is there costs no look at
    /// the clock.
    fn wait(&mut self, mut bell: u32, timeout: Duration) -> Result<Frame, WaitError> {
        let mut found = self.look_again()?;
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(frame) = found {
                return Ok(frame);
            }
            let left =
                deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            self.check_the_producer(left)?;
            if left.is_zero() {
                return Err(WaitError::TimedOut);
            }
            if self.told_gone {
                std::thread::sleep(left.min(LOOK_FOR_SUCCESSOR));
            } else {
                self.doze(bell, left.min(LOOK_AROUND));
            }
            bell = self.attachment.core().bell();
            found = self.try_next()?;
        }
    }

    /// Sleeps or spins until something may have changed. Returns early whenever in doubt.
    fn doze(&mut self, bell: u32, limit: Duration) {
        let core = self.attachment.core();
        let deadline = Instant::now() + limit;
        match self.options.wait {
            Wait::Spin => {
                spin(core, bell, deadline);
                return;
            }
            Wait::Adaptive => {
                if let Some(plan) = self.pace.plan(limit) {
                    if !plan.sleep.is_zero() {
                        let began = Instant::now();
                        self.sleep(bell, plan.sleep);
                        if let Some(late) = began.elapsed().checked_sub(plan.sleep)
                            && core.bell() == bell
                        {
                            self.pace.woke(late);
                            // Brings the way to a frame back into the caches, which others have used meanwhile.
                            let _ = core.newest();
                        }
                    }
                    if spin(core, bell, Instant::now() + plan.spin) {
                        return;
                    }
                }
            }
            Wait::Sleep => {}
        }
        self.sleep(bell, deadline.saturating_duration_since(Instant::now()));
    }

    /// Sleeps until the bell rings.
    fn sleep(&self, bell: u32, limit: Duration) {
        if let Some(notifier) = &self.notifier {
            notifier.wait(limit); // its thread is the one sleeper that this seat has a flag for
        } else if let Some(asleep) = self.attachment.core().fall_asleep(bell) {
            futex::wait(asleep.word(), asleep.expected(), limit);
        }
    }

    /// Looks whether there is still a producer to wait for, and moves to one that took its place.
    fn check_the_producer(&mut self, left: Duration) -> Result<(), WaitError> {
        let state = self.attachment.core().state();
        if state == LaneState::Live && !self.told_gone {
            // The question costs a system call, so it is asked when a wait ends in vain, not for each frame.
            if !left.is_zero() && self.looked.elapsed() < LOOK_AROUND {
                return Ok(());
            }
            if self.attachment.producer_lives() {
                self.looked = Instant::now();
                return Ok(());
            }
        }
        // Between the look for frames and the look at the producer it may have published its last.
        if !self.told_gone && self.attachment.core().is_behind() {
            return Ok(());
        }
        if self.follow()? {
            return Ok(());
        }
        let closed = state == LaneState::Closed;
        if self.told_gone && !left.is_zero() {
            return Ok(());
        }
        self.told_gone = true;
        Err(if closed { WaitError::Closed } else { WaitError::ProducerGone })
    }

    /// Moves to the object that has the name now, if it is another one.
    fn follow(&mut self) -> Result<bool, Error> {
        if !self.attachment.is_here() {
            return Err(Error::Forked);
        }
        if !self.attachment.may_be_replaced(&self.address) {
            return Ok(false);
        }
        let seat = self.attachment.seat_lock();
        let opening = Opening { from_the_first: true, seat, ..self.options.opening.clone() };
        let attachment = match Attachment::open(&self.address, &opening) {
            Ok(attachment) => attachment,
            Err(Error::NoSuchLane { .. }) => return Ok(false), // not there yet, or gone as we came
            Err(error) => return Err(error),
        };
        self.pending.restarted = true;
        self.totals.restarts += 1;
        self.told_gone = false;
        self.pace = Pace::default();
        if let Some(notifier) = &self.notifier {
            notifier.move_to(&attachment);
        }
        self.attachment = attachment;
        Ok(true)
    }

    /// One look. Inlined where frames are handed out, with all that it calls, so that a frame is made where it stays: copies
    /// would wait for each word that was stored into it just before.
    #[inline(always)]
    fn read(&mut self) -> Result<Option<Frame>, Error> {
        let every = self.options.read == Read::Every;
        let pinned = self.attachment.take(|core| if every { core.next() } else { core.latest() })?;
        let Some(pinned) = pinned else { return Ok(None) };
        self.told_gone = false; // in place, a successor goes on in the same memory
        self.totals.delivered += 1;
        self.totals.missed += pinned.missed();
        self.totals.dropped += u64::from(pinned.dropped());
        let mut change = std::mem::take(&mut self.pending);
        let looks = (pinned.format(), pinned.size());
        if let Some((format, size)) = self.seen.replace(looks) {
            change.format = format != looks.0;
            change.size = size != looks.1;
        }
        if self.options.wait == Wait::Adaptive {
            self.pace.note(pinned.number(), pinned.publish_ns());
        }
        Ok(Some(Frame { pinned, change }))
    }

    /// A descriptor for poll, epoll, tokio or asyncio: readable when [`try_next`](Self::try_next) may have a frame, and
    /// now and then while there is no producer. Call `try_next` until it gives `None` each time; that makes it unreadable
    /// again. `next(Duration::ZERO)` does the same and also says why there is no frame.
    ///
    /// Starts a thread that sleeps on the bell. Waiting with [`next`](Self::next) still works.
    ///
    /// # Errors
    /// [`Error::System`] if no event descriptor or thread can be had; [`Error::Forked`].
    pub fn notifier(&mut self) -> Result<&Notifier, Error> {
        if !self.attachment.is_here() {
            return Err(Error::Forked);
        }
        match &mut self.notifier {
            Some(notifier) => Ok(notifier),
            none => Ok(none.insert(Notifier::start(&self.attachment)?)),
        }
    }

    /// The notifier, if it was asked for.
    pub(crate) fn running_notifier(&self) -> Option<&Notifier> {
        self.notifier.as_ref()
    }

    pub(crate) fn attachment(&self) -> &Attachment {
        &self.attachment
    }
}

/// Spins until the bell rings; `false` if it did not until `until`.
fn spin(core: &core::Consumer<'_>, bell: u32, until: Instant) -> bool {
    loop {
        // A look at the clock takes as long as a cache line takes to arrive: one for many looks at the bell.
        for _ in 0..LOOKS_PER_TIME {
            if core.bell() != bell {
                return true;
            }
            std::hint::spin_loop();
        }
        if Instant::now() >= until {
            return false;
        }
    }
}

/// While it lives, somebody sees to it that a ring of a consumer's bell wakes who sleeps on it.
enum Sleeper<'c> {
    /// The producer, told by the seat's flag.
    Flag { _asleep: core::Asleep<'c> },
    /// The notifier, whose thread has the flag to itself: two who raise and lower it would leave each other asleep.
    Notifier { _relay: Relay<'c> },
}

impl<'c> Sleeper<'c> {
    /// `None` if the bell changed: look again.
    fn new(consumer: &'c Consumer, bell: u32) -> Option<Self> {
        match &consumer.notifier {
            Some(notifier) => Some(Self::Notifier { _relay: notifier.relay() }),
            None => Some(Self::Flag { _asleep: consumer.attachment().core().fall_asleep(bell)? }),
        }
    }
}

/// Waits until one of several consumers may have a frame, at most `timeout`. Returns the first that does.
///
/// # Errors
/// - [`WaitError::TimedOut`].
/// - What [`Consumer::next`] would say of the first one that has news instead of frames; of each end only once.
pub fn wait_any(consumers: &mut [&mut Consumer], timeout: Duration) -> Result<(usize, Frame), WaitError> {
    wait_any_of(consumers, timeout).map_err(|(_, error)| error)
}

/// As [`wait_any`]; an error says whose it is, 0 for a time-out.
pub(crate) fn wait_any_of(
    consumers: &mut [&mut Consumer],
    timeout: Duration,
) -> Result<(usize, Frame), (usize, WaitError)> {
    let deadline = Instant::now().checked_add(timeout);
    loop {
        let bells: Vec<u32> = consumers.iter().map(|consumer| consumer.attachment().core().bell()).collect();
        for (index, consumer) in consumers.iter_mut().enumerate() {
            if let Some(frame) = consumer.try_next().map_err(|error| (index, error.into()))? {
                return Ok((index, frame));
            }
        }
        let left =
            deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        for (index, consumer) in consumers.iter_mut().enumerate() {
            let told = consumer.told_gone;
            match consumer.check_the_producer(left) {
                Err(WaitError::Closed | WaitError::ProducerGone) if told => {} // no news, and the others may go on
                other => other.map_err(|error| (index, error))?,
            }
        }
        if left.is_zero() {
            return Err((0, WaitError::TimedOut));
        }
        let sleepers: Option<Vec<_>> =
            consumers.iter().zip(&bells).map(|(consumer, &bell)| Sleeper::new(consumer, bell)).collect();
        let Some(_sleepers) = sleepers else { continue };
        let words: Vec<_> = consumers
            .iter()
            .zip(&bells)
            .map(|(consumer, &bell)| (consumer.attachment().data.region.bell(), bell))
            .collect();
        let limit =
            left.min(if consumers.iter().any(|c| c.told_gone) { LOOK_FOR_SUCCESSOR } else { LOOK_AROUND });
        if !futex::wait_any(&words, limit) {
            // Before Linux 5.16: a look at each every millisecond.
            std::thread::sleep(limit.min(Duration::from_millis(1)));
        }
    }
}

/// What is different from this consumer's previous frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Change {
    /// Another run of the producer: numbers start again, and what was lost between the two runs is not known.
    pub restarted: bool,
    /// Another pixel format.
    pub format: bool,
    /// Another width or height.
    pub size: bool,
}

impl Change {
    /// Tells whether anything changed.
    pub const fn any(self) -> bool {
        self.restarted || self.format || self.size
    }
}

/// A frame, read in place; `'static`, `Send` and `Sync`. Its bytes do not change until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it releases the frame"]
pub struct Frame {
    pinned: PinnedFrame,
    change: Change,
}

impl Frame {
    /// Position in the producer's incarnation, counted from 1, dense.
    pub fn number(&self) -> u64 {
        self.pinned.number()
    }

    /// What the frame says about itself, read from the slot at each call: keep it if you need it often.
    pub fn meta(&self) -> FrameMeta {
        self.pinned.meta()
    }

    /// The pixel format, as in [`meta`](Self::meta), without reading the rest.
    pub fn format(&self) -> PixelFormat {
        self.pinned.format()
    }

    /// Width and height in pixels, as in [`meta`](Self::meta), without reading the rest.
    pub fn size(&self) -> (u32, u32) {
        self.pinned.size()
    }

    /// Frames published since this reader's previous frame that it did not get.
    pub fn missed(&self) -> u64 {
        self.pinned.missed()
    }

    /// Frames that the producer could not take since this reader's previous frame.
    pub fn dropped(&self) -> u32 {
        self.pinned.dropped()
    }

    /// What is different from this reader's previous frame.
    pub const fn change(&self) -> Change {
        self.change
    }

    /// Names the run of the producer that this frame is from.
    pub fn incarnation(&self) -> [u32; 4] {
        self.pinned.attachment().data.region.incarnation()
    }

    /// The bytes of plane `index`, rows `stride` apart; `None` if the frame has no such plane.
    pub fn plane(&self, index: usize) -> Option<&[u8]> {
        self.pinned.plane(index)
    }

    /// The user's own metadata.
    pub fn user(&self) -> &[u8] {
        self.pinned.user()
    }

    /// Tells whether this process pinned the frame; a forked child has the mapping but not the pin.
    pub fn is_here(&self) -> bool {
        self.pinned.attachment().is_here()
    }

    /// Time since the frame was published, if its producer said when.
    pub fn age(&self) -> Option<Duration> {
        let published = self.pinned.publish_ns();
        (published != 0).then(|| Duration::from_nanos(crate::clock::monotonic_ns().saturating_sub(published)))
    }
}

impl Deref for Frame {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.pinned
    }
}
