//! A window on a file or an object: Python's `mmap.mmap`, with lengths that are checked and a `flush` that does what it says.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::legacy::{Access, Error, Map, MapKind, Object, ObjectName, Opened};

/// Which part of which object to look at, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "finish with `open`"]
pub struct WindowOptions {
    kind: MapKind,
    offset: u64,
    len: Option<usize>,
    create: Option<u32>,
}

impl WindowOptions {
    /// The whole object, as `kind` says.
    pub const fn new(kind: MapKind) -> Self {
        Self { kind, offset: 0, len: None, create: None }
    }

    /// From `offset` on, which need not be a page's start.
    pub const fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// So many bytes. A shared window that is longer than the object extends it.
    pub const fn len(mut self, len: usize) -> Self {
        self.len = Some(len);
        self
    }

    /// Makes the object with these permissions if there is none.
    pub const fn create(mut self, mode: u32) -> Self {
        self.create = Some(mode);
        self
    }

    /// Opens the window.
    ///
    /// # Errors
    /// [`Error::System`]: `ENOENT`, `EACCES`; [`Error::NoSpace`]; [`Error::TooShort`] if the object ends before a window
    /// that cannot extend it.
    pub fn open(self, name: &ObjectName) -> Result<Window, Error> {
        let end = self.offset.saturating_add(self.len.unwrap_or(0) as u64);
        let object = match (self.kind, self.create) {
            (MapKind::Shared, Some(mode)) => {
                let (object, opened) = Object::open_or_create(name, end, mode)?;
                log::debug!("{name}: {}", if opened == Opened::Created { "made" } else { "found" });
                object
            }
            (MapKind::Shared, None) => Object::open(name, Access::Write)?,
            _ => Object::open(name, Access::Read)?,
        };
        if self.kind == MapKind::Shared && object.len()? < end {
            object.grow(end)?;
        }
        let whole = object.len()?.saturating_sub(self.offset);
        let len = self.len.unwrap_or_else(|| usize::try_from(whole).unwrap_or(usize::MAX));
        let map = object.map(self.offset, len, self.kind)?;
        Ok(Window { object, map, offset: self.offset, at: 0 })
    }
}

/// Bytes of an object, seen through a mapping, with a position for [`Read`], [`Write`] and [`Seek`].
#[derive(Debug)]
pub struct Window {
    object: Object,
    map: Map,
    offset: u64,
    at: usize,
}

impl Window {
    /// Bytes in the window.
    pub const fn len(&self) -> usize {
        self.map.len()
    }

    /// Tells that there are none.
    pub const fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The object behind it.
    pub const fn object(&self) -> &Object {
        &self.object
    }

    /// Copies bytes out from `at`: exactly as many as `into` has.
    ///
    /// # Errors
    /// [`Error::TooShort`] if the window, or by now the object, ends before.
    pub fn read_at(&self, at: usize, into: &mut [u8]) -> Result<(), Error> {
        self.check(at, into.len())?;
        self.map.read_at(at, into).map(drop)
    }

    /// Copies bytes in at `at`: all of them or none.
    ///
    /// # Errors
    /// [`Error::TooShort`] if they do not fit; [`Error::System`] `EACCES` if the window is read-only.
    pub fn write_at(&mut self, at: usize, bytes: &[u8]) -> Result<(), Error> {
        self.check(at, bytes.len())?;
        self.map.write_at(at, bytes).map(drop)
    }

    /// Finds `wanted` at or behind `start`.
    ///
    /// # Errors
    /// [`Error::TooShort`] if the object was cut.
    pub fn find(&self, wanted: &[u8], start: usize) -> Result<Option<usize>, Error> {
        let mut bytes = vec![0; self.len().saturating_sub(start)];
        self.map.read_at(start, &mut bytes)?;
        if wanted.is_empty() {
            return Ok(Some(start.min(self.len())));
        }
        Ok(bytes.windows(wanted.len()).position(|part| part == wanted).map(|at| start + at))
    }

    /// Copies `len` bytes within the window; the two places may overlap.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at) and [`write_at`](Self::write_at).
    pub fn copy_within(&mut self, from: usize, to: usize, len: usize) -> Result<(), Error> {
        self.check(to, len)?;
        self.check(from, len)?;
        let mut bytes = vec![0; len];
        self.read_at(from, &mut bytes)?;
        self.write_at(to, &bytes)
    }

    /// Brings `len` bytes from `at` on to the file: waits until it has them. Of a private window, this writes them there,
    /// where others see them from then on.
    ///
    /// # Errors
    /// [`Error::System`]: `EACCES` if the file may not be written.
    pub fn flush_range(&self, at: usize, len: usize) -> Result<(), Error> {
        self.check(at, len)?;
        match self.map.kind() {
            MapKind::ReadOnly => Ok(()),
            MapKind::Shared => self.map.flush(at, len),
            MapKind::Private => {
                let mut bytes = vec![0; len];
                self.map.read_at(at, &mut bytes)?;
                let file = Object::open(self.object.name(), Access::Write)?;
                if file.identity()? != self.object.identity()? {
                    return Err(Error::system("write back", self.object.name(), nix::Error::ENOENT));
                }
                file.write_at(self.offset + at as u64, &bytes)?;
                file.sync()
            }
        }
    }

