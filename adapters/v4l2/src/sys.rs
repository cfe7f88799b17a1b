//! The kernel's structures (linux/videodev2.h, linux/dma-buf.h) and its calls. One of two files with unsafe code: the
//! `ioctl`s. What they mean is decided elsewhere.
//!
//! Unions are words here, read by little-endian position; camlane knows no other processors. Numbers that come from a
//! driver are open sets. Sizes and offsets are asserted below, and against the header of the system by a test.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, timespec, timeval};
use nix::errno::Errno;

/// `enum v4l2_buf_type` of cameras.
pub(crate) const CAPTURE: u32 = 1;
pub(crate) const CAPTURE_MPLANE: u32 = 9;

pub(crate) mod cap {
    pub(crate) const VIDEO_CAPTURE: u32 = 0x1;
    pub(crate) const VIDEO_CAPTURE_MPLANE: u32 = 0x1000;
    pub(crate) const STREAMING: u32 = 0x0400_0000;
    pub(crate) const DEVICE_CAPS: u32 = 0x8000_0000;
    pub(crate) const TIME_PER_FRAME: u32 = 0x1000;
}

/// `V4L2_BUF_CAP_SUPPORTS_*`, since Linux 4.20; older ones say 0.
pub(crate) mod bufcap {
    pub(crate) const MMAP: u32 = 1;
    pub(crate) const USERPTR: u32 = 2;
    pub(crate) const DMABUF: u32 = 4;
}

/// `enum v4l2_memory`.
pub(crate) mod memory {
    pub(crate) const MMAP: u32 = 1;
    pub(crate) const USERPTR: u32 = 2;
    pub(crate) const DMABUF: u32 = 4;
}

/// `V4L2_BUF_FLAG_*`.
pub(crate) mod flag {
    pub(crate) const KEYFRAME: u32 = 0x8;
    pub(crate) const PFRAME: u32 = 0x10;
    pub(crate) const BFRAME: u32 = 0x20;
    pub(crate) const ERROR: u32 = 0x40;
    pub(crate) const TIMESTAMP_MASK: u32 = 0xe000;
    pub(crate) const TIMESTAMP_MONOTONIC: u32 = 0x2000;
    pub(crate) const TSTAMP_SRC_MASK: u32 = 0x7_0000;
    pub(crate) const TSTAMP_SRC_EOF: u32 = 0;
    pub(crate) const TSTAMP_SRC_SOE: u32 = 0x1_0000;
    pub(crate) const LAST: u32 = 0x10_0000;
}

/// `enum v4l2_field`.
pub(crate) mod field {
    pub(crate) const TOP: u32 = 2;
    pub(crate) const BOTTOM: u32 = 3;
    pub(crate) const INTERLACED: u32 = 4;
    pub(crate) const INTERLACED_TB: u32 = 8;
    pub(crate) const INTERLACED_BT: u32 = 9;
}

/// `V4L2_CTRL_FLAG_*` and `enum v4l2_ctrl_type`.
pub(crate) mod ctrl {
    pub(crate) const DISABLED: u32 = 0x1;
    pub(crate) const GRABBED: u32 = 0x2;
    pub(crate) const READ_ONLY: u32 = 0x4;
    pub(crate) const INACTIVE: u32 = 0x10;
    pub(crate) const WRITE_ONLY: u32 = 0x40;
    pub(crate) const NEXT_CTRL: u32 = 0x8000_0000;
    pub(crate) const INTEGER: u32 = 1;
    pub(crate) const BOOLEAN: u32 = 2;
    pub(crate) const MENU: u32 = 3;
    pub(crate) const BUTTON: u32 = 4;
    pub(crate) const INTEGER64: u32 = 5;
    pub(crate) const BITMASK: u32 = 8;
    pub(crate) const INTEGER_MENU: u32 = 9;
}

