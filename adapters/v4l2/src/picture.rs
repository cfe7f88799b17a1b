//! The format that was obtained: how a picture lies in the driver's buffers, and so how it will lie in a slot.

use std::path::Path;

use camlane_core::{Colour, FourCc, FrameLayout, LayoutError, PixelFormat};

use crate::colour::{self, Stated};
use crate::error::Error;
use crate::sys;

/// What the camera was set to, as the driver told it.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Picture {
    /// Where the pixels will lie in a slot; for compressed formats, the largest frame.
    pub layout: FrameLayout,
    /// The driver's own code of the format.
    pub fourcc: FourCc,
    /// Frames per second as a fraction; `None` if the driver does not tell.
    pub rate: Option<(u32, u32)>,
    /// Colour.
    pub colour: Colour,
    /// Bytes that a slot must have. The driver may want more than the pixels are.
    pub slot_bytes: u32,
    pub(crate) parts: [Part; 4],
    pub(crate) count: usize,
}

/// One buffer of the driver's, of which a picture has one, or one for each plane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Part {
    /// Where it lies in a slot.
    pub(crate) offset: u32,
    /// Bytes that the driver wants there.
    pub(crate) len: u32,
}

/// What the driver said in `v4l2_pix_format` or `v4l2_pix_format_mplane`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) code: u32,
    pub(crate) field: u32,
    pub(crate) colour: Stated,
    /// Bytes per line and in all, of each buffer.
    pub(crate) planes: Vec<(u32, u32)>,
}

impl Told {
    pub(crate) fn read(format: &sys::Format) -> Self {
        let words = &format.words;
        let [width, height, code, field] = [words[0], words[1], words[2], words[3]];
        if format.kind == sys::CAPTURE_MPLANE {
            let [count, _flags, encoding, range] = words[45].to_le_bytes().map(u32::from);
            let colour = Stated { space: words[4], transfer: words[46] & 0xff, encoding, range };
            let planes =
                (0..(count as usize).min(sys::MAX_PLANES)).map(|p| (words[6 + 5 * p], words[5 + 5 * p]));
            return Self { width, height, code, field, colour, planes: planes.collect() };
        }
        let colour = Stated { space: words[6], encoding: words[9], range: words[10], transfer: words[11] };
        Self { width, height, code, field, colour, planes: vec![(words[4], words[5])] }
    }

    /// Asks in `format` for rows that begin at multiples of `align` bytes; false if they do already, or there are none.
    pub(crate) fn align_rows(&self, format: &mut sys::Format, align: u32) -> bool {
        let mut asked = false;
        for (plane, &(line, _)) in self.planes.iter().enumerate() {
            let wanted = line.checked_next_multiple_of(align.max(1)).unwrap_or(line);
            let word = if format.kind == sys::CAPTURE_MPLANE { 6 + 5 * plane } else { 4 };
            asked |= wanted != line;
            format.words[word] = wanted;
        }
        asked
    }

    /// Lays the picture out in a slot.
    pub(crate) fn picture(&self, device: &Path, rate: Option<(u32, u32)>) -> Result<Picture, Error> {
        self.lay_out(rate, crate::memory::page_size())
            .map_err(|source| Error::Layout { device: device.to_owned(), source })
    }

