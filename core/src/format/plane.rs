//! Where the planes of a frame lie: offsets, strides and sizes, computed and checked in one place.

use super::{FormatInfo, Group, LayoutError, PixelFormat};

/// Locates one plane in a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Plane {
    /// Bytes from the beginning of the frame to the first row.
    pub offset: u32,
    /// Bytes from the beginning of a row to that of the next; 0 where there are no rows.
    pub stride: u32,
    /// Rows of samples. A compressed or opaque frame counts as one row, which is all of its bytes.
    pub rows: u32,
    /// Bytes in use: `stride * rows`, so the padding of the last row is in; or the length of the blob.
    pub bytes: u32,
}

/// Describes where every plane of a frame lies. The fields may come from a peer: until
/// [`check`](Self::check) has accepted a value it promises nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FrameLayout {
    /// How the pixels are stored.
    pub format: PixelFormat,
    /// Pixels across. May be 0 in a compressed or opaque frame whose size is not known.
    pub width: u32,
    /// Pixels down, with the same exception.
    pub height: u32,
    /// The planes; those from `count` on are zero and mean nothing.
    pub planes: [Plane; 4],
    /// Planes in use.
    pub count: u8,
    /// Bytes from the beginning of the frame to the end of its last plane.
    pub bytes: u32,
}

impl PixelFormat {
    /// Lays out a picture of `width` x `height` pixels, its planes one after another, each stride a multiple
    /// of `row_align` bytes; 1 packs the rows. So each plane begins at a multiple of `row_align` as well.
    ///
    /// The chroma stride of I420 and its like is aligned by itself. That of NV12 and its like follows from the
    /// luma stride (NV12, NV16: equal; NV24: double), as single-buffer APIs expect, unless the rows are packed.
    ///
    /// # Errors
    /// Refuses unknown and compressed formats, an empty picture, an alignment that is no power of two, and
    /// 4 GiB or more.
    pub const fn layout(self, width: u32, height: u32, row_align: u32) -> Result<FrameLayout, LayoutError> {
        if !row_align.is_power_of_two() {
            return Err(LayoutError::BadAlignment(row_align));
        }
        let info = match self.rows_of(width, height) {
            Ok(info) => info,
            Err(error) => return Err(error),
        };
        let align = row_align as u64;
        let mut strides = [0; 4];
        let mut plane = 0;
        while plane < info.planes as usize {
            strides[plane] = info.row_bytes(plane, width).next_multiple_of(align);
            plane += 1;
        }
        if info.planes == 2 && row_align > 1 {
            // Odd widths have one chroma column more than half: the luma stride makes room for it.
            let ratio = 2 / info.chroma.0 as u64;
            let chroma_in_luma = (info.row_bytes(1, width) / ratio).next_multiple_of(align);
            if strides[0] < chroma_in_luma {
                strides[0] = chroma_in_luma;
            }
            strides[1] = strides[0] * ratio;
        }
        FrameLayout::stacked(info, width, height, strides)
    }

    /// Lays out a compressed or opaque frame, or one of unknown format: one plane of at most `max_bytes`.
    /// Width and height are noted, not used, and may be 0 where they are not known yet.
    ///
    /// # Errors
    /// Refuses formats with rows, and a size of 0.
    pub const fn blob(self, width: u32, height: u32, max_bytes: u32) -> Result<FrameLayout, LayoutError> {
        if matches!(self.info(), Some(info) if info.has_rows()) {
            return Err(LayoutError::HasRows(self));
        }
        if max_bytes == 0 {
            return Err(LayoutError::Empty);
        }
        let mut planes = [Plane { offset: 0, stride: 0, rows: 0, bytes: 0 }; 4];
        planes[0] = Plane { offset: 0, stride: 0, rows: 1, bytes: max_bytes };
        Ok(FrameLayout { format: self, width, height, planes, count: 1, bytes: max_bytes })
    }

    /// Gives the table's row of a format with rows, for a picture that is not empty.
    const fn rows_of(self, width: u32, height: u32) -> Result<&'static FormatInfo, LayoutError> {
        match self.info() {
            None => Err(LayoutError::UnknownFormat(self)),
            Some(info) if !info.has_rows() => Err(LayoutError::NeedsSize(self)),
            Some(_) if width == 0 || height == 0 => Err(LayoutError::Empty),
            Some(info) => Ok(info),
        }
    }
}

