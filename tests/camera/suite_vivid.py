"""vivid: known pictures in every format by every memory path, what a frame costs, and every fault that it can inject."""

import errno
import os
import pathlib
import re
import time

import vivid
from camlane import Publisher
from checks import check_copies, check_dma_buf_syncs, check_padded, check_pictures
from formats import BY_CODE, FORMATS, ODD, SIZES, known_pictures
from lab import PICTURES

# In the short run; the long one takes all.
COMMON = ["YUYV", "NV12", "RGB3", "GREY", "RG10", "NM12"]


def suite(report, long):
    single, multi = vivid.start()
    for size in SIZES:
        codes = [format.code for format in FORMATS] if size == SIZES[0] else ODD
        for code in codes:
            if long or (code in COMMON and (size == SIZES[0] or code in ("YUYV", "NM12"))):
                format = BY_CODE[code]
                camera = multi if format.memories > 1 else single
                with camera.showing(format.file(PICTURES, size), code, size):
                    pictures = known_pictures(PICTURES, code, size)
                    check_pictures(report, "vivid", "vivid", camera.capture, code, size, pictures)
    for code in ODD if long else ["NM12"]:
        camera = multi if BY_CODE[code].memories > 1 else single
        with camera.showing(BY_CODE[code].file(PICTURES, SIZES[1]), code, SIZES[1]):
            pictures = known_pictures(PICTURES, code, SIZES[1])
            check_padded(report, "vivid", "vivid", camera.capture, code, SIZES[1], pictures)
    for camera, code in [(single, "YUYV"), (multi, "NM12"), (multi, "YM12")]:
        camera.webcam()
        camera.format(code, SIZES[0])
        check_dma_buf_syncs(report, "vivid", "vivid", camera.capture, code, SIZES[0], BY_CODE[code].memories)
    for camera, code in [(single, "YUYV"), (multi, "NM12")]:
        camera.webcam()
        check_copies(report, "vivid", "vivid", camera.capture, code, SIZES[0])
    faults(report, single)
    source(report, vivid.start()[0])


