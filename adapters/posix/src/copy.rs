//! One good copy into a slot, for sources that cannot capture there.
//!
//! Large frames are stored past the cache: the readers are other processors, and the producer will not look at the pixels
//! again. The unsafe code here is that store.
#![allow(unsafe_code)]

use std::sync::OnceLock;
use std::time::Instant;

use camlane_core::FrameLayout;

use crate::error::Error;
use crate::producer::Loan;

/// How bytes are moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyKind {
    /// As the C library copies: the slot ends up in this processor's cache.
    Cached,
    /// With non-temporal stores: nothing is evicted from the cache, and the slot's old bytes are not fetched.
    Streaming,
}

impl CopyKind {
    /// The kind that is more likely to be faster for frames of `bytes` bytes: streaming from twice the second-level cache on,
    /// where the processor has such stores. Below, the slot is still in the cache when it is read.
    pub fn for_len(bytes: usize) -> Self {
        static LIMIT: OnceLock<usize> = OnceLock::new();
        let limit = *LIMIT.get_or_init(|| second_level_cache().unwrap_or(1 << 20).saturating_mul(2));
        if cfg!(target_arch = "x86_64") && bytes >= limit { Self::Streaming } else { Self::Cached }
    }
}

impl Loan {
    /// Copies a frame that lies in memory as in the slot, row padding included. Large ones in the way that was faster of late,
    /// of which this producer tries both.
    ///
    /// # Errors
    /// [`Error::Size`] if the slot is smaller; nothing was copied.
    pub fn copy_from(&mut self, frame: &[u8]) -> Result<(), Error> {
        if CopyKind::for_len(frame.len()) == CopyKind::Cached {
            return self.copy_from_as(frame, CopyKind::Cached);
        }
        let (kind, timed) = self.trial().next();
        let began = timed.then(Instant::now);
        self.copy_from_as(frame, kind)?;
        if let Some(began) = began {
            self.trial().note(kind, frame.len(), began.elapsed());
        }
        Ok(())
    }

    /// As [`copy_from`](Self::copy_from), in a way of the caller's choice.
    ///
    /// # Errors
    /// [`Error::Size`] if the slot is smaller; nothing was copied.
    pub fn copy_from_as(&mut self, frame: &[u8], kind: CopyKind) -> Result<(), Error> {
        let found = self.len();
        let slot = self.get_mut(..frame.len()).ok_or(Error::Size {
            what: "the frame does not fit the slot",
            needed: frame.len(),
            found,
        })?;
        copy(slot, frame, kind);
        Ok(())
    }

    /// Copies a frame whose rows or planes lie elsewhere than they shall lie in the slot: `from` describes `frame`, `to`
    /// the slot. Only real pixels are moved; what pads a row in the slot keeps its bytes.
    ///
    /// # Errors
    /// [`Error::Layout`] if a layout does not fit its bytes, [`Error::Size`] if the two are not the same picture; nothing
    /// was copied.
    pub fn copy_rows_from(
        &mut self,
        to: &FrameLayout,
        frame: &[u8],
        from: &FrameLayout,
    ) -> Result<(), Error> {
        from.check(u32::try_from(frame.len()).unwrap_or(u32::MAX))?;
        to.check(u32::try_from(self.len()).unwrap_or(u32::MAX))?;
        let same =
            (to.format, to.width, to.height, to.count) == (from.format, from.width, from.height, from.count);
        if !same || to.format.is_compressed() && to.bytes < from.bytes {
            let (needed, found) = (from.bytes as usize, to.bytes as usize);
            return Err(Error::Size {
                what: "source and slot are laid out for different pictures",
                needed,
                found,
            });
        }
        if to.planes() == from.planes() {
            return self.copy_from(&frame[..from.bytes as usize]);
        }
        let kind = CopyKind::for_len(to.bytes as usize);
        for (index, (target, source)) in to.planes().iter().zip(from.planes()).enumerate() {
            let row = from.row_bytes(index) as usize;
            for line in 0..target.rows.min(source.rows) as usize {
                let at = source.offset as usize + line * source.stride as usize;
                let put = target.offset as usize + line * target.stride as usize;
                copy_row(&mut self[put..put + row], &frame[at..at + row], kind);
            }
        }
        finish(kind);
        Ok(())
    }
}

