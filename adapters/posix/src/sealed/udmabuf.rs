//! dma-bufs over the slots of a sealed lane (linux/udmabuf.h), for drivers that import what they shall write into.
#![allow(unsafe_code)] // one ioctl, and the descriptor that it returns

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use camlane_core::Shape;
use nix::errno::Errno;

use crate::error::Error;

const DEVICE: &str = "/dev/udmabuf";
const CLOEXEC: u32 = 1;

/// `udmabuf_create`.
#[repr(C)]
struct Create {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

const _: () = assert!(size_of::<Create>() == 24);

nix::ioctl_write_ptr!(create, b'u', 0x42, Create);

/// The dma-bufs of every slot: for each, those of its parts by their offsets in it.
pub(crate) type SlotBuffers = Vec<Vec<(u32, OwnedFd)>>;

/// Makes a dma-buf of each part of each slot; parts begin at `offsets`, which are whole pages. The memory must be sealed
/// against shrinking, and may be sealed against new writers after this, not before.
///
/// # Errors
/// The system's: no such device (a kernel without udmabuf), no permission, a slot larger than its limit of 64 MB.
pub(crate) fn make(data: &OwnedFd, shape: &Shape, offsets: &[u32]) -> Result<SlotBuffers, Error> {
    let fail = |errno| Error::system("make dma-bufs with", DEVICE, errno);
    let device = File::options()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(|error| fail(Errno::from_raw(error.raw_os_error().unwrap_or(0))))?;
    let part = |slot: u32, index: usize| {
        let (begin, end) = (offsets[index], offsets.get(index + 1).copied().unwrap_or(shape.slot_stride()));
        let request = Create {
            memfd: data.as_raw_fd().cast_unsigned(),
            flags: CLOEXEC,
            offset: shape.payload_offset()
                + u64::from(slot) * u64::from(shape.slot_stride())
                + u64::from(begin),
            size: u64::from(end.saturating_sub(begin)),
        };
        // SAFETY: the kernel reads one `udmabuf_create`, and checks descriptor, offset and size itself.
        let raw = unsafe { create(device.as_raw_fd(), &raw const request) }.map_err(fail)?;
        // SAFETY: the call just made it; nobody else has it.
        Ok((begin, unsafe { OwnedFd::from_raw_fd(raw) }))
    };
    (0..shape.slots()).map(|slot| (0..offsets.len()).map(|index| part(slot, index)).collect()).collect()
}
