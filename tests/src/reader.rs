//! A reader of layout 1 written from core/FORMAT.md alone: numbers and offsets, and nothing of camlane's.
//!
//! It reads bytes that nobody writes at the moment, such as a file; so it needs no fences and no pins. Whatever the bytes
//! are, it answers or refuses, and does not panic.

/// Why bytes were refused: the first rule of FORMAT.md that they break.
pub type Refused = &'static str;

/// The pixel at offset `at` of frame `number` in the golden file (FORMAT.md section 13).
pub const fn golden_pixel(number: u64, at: usize) -> u8 {
    (16 * number + at as u64) as u8
}

/// Header fields (section 2), checked.
#[derive(Debug)]
#[allow(missing_docs, reason = "FORMAT.md section 2")]
pub struct Lane<'b> {
    bytes: &'b [u8],
    pub incarnation: [u8; 16],
    pub total_len: u64,
    pub slots: u32,
    pub ring_len: u32,
    pub history: u32,
    pub loans: u32,
    pub seats: u32,
    pub pins: u32,
    pub slot_size: u32,
    pub slot_stride: u32,
    pub ring_off: u32,
    pub desc_off: u32,
    pub desc_stride: u32,
    pub page: u32,
    pub payload_off: u64,
    pub seats_off: u64,
    pub seat_stride: u32,
    pub flags: u32,
    pub created_ns: u64,
    pub seat_places: u32,
}

/// The info record (section 4).
#[derive(Debug)]
#[allow(missing_docs, reason = "FORMAT.md section 4")]
pub struct Info {
    pub name: String,
    pub frame_id: String,
    pub calibration: String,
    pub format: u32,
    pub width: u32,
    pub height: u32,
    pub rate: (u32, u32),
    pub creator_pid: u32,
    pub creator_started: u64,
    pub boot_id: [u8; 16],
    pub boottime_minus_monotonic: i64,
    pub realtime_minus_monotonic: i64,
    pub tai_minus_realtime: i64,
    pub clocks_sampled_at: u64,
}

/// A frame (section 6).
#[derive(Debug)]
#[allow(missing_docs, reason = "FORMAT.md section 6")]
pub struct Frame<'b> {
    pub slot: u32,
    pub number: u64,
    pub retired: bool,
    pub capture_ns: u64,
    pub publish_ns: u64,
    pub source_sequence: u32,
    pub drops_before: u32,
    pub flags: u32,
    pub format: u32,
    pub width: u32,
    pub height: u32,
    pub clock: u8,
    pub reference: u8,
    /// Offset, stride, rows, bytes.
    pub planes: Vec<[u32; 4]>,
    pub details: Option<Details>,
    pub user: &'b [u8],
    pub bytes: &'b [u8],
}

/// The details of a frame (section 6).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "FORMAT.md section 6")]
pub struct Details {
    pub colour: [u8; 5],
    pub significant_bits: u8,
    pub orientation: u8,
    pub fourcc_namespace: u8,
    pub fourcc: [u8; 4],
    pub exposure_ns: Option<u64>,
    pub frame_duration_ns: Option<u64>,
    pub analogue_gain: Option<u32>,
    pub digital_gain: Option<u32>,
    pub colour_gains: Option<[u32; 2]>,
    pub colour_temperature_k: Option<u32>,
    pub lens_position: Option<u32>,
    pub sensor_temperature_mc: Option<i32>,
    pub trigger: Option<u32>,
    pub region_of_interest: Option<[u32; 4]>,
    pub binning: Option<[u16; 2]>,
    pub black_levels: Option<[u32; 4]>,
    pub upstream: Option<(u32, u64)>,
    pub pts_offset_ns: Option<i64>,
}

/// A seat (section 7).
#[derive(Debug)]
#[allow(missing_docs, reason = "FORMAT.md section 7")]
pub struct Seat {
    pub pinned_slots: Vec<u32>,
    pub sleeping: bool,
    pub cursor: u32,
    pub pid: u32,
}

