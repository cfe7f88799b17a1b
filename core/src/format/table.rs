//! The table of formats. Each row is written once; the constant, its name and its facts come from it.
//!
//! Codes were compared with Debian 12's `linux/videodev2.h` (6.1) and `drm_fourcc.h` (libdrm 2.4.114), names
//! with `ffmpeg -pix_fmts` 5.1.9, GStreamer 1.22 and ROS 2's `image_encodings.hpp`. Newer kernels alone have
//! V4L2 `Y12P`, `RGB6`, `BGR6` and DRM `RG48`, `BG48`; newer GStreamers alone have Bayer of 10 to 16 bits
//! and, from 1.26, `GRAY10_LE16`.

use super::{FormatInfo, FourCc, Group, PixelFormat};

macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $info:expr;)*) => {
        impl PixelFormat {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Lists every format that this build knows, in the order of their numbers.
            pub const ALL: &'static [FormatInfo] = &[$($info.named(Self::$name, stringify!($name))),*];
        }
    };
}

formats! {
    /// Bytes that only their user understands. The frame's raw fourcc may say what they are.
    OPAQUE = 0x0000, BLOB;

    // Grey and depth: one plane. Words are little-endian.

    /// Grey: one byte for each pixel.
    GRAY8 = 0x0101, MONO8.v4l2(b"GREY").drm(b"R8  ").gst("GRAY8").ros("mono8").ffmpeg("gray");
    /// Grey: 10 bits in the low end of a 16-bit little-endian word.
    GRAY10 = 0x0102, MONO16.bits(10).v4l2(b"Y10 ").drm(b"R10 ").gst("GRAY10_LE16").ffmpeg("gray10le");
    /// Grey: 12 bits in the low end of a 16-bit little-endian word.
    GRAY12 = 0x0103, MONO16.bits(12).v4l2(b"Y12 ").drm(b"R12 ").ffmpeg("gray12le");
    /// Grey: 14 bits in the low end of a 16-bit little-endian word.
    GRAY14 = 0x0104, MONO16.bits(14).v4l2(b"Y14 ").ffmpeg("gray14le");
    /// Grey: a 16-bit little-endian word for each pixel.
    GRAY16 = 0x0105, MONO16.v4l2(b"Y16 ").drm(b"R16 ").gst("GRAY16_LE").ros("mono16").ffmpeg("gray16le");
    /// Grey, MIPI RAW10: the high bytes of 4 pixels, then a byte with their low 2 bits, first pixel lowest.
    GRAY10P = 0x0106, RAW10.v4l2(b"Y10P");
    /// Grey, MIPI RAW12: the high bytes of 2 pixels, then a byte with their low 4 bits, first pixel lowest.
    GRAY12P = 0x0107, RAW12.v4l2(b"Y12P");
    /// Distance: a 16-bit little-endian word. What one step is worth is told beside the frame, not by the format.
    DEPTH16 = 0x0181, MONO16.v4l2(b"Z16 ").ros("16UC1");
    /// One IEEE 754 single for each pixel, little-endian.
    FLOAT32 = 0x0182, raw(&[one(4)], (1, 1), 32, "<f4").cv("32FC1").ros("32FC1").ffmpeg("grayf32le");

    // RGB: one plane. camlane, GStreamer, ROS, ffmpeg and OpenCV name 8-bit samples in the order of the bytes;
    // DRM names the bits of a little-endian word from the high end, so its names read backwards.

    /// Bytes R, G, B. OpenCV wants BGR.
    RGB8 = 0x0201, RGB.v4l2(b"RGB3").drm(b"BG24").gst("RGB").ros("rgb8").ffmpeg("rgb24");
    /// Bytes B, G, R: the order of OpenCV.
    BGR8 = 0x0202, RGB.v4l2(b"BGR3").drm(b"RG24").gst("BGR").ros("bgr8").ffmpeg("bgr24");
    /// Bytes R, G, B, A.
    RGBA8 = 0x0203, RGBA.v4l2(b"AB24").drm(b"AB24").gst("RGBA").ros("rgba8").ffmpeg("rgba");
    /// Bytes B, G, R, A.
    BGRA8 = 0x0204, RGBA.v4l2(b"AR24").drm(b"AR24").gst("BGRA").ros("bgra8").ffmpeg("bgra");
    /// Bytes R, G, B, and one without meaning.
    RGBX8 = 0x0205, RGBA.v4l2(b"XB24").drm(b"XB24").gst("RGBx").ffmpeg("rgb0");
    /// Bytes B, G, R, and one without meaning.
    BGRX8 = 0x0206, RGBA.v4l2(b"XR24").drm(b"XR24").gst("BGRx").ffmpeg("bgr0");
    /// Bytes A, R, G, B.
    ARGB8 = 0x0207, RGBA.v4l2(b"BA24").drm(b"BA24").gst("ARGB").ffmpeg("argb");
    /// Bytes A, B, G, R.
    ABGR8 = 0x0208, RGBA.v4l2(b"RA24").drm(b"RA24").gst("ABGR").ffmpeg("abgr");
    /// A 16-bit little-endian word: R in the high 5 bits, G in the middle 6, B in the low 5.
    RGB565 = 0x0209, RGB_WORD.v4l2(b"RGBP").drm(b"RG16").gst("RGB16").ffmpeg("rgb565le");
    /// 16-bit little-endian words R, G, B.
    RGB16 = 0x020a, RGB48.v4l2(b"RGB6").drm(b"BG48").ros("rgb16").ffmpeg("rgb48le");
    /// 16-bit little-endian words B, G, R.
    BGR16 = 0x020b, RGB48.v4l2(b"BGR6").drm(b"RG48").ros("bgr16").ffmpeg("bgr48le");
    /// 16-bit little-endian words R, G, B, A.
    RGBA16 = 0x020c, RGBA64.drm(b"AB48").gst("RGBA64_LE").ros("rgba16").ffmpeg("rgba64le");

    // Interleaved YCbCr: one plane, four bytes for two pixels. A row holds whole pairs, 4 x ceil(W / 2) bytes.

    /// Bytes Y0, Cb, Y1, Cr.
    YUYV = 0x0301, PAIRS.v4l2(b"YUYV").drm(b"YUYV").gst("YUY2").ros("yuyv").ffmpeg("yuyv422");
    /// Bytes Cb, Y0, Cr, Y1.
    UYVY = 0x0302, PAIRS.v4l2(b"UYVY").drm(b"UYVY").gst("UYVY").ros("uyvy").ffmpeg("uyvy422");
    /// Bytes Y0, Cr, Y1, Cb.
    YVYU = 0x0303, PAIRS.v4l2(b"YVYU").drm(b"YVYU").gst("YVYU").ffmpeg("yvyu422");
    /// Bytes Cr, Y0, Cb, Y1.
    VYUY = 0x0304, PAIRS.v4l2(b"VYUY").drm(b"VYUY").gst("VYUY");

    // A luma plane, then a plane of chroma pairs.

    /// 4:2:0. Plane of Y; plane of bytes Cb, Cr.
    NV12 = 0x0401, NV420.v4l2(b"NV12").also(b"NM12").drm(b"NV12").gst("NV12").ros("nv12").ffmpeg("nv12");
    /// 4:2:0. Plane of Y; plane of bytes Cr, Cb.
    NV21 = 0x0402, NV420.v4l2(b"NV21").also(b"NM21").drm(b"NV21").gst("NV21").ros("nv21").ffmpeg("nv21");
    /// 4:2:2. Plane of Y; plane of bytes Cb, Cr.
    NV16 = 0x0403, NV422.v4l2(b"NV16").also(b"NM16").drm(b"NV16").gst("NV16").ffmpeg("nv16");
    /// 4:2:2. Plane of Y; plane of bytes Cr, Cb.
    NV61 = 0x0404, NV422.v4l2(b"NV61").also(b"NM61").drm(b"NV61").gst("NV61");
    /// 4:4:4. Plane of Y; plane of bytes Cb, Cr.
    NV24 = 0x0405, NV444.v4l2(b"NV24").drm(b"NV24").gst("NV24").ros("nv24").ffmpeg("nv24");
    /// 4:4:4. Plane of Y; plane of bytes Cr, Cb.
    NV42 = 0x0406, NV444.v4l2(b"NV42").drm(b"NV42").ffmpeg("nv42");
    /// 4:2:0 as NV12, in 16-bit little-endian words with the 10 bits in the *high* end.
    P010 = 0x0407, P420.bits(10).v4l2(b"P010").drm(b"P010").gst("P010_10LE").ffmpeg("p010le");
    /// 4:2:0 as NV12, in 16-bit little-endian words.
    P016 = 0x0408, P420.drm(b"P016").gst("P016_LE").ffmpeg("p016le");

    // Three planes of bytes.

    /// 4:2:0. Planes Y, Cb, Cr.
    I420 = 0x0501, PLANES3.chroma(2, 2).v4l2(b"YU12").also(b"YM12").drm(b"YU12").gst("I420").ffmpeg("yuv420p");
    /// 4:2:0. Planes Y, Cr, Cb. ffmpeg calls it yuv420p with planes 1 and 2 exchanged.
    YV12 = 0x0502, PLANES3.chroma(2, 2).v4l2(b"YV12").also(b"YM21").drm(b"YV12").gst("YV12");
    /// 4:2:2. Planes Y, Cb, Cr.
    I422 = 0x0503, PLANES3.chroma(2, 1).v4l2(b"422P").also(b"YM16").drm(b"YU16").gst("Y42B").ffmpeg("yuv422p");
    /// 4:4:4. Planes Y, Cb, Cr.
    I444 = 0x0504, PLANES3.v4l2(b"YM24").drm(b"YU24").gst("Y444").ffmpeg("yuv444p");

    // Bayer: the number's low two bits are x | y << 1 of the first red pixel, so a crop at an odd x flips
    // bit 0 and at an odd y bit 1. OpenCV names the order by the *second* row: RGGB is its BayerBG.

    /// A byte for each pixel; rows R G, then G B.
    BAYER8_RGGB = 0x0600, MONO8.v4l2(b"RGGB").gst("rggb").ros("bayer_rggb8").ffmpeg("bayer_rggb8");
    /// A byte for each pixel; rows G R, then B G.
    BAYER8_GRBG = 0x0601, MONO8.v4l2(b"GRBG").gst("grbg").ros("bayer_grbg8").ffmpeg("bayer_grbg8");
    /// A byte for each pixel; rows G B, then R G.
    BAYER8_GBRG = 0x0602, MONO8.v4l2(b"GBRG").gst("gbrg").ros("bayer_gbrg8").ffmpeg("bayer_gbrg8");
    /// A byte for each pixel; rows B G, then G R.
    BAYER8_BGGR = 0x0603, MONO8.v4l2(b"BA81").gst("bggr").ros("bayer_bggr8").ffmpeg("bayer_bggr8");
    /// 10 bits in the low end of a 16-bit little-endian word; rows R G, then G B.
    BAYER10_RGGB = 0x0610, MONO16.bits(10).v4l2(b"RG10").gst("rggb10le");
    /// 10 bits in the low end of a 16-bit little-endian word; rows G R, then B G.
    BAYER10_GRBG = 0x0611, MONO16.bits(10).v4l2(b"BA10").gst("grbg10le");
    /// 10 bits in the low end of a 16-bit little-endian word; rows G B, then R G.
    BAYER10_GBRG = 0x0612, MONO16.bits(10).v4l2(b"GB10").gst("gbrg10le");
    /// 10 bits in the low end of a 16-bit little-endian word; rows B G, then G R.
    BAYER10_BGGR = 0x0613, MONO16.bits(10).v4l2(b"BG10").gst("bggr10le");
    /// 12 bits in the low end of a 16-bit little-endian word; rows R G, then G B.
    BAYER12_RGGB = 0x0620, MONO16.bits(12).v4l2(b"RG12").gst("rggb12le");
    /// 12 bits in the low end of a 16-bit little-endian word; rows G R, then B G.
    BAYER12_GRBG = 0x0621, MONO16.bits(12).v4l2(b"BA12").gst("grbg12le");
    /// 12 bits in the low end of a 16-bit little-endian word; rows G B, then R G.
    BAYER12_GBRG = 0x0622, MONO16.bits(12).v4l2(b"GB12").gst("gbrg12le");
    /// 12 bits in the low end of a 16-bit little-endian word; rows B G, then G R.
    BAYER12_BGGR = 0x0623, MONO16.bits(12).v4l2(b"BG12").gst("bggr12le");
    /// 14 bits in the low end of a 16-bit little-endian word; rows R G, then G B.
    BAYER14_RGGB = 0x0630, MONO16.bits(14).v4l2(b"RG14").gst("rggb14le");
    /// 14 bits in the low end of a 16-bit little-endian word; rows G R, then B G.
    BAYER14_GRBG = 0x0631, MONO16.bits(14).v4l2(b"GR14").gst("grbg14le");
    /// 14 bits in the low end of a 16-bit little-endian word; rows G B, then R G.
    BAYER14_GBRG = 0x0632, MONO16.bits(14).v4l2(b"GB14").gst("gbrg14le");
    /// 14 bits in the low end of a 16-bit little-endian word; rows B G, then G R.
    BAYER14_BGGR = 0x0633, MONO16.bits(14).v4l2(b"BG14").gst("bggr14le");
    /// A 16-bit little-endian word for each pixel; rows R G, then G B.
    BAYER16_RGGB = 0x0640, MONO16.v4l2(b"RG16").gst("rggb16le").ros("bayer_rggb16").ffmpeg("bayer_rggb16le");
    /// A 16-bit little-endian word for each pixel; rows G R, then B G.
    BAYER16_GRBG = 0x0641, MONO16.v4l2(b"GR16").gst("grbg16le").ros("bayer_grbg16").ffmpeg("bayer_grbg16le");
    /// A 16-bit little-endian word for each pixel; rows G B, then R G.
    BAYER16_GBRG = 0x0642, MONO16.v4l2(b"GB16").gst("gbrg16le").ros("bayer_gbrg16").ffmpeg("bayer_gbrg16le");
    /// A 16-bit little-endian word for each pixel; rows B G, then G R.
    BAYER16_BGGR = 0x0643, MONO16.v4l2(b"BYR2").gst("bggr16le").ros("bayer_bggr16").ffmpeg("bayer_bggr16le");

    // Bayer in the MIPI CSI-2 packing: first a byte with the high 8 bits of each pixel of a group, then their
    // low bits, first pixel lowest.

    /// MIPI RAW10, 4 pixels in 5 bytes; rows R G, then G B.
    BAYER10P_RGGB = 0x0710, RAW10.v4l2(b"pRAA");
    /// MIPI RAW10, 4 pixels in 5 bytes; rows G R, then B G.
    BAYER10P_GRBG = 0x0711, RAW10.v4l2(b"pgAA");
    /// MIPI RAW10, 4 pixels in 5 bytes; rows G B, then R G.
    BAYER10P_GBRG = 0x0712, RAW10.v4l2(b"pGAA");
    /// MIPI RAW10, 4 pixels in 5 bytes; rows B G, then G R.
    BAYER10P_BGGR = 0x0713, RAW10.v4l2(b"pBAA");
    /// MIPI RAW12, 2 pixels in 3 bytes; rows R G, then G B.
    BAYER12P_RGGB = 0x0720, RAW12.v4l2(b"pRCC");
    /// MIPI RAW12, 2 pixels in 3 bytes; rows G R, then B G.
    BAYER12P_GRBG = 0x0721, RAW12.v4l2(b"pgCC");
    /// MIPI RAW12, 2 pixels in 3 bytes; rows G B, then R G.
    BAYER12P_GBRG = 0x0722, RAW12.v4l2(b"pGCC");
    /// MIPI RAW12, 2 pixels in 3 bytes; rows B G, then G R.
    BAYER12P_BGGR = 0x0723, RAW12.v4l2(b"pBCC");
    /// MIPI RAW14, 4 pixels in 7 bytes; rows R G, then G B.
    BAYER14P_RGGB = 0x0730, RAW14.v4l2(b"pREE");
    /// MIPI RAW14, 4 pixels in 7 bytes; rows G R, then B G.
    BAYER14P_GRBG = 0x0731, RAW14.v4l2(b"pgEE");
    /// MIPI RAW14, 4 pixels in 7 bytes; rows G B, then R G.
    BAYER14P_GBRG = 0x0732, RAW14.v4l2(b"pGEE");
    /// MIPI RAW14, 4 pixels in 7 bytes; rows B G, then G R.
    BAYER14P_BGGR = 0x0733, RAW14.v4l2(b"pBEE");

    // Compressed: one frame is one whole picture, or one access unit.

    /// A JPEG picture. From a UVC camera it may lack the Huffman tables.
    JPEG = 0x0f01, BLOB.v4l2(b"MJPG").also(b"JPEG").gst("image/jpeg").ros("jpeg").ffmpeg("mjpeg");
    /// An H.264 access unit in Annex B form, parameter sets before every key frame, no B frames.
    H264 = 0x0f02, BLOB.v4l2(b"H264").gst("video/x-h264").ffmpeg("h264");
    /// An H.265 access unit in Annex B form, parameter sets before every key frame, no B frames.
    H265 = 0x0f03, BLOB.v4l2(b"HEVC").gst("video/x-h265").ffmpeg("hevc");
    /// A PNG file.
    PNG = 0x0f04, BLOB.gst("image/png").ros("png").ffmpeg("png");
    /// A Windows bitmap file.
    BMP = 0x0f05, BLOB.gst("image/bmp").ffmpeg("bmp");
}

