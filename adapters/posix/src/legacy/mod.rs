//! Programs that people already have: hand-made shared memory that camlane reads, writes, and leads away from.
//!
//! - [`Object`]: `shm_open`, `open`, `ftruncate`, `mmap`, `msync`, `shm_unlink` and their kind, safe, with errors by name.
//! - [`Header24Writer`], [`Header24Reader`]: one picture behind a 24-byte header, `frame_valid` as its synchronisation.
//! - [`Text`]: a NUL-terminated message in an object that whoever comes first creates.
//! - [`Window`]: bytes of a file or an object, shared, read-only or private.
//! - [`SyncWriter`], [`SyncReader`]: the byte stream behind a process-shared pthread mutex.
//! - [`Segment`]: System V segments. A lane can live in one, or in a regular file: see [`Address`](crate::Address).
//!
//! **Trust:** the programs on the other side are not camlane's and keep to no protocol that could be checked. Nothing they
//! write is believed before it is checked, no reference into it is ever made, and nothing here waits without an end.
//!
//! LEGACY.md lists what such programs do, row by row; MIGRATING.md shows the old program beside the new one.

mod error;
mod foreign;
mod header24;
mod lease;
mod map;
mod name;
pub(crate) mod object;
mod sharesync;
mod sysv;
mod text;
mod window;

pub use camlane_core::legacy::{Header24, Header24Error};
pub use error::Error;
pub use header24::{Frame24, Header24Options, Header24Reader, Header24Writer, Stall, Writing};
pub use map::{Map, MapKind};
pub use name::ObjectName;
pub use object::{Access, Identity, Object, Opened};
pub use sharesync::{SyncOptions, SyncReader, SyncWriter};
pub use sysv::{Key, Segment};
pub use text::Text;
pub use window::{Window, WindowOptions};
