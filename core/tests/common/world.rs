//! A lane beside a model of it: every operation is done to both, and everything that can be seen must agree.
//!
//! The model is a list of published frames and sets of who holds what. It knows nothing of words, rings or fences.

use core::cell::OnceCell;
use core::mem;

use camlane_core::{Consumer, Frame, FrameMeta, Loan, Producer, ReadError, Seats};

use super::{FREE, READY, RETIRED, TestLane, WRITING, at, fill, pattern, reclaim, word};

/// Room for values that come one after another and are borrowed until the end.
pub(crate) struct Row<T>(Vec<OnceCell<T>>);

impl<T> Row<T> {
    pub(crate) fn new(room: usize) -> Self {
        Self((0..room).map(|_| OnceCell::new()).collect())
    }

    fn add(&self, value: T) -> Option<&T> {
        let free = self.0.iter().find(|cell| cell.get().is_none())?;
        Some(free.get_or_init(|| value))
    }
}

/// Something that happens to a lane. Numbers choose among what there is, modulo how many there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    Loan,
    /// Writes the loan's pixels again.
    Write(u8),
    Publish(u8),
    /// Publishes what claims to be longer than a slot.
    PublishTooLong(u8),
    DropLoan(u8),
    /// Leaks it, as a program may.
    ForgetLoan(u8),
    CountDropped(u8),
    Latest(u8),
    Next(u8),
    Newest(u8),
    Release(u8, u8),
    /// The producer dies.
    Kill,
    TakeOver,
    /// The consumer dies.
    KillReader(u8),
    Sit(u8),
    SitAsFirst(u8),
    Reclaim,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Published {
    number: u64,
    seed: u64,
    len: u32,
    slot: u32,
    drops_before: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slot {
    Free,
    Loaned,
    /// A loan that was forgotten: lost until the next take-over.
    Lost,
    Ready(u64),
    Retired(u64),
}

struct Out<'w> {
    loan: Loan<'w>,
    seed: u64,
    len: u32,
}

struct Reader<'w, 'm> {
    consumer: &'w Consumer<'m>,
    started: bool,
    cursor: u64,
    drops_seen: u32,
    delivered: u64,
    missed: u64,
    held: Vec<(Frame<'w>, u64)>,
}

#[derive(Default)]
struct Seat<'w, 'm> {
    reader: Option<Reader<'w, 'm>>,
    /// Slots that a dead reader pinned.
    stuck: Vec<u32>,
    /// A dead reader's process is still written down.
    haunted: bool,
}

/// The lane, its ends, and the model.
pub(crate) struct World<'w, 'm> {
    pub(crate) lane: &'m TestLane,
    all_seats: Seats<'m>,
    producers: &'w Row<Producer<'m>>,
    consumers: &'w Row<Consumer<'m>>,
    producer: Option<&'w Producer<'m>>,
    loans: Vec<Out<'w>>,
    seats: Vec<Seat<'w, 'm>>,
    slots: Vec<Slot>,
    /// Frames since the start, oldest first.
    frames: Vec<Published>,
    newest: u64,
    dropped: u32,
    seed: u64,
    pub(crate) frames_read: u64,
    pub(crate) loans_refused: u64,
}

impl<'w, 'm> World<'w, 'm> {
    /// A lane whose first frame will have the number `newest + 1`; with `newest` 0 it is new.
    pub(crate) fn new(
        lane: &'m TestLane,
        producers: &'w Row<Producer<'m>>,
        consumers: &'w Row<Consumer<'m>>,
        newest: u64,
    ) -> Self {
        let shape = lane.shape;
        let mut world = Self {
            lane,
            all_seats: lane.all_seats(),
            producers,
            consumers,
            producer: None,
            loans: Vec::new(),
            seats: (0..shape.seats()).map(|_| Seat::default()).collect(),
            slots: vec![Slot::Free; shape.slots() as usize],
            frames: Vec::new(),
            newest,
            dropped: 0,
            seed: 1 << 32,
            frames_read: 0,
            loans_refused: 0,
        };
        if newest == 0 {
            world.producer = world.producers.add(lane.producer());
        } else {
            lane.pretend_published(newest);
            for back in (0..u64::from(shape.history())).rev() {
                let (slot, number) = (back as u32, newest - back);
                world.frames.push(Published {
                    number,
                    seed: number,
                    len: shape.slot_size(),
                    slot,
                    drops_before: 0,
                });
                world.slots[back as usize] = Slot::Ready(number);
            }
            world.apply(Op::TakeOver);
        }
        world
    }