impl FormatInfo {
    /// Counts the bytes of real pixels in a row. No width makes it overflow: 8 bytes a pixel at most.
    const fn row_bytes(&self, plane: usize, width: u32) -> u64 {
        let Group { pixels, bytes } = self.groups[plane];
        let columns = if plane == 0 { width } else { width.div_ceil(self.chroma.0 as u32) };
        // MIPI packing spreads a pixel over its group, and YUYV shares chroma in it: only whole groups
        // can be read.
        columns.div_ceil(pixels as u32) as u64 * bytes as u64
    }

    const fn rows(&self, plane: usize, height: u32) -> u32 {
        if plane == 0 { height } else { height.div_ceil(self.chroma.1 as u32) }
    }
}

impl FrameLayout {
    /// Lays out planes one after another with the strides that a driver or a library dictates, in bytes, one
    /// for each plane. V4L2 states only the first: for I420, halve it for the others; for NV12, repeat it.
    ///
    /// # Errors
    /// As [`PixelFormat::layout`], and refuses a wrong number of strides and one that is too small.
    pub const fn with_strides(
        format: PixelFormat,
        width: u32,
        height: u32,
        strides: &[u32],
    ) -> Result<Self, LayoutError> {
        let info = match format.rows_of(width, height) {
            Ok(info) => info,
            Err(error) => return Err(error),
        };
        if strides.len() != info.planes as usize {
            return Err(LayoutError::PlaneCount { given: strides.len(), need: info.planes });
        }
        let mut wide = [0; 4];
        let mut plane = 0;
        while plane < strides.len() {
            wide[plane] = strides[plane] as u64;
            plane += 1;
        }
        Self::stacked(info, width, height, wide)
    }

    /// Puts planes one after another.
    const fn stacked(
        info: &FormatInfo,
        width: u32,
        height: u32,
        strides: [u64; 4],
    ) -> Result<Self, LayoutError> {
        let mut planes = [Plane { offset: 0, stride: 0, rows: 0, bytes: 0 }; 4];
        let mut end = 0;
        let mut plane = 0;
        while plane < info.planes as usize {
            let (stride, rows, need) =
                (strides[plane], info.rows(plane, height), info.row_bytes(plane, width));
            // Both factors and the sum so far stay below 2^32 here, so that u64 cannot overflow.
            if need > u32::MAX as u64 || stride > u32::MAX as u64 {
                return Err(LayoutError::TooLarge);
            }
            if stride < need {
                let (stride, need) = (stride as u32, need as u32);
                return Err(LayoutError::StrideTooSmall { plane: plane as u8, stride, need });
            }
            let bytes = stride * rows as u64;
            if bytes > u32::MAX as u64 - end {
                return Err(LayoutError::TooLarge);
            }
            planes[plane] = Plane { offset: end as u32, stride: stride as u32, rows, bytes: bytes as u32 };
            end += bytes;
            plane += 1;
        }
        Ok(Self { format: info.format, width, height, planes, count: info.planes, bytes: end as u32 })
    }

    /// Gives the planes in use.
    pub fn planes(&self) -> &[Plane] {
        self.planes.get(..usize::from(self.count)).unwrap_or(&self.planes)
    }

    /// Counts the bytes of real pixels in a row of a plane, without padding; all bytes of a blob; 0 for a plane
    /// that does not exist. Of an unknown format nobody knows: there a whole stride counts as pixels.
    pub const fn row_bytes(&self, plane: usize) -> u32 {
        if plane >= self.planes.len() || plane >= self.count as usize {
            return 0;
        }
        match self.format.info() {
            Some(info) if info.has_rows() => {
                let known = if plane < info.planes as usize { info.row_bytes(plane, self.width) } else { 0 };
                // A width that no plane could hold: check() refuses such a layout.
                if known > u32::MAX as u64 { u32::MAX } else { known as u32 }
            }
            None if self.planes[plane].stride != 0 => self.planes[plane].stride,
            _ => self.planes[plane].bytes,
        }
    }

