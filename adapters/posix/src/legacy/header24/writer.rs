//! The end that writes: the same bytes as an old writer, in an order that a reader can check.

use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use camlane_core::FrameLayout;
use camlane_core::legacy::header24::{Header24, LEN, VALID_AT};
use nix::fcntl::RenameFlags;

use super::wall_ms;
use crate::fork::Owner;
use crate::legacy::lease::{self, Others};
use crate::legacy::object::{Staged, byte};
use crate::legacy::{Access, Error, Object, ObjectName};

/// Shortest time for which a frame stays valid: what a reader that looks every millisecond may need to notice it.
const LEAST_VALID: Duration = Duration::from_millis(1);
const A_MINUTE_MS: i64 = 60_000;
/// How long a writer that is just ending may take: a child that is made for another program shares its descriptors for a
/// moment.
const PATIENCE: Duration = Duration::from_millis(200);

/// How to make a 24-byte-header buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "finish with `create`"]
pub struct Header24Options {
    mode: u32,
    replace: bool,
    keep: bool,
    valid_for: Option<Duration>,
}

impl Default for Header24Options {
    fn default() -> Self {
        Self { mode: 0o600, replace: false, keep: false, valid_for: None }
    }
}

impl Header24Options {
    /// For the owner alone; refuses a name that another program writes; removes the name at the end.
    pub fn new() -> Self {
        Self::default()
    }

    /// Permissions, exactly; the umask changes nothing. `0o644`: everybody may read.
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Takes the name even from a program that is writing there; it goes on unseen.
    pub const fn replace(mut self) -> Self {
        self.replace = true;
        self
    }

    /// Leaves the last frame under its name when the writer is dropped.
    pub const fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// How long a frame stays valid before the next may begin: [`Header24Writer::publish`] waits that long. Unless it is
    /// said, a millisecond and three times what writing a frame takes, so that a reader gets each second look through.
    pub const fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = Some(time);
        self
    }

    /// Makes the object, for frames like `layout`, with a header that says so and no frame yet.
    ///
    /// An object of the same size that nobody writes any more is used again, so that readers which have it open go on;
    /// otherwise a new one takes the name in one step, and the old one is marked as having no frame.
    ///
    /// # Errors
    /// [`Error::Taken`] if another program has the object open for writing; [`Error::Header24`] if the format has no such
    /// header; [`Error::NoSpace`]; [`Error::System`].
    pub fn create(self, name: &ObjectName, layout: &FrameLayout) -> Result<Header24Writer, Error> {
        let header = header_for(name, layout)?;
        let until = Instant::now() + PATIENCE;
        let (object, last_ms) = loop {
            match Object::open(name, Access::Read) {
                Ok(old) => match self.take(&old, &header) {
                    Ok(Some(taken)) => break taken,
                    Ok(None) => {}
                    Err(Error::Taken { .. }) if Instant::now() < until => {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(error) => return Err(error),
                },
                Err(error) if error.is_not_found() => {
                    match self.make(name, &header, RenameFlags::RENAME_NOREPLACE) {
                        Err(error) if error.name() == Some("EEXIST") => {} // another was faster: look who it is
                        made => break (made?, 0),
                    }
                }
                Err(error) => return Err(error),
            }
        };
        let header = Header24 { timestamp_ms: last_ms, ..header };
        Ok(Header24Writer {
            options: self,
            object,
            header,
            began: None,
            took: Duration::ZERO,
            owner: Owner::current(),
        })
    }

    /// Takes over what has the name, and tells the last time in it. `None`: it lost the name meanwhile.
    fn take(self, found: &Object, header: &Header24) -> Result<Option<(Object, i64)>, Error> {
        let name = found.name();
        let taken = |holder: &str| Err(Error::Taken { object: name.to_string(), holder: holder.to_owned() });
        // Before it is opened for writing here, which would count.
        if !self.replace
            && lease::writers(found.file()) == Others::Some
            && !found.locks()?.is_held(byte::WRITER)
        {
            return taken("a program that has it open for writing");
        }
        let old = Object::open(name, Access::Write)?;
        if !old.locks()?.try_lock(byte::WRITER)? && !self.replace {
            return taken("another camlane writer");
        }
        if !old.is_current() {
            return Ok(None);
        }
        let ours = old.owner()?.0 == nix::unistd::geteuid().as_raw();
        if self.replace || !ours || old.len()? != object_len(header) {
            let new = self.make(name, header, RenameFlags::empty())?; // while the lock keeps others from the same
            let _ = store_valid(&old, 0); // who has it open finds no frame there any more
            return Ok(Some((new, 0)));
        }
        old.grow(object_len(header))?; // it may have been sized without being reserved
        old.set_mode(self.mode)?;
        let mut before = [0; LEN];
        old.read_exact_at(0, &mut before)?;
        store_valid(&old, 0)?;
        fence(Ordering::SeqCst); // as in `publish`
        old.write_at(0, &header.to_bytes())?;
        let last_ms = Header24::from_bytes(before).timestamp_ms;
        // A reader may be copying that very frame: the next must differ. A time that makes no sense differs anyhow.
        Ok(Some((old, if last_ms < wall_ms() + A_MINUTE_MS { last_ms } else { 0 })))
    }

    /// Makes a new object that is complete when it gets the name, and locked as this writer's.
    fn make(self, name: &ObjectName, header: &Header24, flags: RenameFlags) -> Result<Object, Error> {
        let staged = Staged::make(name, object_len(header), self.mode)?;
        staged.write_at(0, &header.to_bytes())?;
        staged.locks()?.try_lock(byte::WRITER)?;
        staged.publish(flags)
    }
}

