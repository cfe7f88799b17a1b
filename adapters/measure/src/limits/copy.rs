//! How fast one processor copies frames into slots, by the ways there are. The unsafe code here is those copies.
#![allow(unsafe_code)]

use core::fmt;
use std::io;
use std::ptr::NonNull;

use serde::{Deserialize, Serialize};

use crate::shared::Shared;
use crate::timer::Timer;

/// How bytes are moved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyKind {
    /// The C library's `memcpy`.
    Libc,
    /// `rep movsb` of x86-64.
    RepMovsb,
    /// Non-temporal stores of 16 bytes, past the cache; every x86-64 has them.
    Streaming,
    /// Non-temporal stores of 32 bytes, with AVX.
    StreamingAvx,
}

impl CopyKind {
    /// Those that this processor has.
    pub fn supported() -> impl Iterator<Item = Self> {
        [Self::Libc, Self::RepMovsb, Self::Streaming, Self::StreamingAvx]
            .into_iter()
            .filter(|kind| kind.is_supported())
    }

    fn is_supported(self) -> bool {
        match self {
            Self::Libc => true,
            #[cfg(target_arch = "x86_64")]
            Self::StreamingAvx => std::arch::is_x86_feature_detected!("avx"),
            #[cfg(target_arch = "x86_64")]
            Self::RepMovsb | Self::Streaming => true,
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }
}

impl fmt::Display for CopyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Libc => "memcpy",
            Self::RepMovsb => "rep movsb",
            Self::Streaming => "streaming, 16 bytes",
            Self::StreamingAvx => "streaming, 32 bytes",
        })
    }
}

/// Copies `source` over `target` in a way of the caller's choice; one that the processor lacks is `memcpy`.
///
/// # Panics
/// If the lengths differ.
pub fn copy(target: &mut [u8], source: &[u8], kind: CopyKind) {
    assert_eq!(target.len(), source.len());
    copy_raw(NonNull::from(target).cast(), source, kind);
}

/// Copies `source` to `target`, which this crate took from a mapping or a slice that is as long.
pub(crate) fn copy_raw(target: NonNull<u8>, source: &[u8], kind: CopyKind) {
    let kind = if kind.is_supported() { kind } else { CopyKind::Libc };
    let (to, from, len) = (target.as_ptr(), source.as_ptr(), source.len());
    match kind {
        #[cfg(target_arch = "x86_64")]
        CopyKind::RepMovsb => {
            // SAFETY: `source` has `len` bytes and so has `target`; they are different objects; the direction flag is clear, as
            // the ABI demands.
            unsafe {
                std::arch::asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
                    options(nostack, preserves_flags));
            }
        }
        #[cfg(target_arch = "x86_64")]
        CopyKind::Streaming | CopyKind::StreamingAvx => {
            const LINE: usize = 64;
            let head = to.align_offset(LINE).min(len);
            let body = (len - head) / LINE * LINE;
            // SAFETY: the first `head` bytes of both, which have `len`.
            unsafe { to.copy_from_nonoverlapping(from, head) };
            let (to_body, from_body) = (to.wrapping_add(head), from.wrapping_add(head));
            if kind == CopyKind::StreamingAvx {
                // SAFETY: AVX is there (`is_supported`); `to_body` is aligned to 64, and `body` bytes lie behind both.
                unsafe { stream_avx(to_body, from_body, body) };
            } else {
                // SAFETY: as above, with SSE2, which every x86-64 has.
                unsafe { stream_sse(to_body, from_body, body) };
            }
            let (to_tail, from_tail) = (to_body.wrapping_add(body), from_body.wrapping_add(body));
            // SAFETY: what is left of `len`.
            unsafe { to_tail.copy_from_nonoverlapping(from_tail, len - head - body) };
            // SAFETY: every x86-64 has SSE. Streaming stores are not ordered by a release store (Intel SDM vol. 1, 10.4.6.2).
            unsafe { std::arch::x86_64::_mm_sfence() };
        }
        // SAFETY: both have `len` bytes and are different objects.
        _ => unsafe { to.copy_from_nonoverlapping(from, len) },
    }
}

/// # Safety
/// `len` bytes lie behind both pointers, `len` is a multiple of 64, and `to` is aligned to 64.
#[cfg(target_arch = "x86_64")]
unsafe fn stream_sse(to: *mut u8, from: *const u8, len: usize) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm_stream_si128};
    for at in (0..len).step_by(16) {
        let (to, from) = (to.wrapping_add(at), from.wrapping_add(at));
        // SAFETY: `at + 16 <= len`; an unaligned load has no further condition.
        let bytes = unsafe { _mm_loadu_si128(from.cast()) };
        // SAFETY: `at + 16 <= len`, at a multiple of 16.
        unsafe { _mm_stream_si128(to.cast(), bytes) };
    }
}

