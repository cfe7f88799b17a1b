"""The formats and sizes in which known pictures go through the drivers, and how such pictures are made.

As a program (formats.py FOLDER) it makes them: FOLDER/PICTURE-SIZE.raw, three pictures one after another, rows without
padding. Two are photos (CC0, see tests/real-data.sh), the third is ffmpeg's test picture. Needs ffmpeg.
"""

import array
import dataclasses
import pathlib
import subprocess
import sys
import tempfile


@dataclasses.dataclass(frozen=True)
class Format:
    code: str  # the driver's fourcc
    name: str  # camlane's
    pixels: str  # what the bytes are: a name of ffmpeg's, or raw:ORDER:BITS for a simulated sensor
    memories: int = 1  # planes in memory of their own: more than one needs the multi-planar interface

    def file(self, folder, size):
        return pathlib.Path(folder) / f"{self.pixels.replace(':', '-')}-{size}.raw"


FORMATS = [
    Format("YUYV", "YUYV", "yuyv422"),
    Format("UYVY", "UYVY", "uyvy422"),
    Format("YVYU", "YVYU", "yvyu422"),
    Format("NV12", "NV12", "nv12"),
    Format("NV21", "NV21", "nv21"),
    Format("NV16", "NV16", "nv16"),
    Format("NV24", "NV24", "nv24"),
    Format("YU12", "I420", "yuv420p"),
    Format("422P", "I422", "yuv422p"),
    Format("GREY", "GRAY8", "gray"),
    Format("Y10 ", "GRAY10", "gray10le"),
    Format("Y12 ", "GRAY12", "gray12le"),
    Format("Y16 ", "GRAY16", "gray16le"),
    Format("RGB3", "RGB8", "rgb24"),
    Format("BGR3", "BGR8", "bgr24"),
    Format("XR24", "BGRX8", "bgr0"),
    Format("AB24", "RGBA8", "rgba"),
    Format("RGBP", "RGB565", "rgb565le"),
    Format("RGGB", "BAYER8_RGGB", "raw:RGGB:8"),
    Format("GRBG", "BAYER8_GRBG", "raw:GRBG:8"),
    Format("GBRG", "BAYER8_GBRG", "raw:GBRG:8"),
    Format("BA81", "BAYER8_BGGR", "raw:BGGR:8"),
    Format("RG10", "BAYER10_RGGB", "raw:RGGB:10"),
    Format("BG12", "BAYER12_BGGR", "raw:BGGR:12"),
    Format("RG16", "BAYER16_RGGB", "raw:RGGB:16"),
    Format("NM12", "NV12", "nv12", 2),
    Format("NM21", "NV21", "nv21", 2),
    Format("YM12", "I420", "yuv420p", 3),
    Format("YM16", "I422", "yuv422p", 3),
    Format("YM24", "I444", "yuv444p", 3),
]
BY_CODE = {format.code: format for format in FORMATS}

# The second has rows that are no multiple of 16 bytes in most formats, let alone of a cache line.
SIZES = ["640x480", "648x486"]
ODD = ["YUYV", "GREY", "NV12", "RGB3", "NM12"]

PHOTOS = ["coffee.png", "chelsea.png"]
PICTURES = 3


def known_pictures(folder, code, size):
    """The three pictures in that format, as bytes."""
    data = BY_CODE[code].file(folder, size).read_bytes()
    step = len(data) // PICTURES
    return [data[at : at + step] for at in range(0, len(data), step)]


def convert(source, size, kinds):
    """The picture in all these pixel formats of ffmpeg's, by one call."""
    scaled = f"scale={size.replace('x', ':')}"
    with tempfile.TemporaryDirectory() as folder:
        command = ["ffmpeg", "-loglevel", "error", "-nostdin", *source]
        for kind in kinds:
            command += ["-frames:v", "1", "-vf", scaled, "-pix_fmt", kind, "-f", "rawvideo", f"{folder}/{kind}"]
        command += ["-frames:v", "1", "-vf", scaled, "-pix_fmt", "yuvj422p", "-q:v", "3", "-f", "mjpeg", f"{folder}/jpeg"]
        subprocess.run(command, check=True)
        return {file.name: file.read_bytes() for file in pathlib.Path(folder).iterdir()}


def half_planar(planes):
    """4:2:2 in two planes, which ffmpeg does not write: the chroma of three planes, sample by sample."""
    half, quarter = len(planes) // 2, len(planes) // 4
    chroma = bytearray(half)
    chroma[0::2], chroma[1::2] = planes[half : half + quarter], planes[half + quarter :]
    return planes[:half] + bytes(chroma)


def sensor(rgb48, size, order, bits):
    """A photo as a sensor of that filter order would give it: one colour for each pixel, in the low bits of a word."""
    width, height = map(int, size.split("x"))
    samples = array.array("H", rgb48)
    raw = array.array("H", bytes(2 * width * height))
    for row in range(height):
        line = samples[3 * width * row : 3 * width * (row + 1)]
        for column in (0, 1):
            colour = "RGB".index(order[2 * (row % 2) + column])
            raw[width * row + column : width * (row + 1) : 2] = line[3 * column + colour :: 6]
    raw = [sample >> (16 - bits) for sample in raw]
    return bytes(raw) if bits == 8 else array.array("H", raw).tobytes()


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    data = pathlib.Path(__file__).resolve().parents[2] / "target/real-data"
    for size in SIZES:
        wanted = {format.pixels: format for format in FORMATS if size == SIZES[0] or format.code in ODD}
        if all(format.file(folder, size).exists() for format in wanted.values()):
            continue
        kinds = {kind for kind in wanted if not kind.startswith("raw:") and kind != "nv16"} | {"rgb48le", "yuv422p"}
        sources = [["-i", data / photo] for photo in PHOTOS] + [["-f", "lavfi", "-i", f"testsrc=size={size}"]]
        pictures = [convert(source, size, sorted(kinds)) for source in sources]
        for number, picture in enumerate(pictures):
            (folder / f"{number}-{size}.jpg").write_bytes(picture["jpeg"])
            picture["nv16"] = half_planar(picture["yuv422p"])
        for kind, format in wanted.items():
            if kind.startswith("raw:"):
                _, order, bits = kind.split(":")
                frames = [sensor(picture["rgb48le"], size, order, int(bits)) for picture in pictures]
            else:
                frames = [picture[kind] for picture in pictures]
            format.file(folder, size).write_bytes(b"".join(frames))


if __name__ == "__main__":
    main()