def faults(report, camera):
    camera.webcam()

    def case(name):
        return report.case("vivid", "vivid", name)

    with case("a picture that the driver marks as damaged comes marked"), publishing(camera) as publisher:
        with publisher.watching() as consumer:
            consumer.frame()
            camera.control("inject_v4l2_buf_flag_error", 1)
            consumer.frame(lambda frame: "CORRUPT" in frame["flags"])
            consumer.frame(lambda frame: "CORRUPT" not in frame["flags"])

    with case("pictures that the driver drops are counted, apart from what a consumer misses"), publishing(camera) as publisher:
        with publisher.watching() as consumer:
            first = consumer.frame()
            camera.control("percentage_of_dropped_buffers", 50)
            lost = consumer.frame(lambda frame: frame["dropped"] > 0)
            camera.control("percentage_of_dropped_buffers", 0)
            assert lost["number"] - first["number"] < lost["source_sequence"] - first["source_sequence"]

    with case("a buffer that the driver refuses once is queued again"), publishing(camera) as publisher:
        with publisher.watching() as consumer:
            camera.control("inject_vidioc_qbuf_error", 1)
            seen = consumer.frame()
            consumer.frame(lambda frame: frame["number"] > seen["number"] + 20)

    with case("a stream that breaks down (EIO) is started again, and consumers go on"), publishing(camera) as publisher:
        with publisher.watching() as consumer:
            seen = consumer.frame()
            camera.control("inject_fatal_streaming_error", 1)
            publisher.wait_for("a word about it", lambda: "broke down" in publisher.err)
            consumer.frame(lambda frame: frame["number"] > seen["number"] + 5)

    with case("a second producer is told who has the camera"), publishing(camera) as publisher:
        with Publisher(camera.capture) as second:
            assert second.end() == 1
            assert "busy" in second.err and str(publisher.child.pid) in second.err, second.err

    with case("a camera that is silent is told as that, costs nothing, and its next picture ends it"), publishing(camera) as publisher:
        with publisher.watching() as consumer:
            consumer.frame()
            camera.control("percentage_of_dropped_buffers", 100)
            used, begun = publisher.processor_seconds(), time.monotonic()
            consumer.pause("silent")  # after two seconds
            used, passed = publisher.processor_seconds() - used, time.monotonic() - begun
            assert used < passed / 4, f"{used} s of processor time in {passed} s without a picture"
            assert publisher.info()["pause"]["reason"] == "silent"
            camera.control("percentage_of_dropped_buffers", 0)
            assert "DISCONTINUITY" in consumer.frame()["flags"]
            assert publisher.info()["pause"] is None

    with case("slots without dma-bufs: the way that is taken instead, and why"):
        node, away = pathlib.Path("/dev/udmabuf"), pathlib.Path("/dev/udmabuf.away")
        present = node.exists()
        if present:
            node.rename(away)
        try:
            with Publisher(camera.capture, "--format", "YUYV", "--size", "640x480", sealed=True) as publisher:
                told = publisher.ready().summary()
        finally:
            if present:
                away.rename(node)
        assert told["memory"] == "userptr" and "/dev/udmabuf" in told["refused_memory"][0], told

    with case("in real time, with memory locked"):
        with Publisher(camera.capture, "--rate", "10", "--realtime", "7", "--lock-memory") as publisher:
            publisher.ready()
            pid = publisher.child.pid
            assert os.sched_getscheduler(pid) == os.SCHED_FIFO and os.sched_getparam(pid).sched_priority == 7
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            locked = int(re.search(r"VmLck:\s*(\d+)", status)[1])
            assert locked > 2 * 640 * 480 // 1024, f"{locked} kB"

    with case("the camera is unplugged and comes back: the lane stays, and consumers go on"), publishing(camera) as publisher:
        with publisher.watching() as consumer:
            seen = consumer.frame()
            camera.control("disconnect", 1)
            publisher.wait_for("a word about it", lambda: "gone" in publisher.err)
            told = consumer.pause("unplugged")
            assert told["errno"] == errno.ENODEV and "for" in told["text"], told
            # vivid puts it back as soon as nobody has it open; a camera that stays away is the business of the uvc suite.
            assert "DISCONTINUITY" in consumer.frame()["flags"]
            consumer.frame(lambda frame: frame["number"] > seen["number"] + 5)
            assert publisher.info()["pause"] is None


def source(report, camera):
    """What happens to HDMI receivers: the source changes, or goes."""
    camera.hdmi("640x480")

    def case(name):
        return report.case("vivid", "vivid", name)

    with case("the source has another size: the camera is set to it, and readers go on with the new format"):
        with Publisher(camera.capture, "--format", "YUYV").ready() as publisher, publisher.watching() as consumer:
            before = consumer.frame()
            assert (before["width"], before["height"]) == (640, 480), before
            camera.signal("another", "800x600")
            after = consumer.frame(lambda frame: frame["width"] != 640)
            assert (after["width"], after["height"], after["restarted"]) == (800, 600, True), after
            consumer.frame(lambda frame: frame["number"] > after["number"] + 5)
            summary = publisher.summary()
            assert summary["format_changes"] in (1, 2), summary  # vivid tells of the choice, and of the switch to it
            assert "now gives YUYV 800x600" in publisher.err, publisher.err
    camera.signal("as set")

    for signal, number in [("none", errno.ENOLINK), ("unlocked", errno.ENOLCK), ("out of range", errno.ERANGE)]:
        with case(f"the signal goes ({signal}) and comes back: the lane stays, and consumers go on"):
            with Publisher(camera.capture, "--format", "YUYV").ready() as publisher, publisher.watching() as consumer:
                consumer.frame()
                camera.signal(signal)
                told = consumer.pause("no-signal")
                assert told["errno"] == number, told
                publisher.wait_for("a word about it", lambda: "gets no signal" in publisher.err)
                assert publisher.info()["pause"]["reason"] == "no-signal"
                camera.signal("as set")
                again = consumer.frame()
                assert "DISCONTINUITY" in again["flags"] and not again["restarted"], again
                assert publisher.info()["pause"] is None
        camera.signal("as set")


def publishing(camera):
    return Publisher(camera.capture, "--format", "YUYV", "--size", "640x480", "--rate", "10").ready()
