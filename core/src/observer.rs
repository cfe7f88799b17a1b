//! An observer: reads without a seat, copies out, validates, and trusts nobody.

use core::ops::Range;

use crate::consumer::bound;
use crate::error::ObserveError;
use crate::layout::Descriptor;
use crate::meta::FrameMeta;
use crate::producer::number_of;
use crate::region::{LaneState, Region};
use crate::sync::{Acquire, Relaxed, fence};
use crate::word::{Short, SlotState, SlotWord};

/// How often a copy that the producer overtook is tried again. The model tries once: each try stands for itself.
const TRIES: u32 = if cfg!(loom) { 1 } else { 8 };

/// A reader that writes nothing anywhere: it needs no seat, no permission to write, and holds nothing.
///
/// Every copy is checked after it was made, so it is never torn. Whatever the region holds, its operations are bounded
/// and read inside the region; a producer that does not conform can make it return wrong pixels, not more. It hands
/// out no reference into the region:
/// ```compile_fail,E0599
/// fn look<'a>(observer: &'a camlane_core::Observer<'a>) -> &'a [u8] {
///     observer.pixels()
/// }
/// ```
#[derive(Debug)]
pub struct Observer<'a> {
    region: Region<'a>,
}

/// A frame that an observer copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Observed {
    /// Position in the producer's incarnation.
    pub number: u64,
    /// What the frame says about itself; `layout.bytes` of the buffer are the frame.
    pub meta: FrameMeta,
}

impl<'a> Observer<'a> {
    pub(crate) const fn new(region: Region<'a>) -> Self {
        Self { region }
    }

    /// The region that this observer reads.
    pub const fn region(&self) -> &Region<'a> {
        &self.region
    }

    /// What the producer says of the lane.
    pub fn state(&self) -> LaneState {
        self.region.state()
    }

    /// Copies the newest frame into `pixels`, and the user's metadata into `user` as far as it fits. `None`: no frame.
    ///
    /// # Errors
    /// [`ObserveError`]: the buffer is too small (with the size needed), the producer was faster each time, or the
    /// region's words contradict each other.
    pub fn copy_newest(&self, pixels: &mut [u8], user: &mut [u8]) -> Result<Option<Observed>, ObserveError> {
        self.validated(|slot, len, user_len| {
            let room = pixels.len();
            let Some(pixels) = pixels.get_mut(..len) else {
                return Err(ObserveError::TooSmall { needed: len, room });
            };
            self.region.copy_racing(slot, pixels);
            let user_len = user_len.min(user.len());
            self.region.copy_user_racing(slot, &mut user[..user_len]);
            Ok(())
        })
    }

    /// As [`copy_newest`](Self::copy_newest), by a copy of the caller's making, through the system for example. It is told
    /// where the pixels lie and where the user's metadata, in bytes from the start of DATA, and may be asked several times;
    /// what it copied counts only if this returns a frame.
    ///
    /// # Errors
    /// [`ObserveError`], or what `copy` returned.
    pub fn copy_newest_by(
        &self,
        mut copy: impl FnMut(Range<u64>, Range<u64>) -> Result<(), ObserveError>,
    ) -> Result<Option<Observed>, ObserveError> {
        self.validated(|slot, len, user_len| {
            let (pixels, user) =
                (self.region.payload_offset(slot as u32), self.region.user_offset(slot as u32));
            copy(pixels..pixels + len as u64, user..user + user_len as u64)
        })
    }

    /// Reads what the newest frame says about itself, without its pixels. `None`: no frame.
    ///
    /// # Errors
    /// As [`copy_newest`](Self::copy_newest), except `TooSmall`.
    pub fn peek_newest(&self) -> Result<Option<Observed>, ObserveError> {
        self.validated(|_, _, _| Ok(()))
    }

    /// Runs `copy(slot, len, user_len)` between two looks at the slot, until nothing changed meanwhile.
    pub(crate) fn validated(
        &self,
        mut copy: impl FnMut(usize, usize, usize) -> Result<(), ObserveError>,
    ) -> Result<Option<Observed>, ObserveError> {
        let shape = self.region.shape();
        for _ in 0..TRIES {
            let latest = self.region.live().latest.load(Relaxed);
            fence(Acquire); // (i)
            if latest == 0 {
                return Ok(None);
            }
            let short = SlotWord::from_bits(latest).number();
            let Some(entry) = self.region.ring(short.ring_index(shape.ring_len)) else {
                return Err(ObserveError::Corrupt);
            };
            let slot = entry.load(Relaxed) as usize;
            let Some(descriptor) = self.region.descriptor(slot) else { return Err(ObserveError::Corrupt) };
            // The number stands around the words, because a word's 30 bits repeat: FORMAT.md section 5.
            let before = number_of(descriptor);
            fence(Acquire); // (j) partners (B), (d)
            if !holds(descriptor, short) {
                continue;
            }
            fence(Acquire); // partner (b): what was copied is at least as new as the word
            let mut meta = FrameMeta::load(descriptor);
            if meta.layout.bytes > shape.slot_size() {
                return Err(ObserveError::Corrupt);
            }
            bound(&mut meta, shape.user_bytes());
            let copied = copy(slot, meta.layout.bytes as usize, meta.user_len as usize);
            fence(Acquire); // partner (B): a byte of a later frame brings its WRITING with it
            if !holds(descriptor, short) {
                continue;
            }
            fence(Acquire); // (k)
            if number_of(descriptor) == before {
                copied?;
                return Ok(Some(Observed { number: before, meta }));
            }
        }
        Err(ObserveError::Contended)
    }
}

fn holds(descriptor: &Descriptor, short: Short) -> bool {
    let word = SlotWord::from_bits(descriptor.word.load(Relaxed));
    word.number() == short && matches!(word.state(), SlotState::Ready | SlotState::Retired)
}
