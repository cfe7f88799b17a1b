"""Two cameras in step: `camlane watch --sync` pairs their pictures, and accounts for each that found no partner."""

import vivid
from camlane import InStep, Publisher
from usb import UsbCamera

TOLERANCE = 0.05  # half of the shorter period
# Nothing is lost on the way to a reader, so that all can be counted; and nobody begins before all are there.
LANE = ["--format", "YUYV", "--size", "640x480", "--history", "60", "--pins", "8"]
VIVIDS = "vivid and vivid"


def suite(report, long):
    cameras = vivid.start()
    for camera in cameras:
        camera.webcam()
    exact(report, cameras, 40 if long else 20)
    silent(report, cameras)
    ended(report, cameras)
    cable(report, cameras[0])


def exact(report, cameras, count):
    """One of twice the other's rate. What the sets must be is worked out from what two other readers saw."""
    with report.case("sync", VIVIDS, "sets and what found no partner are counted exactly") as row:
        with publishing(cameras[0], 10, 2) as left, publishing(cameras[1], 5, 2) as right:
            with left.watching() as of_left, right.watching() as of_right:
                with InStep([left, right], TOLERANCE, "--frames", count) as lanes:
                    summary = lanes.summary()
                    sets = lanes.told("frameset")
                pairs = [tuple(frame["number"] for frame in each["frames"]) for each in sets]
                captured = [times(watcher, last) for watcher, last in zip((of_left, of_right), pairs[-1])]
        assert summary["framesets"] == len(pairs) == count
        assert pairs == partners(*captured), f"{pairs} instead of {partners(*captured)}"
        assert all(0 <= each["spread_ns"] <= TOLERANCE * 1e9 for each in sets), sets
        for lane, last in zip(summary["lanes"], pairs[-1]):
            assert lane["missed"] == 0 and lane["paired"] == count, lane
            assert lane["unpaired"] == last - count, lane
            assert lane["waiting"] == lane["delivered"] - last, lane
        row["detail"] = ", ".join(f"{lane['paired']} paired and {lane['unpaired']} not" for lane in summary["lanes"])
        assert summary["lanes"][0]["unpaired"] > 0, "a camera of twice the rate has a picture for nobody"


def silent(report, cameras):
    with report.case("sync", VIVIDS, "one camera gives no pictures: it is said, the other's are counted, and sets go on"):
        with publishing(cameras[0], 10, 1) as left, publishing(cameras[1], 10, 1) as right:
            with InStep([left, right], TOLERANCE) as lanes:
                lanes.frameset()
                cameras[1].control("percentage_of_dropped_buffers", 100)
                lanes.news(right, "the camera gives no pictures")
                before = lanes.told("frameset")[-1]
                cameras[1].control("percentage_of_dropped_buffers", 0)
                after = lanes.later()
                lanes.interrupt()
                assert accounted(lanes)["lanes"][1]["dropped"] > 0, "what the driver dropped is counted apart"
        # The silence was two seconds long, twenty pictures, of which the pins hold eight back for a partner.
        assert after["frames"][0]["number"] - before["frames"][0]["number"] > 8, (before, after)


def ended(report, cameras):
    with report.case("sync", VIVIDS, "one camera's program ends, and another takes its place: both are said, and sets go on"):
        with publishing(cameras[0], 10, 1) as left, publishing(cameras[1], 10, 1) as right:
            with InStep([left, right], TOLERANCE) as lanes:
                lanes.frameset()
                assert right.interrupt() == 0
                lanes.news(right, "ended the stream")
                with Publisher(cameras[1].capture, *LANE, "--rate", 10, lane=right.lane):
                    lanes.later()
                    lanes.interrupt()
                    assert accounted(lanes)["lanes"][1]["restarts"] == 1


def cable(report, camera):
    with report.case("sync", "vivid and uvcvideo", "the USB camera is unplugged and put back: it is said, and sets go on"):
        with UsbCamera("640x480", rate=10) as usb:
            with publishing(camera, 10, 1) as left, Publisher(usb.plug(), *LANE, "--wait-for", 1) as right:
                with InStep([left, right], TOLERANCE) as lanes:
                    before = lanes.frameset()
                    usb.unplug()
                    lanes.news(right, "the camera is unplugged")
                    usb.plug()
                    after = lanes.later()
                    lanes.interrupt()
                    accounted(lanes)
        assert [a["number"] > b["number"] for a, b in zip(after["frames"], before["frames"])] == [True, True]


def publishing(camera, rate, readers):
    """A camera that begins when so many readers are there."""
    return Publisher(camera.capture, *LANE, "--rate", rate, "--wait-for", readers)


def times(watcher, last):
    """When each picture up to one was captured, as a reader of that lane alone saw it."""
    watcher.event("the last picture of a set", lambda line: line["event"] == "frame" and line["number"] >= last)
    frames = watcher.told("frame")[:last]
    assert [frame["number"] for frame in frames] == list(range(1, last + 1)), "a reader missed one"
    return [frame["capture_ns"] for frame in frames]


def partners(left, right):
    """The pairs that two cameras' times make: numbers, from 1 on."""
    at, pairs = [0, 0], []
    while at[0] < len(left) and at[1] < len(right):
        apart = left[at[0]] - right[at[1]]
        if abs(apart) <= TOLERANCE * 1e9:
            pairs.append((at[0] + 1, at[1] + 1))
        at[0] += apart <= TOLERANCE * 1e9
        at[1] += apart >= -TOLERANCE * 1e9
    return pairs


def accounted(lanes):
    """Every frame that was read is in a set, has no partner, or waits for one; sets are as many as were shown."""
    summary = lanes.summary()
    shown = len(lanes.told("frameset"))
    for lane in summary["lanes"]:
        assert lane["paired"] == shown, (lane, shown)
        assert lane["delivered"] == lane["paired"] + lane["unpaired"] + lane["waiting"], lane
    return summary
