//! Ways in which a picture gets into memory.

use std::fmt;

use camlane_core::Flags;

use crate::sys;

/// A way in which pictures get into the user's memory, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum MemoryPath {
    /// The driver writes into dma-bufs that lie over the memory: no copy, and devices without an MMU of their own reach it.
    DmaBuf,
    /// The driver writes to the memory's addresses: no copy.
    UserPtr,
    /// The driver writes into buffers of its own, and each picture is copied once.
    Mmap,
}

impl MemoryPath {
    /// All, in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::DmaBuf, Self::UserPtr, Self::Mmap];

    /// The name that people choose it by: `dmabuf`, `userptr`, `mmap`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DmaBuf => "dmabuf",
            Self::UserPtr => "userptr",
            Self::Mmap => "mmap",
        }
    }

    /// Finds a way by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|path| path.name().eq_ignore_ascii_case(name))
    }

    /// Copies that a picture costs on its way from the driver into the memory.
    #[must_use]
    pub const fn copies(self) -> u32 {
        matches!(self, Self::Mmap) as u32
    }

    /// What frames that came this way are marked with.
    #[must_use]
    pub fn flags(self) -> Flags {
        match self {
            Self::DmaBuf => Flags::DMABUF,
            Self::UserPtr => Flags::USERPTR,
            Self::Mmap => Flags::MMAP | Flags::COPIED,
        }
    }

    /// By which way a frame came, if a camera's driver wrote it.
    #[must_use]
    pub fn of(flags: Flags) -> Option<Self> {
        Self::ALL.into_iter().find(|path| flags.contains(path.flags()))
    }

    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::DmaBuf => sys::memory::DMABUF,
            Self::UserPtr => sys::memory::USERPTR,
            Self::Mmap => sys::memory::MMAP,
        }
    }

    /// The bit by which a driver says that it has this way.
    pub(crate) const fn capability(self) -> u32 {
        match self {
            Self::DmaBuf => sys::bufcap::DMABUF,
            Self::UserPtr => sys::bufcap::USERPTR,
            Self::Mmap => sys::bufcap::MMAP,
        }
    }
}

impl fmt::Display for MemoryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_by_its_name_and_only_mmap_copies() {
        for path in MemoryPath::ALL {
            assert_eq!(MemoryPath::from_name(&path.to_string().to_uppercase()), Some(path));
            assert_eq!(MemoryPath::of(path.flags() | Flags::KEY), Some(path));
        }
        assert_eq!(MemoryPath::from_name("read"), None);
        assert_eq!(MemoryPath::of(Flags::COPIED), None, "a frame that no camera made");
        assert_eq!(MemoryPath::ALL.map(MemoryPath::copies), [0, 0, 1]);
    }
}