const NO_ROWS: Group = Group { pixels: 0, bytes: 0 };
const BLOB: FormatInfo = FormatInfo {
    format: PixelFormat(0),
    name: "",
    v4l2: None,
    v4l2_also: None,
    drm: None,
    ffmpeg: None,
    gstreamer: None,
    ros: None,
    planes: 1,
    chroma: (1, 1),
    groups: [NO_ROWS; 4],
    significant_bits: 0,
    opencv: None,
    numpy: "u1",
};

const MONO8: FormatInfo = raw(&[one(1)], (1, 1), 8, "u1").cv("8UC1");
const MONO16: FormatInfo = raw(&[one(2)], (1, 1), 16, "<u2").cv("16UC1");
const RAW10: FormatInfo = raw(&[Group { pixels: 4, bytes: 5 }], (1, 1), 10, "u1");
const RAW12: FormatInfo = raw(&[Group { pixels: 2, bytes: 3 }], (1, 1), 12, "u1");
const RAW14: FormatInfo = raw(&[Group { pixels: 4, bytes: 7 }], (1, 1), 14, "u1");
const RGB: FormatInfo = raw(&[one(3)], (1, 1), 8, "u1").cv("8UC3");
const RGBA: FormatInfo = raw(&[one(4)], (1, 1), 8, "u1").cv("8UC4");
const RGB48: FormatInfo = raw(&[one(6)], (1, 1), 16, "<u2").cv("16UC3");
const RGBA64: FormatInfo = raw(&[one(8)], (1, 1), 16, "<u2").cv("16UC4");
const RGB_WORD: FormatInfo = raw(&[one(2)], (1, 1), 6, "<u2").cv("8UC2");
const PAIRS: FormatInfo = raw(&[Group { pixels: 2, bytes: 4 }], (2, 1), 8, "u1").cv("8UC2");
const NV420: FormatInfo = raw(&[one(1), one(2)], (2, 2), 8, "u1").cv("8UC1,8UC2");
const NV422: FormatInfo = NV420.chroma(2, 1);
const NV444: FormatInfo = NV420.chroma(1, 1);
const P420: FormatInfo = raw(&[one(2), one(4)], (2, 2), 16, "<u2").cv("16UC1,16UC2");
const PLANES3: FormatInfo = raw(&[one(1), one(1), one(1)], (1, 1), 8, "u1").cv("8UC1,8UC1,8UC1");