    /// Tells whether the frame is nothing but pixels: no padding in rows, no gap before, between or
    /// behind planes, and these in their order.
    pub fn is_packed(&self) -> bool {
        let mut end = 0;
        let dense = self.planes().iter().enumerate().all(|(index, plane)| {
            let follows = u64::from(plane.offset) == end;
            end += u64::from(plane.bytes);
            follows && u64::from(self.row_bytes(index)) * u64::from(plane.rows) == u64::from(plane.bytes)
        });
        dense && end == u64::from(self.bytes)
    }

    /// Checks a layout that came from elsewhere against a slot of `slot_size` bytes. Afterwards every row of
    /// every plane lies in the slot, and no two planes share a byte.
    ///
    /// An unknown format is not an error, as its frames may be passed on: its planes are only kept in bounds.
    ///
    /// # Errors
    /// Names the first field that contradicts the format, the picture's size, or the slot.
    pub const fn check(&self, slot_size: u32) -> Result<(), LayoutError> {
        let info = self.format.info();
        let (least, most) = match info {
            Some(info) => (info.planes, info.planes),
            None => (1, self.planes.len() as u8),
        };
        if self.count < least || self.count > most {
            return Err(LayoutError::PlaneCount { given: self.count as usize, need: most });
        }
        let mut index = 0;
        while index < self.count as usize {
            if let Err(error) = self.check_shape(info, index) {
                return Err(error);
            }
            if let Err(error) = self.check_place(index) {
                return Err(error);
            }
            index += 1;
        }
        if self.bytes > slot_size {
            return Err(LayoutError::OutOfSlot { bytes: self.bytes, slot: slot_size });
        }
        Ok(())
    }

    /// Checks stride, rows and bytes of a plane against format, width and height.
    const fn check_shape(&self, info: Option<&FormatInfo>, index: usize) -> Result<(), LayoutError> {
        let Plane { stride, rows, bytes, .. } = self.planes[index];
        let plane = index as u8;
        if bytes == 0 {
            return Err(LayoutError::Empty);
        }
        let Some(info) = info else {
            // The rows of an unknown format may be unknown too: then at least one must fit.
            let need = stride as u64 * if rows == 0 { 1 } else { rows as u64 };
            return match need > bytes as u64 {
                true => Err(LayoutError::WrongBytes { plane, bytes, need }),
                false => Ok(()),
            };
        };
        if !info.has_rows() {
            return match (stride, rows) {
                (0, 1) => Ok(()),
                (0, _) => Err(LayoutError::WrongRows { plane, rows, need: 1 }),
                _ => Err(LayoutError::UnwantedStride(stride)),
            };
        }
        if self.width == 0 || self.height == 0 {
            return Err(LayoutError::Empty);
        }
        let need = info.row_bytes(index, self.width);
        if need > u32::MAX as u64 {
            return Err(LayoutError::TooLarge);
        }
        if (stride as u64) < need {
            return Err(LayoutError::StrideTooSmall { plane, stride, need: need as u32 });
        }
        if rows != info.rows(index, self.height) {
            return Err(LayoutError::WrongRows { plane, rows, need: info.rows(index, self.height) });
        }
        let area = stride as u64 * rows as u64;
        if bytes as u64 != area {
            return Err(LayoutError::WrongBytes { plane, bytes, need: area });
        }
        Ok(())
    }