pub(crate) const EVENT_EOS: u32 = 2;
pub(crate) const EVENT_SOURCE_CHANGE: u32 = 5;
pub(crate) const SOURCE_CHANGE_RESOLUTION: u32 = 1;
pub(crate) const SEL_TGT_CROP: u32 = 0;
pub(crate) const SEL_TGT_CROP_DEFAULT: u32 = 1;
pub(crate) const SEL_TGT_CROP_BOUNDS: u32 = 2;
pub(crate) const MAX_PLANES: usize = 8;
/// `VIDEO_MAX_FRAME`: buffers of a queue.
pub(crate) const MAX_BUFFERS: u32 = 32;

macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name { $(pub(crate) $field: $type),* }
        impl $name {
            /// All bytes zero, as the kernel wants what is not used.
            pub(crate) const fn zeroed() -> Self {
                // SAFETY: integers and arrays of integers, all of whose bytes may be zero.
                unsafe { std::mem::MaybeUninit::zeroed().assume_init() }
            }
        }
    )*};
}

plain! {
    /// `v4l2_capability`.
    Capability { driver: [u8; 16], card: [u8; 32], bus_info: [u8; 32], version: u32, capabilities: u32, device_caps: u32, reserved: [u32; 3] }
    /// `v4l2_fmtdesc`.
    FormatDescription { index: u32, kind: u32, flags: u32, description: [u8; 32], code: u32, mbus: u32, reserved: [u32; 3] }
    /// `v4l2_format`: its union as words, the first of which are `v4l2_pix_format` or `v4l2_pix_format_mplane`.
    Format { kind: u32, align: [usize; 0], words: [u32; 50] }
    /// `v4l2_streamparm`, likewise `v4l2_captureparm`.
    StreamParameters { kind: u32, words: [u32; 50] }
    /// `v4l2_requestbuffers`.
    RequestBuffers { count: u32, kind: u32, memory: u32, capabilities: u32, flags: u32 }
    /// `v4l2_buffer`; `m` holds an offset, an address or a descriptor.
    Buffer {
        index: u32, kind: u32, bytes_used: u32, flags: u32, field: u32, timestamp: timeval, timecode: [u32; 4], sequence: u32,
        memory: u32, m: usize, length: u32, reserved2: u32, request: u32,
    }
    /// `v4l2_plane`.
    Plane { bytes_used: u32, length: u32, m: usize, data_offset: u32, reserved: [u32; 11] }
    /// `v4l2_exportbuffer`.
    ExportBuffer { kind: u32, index: u32, plane: u32, flags: u32, fd: i32, reserved: [u32; 11] }
    /// `v4l2_frmsizeenum`: one size, or least, most and step of width and of height.
    FrameSize { index: u32, code: u32, kind: u32, words: [u32; 6], reserved: [u32; 2] }
    /// `v4l2_frmivalenum`: one fraction of a second, or least, most and step.
    FrameInterval { index: u32, code: u32, width: u32, height: u32, kind: u32, words: [u32; 6], reserved: [u32; 2] }
    /// `v4l2_selection`.
    Selection { kind: u32, target: u32, flags: u32, rect: [i32; 4], reserved: [u32; 9] }
    /// `v4l2_dv_timings`; packed there, as here by its fields. Its union's first words are width, height, whether it is
    /// interlaced, polarities, and the pixel clock in two halves.
    DvTimings { kind: u32, words: [u32; 32] }
    /// `v4l2_query_ext_ctrl`.
    QueryControl {
        id: u32, kind: u32, name: [u8; 32], minimum: i64, maximum: i64, step: u64, default: i64, flags: u32, elem_size: u32,
        elems: u32, dims: u32, dim: [u32; 4], reserved: [u32; 32],
    }
    /// `v4l2_querymenu`; packed there, as here by its fields.
    QueryMenu { id: u32, index: u32, name: [u8; 32], reserved: u32 }
    /// `v4l2_ext_control`; packed there. The value's low half comes first.
    ExtControl { id: u32, size: u32, reserved: u32, value: [u32; 2] }
    /// `v4l2_ext_controls`.
    ExtControls { which: u32, count: u32, error_index: u32, request: u32, reserved: u32, controls: usize }
    /// `v4l2_event_subscription`.
    EventSubscription { kind: u32, id: u32, flags: u32, reserved: [u32; 5] }
    /// `v4l2_event`.
    Event { kind: u32, data: [u64; 8], pending: u32, sequence: u32, timestamp: timespec, id: u32, reserved: [u32; 8] }
}