    /// Does one thing to the lane and to the model, and compares all that can be seen.
    pub(crate) fn apply(&mut self, op: Op) {
        let (data, seats) = (self.lane.data.image(), self.lane.seats.image());
        match op {
            Op::Loan => self.loan(),
            Op::Write(which) => self.write(which),
            Op::Publish(which) => self.publish(which),
            Op::PublishTooLong(which) => self.publish_too_long(which),
            Op::DropLoan(which) => {
                if let Some(out) = self.take_loan(which) {
                    self.slots[out.loan.slot() as usize] = Slot::Free;
                }
            }
            Op::ForgetLoan(which) => {
                if let Some(out) = self.take_loan(which) {
                    self.slots[out.loan.slot() as usize] = Slot::Lost;
                    mem::forget(out.loan);
                }
            }
            Op::CountDropped(frames) => {
                if let Some(producer) = self.producer {
                    producer.count_dropped(frames.into());
                    self.dropped = self.dropped.wrapping_add(frames.into());
                }
            }
            Op::Latest(seat) => self.read(seat, Read::Latest),
            Op::Next(seat) => self.read(seat, Read::Next),
            Op::Newest(seat) => self.read(seat, Read::Newest),
            Op::Release(seat, which) => {
                if let Some(reader) = self.reader(seat)
                    && !reader.held.is_empty()
                {
                    let which = usize::from(which) % reader.held.len();
                    drop(reader.held.swap_remove(which));
                }
            }
            Op::Kill => self.kill(),
            Op::TakeOver => {
                if self.producer.is_none() {
                    self.take_over();
                }
            }
            Op::KillReader(seat) => self.kill_reader(seat),
            Op::Sit(seat) => self.sit(seat, false),
            Op::SitAsFirst(seat) => self.sit(seat, true),
            Op::Reclaim => self.reclaim(),
        }
        self.check_writers(op, &data, &seats);
        self.check();
    }

    fn loan(&mut self) {
        let Some(producer) = self.producer else { return };
        let pinned = self.lane.pins();
        let free = |slot: usize, state: &Slot| match state {
            Slot::Free => true,
            Slot::Retired(_) => !pinned.contains(&(slot as u32)),
            Slot::Loaned | Slot::Lost | Slot::Ready(_) => false,
        };
        let available: Vec<usize> = self
            .slots
            .iter()
            .enumerate()
            .filter(|(slot, state)| free(*slot, state))
            .map(|(slot, _)| slot)
            .collect();
        match producer.loan() {
            Ok(loan) => {
                let slot = loan.slot() as usize;
                assert!(available.contains(&slot), "slot {slot} is lent, free were {available:?}");
                self.slots[slot] = Slot::Loaned;
                self.loans.push(Out { loan, seed: 0, len: 0 });
                self.write(u8::MAX);
            }
            Err(error) => {
                assert_eq!(available, [0; 0], "a loan was refused: {error}");
                assert_eq!(error.slots, self.lane.shape.slots());
                self.dropped = self.dropped.wrapping_add(1);
                self.loans_refused += 1;
            }
        }
    }

    /// Writes a loan with bytes that no other loan had. The last one, if there are not so many.
    fn write(&mut self, which: u8) {
        let Some(last) = self.loans.len().checked_sub(1) else { return };
        let out = &mut self.loans[usize::from(which).min(last)];
        self.seed += 1;
        out.seed = self.seed;
        out.len = self.lane.shape.slot_size() - self.seed as u32 % self.lane.shape.slot_size().min(3);
        fill(&mut out.loan[..out.len as usize], out.seed);
    }

    fn take_loan(&mut self, which: u8) -> Option<Out<'w>> {
        let count = self.loans.len();
        (count > 0).then(|| self.loans.swap_remove(usize::from(which) % count))
    }