impl<'b> Lane<'b> {
    /// Checks a DATA object that ends where `bytes` end, or has its seats behind it.
    ///
    /// # Errors
    /// The first rule of section 2 that the header breaks.
    pub fn open(bytes: &'b [u8]) -> Result<Self, Refused> {
        let header = bytes.get(..0x80).ok_or("shorter than a header")?;
        let word = |at| u32_at(header, at);
        if &header[..8] != b"camlane\0" {
            return Err("magic");
        }
        if word(0x08) >> 16 != 1 {
            return Err("major version");
        }
        if crc32(&header[..0x7c]) != word(0x7c) {
            return Err("checksum");
        }
        let lane = Self {
            bytes,
            incarnation: array_at(header, 0x10),
            total_len: u64_at(header, 0x20),
            slots: word(0x28),
            ring_len: word(0x2c),
            history: word(0x30),
            loans: word(0x34),
            seats: word(0x38),
            pins: word(0x3c),
            slot_size: word(0x40),
            slot_stride: word(0x44),
            ring_off: word(0x48),
            desc_off: word(0x4c),
            desc_stride: word(0x50),
            page: word(0x54),
            payload_off: u64_at(header, 0x58),
            seats_off: u64_at(header, 0x60),
            seat_stride: word(0x68),
            flags: word(0x6c),
            created_ns: u64_at(header, 0x70),
            seat_places: word(0x78).max(1),
        };
        lane.check_shape(word(0x0c))?;
        if lane.total_len > bytes.len() as u64 {
            return Err("cut short");
        }
        match lane.state() {
            1..=3 => Ok(lane),
            0 => Err("still being made"),
            _ => Err("state"),
        }
    }

    fn check_shape(&self, header_len: u32) -> Result<(), Refused> {
        let stream = self.flags & 4 != 0;
        let counts = match stream {
            true => {
                self.slots == 0 && self.ring_len == 0 && self.seats == 1 && self.slot_size.is_power_of_two()
            }
            false => {
                (1..=65_534).contains(&self.slots)
                    && (self.slots..=65_536).contains(&self.ring_len)
                    && self.ring_len.is_power_of_two()
                    && self.history >= 1
                    && self.loans >= 1
                    && u64::from(self.history) + u64::from(self.loans) <= u64::from(self.slots)
            }
        };
        if !counts
            || !(1..=4_096).contains(&self.seats)
            || !(1..=8).contains(&self.pins)
            || self.slot_size == 0
        {
            return Err("counts");
        }
        let strides = [(self.slot_stride, self.slot_size), (self.seat_stride, 192), (self.desc_stride, 256)];
        if strides.iter().any(|&(stride, least)| stride < least || stride % 4 != 0)
            || !self.page.is_power_of_two()
        {
            return Err("strides");
        }
        if !self.seat_places.is_power_of_two() || u64::from(self.seat_places) * 192 > self.seat_stride.into()
        {
            return Err("places of seats");
        }
        let payloads = if stream { 1 } else { u128::from(self.slots) };
        let places = [
            (u128::from(header_len), 0x240),
            (self.ring_off.into(), header_len.into()),
            (self.desc_off.into(), u128::from(self.ring_off) + 4 * u128::from(self.ring_len)),
            (
                self.payload_off.into(),
                u128::from(self.desc_off) + u128::from(self.slots) * u128::from(self.desc_stride),
            ),
            (self.total_len.into(), u128::from(self.payload_off) + payloads * u128::from(self.slot_stride)),
        ];
        if places.iter().any(|&(place, least)| place < least)
            || self.seats_off != 0 && self.seats_off < self.total_len
        {
            return Err("order");
        }
        let offsets = [self.ring_off.into(), self.desc_off.into(), self.payload_off, self.seats_off];
        if offsets.iter().any(|offset| offset % 4 != 0) {
            return Err("alignment");
        }
        let end = u128::from(self.seats_off) + u128::from(self.seats) * u128::from(self.seat_stride);
        if end.max(self.total_len.into()) > i64::MAX as u128 { Err("size") } else { Ok(()) }
    }

    /// Reads `bell`.
    pub fn bell(&self) -> u32 {
        u32_at(self.bytes, 0x84)
    }

    /// Reads `state`: 0 INIT, 1 LIVE, 2 CLOSED, 3 SUPERSEDED.
    pub fn state(&self) -> u32 {
        u32_at(self.bytes, 0x88)
    }

    /// Reads `dropped`.
    pub fn dropped(&self) -> u32 {
        u32_at(self.bytes, 0x8c)
    }