/// # Safety
/// As [`stream_sse`], and the processor has AVX.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn stream_avx(to: *mut u8, from: *const u8, len: usize) {
    use std::arch::x86_64::{_mm256_loadu_si256, _mm256_stream_si256};
    for at in (0..len).step_by(32) {
        let (to, from) = (to.wrapping_add(at), from.wrapping_add(at));
        // SAFETY: `at + 32 <= len`; an unaligned load has no further condition.
        let bytes = unsafe { _mm256_loadu_si256(from.cast()) };
        // SAFETY: `at + 32 <= len`, at a multiple of 32.
        unsafe { _mm256_stream_si256(to.cast(), bytes) };
    }
}

/// Reads eight bytes of every cache line and returns their sum: what the least demanding reader of all pixels does.
pub fn read_lines(bytes: &[u8]) -> u64 {
    read_lines_raw(NonNull::from(bytes).cast(), bytes.len())
}

/// As [`read_lines`]; `len` bytes lie at `bytes`, which this crate took from a mapping or a slice. Others may write them
/// meanwhile, so they are read as volatile.
pub(crate) fn read_lines_raw(bytes: NonNull<u8>, len: usize) -> u64 {
    let mut sum = 0_u64;
    for at in (0..len.saturating_sub(7)).step_by(64) {
        // SAFETY: `at + 8 <= len`.
        let word = unsafe { bytes.add(at) };
        // SAFETY: eight bytes lie there, in any alignment that `u64` may lack on a slice.
        sum = sum.wrapping_add(unsafe { word.cast::<Unaligned>().read_volatile() }.0);
    }
    sum
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Unaligned(u64);

/// How fast copies were.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bandwidth {
    /// By which way.
    pub kind: CopyKind,
    /// Bytes of a frame.
    pub frame_bytes: usize,
    /// 10^9 bytes copied in a second: each is read once and written once.
    pub gb_per_s: f64,
}

/// Slots of the ring that is copied into: a camera does not write one slot over and over.
const SLOTS: usize = 8;

/// Copies a frame of `size` bytes into one slot after the other, until about `total` bytes were copied, and counts the
/// fastest half of the frames, which were disturbed least.
///
/// # Errors
/// The system's: no memory.
pub fn bandwidth(timer: &Timer, kind: CopyKind, size: usize, total: u64) -> io::Result<Bandwidth> {
    let shared = Shared::create(SLOTS * size)?;
    let frame: Vec<u8> = (0..size).map(|index| index as u8).collect();
    let turns = (total / size.max(1) as u64).max(SLOTS as u64) as usize;
    let mut ticks = Vec::with_capacity(turns);
    for turn in 0..SLOTS + turns {
        let slot = shared.at(turn % SLOTS * size, size);
        let start = timer.ticks();
        copy_raw(slot, &frame, kind);
        if turn >= SLOTS {
            ticks.push(timer.since(start).max(1));
        }
    }
    ticks.sort_unstable();
    let fastest = &ticks[..ticks.len().div_ceil(2)];
    let nanos: u64 = fastest.iter().sum();
    let gb_per_s = (size * fastest.len()) as f64 / nanos as f64;
    Ok(Bandwidth { kind, frame_bytes: size, gb_per_s })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    fn a_copy_moves_every_byte_and_no_other(
        #[values(CopyKind::Libc, CopyKind::RepMovsb, CopyKind::Streaming, CopyKind::StreamingAvx)]
        kind: CopyKind,
        #[values(0, 1, 63, 64, 65, 200, 5000)] len: usize,
        #[values(0, 1, 33)] from: usize,
        #[values(0, 9, 32)] to: usize,
    ) {
        let source: Vec<u8> = (0..len + from).map(|index| (index * 7 + 1) as u8).collect();
        let mut target = vec![0xee; to + len + 64];
        copy(&mut target[to..to + len], &source[from..], kind);
        assert_eq!(target[to..to + len], source[from..]);
        assert!(target[..to].iter().chain(&target[to + len..]).all(|&byte| byte == 0xee));
    }

    #[rstest]
    #[case::nothing(0, 0)]
    #[case::less_than_a_word(7, 0)]
    #[case::a_word(8, 1)]
    #[case::a_line_and_a_bit(71, 1)]
    #[case::two_lines(72, 2)]
    #[case::many(6400, 100)]
    fn every_line_is_read_once(#[case] len: usize, #[case] lines: u64) {
        let mut bytes = vec![0_u8; len + 1];
        bytes.chunks_mut(64).for_each(|line| line[0] = 1);
        let one = u64::from_ne_bytes([1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(read_lines(&bytes[..len]), lines * one);
    }
}