    fn publish(&mut self, which: u8) {
        let Some(producer) = self.producer else { return };
        let Some(Out { loan, seed, len }) = self.take_loan(which) else { return };
        let slot = loan.slot();
        let bell = self.lane.live(at::BELL);
        let published = producer.publish(loan, &FrameMeta::bytes(len)).unwrap();
        assert_eq!(published.number, self.newest + 1);
        assert_eq!(published.asleep, 0);
        assert_eq!(self.lane.live(at::BELL), bell.wrapping_add(1));
        self.now_published(Published {
            number: published.number,
            seed,
            len,
            slot,
            drops_before: self.dropped,
        });
    }

    fn now_published(&mut self, frame: Published) {
        self.newest = frame.number;
        self.frames.push(frame);
        self.slots[frame.slot as usize] = Slot::Ready(frame.number);
        let oldest = self.oldest_ready();
        for state in &mut self.slots {
            if let Slot::Ready(number) = *state
                && number < oldest
            {
                *state = Slot::Retired(number);
            }
        }
    }

    fn oldest_ready(&self) -> u64 {
        (self.newest + 1).saturating_sub(self.lane.shape.history().into()).max(1)
    }

    fn publish_too_long(&mut self, which: u8) {
        let Some(producer) = self.producer else { return };
        let Some(out) = self.take_loan(which) else { return };
        let slot = out.loan.slot() as usize;
        producer.publish(out.loan, &FrameMeta::bytes(self.lane.shape.slot_size() + 1)).unwrap_err();
        self.slots[slot] = Slot::Free;
    }

    /// Kills the producer, wherever it is, with its loans.
    pub(crate) fn kill(&mut self) {
        self.loans.drain(..).for_each(|out| mem::forget(out.loan));
        self.producer = None;
    }

    /// Tells the model that a producer died when the next frame, in `slot`, was whole and nobody had been told.
    pub(crate) fn died_after_the_slot_word(&mut self, slot: u32, seed: u64, len: u32) {
        let number = self.newest + 1;
        self.now_published(Published { number, seed, len, slot, drops_before: self.dropped });
    }

    /// Tells the model what the dead producer did last, if it was a loan or a count of drops.
    pub(crate) fn died_with(&mut self, lane: &TestLane) {
        self.dropped = lane.live(at::DROPPED);
        let pinned = lane.pins();
        for (slot, bits) in lane.words().into_iter().enumerate() {
            if bits == WRITING && !matches!(self.slots[slot], Slot::Loaned | Slot::Lost) {
                assert!(!pinned.contains(&(slot as u32)), "slot {slot} was lent while it was pinned");
                self.slots[slot] = Slot::Lost;
            }
        }
    }

    /// A new producer comes, and finds what the model says.
    pub(crate) fn take_over(&mut self) {
        let heir = self.lane.heir().unwrap();
        assert_eq!((heir.published(), heir.dropped()), (self.newest, self.dropped));
        for state in &mut self.slots {
            if matches!(*state, Slot::Loaned | Slot::Lost) {
                *state = Slot::Free;
            }
        }
        self.producer = self.producers.add(heir);
    }

    fn reader(&mut self, seat: u8) -> Option<&mut Reader<'w, 'm>> {
        let count = self.seats.len();
        self.seats[usize::from(seat) % count].reader.as_mut()
    }

    fn sit(&mut self, seat: u8, as_first: bool) {
        let index = usize::from(seat) % self.seats.len();
        if self.seats[index].reader.is_some() {
            return;
        }
        let role = self.lane.seat_role(index as u32);
        let consumer = if as_first { Consumer::from_the_first(role, 7) } else { Consumer::new(role, 7) };
        let Some(consumer) = self.consumers.add(consumer) else { return };
        let reader = Reader {
            consumer,
            started: as_first || self.newest == 0,
            cursor: 0,
            drops_seen: self.dropped,
            delivered: 0,
            missed: 0,
            held: Vec::new(),
        };
        self.seats[index] = Seat { reader: Some(reader), stuck: Vec::new(), haunted: false };
    }

