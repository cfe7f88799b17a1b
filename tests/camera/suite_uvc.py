"""uvcvideo, the driver of nearly every USB camera, with an emulated camera: formats, a control, and the cable."""

import errno

from camlane import Publisher
from checks import check_copies, check_padded, check_pictures
from lab import ctl
from usb import UsbCamera

SIZE, DRIVER = "640x480", "uvcvideo"


def suite(report, long):
    with UsbCamera(SIZE, rate=10) as camera:
        device = camera.plug()
        for code in ["YUYV", "MJPG"]:
            check_pictures(report, "uvc", DRIVER, device, code, SIZE, camera.pictures(code))
        check_padded(report, "uvc", DRIVER, device, "YUYV", SIZE, camera.pictures("YUYV"))
        described(report, device)
        control(report, device)
        broken_pictures(report, camera, device)
        cable(report, camera, device)
    with UsbCamera(SIZE, rate=2) as camera:
        check_copies(report, "uvc", DRIVER, camera.plug(), "YUYV", SIZE)


def described(report, device):
    with report.case("uvc", DRIVER, "a JPEG is a key frame, and its time is the start of its exposure", format="MJPG"):
        with Publisher(device, "--format", "JPEG") as publisher:
            for frame in publisher.ready().frames(3):
                assert "KEY" in frame["flags"], frame
                assert (frame["clock"], frame["reference"]) == ("monotonic", "start-of-exposure"), frame


def control(report, device):
    with report.case("uvc", DRIVER, "a control reaches the camera"):
        with Publisher(device, "--control", "brightness=77") as publisher:
            publisher.ready().frames(1)
        assert ctl(device, "-C", "brightness") == b"brightness: 77\n"


def broken_pictures(report, camera, device):
    for fault in ["short", "damage"]:
        with report.case("uvc", DRIVER, f"a picture that the driver drops ({fault}) is counted"):
            with Publisher(device, "--format", "YUYV") as publisher, publisher.ready().watching() as consumer:
                consumer.frame()
                camera.tell(fault)
                consumer.frame(lambda frame: frame["dropped"] > 0 or "CORRUPT" in frame["flags"])
                consumer.frame(lambda frame: frame["dropped"] == 0 and "CORRUPT" not in frame["flags"])


def cable(report, camera, device):
    with report.case("uvc", DRIVER, "the cable is pulled in mid-stream and put back: consumers go on"):
        with Publisher(device, "--format", "YUYV") as publisher, publisher.ready().watching() as consumer:
            seen = consumer.frame()
            camera.unplug()
            publisher.wait_for("a word about it", lambda: "gone" in publisher.err)
            told = consumer.pause("unplugged")
            assert told["errno"] == errno.ENODEV, told
            assert publisher.info()["pause"]["reason"] == "unplugged"
            camera.plug()
            again = consumer.frame()
            assert "DISCONTINUITY" in again["flags"], again
            consumer.frame(lambda frame: frame["number"] > seen["number"] + 5)
            assert publisher.info()["pause"] is None