    /// Checks that a plane lies in the frame and apart from the planes before it.
    const fn check_place(&self, index: usize) -> Result<(), LayoutError> {
        let begin = self.planes[index].offset as u64;
        let end = begin + self.planes[index].bytes as u64;
        if end > self.bytes as u64 {
            return Err(LayoutError::OutOfFrame { plane: index as u8, end, bytes: self.bytes });
        }
        let mut other = 0;
        while other < index {
            let other_begin = self.planes[other].offset as u64;
            if begin < other_begin + self.planes[other].bytes as u64 && other_begin < end {
                return Err(LayoutError::Overlap { first: other as u8, second: index as u8 });
            }
            other += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{PixelFormat as F, *};
    use proptest::prelude::*;
    use rstest::rstest;

    /// Lays out any format: blobs get a byte for each pixel, and one more.
    fn any_layout(
        info: &FormatInfo,
        width: u32,
        height: u32,
        align: u32,
    ) -> Result<FrameLayout, LayoutError> {
        match info.has_rows() {
            true => info.format.layout(width, height, align),
            false => info.format.blob(width, height, width * height + 1),
        }
    }

    // Totals worked out by hand: luma bytes + chroma bytes.
    #[rstest]
    #[case::gray8(F::GRAY8, 640, 480, 1, 307_200)]
    #[case::gray10_takes_words(F::GRAY10, 7, 5, 1, 14 * 5)]
    #[case::gray10p_takes_whole_groups(F::GRAY10P, 7, 5, 1, 10 * 5)]
    #[case::gray12p(F::GRAY12P, 7, 5, 1, 12 * 5)]
    #[case::bayer14p(F::BAYER14P_GBRG, 7, 5, 1, 14 * 5)]
    #[case::bayer10p_hq_camera(F::BAYER10P_BGGR, 4056, 3040, 32, 5088 * 3040)]
    #[case::rgb8_packed(F::RGB8, 7, 5, 1, 21 * 5)]
    #[case::rgb8_as_gstreamer_does(F::RGB8, 7, 5, 4, 120)]
    #[case::rgb16(F::RGB16, 7, 5, 1, 42 * 5)]
    #[case::rgba16(F::RGBA16, 7, 5, 1, 56 * 5)]
    #[case::yuyv_has_whole_pairs(F::YUYV, 7, 5, 1, 16 * 5)]
    #[case::yuyv_720p(F::YUYV, 1280, 720, 1, 1_843_200)]
    #[case::nv12_720p(F::NV12, 1280, 720, 1, 1_382_400)]
    #[case::nv12_odd(F::NV12, 7, 5, 1, 7 * 5 + 8 * 3)]
    #[case::nv12_odd_aligned(F::NV12, 7, 5, 4, 8 * 5 + 8 * 3)]
    #[case::nv12_of_one_pixel(F::NV12, 1, 1, 1, 1 + 2)]
    #[case::nv16_odd(F::NV16, 7, 5, 1, 7 * 5 + 8 * 5)]
    #[case::nv24_odd(F::NV24, 7, 5, 1, 7 * 5 + 14 * 5)]
    #[case::nv24_aligned(F::NV24, 3, 2, 8, 8 * 2 + 16 * 2)]
    #[case::p010_odd(F::P010, 7, 5, 1, 14 * 5 + 16 * 3)]
    #[case::p010_odd_makes_room_in_luma(F::P010, 7, 5, 2, 16 * 5 + 16 * 3)]
    #[case::i420_odd(F::I420, 7, 5, 1, 7 * 5 + 2 * 4 * 3)]
    #[case::i420_aligned_each_by_itself(F::I420, 20, 4, 16, 32 * 4 + 2 * 16 * 2)]
    #[case::i422_odd(F::I422, 7, 5, 1, 7 * 5 + 2 * 4 * 5)]
    #[case::i444_odd(F::I444, 7, 5, 1, 3 * 7 * 5)]
    #[case::the_largest(F::GRAY8, u32::MAX, 1, 1, u32::MAX)]
    fn a_frame_has_this_many_bytes(
        #[case] format: PixelFormat,
        #[case] width: u32,
        #[case] height: u32,
        #[case] align: u32,
        #[case] bytes: u32,
    ) {
        let layout = format.layout(width, height, align).unwrap();
        assert_eq!(layout.bytes, bytes);
        assert_eq!(layout.is_packed(), align == 1);
    }

    #[test]
    fn layouts_of_all_small_sizes_are_accepted_and_fill_the_frame() {
        for info in PixelFormat::ALL {
            for (width, height) in (0..9).flat_map(|w| (0..9).map(move |h| (w, h))) {
                for align in [1, 2, 4, 64] {
                    let layout = match any_layout(info, width, height, align) {
                        Ok(layout) => layout,
                        Err(error) => {
                            assert!(
                                width * height == 0 && error == LayoutError::Empty,
                                "{} {error}",
                                info.name
                            );
                            continue;
                        }
                    };
                    assert_eq!(layout.check(layout.bytes), Ok(()), "{layout:?}");
                    assert_eq!(layout.planes().len(), usize::from(info.planes));
                    let mut end = 0;
                    for (index, plane) in layout.planes().iter().enumerate() {
                        assert_eq!(plane.offset, end, "{layout:?}");
                        end += plane.bytes;
                        if info.has_rows() {
                            assert_eq!((plane.stride % align, plane.offset % align), (0, 0), "{layout:?}");
                            assert!(layout.row_bytes(index) <= plane.stride, "{layout:?}");
                            assert!(align > 1 || layout.row_bytes(index) == plane.stride, "{layout:?}");
                        }
                    }
                    assert_eq!(end, layout.bytes);
                    assert!(layout.is_packed() || align > 1);
                }
            }
        }
    }

    #[test]
    fn aligned_two_plane_formats_keep_the_relation_of_single_buffer_apis() {
        for format in [F::NV12, F::NV21, F::NV16, F::NV61, F::NV24, F::NV42, F::P010, F::P016] {
            let ratio = if matches!(format, F::NV24 | F::NV42) { 2 } else { 1 };
            for (width, align) in (1..40).flat_map(|w| [2, 4, 16, 64].map(|a| (w, a))) {
                let layout = format.layout(width, 3, align).unwrap();
                assert_eq!(layout.planes[1].stride, layout.planes[0].stride * ratio, "{layout:?}");
            }
        }
    }

    #[test]
    fn a_layout_with_one_field_changed_is_refused() {
        let fields: [fn(&mut FrameLayout, usize) -> &mut u32; 4] = [
            |l, p| &mut l.planes[p].offset,
            |l, p| &mut l.planes[p].stride,
            |l, p| &mut l.planes[p].rows,
            |l, p| &mut l.planes[p].bytes,
        ];
        for info in PixelFormat::ALL {
            let good = any_layout(info, 8, 6, 1).unwrap();
            let refused = |bad: FrameLayout| assert!(bad.check(good.bytes).is_err(), "accepted {bad:?}");
            for (plane, field) in (0..good.planes().len()).flat_map(|p| fields.map(|f| (p, f))) {
                for change in [1, u32::MAX, 1 << 31] {
                    let mut bad = good;
                    let value = field(&mut bad, plane);
                    *value = value.wrapping_add(change);
                    // A blob may be shorter than its slot; nothing else has room to move.
                    if info.has_rows() || bad.planes[0].bytes >= good.planes[0].bytes {
                        refused(bad);
                    }
                }
            }
            refused(FrameLayout { count: good.count + 1, ..good });
            refused(FrameLayout { count: 0, ..good });
            refused(FrameLayout { count: u8::MAX, ..good });
            refused(FrameLayout { bytes: good.bytes + 1, ..good });
            refused(FrameLayout { bytes: good.bytes - 1, ..good });
            if info.has_rows() {
                refused(FrameLayout { width: good.width * 2, ..good });
                refused(FrameLayout { width: u32::MAX, ..good });
                refused(FrameLayout { height: good.height + 2, ..good });
                refused(FrameLayout { width: 0, ..good });
                refused(FrameLayout { height: 0, ..good });
            }
            assert!(good.check(good.bytes - 1).is_err());
        }
    }

    #[test]
    fn a_stride_one_byte_short_is_refused_though_its_bytes_agree() {
        let mut layout = F::GRAY8.layout(8, 6, 1).unwrap();
        layout.planes[0] = Plane { stride: 7, bytes: 42, ..layout.planes[0] };
        assert_eq!(layout.check(48), Err(LayoutError::StrideTooSmall { plane: 0, stride: 7, need: 8 }));
    }

    #[rstest]
    #[case::one_more_than_the_format_has(2)]
    #[case::more_than_there_is_room_for(5)]
    #[case::the_most_a_byte_can_say(u8::MAX)]
    fn a_plane_too_many_is_refused_however_good_it_looks(#[case] count: u8) {
        let plane = |offset| Plane { offset, stride: 8, rows: 6, bytes: 48 };
        let planes = [plane(0), plane(48), plane(96), plane(144)];
        let layout = FrameLayout { planes, count, bytes: 192, ..F::GRAY8.layout(8, 6, 1).unwrap() };
        let given = usize::from(count);
        assert_eq!(layout.check(192), Err(LayoutError::PlaneCount { given, need: 1 }));
        assert_eq!(layout.planes().len(), given.min(4));
    }

    #[test]
    fn a_gap_anywhere_makes_a_frame_unpacked() {
        let good = F::NV12.layout(8, 6, 1).unwrap();
        let [mut before, mut between, mut swapped] = [good; 3];
        (before.planes[0].offset, before.planes[1].offset, before.bytes) = (4, 52, 76);
        (between.planes[1].offset, between.bytes) = (52, 76);
        (swapped.planes[0].offset, swapped.planes[1].offset) = (24, 0);
        let behind = FrameLayout { bytes: 76, ..good };
        for layout in [before, between, swapped, behind] {
            assert_eq!((layout.check(76), layout.is_packed()), (Ok(()), false), "{layout:?}");
        }
    }

    #[test]
    fn planes_may_lie_apart_and_in_any_order() {
        let mut layout = F::I420.layout(8, 6, 1).unwrap();
        (layout.planes[1].offset, layout.planes[2].offset) = (200, 100);
        layout.bytes = 212;
        assert_eq!(layout.check(4096), Ok(()));
        assert!(!layout.is_packed());
    }

    #[rstest]
    #[case::unknown(F(0x999).layout(8, 8, 1), LayoutError::UnknownFormat(F(0x999)))]
    #[case::compressed(F::JPEG.layout(8, 8, 1), LayoutError::NeedsSize(F::JPEG))]
    #[case::opaque(F::OPAQUE.layout(8, 8, 1), LayoutError::NeedsSize(F::OPAQUE))]
    #[case::blob_of_raw(F::NV12.blob(8, 8, 96), LayoutError::HasRows(F::NV12))]
    #[case::blob_of_nothing(F::JPEG.blob(8, 8, 0), LayoutError::Empty)]
    #[case::no_width(F::NV12.layout(0, 8, 1), LayoutError::Empty)]
    #[case::alignment_zero(F::NV12.layout(8, 8, 0), LayoutError::BadAlignment(0))]
    #[case::alignment_odd(F::NV12.layout(8, 8, 48), LayoutError::BadAlignment(48))]
    #[case::four_gib(F::GRAY8.layout(1 << 16, 1 << 16, 1), LayoutError::TooLarge)]
    #[case::chroma_passes_four_gib(F::NV12.layout(1 << 16, 50_000, 1), LayoutError::TooLarge)]
    #[case::row_passes_four_gib(F::RGBA16.layout(u32::MAX, 1, 1), LayoutError::TooLarge)]
    #[case::alignment_passes_four_gib(F::GRAY8.layout(u32::MAX, 1, 2), LayoutError::TooLarge)]
    #[case::strides_missing(
        FrameLayout::with_strides(F::NV12, 8, 8, &[8]),
        LayoutError::PlaneCount { given: 1, need: 2 }
    )]
    #[case::stride_small(
        FrameLayout::with_strides(F::NV12, 7, 5, &[7, 7]),
        LayoutError::StrideTooSmall { plane: 1, stride: 7, need: 8 }
    )]
    #[case::strides_of_blob(FrameLayout::with_strides(F::PNG, 8, 8, &[0]), LayoutError::NeedsSize(F::PNG))]
    #[case::strides_pass_four_gib(
        FrameLayout::with_strides(F::GRAY8, 1, 2, &[1 << 31]),
        LayoutError::TooLarge
    )]
    fn a_layout_that_cannot_be_is_refused_with_its_reason(
        #[case] result: Result<FrameLayout, LayoutError>,
        #[case] reason: LayoutError,
    ) {
        assert_eq!(result, Err(reason));
    }

    #[test]
    fn strides_of_a_driver_are_taken_as_they_are() {
        // librealsense 15658: 848 pixels of one byte in rows of 1272.
        let layout = FrameLayout::with_strides(F::GRAY8, 848, 480, &[1272]).unwrap();
        assert_eq!((layout.bytes, layout.row_bytes(0), layout.is_packed()), (1272 * 480, 848, false));
        let layout = FrameLayout::with_strides(F::I420, 100, 10, &[128, 64, 64]).unwrap();
        assert_eq!(layout.planes[2], Plane { offset: 1600, stride: 64, rows: 5, bytes: 320 });
        assert_eq!(layout.check(1920), Ok(()));
    }

    #[test]
    fn an_unknown_format_may_pass_but_not_leave_its_slot() {
        let mut layout = F(0x999).blob(640, 480, 1000).unwrap();
        assert_eq!((layout.check(1000), layout.row_bytes(0), layout.row_bytes(1)), (Ok(()), 1000, 0));
        layout.planes[0] = Plane { offset: 0, stride: 100, rows: 10, bytes: 1000 };
        assert_eq!((layout.check(1000), layout.row_bytes(0)), (Ok(()), 100));
        (layout.planes[0].stride, layout.planes[0].rows) = (91, 11);
        assert_eq!(layout.check(4096), Err(LayoutError::WrongBytes { plane: 0, bytes: 1000, need: 1001 }));
        (layout.planes[0].stride, layout.planes[0].rows) = (1001, 0);
        assert_eq!(layout.check(4096), Err(LayoutError::WrongBytes { plane: 0, bytes: 1000, need: 1001 }));
    }

    #[test]
    fn a_format_is_laid_out_at_compile_time() {
        const SIZE: u32 = match PixelFormat::NV12.layout(1280, 720, 64) {
            Ok(layout) => layout.bytes,
            Err(_) => 0,
        };
        assert_eq!(SIZE, 1_382_400);
    }

    fn number() -> impl Strategy<Value = u32> {
        prop_oneof![0..20_u32, any::<u32>(), (0..32_u32).prop_map(|bit| 1 << bit), Just(u32::MAX)]
    }

    fn format() -> impl Strategy<Value = PixelFormat> {
        prop_oneof![
            9 => (0..PixelFormat::ALL.len()).prop_map(|row| PixelFormat::ALL[row].format),
            1 => any::<u32>().prop_map(PixelFormat),
        ]
    }

    /// A good layout with up to three of its numbers overwritten: near enough to right to be accepted often.
    fn layout() -> impl Strategy<Value = FrameLayout> {
        let changes = prop::collection::vec((0..20_usize, number()), 0..4);
        let size = (1..40_u32, 1..40_u32, 0..7_u32);
        (format(), size, changes).prop_map(|(format, (width, height, align), changes)| {
            let laid_out = format.layout(width, height, 1 << align);
            let mut layout = laid_out.or_else(|_| format.blob(width, height, 4096)).unwrap();
            for (field, value) in changes {
                match (field, &mut layout.planes[field % 4]) {
                    (0..4, plane) => plane.offset = value,
                    (4..8, plane) => plane.stride = value,
                    (8..12, plane) => plane.rows = value,
                    (12..16, plane) => plane.bytes = value,
                    (16, _) => layout.count = value as u8,
                    (17, _) => layout.width = value,
                    (18, _) => layout.height = value,
                    _ => layout.bytes = value,
                }
            }
            layout
        })
    }

    proptest! {
        #[test]
        fn whatever_is_laid_out_is_also_accepted(
            format in format(), width in number(), height in number(), align in number(), strides: [u32; 4],
        ) {
            let count = format.info().map_or(1, |info| usize::from(info.planes));
            for layout in [
                format.layout(width, height, align),
                format.blob(width, height, align),
                FrameLayout::with_strides(format, width, height, &strides[..count]),
            ].into_iter().flatten() {
                prop_assert_eq!(layout.check(layout.bytes), Ok(()));
            }
        }

        #[test]
        fn whatever_is_accepted_lies_in_the_slot(layout in layout(), slot in number()) {
            // Called for their own sake as well: they must not panic on a layout that lies.
            let (_, planes) = (layout.is_packed(), layout.planes());
            let row_bytes: Vec<u32> = (0..256).map(|plane| layout.row_bytes(plane)).collect();
            for slot in [slot, layout.bytes] {
                if layout.check(slot).is_err() {
                    continue;
                }
                for (plane, row) in planes.iter().zip(&row_bytes) {
                    let last_row = u64::from(plane.stride) * u64::from(plane.rows.saturating_sub(1));
                    prop_assert!(u64::from(plane.offset) + last_row + u64::from(*row) <= u64::from(slot));
                    prop_assert!(u64::from(plane.offset) + u64::from(plane.bytes) <= u64::from(slot));
                }
                for (index, a) in planes.iter().enumerate() {
                    for b in &planes[..index] {
                        prop_assert!(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset);
                    }
                }
            }
        }
    }
}