    fn kill_reader(&mut self, seat: u8) {
        let index = usize::from(seat) % self.seats.len();
        let seat = &mut self.seats[index];
        if let Some(reader) = seat.reader.take() {
            seat.stuck = reader.held.iter().map(|(frame, _)| frame.slot()).collect();
            reader.held.into_iter().for_each(|(frame, _)| mem::forget(frame));
            seat.haunted = true;
        }
    }

    fn reclaim(&mut self) {
        let Some(producer) = self.producer else { return };
        let mut asked = Vec::new();
        let cleared = reclaim(producer.seats(), |seat| {
            asked.push(seat as usize);
            self.seats[seat as usize].reader.is_some()
        });
        let used = |seat: &Seat<'_, '_>| seat.reader.is_some() || seat.haunted;
        let expected: Vec<usize> = (0..self.seats.len()).filter(|&seat| used(&self.seats[seat])).collect();
        assert_eq!(asked, expected);
        assert_eq!(cleared as usize, self.seats.iter().filter(|seat| seat.haunted).count());
        for seat in &mut self.seats {
            seat.stuck.clear();
            seat.haunted = false;
        }
    }

    fn read(&mut self, seat: u8, how: Read) {
        let (newest, oldest) = (self.newest, self.oldest_ready());
        let (history, pins) = (u64::from(self.lane.shape.history()), self.lane.shape.pins());
        let Some(reader) = self.reader(seat) else { return };
        let wanted = match how {
            _ if newest == 0 => None,
            Read::Newest => Some(newest),
            _ if !reader.started => Some(newest),
            _ if reader.cursor == newest => None,
            Read::Latest => Some(newest),
            Read::Next => Some(oldest.max(reader.cursor + 1)),
        };
        let full = reader.held.len() == pins as usize;
        let found = match how {
            Read::Latest => reader.consumer.latest(),
            Read::Next => reader.consumer.next(),
            Read::Newest => reader.consumer.newest(),
        };
        let Some(number) = wanted else {
            assert!(matches!(found, Ok(None)), "{found:?}, but nothing is new");
            return;
        };
        if full {
            assert_eq!(found.unwrap_err(), ReadError::AllPinned { pins });
            return;
        }
        let frame = found.unwrap().unwrap_or_else(|| panic!("frame {number} is there and was not found"));
        assert!(newest - number < history);
        let record = *self.frames.iter().rfind(|record| record.number == number).unwrap();
        let reader = self.reader(seat).unwrap();
        let (mut missed, mut dropped) = (0, 0);
        if how != Read::Newest {
            if reader.started {
                missed = number - reader.cursor - 1;
            }
            // A reader that sat down after the drop was counted sees an earlier count: no frame of its own was lost.
            dropped = record.drops_before.saturating_sub(reader.drops_seen);
            reader.drops_seen = record.drops_before;
            reader.started = true;
            reader.cursor = number;
            reader.delivered += 1;
            reader.missed += missed;
        }
        assert_eq!((frame.number(), frame.missed(), frame.dropped()), (number, missed, dropped));
        assert_eq!((frame.slot(), frame.meta()), (record.slot, FrameMeta::bytes(record.len)));
        reader.held.push((frame, record.seed));
        self.frames_read += 1;
    }

    /// Each word has one writer: readers touch their own seat alone, the producer touches DATA alone.
    fn check_writers(&self, op: Op, data: &[u32], seats: &[u32]) {
        let stride = self.lane.shape.seat_stride() as usize / 4;
        match op {
            Op::Latest(seat)
            | Op::Next(seat)
            | Op::Newest(seat)
            | Op::Release(seat, _)
            | Op::Sit(seat)
            | Op::SitAsFirst(seat)
            | Op::KillReader(seat) => {
                assert_eq!(self.lane.data.image(), data, "a reader wrote into DATA");
                let own = usize::from(seat) % self.seats.len();
                let now = self.lane.seats.image();
                for (index, (before, after)) in seats.chunks(stride).zip(now.chunks(stride)).enumerate() {
                    assert!(
                        index == own || before == after,
                        "the reader in seat {own} wrote into seat {index}"
                    );
                }
            }
            Op::Reclaim => assert_eq!(self.lane.data.image(), data),
            _ => assert_eq!(self.lane.seats.image(), seats, "the producer wrote into a seat"),
        }
    }