    /// Each buffer's plane begins on a page, so that each can be given to the driver on its own.
    fn lay_out(&self, rate: Option<(u32, u32)>, page: u32) -> Result<Picture, LayoutError> {
        let fourcc = FourCc(self.code);
        let format = PixelFormat::from_v4l2(fourcc).unwrap_or(PixelFormat::OPAQUE);
        let count = self.planes.len();
        let mut parts = [Part::default(); 4];
        let mut end = 0u32;
        if count == 0 || count > parts.len() {
            return Err(LayoutError::PlaneCount { given: count, need: 4 });
        }
        for (part, &(_, len)) in parts.iter_mut().zip(&self.planes) {
            let offset = end.checked_next_multiple_of(page).ok_or(LayoutError::TooLarge)?;
            *part = Part { offset, len };
            end = offset.checked_add(len).ok_or(LayoutError::TooLarge)?;
        }
        let layout = match format.info().filter(|info| info.has_rows()) {
            None => format.blob(self.width, self.height, parts[0].len)?,
            Some(info) => {
                let mut strides = [0; 4];
                let first = match self.planes[0].0 {
                    0 => format.layout(self.width, self.height, 1)?.planes[0].stride, // some drivers leave it out
                    told => told,
                };
                let planes = usize::from(info.planes);
                for (plane, stride) in strides.iter_mut().enumerate().take(planes) {
                    let (own, luma) = (info.groups[plane], info.groups[0]);
                    let follows = u64::from(first) * u64::from(own.bytes)
                        / (u64::from(luma.bytes) * u64::from(if plane == 0 { 1 } else { info.chroma.0 }));
                    *stride = match self.planes.get(plane) {
                        Some(&(told, _)) if plane > 0 && told != 0 => told,
                        _ => follows as u32,
                    };
                }
                let mut layout =
                    FrameLayout::with_strides(format, self.width, self.height, &strides[..planes])?;
                if count > 1 {
                    place(&mut layout, &parts[..count])?;
                }
                layout
            }
        };
        let slot_bytes = end.max(layout.bytes);
        let colour = colour::describe(self.colour, format);
        Ok(Picture { layout, fourcc, rate, colour, slot_bytes, parts, count })
    }
}

/// Puts each plane where its buffer lies.
fn place(layout: &mut FrameLayout, parts: &[Part]) -> Result<(), LayoutError> {
    let need = layout.count;
    if usize::from(need) != parts.len() {
        return Err(LayoutError::PlaneCount { given: parts.len(), need });
    }
    for (plane, part) in layout.planes.iter_mut().zip(parts) {
        if plane.bytes > part.len {
            return Err(LayoutError::OutOfSlot { bytes: plane.bytes, slot: part.len });
        }
        plane.offset = part.offset;
        layout.bytes = part.offset + plane.bytes;
    }
    Ok(())
}

impl Picture {
    /// The parts of a slot that the driver fills.
    pub(crate) fn parts(&self) -> &[Part] {
        self.parts.get(..self.count).unwrap_or(&self.parts)
    }

    /// Bytes that the driver must have filled of part `index`, for the picture to be whole: without the padding of the last
    /// row, which some drivers do not count. 0 for compressed pictures.
    pub(crate) fn least_bytes(&self, index: usize) -> u32 {
        let layout = &self.layout;
        let plane = if self.count == 1 { layout.planes().len() - 1 } else { index };
        let Some(last) = layout.planes().get(plane).filter(|last| last.stride != 0) else { return 0 };
        let start = self.parts().get(index).map_or(0, |part| part.offset);
        (last.offset - start) + last.bytes - (last.stride - layout.row_bytes(plane))
    }