    /// Why no frames come: the reason, the error behind it, and since when (section 3).
    pub fn pause(&self) -> Option<(u32, u32, u32)> {
        let (word, at) = (u32_at(self.bytes, 0x98), u32_at(self.bytes, 0x9c));
        (word != 0).then_some((word & 0xffff, word >> 16, at))
    }

    /// Reads the number of the newest frame, its low 30 bits.
    pub fn latest(&self) -> Option<u64> {
        let word = u32_at(self.bytes, 0x80);
        (word != 0).then_some(u64::from(word >> 2))
    }

    /// Reads the info record, if its checksum holds.
    pub fn info(&self) -> Option<Info> {
        let record = self.bytes.get(0x100..0x240)?;
        if crc32(&record[..0x13c]) != u32_at(record, 0x13c) {
            return None;
        }
        let text = |at: usize| {
            let field = record[at..at + 64].split(|&byte| byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(field).into_owned()
        };
        Some(Info {
            name: text(0x00),
            frame_id: text(0x40),
            calibration: text(0x80),
            format: u32_at(record, 0xc0),
            width: u32_at(record, 0xc4),
            height: u32_at(record, 0xc8),
            rate: (u32_at(record, 0xcc), u32_at(record, 0xd0)),
            creator_pid: u32_at(record, 0xd4),
            creator_started: u64_at(record, 0xd8),
            boot_id: array_at(record, 0xe0),
            boottime_minus_monotonic: u64_at(record, 0xf0).cast_signed(),
            realtime_minus_monotonic: u64_at(record, 0xf8).cast_signed(),
            tai_minus_realtime: u64_at(record, 0x100).cast_signed(),
            clocks_sampled_at: u64_at(record, 0x108),
        })
    }

    fn descriptor(&self, slot: u32) -> Option<&'b [u8]> {
        let at = self.desc_off as usize + slot as usize * self.desc_stride as usize;
        if slot < self.slots { self.bytes.get(at..at + self.desc_stride as usize) } else { None }
    }

    /// Reads a slot's state: 0 FREE, 1 READY, 2 RETIRED, 3 WRITING.
    pub fn slot_state(&self, slot: u32) -> u32 {
        self.descriptor(slot).map_or(0, |descriptor| u32_at(descriptor, 0) & 3)
    }

