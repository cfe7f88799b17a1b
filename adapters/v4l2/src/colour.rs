//! V4L2's four numbers for colour as those of ITU-T H.273.

use camlane_core::{Colour, PixelFormat};

/// What a driver states with a format: `colorspace`, `xfer_func`, `ycbcr_enc`, `quantization`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Stated {
    pub(crate) space: u32,
    pub(crate) transfer: u32,
    pub(crate) encoding: u32,
    pub(crate) range: u32,
}

const UNSTATED: u8 = 2;

/// Numbers as in `enum v4l2_colorspace` and its like; the defaults are those of the macros `V4L2_MAP_*_DEFAULT`.
pub(crate) fn describe(stated: Stated, format: PixelFormat) -> Colour {
    const JPEG: u32 = 7;
    let (primaries, default_transfer, default_matrix) = match stated.space {
        1 => (6, 1, 6),                // SMPTE170M
        2 => (7, 7, 7),                // SMPTE240M
        3 => (1, 1, 1),                // REC709
        5 => (4, 1, 6),                // 470_SYSTEM_M
        6 => (5, 1, 6),                // 470_SYSTEM_BG
        JPEG | 8 => (1, 13, 6),        // and SRGB
        9 => (UNSTATED, UNSTATED, 6),  // OPRGB: H.273 has neither
        10 => (9, 1, 9),               // BT2020
        11 => (UNSTATED, 8, UNSTATED), // RAW
        12 => (11, 17, 1),             // DCI_P3
        _ => return Colour::default(),
    };
    let transfer = match stated.transfer {
        1 => 1,
        2 => 13,
        3 => UNSTATED, // OPRGB
        4 => 7,
        5 => 8,
        6 => 17,
        7 => 16,
        _ => default_transfer,
    };
    let rgb = is_rgb(format);
    let matrix = match stated.encoding {
        _ if rgb => 0,
        1 | 3 => 6, // 601, XV601
        2 | 4 => 1, // 709, XV709
        6 => 9,
        7 => 10,
        8 => 7,
        _ => default_matrix,
    };
    let transfer = if matches!(stated.encoding, 3 | 4) { 11 } else { transfer };
    let range = match stated.range {
        1 => 1,
        2 => 2,
        _ if rgb || stated.space == JPEG => 1,
        _ => 2,
    };
    if format.0 >> 8 == 0x06 || format.0 >> 8 == 0x07 {
        // Bayer: a sensor's own colours, whatever the driver fills in.
        return Colour { transfer: if stated.space == 11 { 8 } else { UNSTATED }, ..Colour::default() };
    }
    Colour { primaries, transfer, matrix, range, chroma_site: 0 }
}

fn is_rgb(format: PixelFormat) -> bool {
    format.0 >> 8 == 0x02
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nothing([0, 0, 0, 0], PixelFormat::YUYV, [2, 2, 2, 0])]
    #[case::a_webcam([8, 0, 0, 0], PixelFormat::YUYV, [1, 13, 6, 2])]
    #[case::a_jpeg([7, 0, 0, 0], PixelFormat::JPEG, [1, 13, 6, 1])]
    #[case::television([1, 0, 0, 0], PixelFormat::UYVY, [6, 1, 6, 2])]
    #[case::hd([3, 0, 0, 0], PixelFormat::NV12, [1, 1, 1, 2])]
    #[case::hd_of_full_range([3, 1, 2, 1], PixelFormat::NV12, [1, 1, 1, 1])]
    #[case::rgb_is_full_and_has_no_matrix([8, 2, 0, 0], PixelFormat::RGB8, [1, 13, 0, 1])]
    #[case::rgb_of_limited_range([8, 2, 0, 2], PixelFormat::BGR8, [1, 13, 0, 2])]
    #[case::wide_gamut([10, 0, 0, 0], PixelFormat::P010, [9, 1, 9, 2])]
    #[case::constant_luminance([10, 0, 7, 0], PixelFormat::P010, [9, 1, 10, 2])]
    #[case::hdr([10, 7, 6, 0], PixelFormat::P010, [9, 16, 9, 2])]
    #[case::xvycc([3, 0, 4, 0], PixelFormat::YUYV, [1, 11, 1, 2])]
    #[case::a_sensor([11, 0, 0, 0], PixelFormat::BAYER10_RGGB, [2, 8, 2, 0])]
    #[case::a_sensor_whose_driver_says_srgb([8, 0, 0, 0], PixelFormat::BAYER8_BGGR, [2, 2, 2, 0])]
    #[case::a_number_of_tomorrow([99, 0, 0, 0], PixelFormat::YUYV, [2, 2, 2, 0])]
    fn colour_is_told_in_the_numbers_of_h273(
        #[case] stated: [u32; 4],
        #[case] format: PixelFormat,
        #[case] expected: [u8; 4],
    ) {
        let [space, transfer, encoding, range] = stated;
        let colour = describe(Stated { space, transfer, encoding, range }, format);
        assert_eq!([colour.primaries, colour.transfer, colour.matrix, colour.range], expected);
    }
}