    /// Compares what lies in memory, and what every reader can see, with the model.
    pub(crate) fn check(&self) {
        let lane = self.lane;
        let shape = lane.shape;
        for (index, state) in self.slots.iter().enumerate() {
            let slot = index as u32;
            let found = lane.data.peek(lane.word_at(slot));
            let expected = match *state {
                Slot::Free => FREE,
                Slot::Loaned | Slot::Lost => WRITING,
                Slot::Ready(number) => word(number, READY),
                Slot::Retired(number) => word(number, RETIRED),
            };
            assert_eq!(found, expected, "word of slot {slot}, which is {state:?}");
            if let Slot::Ready(number) | Slot::Retired(number) = *state {
                let record = self.frames.iter().rfind(|record| record.number == number).unwrap();
                assert_eq!(lane.number(slot), number);
                let bytes = lane.payload(slot, record.len as usize);
                assert_eq!(
                    bytes,
                    pattern(record.seed, bytes.len()),
                    "slot {slot} was written while it was {state:?}"
                );
            }
        }
        let ready: Vec<u64> = {
            let mut ready: Vec<u64> = self
                .slots
                .iter()
                .filter_map(|s| if let Slot::Ready(n) = s { Some(*n) } else { None })
                .collect();
            ready.sort_unstable();
            ready
        };
        let oldest = self.oldest_ready();
        assert_eq!(
            ready,
            (oldest..=self.newest).collect::<Vec<u64>>(),
            "the newest frames are not all readable"
        );
        if self.newest > 0 && self.producer.is_some() {
            let slot = lane.data.peek(lane.ring_at(self.newest));
            assert_eq!(lane.live(at::LATEST), word(self.newest, READY));
            assert_eq!(lane.data.peek(lane.word_at(slot)), word(self.newest, READY));
            assert_eq!(lane.live(at::LATEST_SLOT), slot);
        }
        assert_eq!(lane.live(at::DROPPED), self.dropped);
        if let Some(producer) = self.producer {
            assert_eq!((producer.published(), producer.dropped()), (self.newest, self.dropped));
        }
        let mut pinned: Vec<u32> = Vec::new();
        let mut in_use = Vec::new();
        for (index, seat) in self.seats.iter().enumerate() {
            pinned.extend(&seat.stuck);
            if seat.haunted {
                in_use.push((index as u32, seat.stuck.len() as u32));
            }
            let Some(reader) = &seat.reader else { continue };
            let consumer = reader.consumer;
            assert_eq!((consumer.position(), consumer.held() as usize), (reader.cursor, reader.held.len()));
            assert_eq!((consumer.delivered(), consumer.missed()), (reader.delivered, reader.missed));
            in_use.push((index as u32, reader.held.len() as u32));
            for (frame, seed) in &reader.held {
                assert_eq!(
                    **frame,
                    pattern(*seed, frame.len()),
                    "frame {} changed under its reader",
                    frame.number()
                );
                let place = lane.data.base().wrapping_add(lane.payload_at(frame.slot()));
                assert_eq!(frame.as_ptr(), place, "the frame does not lie in the lane's memory");
                pinned.push(frame.slot());
            }
        }
        let mut found = lane.pins();
        found.sort_unstable();
        pinned.sort_unstable();
        assert_eq!(found, pinned, "the cells of the seats");
        let seats: Vec<_> = self.all_seats.in_use().map(|seat| (seat.seat, seat.pins)).collect();
        assert_eq!(seats, in_use);
        assert!(self.loans.iter().all(|out| out.loan.len() == shape.slot_size() as usize));
    }

    /// The content of a frame: its seed and its length.
    pub(crate) fn content(&self, number: u64) -> (u64, u32) {
        let record = self.frames.iter().rfind(|record| record.number == number).unwrap();
        (record.seed, record.len)
    }

    /// The slot and the content of the loan that would be published.
    pub(crate) fn loan_to_publish(&self, which: u8) -> Option<(u32, u64, u32)> {
        let count = self.loans.len();
        let out = self.loans.get(usize::from(which).checked_rem(count)?)?;
        Some((out.loan.slot(), out.seed, out.len))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Read {
    Latest,
    Next,
    Newest,
}