    /// Gives the window another length, with the object extended if need be; it is never cut, because others may have it
    /// mapped.
    ///
    /// # Errors
    /// As [`WindowOptions::open`].
    pub fn resize(&mut self, len: usize) -> Result<(), Error> {
        let end = self.offset.saturating_add(len as u64);
        if self.map.kind() == MapKind::Shared && self.object.len()? < end {
            self.object.grow(end)?;
        }
        self.map = self.object.map(self.offset, len, self.map.kind())?;
        self.at = self.at.min(len);
        Ok(())
    }

    fn check(&self, at: usize, len: usize) -> Result<(), Error> {
        let (needed, found) = (at.saturating_add(len) as u64, self.len() as u64);
        if needed <= found {
            return Ok(());
        }
        Err(Error::TooShort { object: format!("the window on {}", self.object.name()), needed, found })
    }
}

impl Read for Window {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.map.read_at(self.at, into).map_err(io::Error::other)?;
        self.at += count;
        Ok(count)
    }
}

impl Write for Window {
    /// Writes what fits; at the end 0, which `write_all` turns into an error.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.map.write_at(self.at, bytes).map_err(io::Error::other)?;
        self.at += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_range(0, self.len()).map_err(io::Error::other)
    }
}

impl Seek for Window {
    /// Moves to a place inside the window or at its end.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(at) => (0, i64::try_from(at).ok()),
            SeekFrom::Current(by) => (self.at, Some(by)),
            SeekFrom::End(by) => (self.len(), Some(by)),
        };
        let at = by.and_then(|by| (base as u64).checked_add_signed(by)).filter(|&at| at <= self.len() as u64);
        let at = at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "outside the window"))?;
        self.at = at as usize;
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    fn dir() -> (tempfile::TempDir, ObjectName) {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("mmaptest").to_str().unwrap().parse().unwrap();
        (dir, name)
    }

    #[test]
    fn a_window_longer_than_its_file_extends_it_and_a_read_only_one_does_not() {
        let (_dir, name) = dir();
        std::fs::write(name.path(), b"abc").unwrap();
        let short = WindowOptions::new(MapKind::ReadOnly).len(4096).open(&name);
        assert!(matches!(short, Err(Error::TooShort { needed: 4096, found: 3, .. })));
        let window = WindowOptions::new(MapKind::Shared).len(4096).open(&name).unwrap();
        assert_eq!((window.len(), window.object().len().unwrap()), (4096, 4096));
        let mut bytes = [9; 4];
        window.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"abc\0");
    }

    #[test]
    fn reading_writing_seeking_and_finding_go_as_python_has_them() {
        let (_dir, name) = dir();
        let mut window = WindowOptions::new(MapKind::Shared).len(32).create(0o600).open(&name).unwrap();
        window.write_all(b"abc\nsecond line\n").unwrap();
        assert_eq!(window.stream_position().unwrap(), 16);
        assert_eq!(window.find(b"line", 0).unwrap(), Some(11));
        assert_eq!(window.find(b"abc", 1).unwrap(), None);
        window.copy_within(0, 2, 4).unwrap();
        window.rewind().unwrap();
        let mut lines = BufReader::new(&mut window);
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "ababc\n");
        window.seek(SeekFrom::End(-1)).unwrap();
        assert_eq!(window.write(b"xyz").unwrap(), 1); // what fits
        assert_eq!(window.write_all(b"y").unwrap_err().kind(), io::ErrorKind::WriteZero);
        assert!(window.seek(SeekFrom::Start(33)).is_err());
        window.flush_range(10, 16).unwrap(); // no page's start: Python's flush(10, 16) is EINVAL
    }

    #[test]
    fn a_private_window_reaches_the_file_when_it_is_flushed_and_not_before() {
        let (_dir, name) = dir();
        std::fs::write(name.path(), b"abcdef").unwrap();
        let mut window = WindowOptions::new(MapKind::Private).offset(2).open(&name).unwrap();
        window.write_at(0, b"XY").unwrap();
        assert_eq!(std::fs::read(name.path()).unwrap(), b"abcdef");
        window.flush_range(1, 1).unwrap();
        assert_eq!(std::fs::read(name.path()).unwrap(), b"abcYef");
    }

    #[test]
    fn a_window_can_be_resized_and_the_file_is_never_cut() {
        let (_dir, name) = dir();
        let mut window = WindowOptions::new(MapKind::Shared).len(10).create(0o600).open(&name).unwrap();
        window.write_all(b"0123456789").unwrap();
        window.resize(10_000).unwrap();
        window.write_at(9_990, b"0123456789").unwrap();
        window.resize(4).unwrap();
        assert_eq!((window.len(), window.stream_position().unwrap()), (4, 4));
        assert_eq!(std::fs::metadata(name.path()).unwrap().len(), 10_000);
    }

    #[test]
    fn an_empty_file_is_an_empty_window() {
        let (_dir, name) = dir();
        std::fs::write(name.path(), b"").unwrap();
        assert!(WindowOptions::new(MapKind::ReadOnly).open(&name).unwrap().is_empty());
    }
}