    /// Finds a frame through the ring; a retired one too, as an observer may.
    pub fn frame(&self, number: u64) -> Option<Frame<'b>> {
        let short = (number & 0x3fff_ffff) as u32;
        let entry = self.ring_off as usize + 4 * (short & self.ring_len.wrapping_sub(1)) as usize;
        let slot = u32_at(self.bytes, entry);
        let descriptor = self.descriptor(slot)?;
        let word = u32_at(descriptor, 0x00);
        let len = u32_at(descriptor, 0x0c);
        let long = u64_at(descriptor, 0x04);
        let frame_is_here = word >> 2 == short && matches!(word & 3, 1 | 2);
        if !frame_is_here || (long & 0x3fff_ffff) as u32 != short || len > self.slot_size {
            return None;
        }
        let start = usize::try_from(self.payload_off).ok()? + slot as usize * self.slot_stride as usize;
        let kinds: [u8; 4] = array_at(descriptor, 0x38);
        let plane = |nth: usize| core::array::from_fn(|word| u32_at(descriptor, 0x40 + 16 * nth + 4 * word));
        let planes: Vec<[u32; 4]> = (0..kinds[2].min(4).into()).map(plane).collect();
        let inside = |plane: &[u32; 4]| u64::from(plane[0]) + u64::from(plane[3]) <= u64::from(len);
        let user_len = u32_at(descriptor, 0x3c).min(self.desc_stride - 256);
        Some(Frame {
            slot,
            number: long,
            retired: word & 3 == 2,
            capture_ns: u64_at(descriptor, 0x10),
            publish_ns: u64_at(descriptor, 0x18),
            source_sequence: u32_at(descriptor, 0x20),
            drops_before: u32_at(descriptor, 0x24),
            flags: u32_at(descriptor, 0x28),
            format: u32_at(descriptor, 0x2c),
            width: u32_at(descriptor, 0x30),
            height: u32_at(descriptor, 0x34),
            clock: kinds[0],
            reference: kinds[1],
            planes: if planes.iter().all(inside) { planes } else { Vec::new() },
            details: (kinds[3] != 0).then(|| Details::read(&descriptor[0x80..0x100])),
            user: &descriptor[0x100..0x100 + user_len as usize],
            bytes: self.bytes.get(start..start + len as usize)?,
        })
    }

    /// Reads a seat that lies behind DATA.
    pub fn seat(&self, index: u32) -> Option<Seat> {
        let seats_off = usize::try_from(self.seats_off).ok().filter(|&offset| offset != 0)?;
        self.seat_in(self.bytes.get(seats_off..)?, index)
    }

    /// Reads a seat of an object that holds all seats.
    pub fn seat_in(&self, seats: &[u8], index: u32) -> Option<Seat> {
        let place = index % self.seat_places * 192;
        let at = index as usize * self.seat_stride as usize + place as usize;
        let seat = seats.get(at..at + 192).filter(|_| index < self.seats)?;
        let identity = &seat[..4] == b"seat" && u32_at(seat, 0x04) >> 16 == 1 && u32_at(seat, 0x08) == index;
        if !identity || seat[0x10..0x20] != self.incarnation {
            return None;
        }
        let cells = (0..self.pins as usize).map(|cell| u32_at(seat, 0x80 + 4 * cell) & 0xffff);
        Some(Seat {
            pinned_slots: cells
                .filter(|&slot| 1 <= slot && slot <= self.slots)
                .map(|slot| slot - 1)
                .collect(),
            sleeping: u32_at(seat, 0x20) != 0,
            cursor: u32_at(seat, 0xa0),
            pid: u32_at(seat, 0xa4),
        })
    }

    /// Reads the bytes of a stream (section 8) that were committed and not released.
    pub fn stream(&self) -> Option<Vec<u8>> {
        let seat = usize::try_from(self.seats_off).ok()?;
        let (head, tail) = (u32_at(self.bytes, 0x80), u32_at(self.bytes, seat + 0x80));
        let used = head.wrapping_sub(tail);
        if self.flags & 4 == 0 || self.seats_off == 0 || used > self.slot_size {
            return None;
        }
        let start = usize::try_from(self.payload_off).ok()?;
        let offset = |step: u32| start + (tail.wrapping_add(step) & (self.slot_size - 1)) as usize;
        (0..used).map(|step| self.bytes.get(offset(step)).copied()).collect()
    }
}

impl Details {
    fn read(words: &[u8]) -> Self {
        let valid = u32_at(words, 0x0c);
        let one = |bit: u32, at: usize| (valid >> bit & 1 == 1).then(|| u32_at(words, at));
        let two = |bit: u32, at: usize| one(bit, at).map(|_| u64_at(words, at));
        let four =
            |bit: u32, at: usize| one(bit, at).map(|_| [0, 4, 8, 12].map(|word| u32_at(words, at + word)));
        Self {
            colour: array_at(words, 0x00),
            significant_bits: words[0x05],
            orientation: words[0x06],
            fourcc_namespace: words[0x07],
            fourcc: array_at(words, 0x08),
            exposure_ns: two(0, 0x10),
            frame_duration_ns: two(1, 0x18),
            analogue_gain: one(2, 0x20),
            digital_gain: one(3, 0x24),
            colour_gains: one(4, 0x28).map(|red| [red, u32_at(words, 0x2c)]),
            colour_temperature_k: one(5, 0x30),
            lens_position: one(6, 0x34),
            sensor_temperature_mc: one(7, 0x38).map(u32::cast_signed),
            trigger: one(8, 0x3c),
            region_of_interest: four(9, 0x40),
            binning: one(10, 0x50).map(|both| [both as u16, (both >> 16) as u16]),
            black_levels: four(11, 0x54),
            upstream: one(12, 0x64).map(|lane| (lane, u64_at(words, 0x68))),
            pts_offset_ns: two(13, 0x70).map(u64::cast_signed),
        }
    }
}

/// Reads `LEN` bytes; zeros beyond the end, where no checked offset leads.
fn array_at<const LEN: usize>(bytes: &[u8], at: usize) -> [u8; LEN] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; LEN])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// CRC-32/ISO-HDLC (section 1).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}
