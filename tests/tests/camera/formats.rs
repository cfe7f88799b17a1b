//! Every common format by every way into memory: the driver's bytes arrive in another process, where they were written.

use camlane::{Clock, Flags, PixelFormat as F, Reference};
use camlane_tests::digest::digest;
use camlane_v4l2::{MemoryPath, Wish};
use rstest::rstest;

use crate::peer;
use crate::vivid::{Api, BLANK, Vivid, kernel_has};

/// Frames looked at of each stream.
const FRAMES: usize = 3;

#[rstest]
#[case::yuyv(F::YUYV)]
#[case::uyvy(F::UYVY)]
#[case::nv12(F::NV12)]
#[case::nv16(F::NV16)]
#[case::nv24(F::NV24)]
#[case::i420(F::I420)]
#[case::i422(F::I422)]
#[case::rgb(F::RGB8)]
#[case::bgr(F::BGR8)]
#[case::bgrx(F::BGRX8)]
#[case::rgb565(F::RGB565)]
#[case::gray8(F::GRAY8)]
#[case::gray10(F::GRAY10)]
#[case::gray12(F::GRAY12)]
#[case::gray16(F::GRAY16)]
#[case::bayer8(F::BAYER8_RGGB)]
#[case::bayer8_of_another_order(F::BAYER8_GBRG)]
#[case::bayer10(F::BAYER10_BGGR)]
#[case::bayer12(F::BAYER12_GRBG)]
#[case::bayer16(F::BAYER16_RGGB)]
fn pictures_arrive_in_another_process_where_the_driver_wrote_them(
    #[case] format: F,
    #[values(Api::Single, Api::Multi)] api: Api,
    #[values(MemoryPath::DmaBuf, MemoryPath::UserPtr, MemoryPath::Mmap)] path: MemoryPath,
) {
    let Some(vivid) = Vivid::find(api).filter(|_| kernel_has(path)) else { return };
    let wish = Wish { formats: vec![format], size: Some((320, 180)), rate: Some((30, 1)), ..Wish::default() };
    let mut shoot = vivid.start(&wish, path).unwrap();
    let layout = shoot.camera.picture().layout;
    assert_eq!((layout.format, layout.width, layout.height), (format, 320, 180));
    let mut reader = peer();
    reader.must(&format!("open {}", shoot.address));
    for _ in 0..FRAMES {
        let frame = shoot.frame();
        let inside = shoot.producer.addresses();
        assert!(inside.contains(&frame.loan.as_ptr().addr()), "the loan lies in the lane");
        let copied = frame.meta.flags.contains(Flags::COPIED);
        assert_eq!((copied, shoot.camera.memory()), (path == MemoryPath::Mmap, path));
        assert_eq!(MemoryPath::of(frame.meta.flags), Some(path), "a frame names its way");
        for (index, plane) in frame.meta.layout.planes().iter().enumerate() {
            let plane = &frame.loan[plane.offset as usize..][..plane.bytes as usize];
            // Not "all but a few": a black or white picture has no such byte, and a colour bar may have many.
            assert!(!plane.iter().all(|byte| *byte == BLANK), "plane {index} was not written");
        }
        assert_eq!((frame.meta.clock, frame.meta.capture_ns > 0), (Clock::MONOTONIC, true));
        assert_eq!(frame.meta.reference, Reference::END_OF_FRAME, "as vivid says by default");
        let sent = digest(&frame.loan[..frame.meta.layout.bytes as usize]);
        let number = shoot.publish(frame);
        let seen = reader.ask("see 20000");
        assert_eq!((seen.number("number"), seen.number("digest")), (number, sent), "{seen:?}");
        assert_eq!(seen.number("in-place"), 1);
        assert_eq!(seen.number("flags") as u32 & Flags::COPIED.0 != 0, copied);
    }
}

/// Rows that the driver pads are described as they lie.
#[rstest]
#[case::one_plane(F::GRAY8, Api::Single, &[512])]
#[case::pairs(F::YUYV, Api::Single, &[768])]
#[case::two_planes(F::NV12, Api::Single, &[512, 512])]
#[case::multiplanar(F::GRAY8, Api::Multi, &[512])]
fn rows_that_the_driver_pads_keep_their_stride(
    #[case] format: F,
    #[case] api: Api,
    #[case] strides: &[u32],
    #[values(MemoryPath::DmaBuf, MemoryPath::UserPtr, MemoryPath::Mmap)] path: MemoryPath,
) {
    let Some(vivid) = Vivid::find(api).filter(|_| kernel_has(path)) else { return };
    let size = Some((320, 180));
    let wish = Wish { formats: vec![format], size, rate: Some((30, 1)), row_align: 256, ..Wish::default() };
    let mut shoot = vivid.start(&wish, path).unwrap();
    let mut reader = peer();
    reader.must(&format!("open {}", shoot.address));
    for _ in 0..FRAMES {
        let frame = shoot.frame();
        let layout = frame.meta.layout;
        assert_eq!(layout.planes().iter().map(|plane| plane.stride).collect::<Vec<_>>(), strides);
        for (index, plane) in layout.planes().iter().enumerate() {
            let row = layout.row_bytes(index) as usize;
            let rows =
                frame.loan[plane.offset as usize..][..plane.bytes as usize].chunks(plane.stride as usize);
            // A row that was laid out otherwise would be blank somewhere, as one before or after it would not be.
            assert!(
                rows.clone().all(|whole| whole[..row].iter().any(|byte| *byte != BLANK)),
                "plane {index}"
            );
            assert_eq!(rows.len(), plane.rows as usize);
        }
        let sent = digest(&frame.loan[..layout.bytes as usize]);
        shoot.publish(frame);
        assert_eq!(reader.ask("see 20000").number("digest"), sent);
    }
}

/// Planes in buffers of their own, which are parts of one slot.
#[rstest]
#[case::two(b"NM12", F::NV12)]
#[case::three(b"YM12", F::I420)]
fn planes_in_buffers_of_their_own_lie_in_one_slot(
    #[case] code: &[u8; 4],
    #[case] format: F,
    #[values(MemoryPath::DmaBuf, MemoryPath::UserPtr, MemoryPath::Mmap)] path: MemoryPath,
) {
    let Some(vivid) = Vivid::find(Api::Multi).filter(|_| kernel_has(path)) else { return };
    let fourcc = Some(camlane::format::FourCc::new(code));
    let wish = Wish { fourcc, size: Some((640, 360)), rate: Some((30, 1)), ..Wish::default() };
    let mut shoot = vivid.start(&wish, path).unwrap();
    let picture = *shoot.camera.picture();
    assert_eq!(
        (picture.layout.format, picture.part_offsets().count()),
        (format, picture.layout.planes().len())
    );
    let mut reader = peer();
    reader.must(&format!("open {}", shoot.address));
    for _ in 0..FRAMES {
        let frame = shoot.frame();
        for (index, plane) in frame.meta.layout.planes().iter().enumerate() {
            let plane = &frame.loan[plane.offset as usize..][..plane.bytes as usize];
            assert!(!plane.iter().all(|byte| *byte == BLANK), "plane {index} was not written");
        }
        let sent = digest(&frame.loan[..frame.meta.layout.bytes as usize]);
        shoot.publish(frame);
        assert_eq!(reader.ask("see 20000").number("digest"), sent);
    }
}