/// What a compiler for C makes of the header, 64-bit: sizes, and the offsets that padding could move.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<Capability>() == 104 && size_of::<FormatDescription>() == 64);
    assert!(size_of::<Format>() == 208 && std::mem::offset_of!(Format, words) == 8);
    assert!(size_of::<StreamParameters>() == 204 && size_of::<RequestBuffers>() == 20);
    assert!(size_of::<Buffer>() == 88 && std::mem::offset_of!(Buffer, timestamp) == 24);
    assert!(std::mem::offset_of!(Buffer, sequence) == 56 && std::mem::offset_of!(Buffer, m) == 64);
    assert!(size_of::<Plane>() == 64 && size_of::<ExportBuffer>() == 64);
    assert!(size_of::<FrameSize>() == 44 && size_of::<FrameInterval>() == 52 && size_of::<Selection>() == 64);
    assert!(size_of::<DvTimings>() == 132);
    assert!(size_of::<QueryControl>() == 232 && size_of::<QueryMenu>() == 44);
    assert!(size_of::<ExtControl>() == 20 && size_of::<ExtControls>() == 32);
    assert!(size_of::<EventSubscription>() == 32 && size_of::<Event>() == 136);
};

/// As above, for 32-bit processors whose C library has a `timeval` of 8 bytes.
#[cfg(all(target_pointer_width = "32", target_env = "gnu"))]
const _: () = {
    assert!(size_of::<Format>() == 204 && size_of::<Buffer>() == 60 + size_of::<timeval>());
    assert!(size_of::<Plane>() == 60 && size_of::<ExtControls>() == 24 && size_of::<QueryControl>() == 232);
};

mod calls {
    use super::*;
    nix::ioctl_read!(querycap, b'V', 0, Capability);
    nix::ioctl_readwrite!(enum_fmt, b'V', 2, FormatDescription);
    nix::ioctl_readwrite!(g_fmt, b'V', 4, Format);
    nix::ioctl_readwrite!(s_fmt, b'V', 5, Format);
    nix::ioctl_readwrite!(reqbufs, b'V', 8, RequestBuffers);
    nix::ioctl_readwrite!(querybuf, b'V', 9, Buffer);
    nix::ioctl_readwrite!(qbuf, b'V', 15, Buffer);
    nix::ioctl_readwrite!(expbuf, b'V', 16, ExportBuffer);
    nix::ioctl_readwrite!(dqbuf, b'V', 17, Buffer);
    nix::ioctl_write_ptr!(streamon, b'V', 18, c_int);
    nix::ioctl_write_ptr!(streamoff, b'V', 19, c_int);
    nix::ioctl_readwrite!(g_parm, b'V', 21, StreamParameters);
    nix::ioctl_readwrite!(s_parm, b'V', 22, StreamParameters);
    nix::ioctl_readwrite!(querymenu, b'V', 37, QueryMenu);
    nix::ioctl_read!(g_input, b'V', 38, c_int);
    nix::ioctl_readwrite!(g_ext_ctrls, b'V', 71, ExtControls);
    nix::ioctl_readwrite!(s_ext_ctrls, b'V', 72, ExtControls);
    nix::ioctl_readwrite!(enum_framesizes, b'V', 74, FrameSize);
    nix::ioctl_readwrite!(enum_frameintervals, b'V', 75, FrameInterval);
    nix::ioctl_readwrite!(s_dv_timings, b'V', 87, DvTimings);
    nix::ioctl_readwrite!(g_dv_timings, b'V', 88, DvTimings);
    nix::ioctl_read!(dqevent, b'V', 89, Event);
    nix::ioctl_write_ptr!(subscribe_event, b'V', 90, EventSubscription);
    nix::ioctl_readwrite!(g_selection, b'V', 94, Selection);
    nix::ioctl_readwrite!(s_selection, b'V', 95, Selection);
    nix::ioctl_read!(query_dv_timings, b'V', 99, DvTimings);
    nix::ioctl_readwrite!(query_ext_ctrl, b'V', 103, QueryControl);
    nix::ioctl_write_ptr!(dma_buf_sync, b'b', 0, u64);
}