const fn one(bytes: u8) -> Group {
    Group { pixels: 1, bytes }
}

const fn raw(planes: &[Group], chroma: (u8, u8), significant_bits: u8, numpy: &'static str) -> FormatInfo {
    let mut groups = [NO_ROWS; 4];
    let mut plane = 0;
    while plane < planes.len() {
        groups[plane] = planes[plane];
        plane += 1;
    }
    FormatInfo { planes: planes.len() as u8, chroma, groups, significant_bits, numpy, ..BLOB }
}

/// The words that the rows of the table are written in.
impl FormatInfo {
    const fn named(self, format: PixelFormat, name: &'static str) -> Self {
        Self { format, name, ..self }
    }
    const fn v4l2(self, code: &[u8; 4]) -> Self {
        Self { v4l2: Some(FourCc::new(code)), ..self }
    }
    const fn also(self, code: &[u8; 4]) -> Self {
        Self { v4l2_also: Some(FourCc::new(code)), ..self }
    }
    const fn drm(self, code: &[u8; 4]) -> Self {
        Self { drm: Some(FourCc::new(code)), ..self }
    }
    const fn ffmpeg(self, name: &'static str) -> Self {
        Self { ffmpeg: Some(name), ..self }
    }
    const fn gst(self, name: &'static str) -> Self {
        Self { gstreamer: Some(name), ..self }
    }
    const fn ros(self, name: &'static str) -> Self {
        Self { ros: Some(name), ..self }
    }
    const fn cv(self, types: &'static str) -> Self {
        Self { opencv: Some(types), ..self }
    }
    const fn bits(self, significant_bits: u8) -> Self {
        Self { significant_bits, ..self }
    }
    const fn chroma(self, across: u8, down: u8) -> Self {
        Self { chroma: (across, down), ..self }
    }
}
