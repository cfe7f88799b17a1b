//! Bytes that other programs write at will, copied in and out. The unsafe code here makes atomics of them.
//!
//! There is never a `&[u8]` into such bytes. Each load and store is atomic and relaxed: a copy may be torn, it is never
//! undefined. Whole words where the memory is aligned, single bytes around them; within one process nobody else touches
//! the same mapping meanwhile, so that the two never race with each other there.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// A run of such bytes.
///
/// # Invariants
/// `len` bytes from `base` are mapped for `'m`. Made by [`Foreign::new`] alone.
pub(super) struct Foreign<'m> {
    base: NonNull<u8>,
    len: usize,
    lifetime: PhantomData<&'m AtomicU8>,
}

impl Foreign<'_> {
    /// # Safety
    /// 1. `len` bytes from `base` are mapped for `'m`, for writing too if [`copy_in`](Self::copy_in) is used.
    /// 2. Within this process they are reached, through this mapping, by shared `Foreign`s that only read, or by one that
    ///    writes.
    pub(super) unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
        Self { base, len, lifetime: PhantomData }
    }

    /// Copies all bytes out; `into` is as long.
    pub(super) fn copy_out(&self, into: &mut [u8]) {
        let (before, behind) = self.words(into.len());
        for at in (0..before).chain(behind..self.len) {
            into[at] = self.byte(at).load(Relaxed);
        }
        for (index, eight) in into[before..behind].as_chunks_mut().0.iter_mut().enumerate() {
            *eight = self.word(before + 8 * index).load(Relaxed).to_ne_bytes();
        }
    }

    /// Copies bytes in, as many as there are here.
    pub(super) fn copy_in(&self, bytes: &[u8]) {
        let (before, behind) = self.words(bytes.len());
        for at in (0..before).chain(behind..self.len) {
            self.byte(at).store(bytes[at], Relaxed);
        }
        for (index, eight) in bytes[before..behind].as_chunks().0.iter().enumerate() {
            self.word(before + 8 * index).store(u64::from_ne_bytes(*eight), Relaxed);
        }
    }

    /// Where the aligned words begin and end.
    fn words(&self, len: usize) -> (usize, usize) {
        assert_eq!(len, self.len);
        let before = (self.base.addr().get().wrapping_neg() % 8).min(len);
        (before, before + (len - before) / 8 * 8)
    }

    fn byte(&self, at: usize) -> &AtomicU8 {
        assert!(at < self.len);
        // SAFETY: `at < len`, so it lies inside.
        let byte = unsafe { self.base.add(at) }.cast();
        // SAFETY: mapped as long as `self`; an atomic is valid for any bytes and may be shared.
        unsafe { byte.as_ref() }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.checked_add(8).is_some_and(|end| end <= self.len));
        // SAFETY: `at + 8 <= len`, so it lies inside.
        let word = unsafe { self.base.add(at) }.cast::<AtomicU64>();
        assert!(word.is_aligned());
        // SAFETY: aligned, mapped as long as `self`; an atomic is valid for any bytes and may be shared.
        unsafe { word.as_ref() }
    }
}