/// Makes a call whose structure holds no addresses, again if a signal came in between.
macro_rules! safe_calls {
    ($($(#[$doc:meta])* $name:ident($call:ident, $type:ty);)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(fd: BorrowedFd<'_>, argument: &mut $type) -> Result<(), Errno> {
            loop {
                // SAFETY: the call's number carries the structure's size, so the kernel reads and writes no more than
                // `argument` has; the structure holds no addresses that it would follow.
                match unsafe { calls::$call(fd.as_raw_fd(), argument) } {
                    Err(Errno::EINTR) => {}
                    other => return other.map(drop),
                }
            }
        }
    )*};
}

safe_calls! {
    query_capability(querycap, Capability);
    enum_format(enum_fmt, FormatDescription);
    get_format(g_fmt, Format);
    set_format(s_fmt, Format);
    /// Frees a queue's buffers or makes new ones; the kernel refuses to free what is still mapped.
    request_buffers(reqbufs, RequestBuffers);
    export_buffer(expbuf, ExportBuffer);
    get_parameters(g_parm, StreamParameters);
    set_parameters(s_parm, StreamParameters);
    enum_frame_size(enum_framesizes, FrameSize);
    enum_frame_interval(enum_frameintervals, FrameInterval);
    query_control(query_ext_ctrl, QueryControl);
    query_menu(querymenu, QueryMenu);
    get_input(g_input, c_int);
    get_selection(g_selection, Selection);
    set_selection(s_selection, Selection);
    /// What the signal has at this moment, which is not what the input is set to.
    find_timings(query_dv_timings, DvTimings);
    get_timings(g_dv_timings, DvTimings);
    set_timings(s_dv_timings, DvTimings);
    subscribe(subscribe_event, EventSubscription);
    dequeue_event(dqevent, Event);
}

/// Starts or stops a queue.
pub(crate) fn stream(fd: BorrowedFd<'_>, kind: u32, on: bool) -> Result<(), Errno> {
    let kind = kind.cast_signed();
    loop {
        let done = match on {
            // SAFETY: the kernel reads one `int`. Where buffers lie was promised when they were queued.
            true => unsafe { calls::streamon(fd.as_raw_fd(), &raw const kind) },
            // SAFETY: as above.
            false => unsafe { calls::streamoff(fd.as_raw_fd(), &raw const kind) },
        };
        if done != Err(Errno::EINTR) {
            return done.map(drop);
        }
    }
}

/// Gives `buffer` the planes that it shall point to; only the multi-planar API has them.
fn attach(buffer: &mut Buffer, planes: &mut [Plane; MAX_PLANES]) {
    if buffer.kind == CAPTURE_MPLANE {
        buffer.m = planes.as_mut_ptr().expose_provenance();
    }
}

/// Asks where buffer `buffer.index` of a queue with memory of the driver's lies.
pub(crate) fn query_buffer(
    fd: BorrowedFd<'_>,
    buffer: &mut Buffer,
    planes: &mut [Plane; MAX_PLANES],
) -> Result<(), Errno> {
    attach(buffer, planes);
    // SAFETY: `m` is no address, or that of `planes`, of which the kernel writes `buffer.length` at most, and no more than 8.
    unsafe { calls::querybuf(fd.as_raw_fd(), buffer) }.map(drop)
}

