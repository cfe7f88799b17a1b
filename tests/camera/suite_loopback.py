"""v4l2loopback, behind which screen grabbers and phones appear as cameras: it takes no memory but its own."""

import pathlib
import sys

from camlane import Publisher
from checks import check_copies, check_padded, check_pictures
from formats import BY_CODE, known_pictures
from lab import KERNEL, PICTURES, Process, load, nodes, run

NAME, SIZE, DEVICE = "looped", "640x480", "/dev/video20"


def suite(report, long):
    load("videodev")
    module = pathlib.Path(KERNEL).parent / "v4l2loopback/v4l2loopback.ko"
    run("insmod", module, "video_nr=20", f"card_label={NAME}", "exclusive_caps=1", "max_buffers=8")
    for code in ["YUYV", "NV12", "RGB3"] if long else ["YUYV"]:
        with showing(code, rate=10):
            pictures = known_pictures(PICTURES, code, SIZE)
            check_pictures(report, "loopback", "v4l2loopback", DEVICE, code, SIZE, pictures)
            if code == "YUYV":
                check_padded(report, "loopback", "v4l2loopback", DEVICE, code, SIZE, pictures, ["mmap"])
    with showing("YUYV", rate=2):
        check_copies(report, "loopback", "v4l2loopback", DEVICE, "YUYV", SIZE, ["mmap"])
        with report.case("loopback", "v4l2loopback", "without a choice it is mmap, with the reasons why not better") as row:
            with Publisher(DEVICE, "--format", "YUYV") as publisher:
                told = publisher.ready().summary()
            row["memory"], row["copies"] = told["memory"], told["copies_per_frame"]
            assert told["memory"] == "mmap" and told["copies_per_frame"] == 1, told
            assert [reason.split()[0].strip(":") for reason in told["refused_memory"]] == ["dmabuf", "userptr"], told


def showing(code, rate):
    """Plays the known pictures into it. The driver knows no pace and guards no buffer: one who writes as fast as he can
    changes pictures under the readers."""
    feed = pathlib.Path(__file__).parent / "feed.py"
    process = Process(sys.executable, feed, DEVICE, code, SIZE, rate, BY_CODE[code].file(PICTURES, SIZE))
    process.wait_for("the camera to give pictures", lambda: nodes(NAME))
    return process
