"""The machine sleeps while cameras stream, and is woken by its clock. Runs in a machine of its own, which has no host after
the first sleep."""

import contextlib
import errno
import itertools
import pathlib
import time

import away
import vivid
from camlane import InStep, Publisher
from checks import PATHS
from lab import CAMLANE, Limit
from usb import UsbCamera

POWER = pathlib.Path("/sys/power")
ALARM = pathlib.Path("/sys/class/rtc/rtc0/wakealarm")
SECONDS = 10  # enough to fall asleep in: an alarm that comes before is lost
FROZEN = 1  # second at least: the kernel's test of frozen programs wants five, by a loop that counts
# Nothing is lost on the way to a reader, so that every number can be looked at.
LANE = ["--format", "YUYV", "--size", "640x480", "--history", "60"]


def suite(report, long):
    cameras = vivid.start()
    for camera in cameras:
        camera.webcam()
    with UsbCamera("640x480", rate=10) as usb:
        device = usb.plug()
        away.leave(report, CAMLANE, "v4l2-ctl")
        frozen(report, "vivid", cameras[0].capture)
        frozen(report, "uvcvideo", device)
        plugged(report)
        usb.unplug()
    for path in PATHS:
        asleep(report, cameras[0], path)
    in_step(report, cameras)
    silent(report, cameras[0])


def frozen(report, driver, device):
    """What comes first in every sleep: all programs stand still, the emulated camera's too."""
    with report.case("sleep", driver, "all programs are frozen and thaw: consumers go on, and every gap is told"):
        with streaming(device) as (_, consumer):
            (POWER / "pm_test").write_text("freezer")
            (POWER / "state").write_text("mem")
            (POWER / "pm_test").write_text("none")
            goes_on(consumer, FROZEN)


def plugged(report):
    with report.case("sleep", "uvcvideo", "the machine sleeps while the camera is plugged in"):
        try:
            sleep()
        except OSError as error:
            assert error.errno == errno.EBUSY, error
            raise Limit(f"the kernel's USB/IP controller, behind which the emulated camera is, refuses that ({error.strerror})")
        raise AssertionError("it slept, though a camera over USB/IP is said to refuse that")


def asleep(report, camera, path):
    name = "the machine sleeps in mid-stream: consumers go on, and every gap is told"
    with report.case("sleep", "vivid", name, memory=path, format="YUYV"):
        with streaming(camera.capture, "--memory", path, sealed=path == "dmabuf") as (publisher, consumer):
            sleep()
            goes_on(consumer, 0)  # the clock of pictures does not go while the machine sleeps
            assert publisher.info()["pause"] is None


def in_step(report, cameras):
    with report.case("sleep", "vivid and vivid", "the machine sleeps: sets in step go on"):
        with streaming(cameras[0].capture) as (left, _), streaming(cameras[1].capture) as (right, _):
            with InStep([left, right], 0.05) as lanes:
                lanes.frameset()
                sleep()
                lanes.later()
                lanes.interrupt()
                summary = lanes.summary()
                for lane in summary["lanes"]:
                    assert lane["delivered"] == lane["paired"] + lane["unpaired"] + lane["waiting"], lane
                    assert lane["paired"] == summary["framesets"] and lane["restarts"] == 0, lane


def silent(report, camera):
    with report.case("sleep", "vivid", "a camera that is silent since the machine slept is started again, and that is told"):
        with streaming(camera.capture) as (publisher, consumer):
            camera.control("percentage_of_dropped_buffers", 100)
            sleep()
            consumer.pause("suspended")
            assert publisher.info()["pause"]["reason"] == "suspended"
            assert "the machine slept" in publisher.err
            camera.control("percentage_of_dropped_buffers", 0)
            assert "DISCONTINUITY" in consumer.frame()["flags"]
            assert publisher.info()["pause"] is None
            assert publisher.summary()["restarts"] > 0


@contextlib.contextmanager
def streaming(device, *options, sealed=False):
    with Publisher(device, *LANE, "--rate", "10", *options, sealed=sealed) as publisher:
        with publisher.ready().watching() as consumer:
            consumer.frame()
            yield publisher, consumer


def goes_on(consumer, at_least):
    """Waits for a picture that was taken after this moment. In the same run of the lane, no number is missing that the driver
    did not skip, and none that it skipped was left uncounted."""
    now = time.monotonic_ns()
    consumer.frame(lambda frame: frame["capture_ns"] > now)
    frames = consumer.told("frame")
    for before, after in itertools.pairwise(frames):
        assert after["number"] == before["number"] + 1 and after["missed"] == 0 and not after["restarted"], (before, after)
        skipped = after["source_sequence"] - before["source_sequence"] - 1
        assert after["dropped"] == max(skipped, 0), (before, after)
    longest = max(after["capture_ns"] - before["capture_ns"] for before, after in itertools.pairwise(frames))
    assert longest > at_least * 10**9, f"the longest gap was {longest} ns: the programs were not frozen"


def sleep():
    """Sleeps (ACPI S3), and is woken by the clock."""
    before = slept()
    ALARM.write_text("0")
    ALARM.write_text(f"+{SECONDS}")
    (POWER / "state").write_text("mem")
    assert slept() - before > SECONDS / 2, f"it slept for {slept() - before} s"


def slept():
    """Seconds that the machine has slept so far."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