/// Hands a buffer to the driver.
///
/// # Safety
/// If the buffer names addresses (USERPTR) or a dma-buf, the driver may write there until the buffer was dequeued, the queue
/// was stopped, or the last descriptor of the device was closed: nobody else may use those bytes until then.
pub(crate) unsafe fn queue(
    fd: BorrowedFd<'_>,
    buffer: &mut Buffer,
    planes: &mut [Plane; MAX_PLANES],
) -> Result<(), Errno> {
    attach(buffer, planes);
    loop {
        // SAFETY: as in `query_buffer`; for what the buffer names, the caller promises.
        match unsafe { calls::qbuf(fd.as_raw_fd(), buffer) } {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

/// Takes a filled buffer back; EAGAIN if there is none and the device was opened not to wait.
pub(crate) fn dequeue(
    fd: BorrowedFd<'_>,
    buffer: &mut Buffer,
    planes: &mut [Plane; MAX_PLANES],
) -> Result<(), Errno> {
    attach(buffer, planes);
    loop {
        // SAFETY: as in `query_buffer`.
        match unsafe { calls::dqbuf(fd.as_raw_fd(), buffer) } {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

/// Reads or writes the value of one control.
pub(crate) fn control(fd: BorrowedFd<'_>, control: &mut ExtControl, set: bool) -> Result<(), Errno> {
    let mut all = ExtControls { count: 1, ..ExtControls::zeroed() };
    all.controls = (&raw mut *control).expose_provenance();
    let done = match set {
        // SAFETY: `controls` is the address of one control, as `count` says; its `size` is 0, so its value is no address.
        true => unsafe { calls::s_ext_ctrls(fd.as_raw_fd(), &raw mut all) },
        // SAFETY: as above.
        false => unsafe { calls::g_ext_ctrls(fd.as_raw_fd(), &raw mut all) },
    };
    done.map(drop)
}

/// Makes what a device wrote into a dma-buf visible to this processor, or ends that; nothing where caches are coherent
/// (linux/dma-buf.h, DMA_BUF_IOCTL_SYNC).
pub(crate) fn sync_dma_buf(fd: BorrowedFd<'_>, begin: bool) -> Result<(), Errno> {
    const READ: u64 = 1;
    const END: u64 = 4;
    let flags = if begin { READ } else { READ | END };
    loop {
        // SAFETY: the kernel reads one 64-bit word.
        match unsafe { calls::dma_buf_sync(fd.as_raw_fd(), &raw const flags) } {
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            other => return other.map(drop),
        }
    }
}

/// Takes the descriptor that the kernel made.
pub(crate) fn owned(export: &ExportBuffer) -> OwnedFd {
    // SAFETY: VIDIOC_EXPBUF just made it; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(export.fd) }
}

/// A descriptor that is open while `owner` lives, by its number.
pub(crate) fn borrowed<T: camlane_core::DmaTarget>(owner: &T, offset: usize) -> Option<BorrowedFd<'_>> {
    let raw = owner.handle(offset).filter(|&raw| raw >= 0)?;
    // SAFETY: condition 3 of `DmaTarget`: the descriptor is open while the value, which is borrowed here, lives.
    Some(unsafe { BorrowedFd::borrow_raw(raw) })
}

/// The number of that descriptor, as QBUF takes it.
pub(crate) fn dma_buf_of<T: camlane_core::DmaTarget>(owner: &T, offset: usize) -> Option<usize> {
    borrowed(owner, offset).and_then(|fd| usize::try_from(fd.as_raw_fd()).ok())
}

/// Lets this thread run before all that have no real-time priority (sched(7), SCHED_FIFO).
pub(crate) fn schedule_fifo(priority: i32) -> Result<(), Errno> {
    // SAFETY: all bytes of it may be zero.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: reads one structure; 0 is the calling thread.
    Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) }).map(drop)
}

/// Text of a fixed-size field: up to its first zero byte.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::mem::offset_of;
    use std::process::Command;

    /// Writes an assertion for the size of a structure and the places of its fields: ours against the header's names.
    macro_rules! same {
        ($c:expr, $ours:ident = $theirs:literal $(, $field:ident = $member:literal)*) => {{
            writeln!($c, "_Static_assert(sizeof(struct {}) == {}, \"\");", $theirs, size_of::<$ours>()).unwrap();
            $(writeln!($c, "_Static_assert(offsetof(struct {}, {}) == {}, \"\");", $theirs, $member, offset_of!($ours, $field))
                .unwrap();)*
        }};
    }

    fn assertions() -> String {
        let mut c = "#include <linux/videodev2.h>\n#include <stddef.h>\n".to_owned();
        same!(
            c,
            Capability = "v4l2_capability",
            driver = "driver",
            card = "card",
            bus_info = "bus_info",
            device_caps = "device_caps"
        );
        same!(
            c,
            FormatDescription = "v4l2_fmtdesc",
            flags = "flags",
            description = "description",
            code = "pixelformat"
        );
        same!(c, Format = "v4l2_format", words = "fmt.pix.width");
        same!(c, StreamParameters = "v4l2_streamparm", words = "parm.capture.capability");
        same!(c, RequestBuffers = "v4l2_requestbuffers", memory = "memory", capabilities = "capabilities");
        same!(
            c,
            Buffer = "v4l2_buffer",
            bytes_used = "bytesused",
            flags = "flags",
            field = "field",
            timestamp = "timestamp",
            timecode = "timecode",
            sequence = "sequence",
            memory = "memory",
            m = "m",
            length = "length"
        );
        same!(c, Plane = "v4l2_plane", length = "length", m = "m", data_offset = "data_offset");
        same!(c, ExportBuffer = "v4l2_exportbuffer", plane = "plane", flags = "flags", fd = "fd");
        same!(c, FrameSize = "v4l2_frmsizeenum", code = "pixel_format", kind = "type", words = "discrete");
        same!(c, FrameInterval = "v4l2_frmivalenum", width = "width", kind = "type", words = "discrete");
        same!(c, Selection = "v4l2_selection", target = "target", rect = "r");
        same!(c, DvTimings = "v4l2_dv_timings", words = "bt.width");
        same!(
            c,
            QueryControl = "v4l2_query_ext_ctrl",
            name = "name",
            minimum = "minimum",
            default = "default_value",
            flags = "flags",
            elems = "elems"
        );
        same!(c, QueryMenu = "v4l2_querymenu", index = "index", name = "name");
        same!(c, ExtControl = "v4l2_ext_control", size = "size", value = "value64");
        same!(c, ExtControls = "v4l2_ext_controls", count = "count", controls = "controls");
        same!(c, EventSubscription = "v4l2_event_subscription", id = "id", flags = "flags");
        same!(c, Event = "v4l2_event", data = "u", pending = "pending", timestamp = "timestamp", id = "id");
        // Positions in the words of `Format` and `StreamParameters`, which `Told::read` and `rate_of` use.
        let words = [
            ("v4l2_pix_format", "colorspace", 6),
            ("v4l2_pix_format", "priv", 7),
            ("v4l2_pix_format", "ycbcr_enc", 9),
            ("v4l2_pix_format", "quantization", 10),
            ("v4l2_pix_format", "xfer_func", 11),
            ("v4l2_pix_format", "bytesperline", 4),
            ("v4l2_pix_format", "sizeimage", 5),
            ("v4l2_pix_format_mplane", "colorspace", 4),
            ("v4l2_pix_format_mplane", "plane_fmt", 5),
            ("v4l2_pix_format_mplane", "num_planes", 45),
            ("v4l2_pix_format_mplane", "xfer_func", 46),
            ("v4l2_plane_pix_format", "bytesperline", 1),
            ("v4l2_captureparm", "timeperframe", 2),
            ("v4l2_bt_timings", "height", 1),
            ("v4l2_bt_timings", "interlaced", 2),
            ("v4l2_bt_timings", "pixelclock", 4),
        ];
        for (name, member, word) in words {
            writeln!(c, "_Static_assert(offsetof(struct {name}, {member}) == {}, \"\");", word * 4).unwrap();
        }
        c.push_str("_Static_assert(sizeof(struct v4l2_plane_pix_format) == 20, \"\");\n");
        c
    }

    #[test]
    fn structures_are_what_the_systems_header_says() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("layout.c");
        std::fs::write(&source, assertions()).unwrap();
        let Ok(output) = Command::new("cc").arg("-fsyntax-only").arg(&source).output() else {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "SKIPPED: no C compiler to ask for the layout of the header");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("videodev2.h: No such file") {
            return; // a C compiler without the kernel's headers
        }
        assert!(output.status.success(), "{said}");
    }

    #[test]
    fn a_text_ends_at_its_first_zero() {
        assert_eq!(
            (text(b"uvcvideo\0\0x").as_str(), text(b"full").as_str(), text(b"").as_str()),
            ("uvcvideo", "full", "")
        );
    }
}