    /// Offsets in a slot at which the driver's buffers begin: where dma-bufs have to begin for [`MemoryPath::DmaBuf`].
    ///
    /// [`MemoryPath::DmaBuf`]: crate::MemoryPath::DmaBuf
    pub fn part_offsets(&self) -> impl Iterator<Item = u32> {
        self.parts().iter().map(|part| part.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn told(code: &[u8; 4], width: u32, height: u32, planes: &[(u32, u32)]) -> Told {
        let (code, colour) = (FourCc::new(code).0, Stated::default());
        Told { width, height, code, field: 1, colour, planes: planes.to_vec() }
    }

    // What vivid and uvcvideo say for such pictures.
    #[rstest]
    #[case::yuyv(told(b"YUYV", 640, 480, &[(1280, 614_400)]), &[(0, 1280)], 614_400)]
    #[case::padded_rows(told(b"GREY", 848, 480, &[(1272, 610_560)]), &[(0, 1272)], 610_560)]
    #[case::rows_left_out(told(b"YUYV", 7, 5, &[(0, 80)]), &[(0, 16)], 80)]
    #[case::nv12_in_one_buffer(told(b"NV12", 640, 480, &[(640, 460_800)]), &[(0, 640), (307_200, 640)], 460_800)]
    #[case::nv24_in_one_buffer(told(b"NV24", 8, 4, &[(8, 96)]), &[(0, 8), (32, 16)], 96)]
    #[case::i420_in_one_buffer(told(b"YU12", 640, 480, &[(640, 460_800)]), &[(0, 640), (307_200, 320), (384_000, 320)], 460_800)]
    #[case::p010_in_one_buffer(told(b"P010", 8, 4, &[(16, 96)]), &[(0, 16), (64, 16)], 96)]
    #[case::nv12_in_two_buffers(told(b"NM12", 640, 480, &[(640, 307_200), (640, 153_600)]), &[(0, 640), (307_200, 640)], 460_800)]
    #[case::each_buffer_begins_on_a_page(told(b"NM12", 100, 10, &[(128, 1280), (128, 640)]), &[(0, 128), (4096, 128)], 4736)]
    #[case::i420_in_three_buffers(told(b"YM12", 100, 10, &[(100, 1000), (50, 250), (50, 250)]), &[(0, 100), (4096, 50), (8192, 50)], 8442)]
    #[case::more_than_its_pixels(told(b"YUYV", 640, 480, &[(1280, 616_000)]), &[(0, 1280)], 616_000)]
    #[case::compressed(told(b"MJPG", 640, 480, &[(0, 614_400)]), &[(0, 0)], 614_400)]
    #[case::packed_bayer(told(b"pRAA", 4056, 3040, &[(5088, 15_467_520)]), &[(0, 5088)], 15_467_520)]
    fn a_picture_is_laid_out_as_the_driver_fills_it(
        #[case] told: Told,
        #[case] planes: &[(u32, u32)],
        #[case] slot_bytes: u32,
    ) {
        let picture = told.lay_out(None, 4096).unwrap();
        let found: Vec<_> =
            picture.layout.planes().iter().map(|plane| (plane.offset, plane.stride)).collect();
        assert_eq!((found.as_slice(), picture.slot_bytes), (planes, slot_bytes));
        assert_eq!(picture.layout.check(slot_bytes), Ok(()));
    }

    #[test]
    fn a_format_that_nobody_knows_is_passed_on_under_its_code() {
        let picture = told(b"ZZZZ", 64, 48, &[(0, 5000)]).picture(Path::new("x"), None).unwrap();
        assert_eq!((picture.layout.format, picture.fourcc), (PixelFormat::OPAQUE, FourCc::new(b"ZZZZ")));
        assert_eq!(picture.layout.bytes, 5000);
    }

    #[rstest]
    #[case::a_stride_below_the_width(told(b"YUYV", 640, 480, &[(640, 614_400)]))]
    #[case::no_size(told(b"MJPG", 640, 480, &[(0, 0)]))]
    #[case::no_buffers(told(b"NM12", 640, 480, &[]))]
    #[case::too_few_buffers(told(b"YM12", 640, 480, &[(640, 307_200), (320, 76_800)]))]
    #[case::a_buffer_below_its_plane(told(b"NM12", 640, 480, &[(640, 307_200), (640, 153_599)]))]
    #[case::past_the_end_of_numbers(told(b"NM12", 640, 480, &[(640, u32::MAX), (640, 153_600)]))]
    fn what_a_driver_cannot_mean_is_refused(#[case] told: Told) {
        assert!(matches!(told.picture(Path::new("x"), None), Err(Error::Layout { .. })));
    }

    #[test]
    fn both_interfaces_are_read_by_the_positions_of_the_header() {
        let mut single = sys::Format { kind: sys::CAPTURE, ..sys::Format::zeroed() };
        single.words[..12].copy_from_slice(&[640, 480, 7, 1, 1280, 614_400, 8, 0, 0, 6, 5, 4]);
        let colour = Stated { space: 8, transfer: 4, encoding: 6, range: 5 };
        let expected =
            Told { width: 640, height: 480, code: 7, field: 1, colour, planes: vec![(1280, 614_400)] };
        assert_eq!(Told::read(&single), expected);

        let mut multi = sys::Format { kind: sys::CAPTURE_MPLANE, ..sys::Format::zeroed() };
        multi.words[..7].copy_from_slice(&[640, 480, 7, 1, 8, 614_400, 1280]);
        multi.words[10..12].copy_from_slice(&[153_600, 640]);
        multi.words[45] = u32::from_le_bytes([2, 0, 6, 5]);
        multi.words[46] = 4;
        let planes = vec![(1280, 614_400), (640, 153_600)];
        assert_eq!(Told::read(&multi), Told { planes, ..expected });
    }
}
