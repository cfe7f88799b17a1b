//! The atomic words, and the one switch to loom.
//!
//! Everything that decides between processes is a [`Word`]: under `cfg(loom)` it becomes loom's, and the model checker
//! sees each access. A [`MetaWord`] never decides anything: it is written and read under a loan or a pin, like pixels,
//! and is atomic only so that an observer's racing copy of it is defined. It stays a plain atomic under loom, where it
//! would multiply the executions without adding a case.
//!
//! Only loads, stores and fences are used on shared words, no read-modify-write: some targets (thumbv6m,
//! riscv32imc) have none, and read-only mappings allow none.

pub(crate) use core::sync::atomic::AtomicU32 as MetaWord;
pub(crate) use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU32 as Word, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32 as Word, fence};
