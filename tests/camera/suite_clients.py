"""Programs that people use today, on the same device and the same known pictures: they see the bytes that camlane sees."""

import os
import sys
import tempfile

import camlane
import vivid
from formats import BY_CODE, known_pictures
from lab import PICTURES, Process, ctl, cut, identify, run

SIZE, COUNT = "640x480", 8


def through_a_lane(device, format):
    return b"".join(camlane.capture(device, format.name, SIZE, COUNT, known_pictures(PICTURES, format.code, SIZE)))


def v4l2_ctl(device, format):
    with scratch() as file:
        ctl(device, f"--set-fmt-video=pixelformat={format.code}", "--stream-mmap", f"--stream-count={COUNT}", f"--stream-to={file.name}")
        return file.read()


def ffmpeg(device, format):
    source = ["-f", "v4l2", "-input_format", format.pixels, "-video_size", SIZE, "-i", device]
    return run("ffmpeg", "-loglevel", "error", "-nostdin", *source, "-frames:v", COUNT, "-f", "rawvideo", "-")


def gstreamer(device, format, mode="auto"):
    name = {"YUYV": "YUY2", "NV12": "NV12", "GREY": "GRAY8", "RGB3": "RGB"}[format.code]
    width, height = SIZE.split("x")
    shape = f"video/x-raw,format={name},width={width},height={height}"
    source = ["v4l2src", f"device={device}", f"io-mode={mode}", f"num-buffers={COUNT}"]
    with scratch() as file:
        run("gst-launch-1.0", "-q", *source, "!", shape, "!", "filesink", f"location={file.name}")
        return file.read()


def gstreamer_dmabuf(device, format):
    return gstreamer(device, format, "dmabuf")


def ustreamer(device, format):
    sink = "camlane-test::raw"
    options = ["--input", vivid.HDMI_INPUT, "-r", SIZE, "-m", "YUYV", "--raw-sink", sink, "--port", "8081"]
    with scratch() as file, Process("ustreamer", "-d", device, *options) as server:
        server.wait_for("its sink", lambda: os.path.exists(f"/dev/shm/{sink}"))
        run("ustreamer-dump", "--sink", sink, "--output", file.name, "--count", COUNT)
        return file.read()


def opencv(device, format):
    read = f"""
import cv2, sys
camera = cv2.VideoCapture({device!r}, cv2.CAP_V4L2)
camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"YUYV"))
camera.set(cv2.CAP_PROP_CONVERT_RGB, 0)
for _ in range({COUNT}):
    good, picture = camera.read()
    assert good
    sys.stdout.buffer.write(picture.tobytes())
"""
    return run(sys.executable, "-c", read, env={**os.environ, "PYTHONPATH": os.environ["CAMERA_OPENCV"]})


def scratch():
    return tempfile.NamedTemporaryFile(dir="/dev/shm")


CLIENTS = {
    "camlane": (through_a_lane, ["YUYV", "NV12", "GREY", "RGB3"]),
    "v4l2-ctl": (v4l2_ctl, ["YUYV", "NV12", "GREY", "RGB3"]),
    "ffmpeg": (ffmpeg, ["YUYV", "NV12", "GREY", "RGB3"]),
    "gstreamer": (gstreamer, ["YUYV", "NV12", "GREY", "RGB3"]),
    "gstreamer, dmabuf": (gstreamer_dmabuf, ["YUYV", "NV12"]),
    "ustreamer": (ustreamer, ["YUYV"]),
    "OpenCV": (opencv, ["YUYV"]),
}


def suite(report, long):
    camera, _ = vivid.start()
    for code in ["YUYV", "NV12", "GREY", "RGB3"]:
        format = BY_CODE[code]
        pictures = known_pictures(PICTURES, code, SIZE)
        with camera.showing(format.file(PICTURES, SIZE), code, SIZE):
            for name, (client, codes) in CLIENTS.items():
                if code not in codes:
                    continue
                with report.case("clients", "vivid", f"{name} sees the known pictures", format=code, size=SIZE):
                    seen = identify(cut(client(camera.capture, format), len(pictures[0])), pictures)
                    assert len(seen) == COUNT and len(set(seen)) > 1, f"it saw {seen}"