/// Copies `source` over `target`, which must have its length.
pub fn copy(target: &mut [u8], source: &[u8], kind: CopyKind) {
    copy_row(target, source, kind);
    finish(kind);
}

fn copy_row(target: &mut [u8], source: &[u8], kind: CopyKind) {
    match kind {
        CopyKind::Cached => target.copy_from_slice(source),
        CopyKind::Streaming => stream(target, source),
    }
}

/// Makes streaming stores visible before whatever is stored next: they are not ordered by a release store (Intel SDM
/// vol. 1, 10.4.6.2).
fn finish(kind: CopyKind) {
    #[cfg(target_arch = "x86_64")]
    if kind == CopyKind::Streaming {
        // SAFETY: every x86-64 has SSE.
        unsafe { std::arch::x86_64::_mm_sfence() };
    }
    let _ = kind;
}

#[cfg(target_arch = "x86_64")]
fn stream(target: &mut [u8], source: &[u8]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
    /// A cache line, as four registers of SSE2, which every x86-64 has.
    const LINE: usize = 64;

    assert_eq!(target.len(), source.len());
    let head = target.as_ptr().align_offset(LINE).min(target.len());
    let body = (target.len() - head) / LINE * LINE;
    target[..head].copy_from_slice(&source[..head]);
    let (lines, tail) = target[head..].split_at_mut(body);
    // Lines first, then quarters, so that each pointer is taken from a slice of just its 16 bytes.
    for (to, from) in lines.chunks_exact_mut(LINE).zip(source[head..].chunks_exact(LINE)) {
        for (to, from) in to.chunks_exact_mut(16).zip(from.chunks_exact(16)) {
            // SAFETY: `from` has 16 bytes; an unaligned load has no further condition.
            let bytes = unsafe { _mm_loadu_si128(from.as_ptr().cast::<__m128i>()) };
            // SAFETY: `to` has 16 bytes; its line begins at a multiple of 64, so it is 16-byte aligned.
            unsafe { _mm_stream_si128(to.as_mut_ptr().cast::<__m128i>(), bytes) };
        }
    }
    tail.copy_from_slice(&source[head + body..]);
}

#[cfg(not(target_arch = "x86_64"))]
fn stream(target: &mut [u8], source: &[u8]) {
    target.copy_from_slice(source);
}

/// Bytes of the first processor's second-level cache, from sysfs.
fn second_level_cache() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index2/size").ok()?;
    let text = text.trim();
    let (digits, unit) = match text.strip_suffix('K') {
        Some(digits) => (digits, 1 << 10),
        None => (text.strip_suffix('M')?, 1 << 20),
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    fn a_streaming_copy_moves_every_byte_and_no_other(
        #[values(0, 1, 15, 16, 63, 64, 65, 127, 200, 4096, 5000)] len: usize,
        #[values(0, 1, 7, 16, 33)] from: usize,
        #[values(0, 1, 9, 16, 40)] to: usize,
    ) {
        let source: Vec<u8> = (0..len + from).map(|i| (i * 7 + 1) as u8).collect();
        let mut target = vec![0xee; to + len + 64];
        copy(&mut target[to..to + len], &source[from..], CopyKind::Streaming);
        assert_eq!(target[to..to + len], source[from..]);
        assert!(target[..to].iter().chain(&target[to + len..]).all(|&byte| byte == 0xee));
    }

    #[test]
    fn small_frames_stay_in_the_cache() {
        assert_eq!(CopyKind::for_len(640 * 480), CopyKind::Cached);
    }
}
