"""vivid, the kernel's virtual camera: known pictures are written into its output and looped into its capture."""

import contextlib
import re
import subprocess

from lab import Process, ctl, load, nodes, wait_for

HDMI_INPUT, HDMI_OUTPUT, NO_OSD = 3, 1, 2
SIGNALS = ["as set", "none", "unlocked", "out of range", "another"]  # its control dv_timings_signal_mode


class Vivid:
    """One instance: a capture and an output node, single- or multi-planar."""

    def __init__(self, number):
        self.number = number
        (self.capture,) = nodes(f"vivid-{number:03}-vid-cap", capture=False)
        (self.output,) = nodes(f"vivid-{number:03}-vid-out", capture=False)

    @contextlib.contextmanager
    def showing(self, file, code, size):
        """Connects output to capture, sets both to a format, and plays the file's frames while the block runs."""
        width, height = size.split("x")
        shape = f"width={width},height={height},pixelformat={code}"
        ctl(self.capture, "--set-input", HDMI_INPUT)
        link = f"hdmi_{self.number:03}_0_is_connected_to={self.number + 2}"
        if b"loop_video" in ctl(self.capture, "--list-ctrls"):  # before Linux 6.12
            link = "loop_video=1"
        ctl(self.capture, "-c", f"osd_text_mode={NO_OSD},{link}")
        timings = f"cvt,width={width},height={height},fps=50"
        ctl(self.capture, "--set-dv-bt-timings", timings)
        ctl(self.output, "--set-output", HDMI_OUTPUT, "--set-dv-bt-timings", timings)
        ctl(self.output, f"--set-fmt-video-out={shape}")
        ctl(self.capture, f"--set-fmt-video={shape}")
        play = ["--stream-out-mmap", f"--stream-from={file}", "--stream-loop"]
        with Process("v4l2-ctl", "-d", self.output, *play) as feed:
            feed.wait_for("the first pictures to be shown", lambda: "fps" in feed.err or feed.out.count(b">") > 5)
            yield

    def webcam(self):
        """Makes it a webcam that draws its own moving picture."""
        ctl(self.capture, "--set-input", 0)

    def format(self, code, size):
        """Sets a format, of which camlane keeps the number of memories: NV12 may lie in one, or in two."""
        width, height = size.split("x")
        ctl(self.capture, f"--set-fmt-video=width={width},height={height},pixelformat={code}")

    def hdmi(self, size):
        """Makes it an HDMI receiver that is set to a size."""
        width, height = size.split("x")
        ctl(self.capture, "--set-input", HDMI_INPUT)
        ctl(self.capture, "--set-dv-bt-timings", f"cvt,width={width},height={height},fps=50")

    def signal(self, which, size=None):
        """What comes in on HDMI from now on. Of another size: one of those that the driver has timings for, in 60 Hz."""
        if size:
            menu = ctl(self.capture, "--list-ctrls-menus").decode().split("dv_timings 0x")[1]
            self.control("dv_timings", re.search(rf"(\d+): {size}p60", menu)[1])
        self.control("dv_timings_signal_mode", SIGNALS.index(which))

    def control(self, name, value):
        ctl(self.capture, "-c", f"{name}={value}")


def start():
    """Loads the driver anew, so that a camera that was unplugged is back."""
    if nodes("vivid", capture=False):
        wait_for("nobody to use vivid", lambda: subprocess.run(["rmmod", "vivid"], stderr=subprocess.DEVNULL).returncode == 0)
    load("vivid", "n_devs=2", "multiplanar=1,2", "node_types=0x101,0x101")
    wait_for("vivid's nodes", lambda: len(nodes("vivid", capture=False)) == 4)
    return Vivid(0), Vivid(1)
