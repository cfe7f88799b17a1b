#!/usr/bin/env bash
# examples/opencv.cpp with the real OpenCV: built against an installed libcamlane, it publishes a picture and reads it back
# unchanged, publishes a video and reads it to its end, and reads frames of each format that it converts with the colour that
# was published.
#
#   tests/opencv.sh            installs Debian's libopencv-dev (large) if it is missing
#
# Needs a Rust toolchain and a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
if (($#)); then
  sed -n '2,8p' "$0" >&2
  exit 2
fi

tests/install-packages.sh c++=g++ make=make pkg-config=pkg-config python3=python3 ffmpeg=ffmpeg
if ! pkg-config --exists opencv4; then
  tests/install-packages.sh opencv4.pc=libopencv-dev
fi

out=$PWD/target/opencv
rm -rf "$out"
mkdir -p "$out"
make -C adapters/capi install PROFILE=${PROFILE:-dev} PREFIX="$out" >/dev/null
cargo build --quiet -p camlane-cli
camlane=${CARGO_TARGET_DIR:-target}/debug/camlane
export PKG_CONFIG_PATH=$out/lib/pkgconfig LD_LIBRARY_PATH=$out/lib
# shellcheck disable=SC2046 # flags are words
c++ -std=c++17 -O1 -Wall -Wextra -Werror examples/opencv.cpp -o "$out/opencv" $(pkg-config --cflags --libs camlane) \
  -isystem "$(pkg-config --variable=includedir opencv4)" -lopencv_core -lopencv_imgproc -lopencv_imgcodecs -lopencv_videoio

python3 - "$out/opencv" "$camlane" "$out" <<'END'
import contextlib, os, pathlib, subprocess, sys, threading

opencv, camlane, out = sys.argv[1:]
out = pathlib.Path(out)
lane = f"opencv-{os.getpid()}"
checks = 0


def expect(fact, text):
    global checks
    checks += 1
    if not fact:
        sys.exit(f"opencv: {text}")


@contextlib.contextmanager
def running(*command):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def read(*more):
    done = subprocess.run([opencv, "read", lane, *more], capture_output=True, text=True, timeout=60)
    expect(done.returncode == 0, f"reading failed: {done.stdout}{done.stderr}")
    return done.stdout


def pixels(ppm):
    magic, width, height, most, data = pathlib.Path(ppm).read_bytes().split(maxsplit=4)
    expect((magic, most) == (b"P6", b"255"), "no PPM")
    return int(width), int(height), data


def feed(pipe, frame):
    with contextlib.suppress(BrokenPipeError), pipe:
        while True:
            pipe.write(frame)


# A picture whose rows need padding in a slot, and whose colours differ.
width, height = 67, 45
source = bytes(value for y in range(height) for x in range(width) for value in (3 * x, 5 * y, (x * y) % 256))
(out / "in.ppm").write_bytes(b"P6\n%d %d\n255\n" % (width, height) + source)

with running(opencv, "publish", lane, str(out / "in.ppm")):
    said = read(str(out / "out.ppm"))
    expect(f": {width}x{height}, " in said, said)
    expect(pixels(out / "out.ppm") == (width, height, source), "the picture that came back is another")
    info = subprocess.run([camlane, "info", lane], capture_output=True, text=True).stdout
    expect("BGR8" in info, info)

# A video, through cv::VideoCapture as fast as it decodes, for a reader that was there before.
frames = 20000  # seconds
subprocess.run((camlane, "rm", lane), check=True, stdout=subprocess.DEVNULL)  # what the one before left when it was ended
subprocess.run(
    ("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "color=red:size=64x48", "-frames:v", str(frames), "-c:v", "mjpeg", out / "red.avi"),
    check=True,
)
with subprocess.Popen((opencv, "read", lane), stdout=subprocess.PIPE, text=True) as reader:
    subprocess.run((opencv, "publish", lane, out / "red.avi"), check=True, timeout=120)
    said = reader.communicate(timeout=60)[0].splitlines()
expect(reader.returncode == 0 and said, "the reader did not end with the video")
expect(said[-1].startswith(f"frame {frames}: 64x48, "), said[-1])
expect(all("mean B 0.0 G 0.0 R 254.0" in line for line in said), said[0])

# The same red in every format that the example converts, in padded rows.
reds = {
    "BGR8": bytes([0, 0, 254]) * (64 * 48),
    "RGB8": bytes([254, 0, 0]) * (64 * 48),
    "YUYV": bytes([81, 90, 81, 240]) * (32 * 48),
    "NV12": bytes([81]) * (64 * 48) + bytes([90, 240]) * (32 * 24),
    "GRAY8": bytes([99]) * (64 * 48),
}
for format, frame in reds.items():
    command = (camlane, "publish", lane, "--from", "-", "--size", "64x48", "--format", format, "--align", "128", "--rate", "30")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        feeder = threading.Thread(target=feed, args=(process.stdin, frame))
        feeder.start()
        said = read(str(out / f"{format}.ppm"))
        process.terminate()
        feeder.join()
    expected = (99, 99, 99) if format == "GRAY8" else (254, 0, 0)
    size_and_data = pixels(out / f"{format}.ppm")
    expect(size_and_data[:2] == (64, 48), said)
    off = max(abs(value - expected[at % 3]) for at, value in enumerate(size_and_data[2]))
    expect(off <= 1, f"{format}: {off} from the colour that was published; {said}")

print(f"opencv: {checks} checks passed with OpenCV {subprocess.run(['pkg-config', '--modversion', 'opencv4'], capture_output=True, text=True).stdout.strip()}")
END