/// The end of a 24-byte-header buffer that writes.
///
/// Two frames never have the same time, `frame_valid = 0` is visible before the first pixel and the pixels before
/// `frame_valid = 1`, and a frame stays valid long enough to be copied: so a reader that looks at time and `frame_valid`
/// again after its copy is never deceived. One that does not look again is safe from this writer only by luck.
///
/// Dropping it clears `frame_valid` and removes the name, unless it was told to keep them. In a forked child that does
/// nothing.
///
/// **Crash safety:** killed at any moment, it leaves half a frame that is marked so, or a whole one. The next writer of
/// the name takes over.
#[derive(Debug)]
pub struct Header24Writer {
    options: Header24Options,
    // Its lock says that a camlane writer lives.
    object: Object,
    header: Header24,
    /// When the last frame became valid.
    began: Option<Instant>,
    /// What writing it took.
    took: Duration,
    owner: Owner,
}

impl Header24Writer {
    /// The object's name.
    pub const fn name(&self) -> &ObjectName {
        self.object.name()
    }

    /// Writes a frame and returns the time in its header, in milliseconds of CLOCK_REALTIME; ahead of the clock if frames
    /// come faster than that counts. Waits first until the frame before was valid long enough.
    ///
    /// `pixels` are laid out as `layout` says; rows are packed on the way. Frames of another size go to a new object.
    ///
    /// # Errors
    /// [`Error::Header24`] if the format has no such header; [`crate::Error::Size`] if `pixels` are too few;
    /// [`Error::NoSpace`], [`Error::TooShort`] if another program cut the object; [`crate::Error::Forked`].
    pub fn publish(&mut self, layout: &FrameLayout, pixels: &[u8]) -> Result<i64, Error> {
        if !self.owner.is_here() {
            return Err(crate::Error::Forked.into());
        }
        let header = header_for(self.object.name(), layout)?;
        let (plane, row) = (layout.planes[0], layout.row_bytes(0) as usize);
        let (needed, found) = (layout.bytes as usize, pixels.len());
        let rows = pixels.get(plane.offset as usize..).filter(|_| found >= needed).unwrap_or_default();
        let (stride, count) = (plane.stride as usize, plane.rows as usize);
        if rows.len() < stride * (count - 1) + row {
            return Err(crate::Error::Size { what: "a frame", needed, found }.into());
        }
        self.wait();
        if object_len(&header) != object_len(&self.header) {
            self.move_to(&header)?;
        }
        let began = Instant::now();
        // As the readers of this layout expect it; unique, because they can tell frames apart by nothing else.
        let timestamp_ms = wall_ms().max(self.header.timestamp_ms.saturating_add(1));
        self.header = Header24 { timestamp_ms, ..header };
        store_valid(&self.object, 0)?;
        fence(Ordering::SeqCst); // nobody sees a new pixel behind an old `frame_valid`
        self.object.write_at(0, &self.header.to_bytes())?;
        fence(Ordering::SeqCst); // nor behind the old time
        if stride == row {
            self.object.write_at(LEN as u64, &rows[..row * count])?;
        } else {
            let packed: Vec<u8> =
                rows.chunks(stride).take(count).flat_map(|line| &line[..row]).copied().collect();
            self.object.write_at(LEN as u64, &packed)?;
        }
        fence(Ordering::SeqCst); // `frame_valid` comes after all of them
        store_valid(&self.object, 1)?;
        self.took = began.elapsed();
        self.began = Some(Instant::now());
        Ok(timestamp_ms)
    }

    /// Takes the last frame back: readers find none until the next is published.
    ///
    /// # Errors
    /// [`Error::TooShort`] if another program cut the object; [`crate::Error::Forked`].
    pub fn clear(&mut self) -> Result<(), Error> {
        if !self.owner.is_here() {
            return Err(crate::Error::Forked.into());
        }
        store_valid(&self.object, 0)
    }

    /// Waits until the frame before was valid long enough.
    fn wait(&self) {
        let Some(began) = self.began else { return };
        let valid_for = self.options.valid_for.unwrap_or(LEAST_VALID + 3 * self.took);
        std::thread::sleep(valid_for.saturating_sub(began.elapsed()));
    }

    /// Goes on in an object of another size; the old one has no frame from then on.
    fn move_to(&mut self, header: &Header24) -> Result<(), Error> {
        let object = self.options.make(self.object.name(), header, RenameFlags::empty())?;
        let _ = store_valid(&self.object, 0);
        self.object = object;
        Ok(())
    }
}

impl Drop for Header24Writer {
    fn drop(&mut self) {
        if !self.owner.is_here() {
            return;
        }
        if !self.options.keep {
            if self.object.is_current() {
                let _ = Object::remove(self.object.name());
            }
            let _ = store_valid(&self.object, 0);
        }
        if let Ok(locks) = self.object.locks() {
            locks.unlock(byte::WRITER);
        }
    }
}

fn header_for(name: &ObjectName, layout: &FrameLayout) -> Result<Header24, Error> {
    let refuse = |source| Error::Header24 { object: name.to_string(), source };
    let header = Header24::for_layout(layout).map_err(refuse)?;
    header.layout().map_err(refuse)?; // a picture, and one that the header can say
    layout.check(layout.bytes).map_err(crate::Error::from)?;
    Ok(header)
}

/// Bytes of an object whose header is sound.
fn object_len(header: &Header24) -> u64 {
    LEN as u64 + header.layout().map_or(0, |layout| layout.bytes.into())
}

fn store_valid(object: &Object, valid: i32) -> Result<(), Error> {
    object.write_at(VALID_AT as u64, &valid.to_le_bytes())
}
