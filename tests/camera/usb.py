"""The emulated USB camera as the suites use it: plug, unplug, faults."""

import pathlib
import subprocess
import sys

from formats import known_pictures
from lab import PICTURES, Process, ctl, load, nodes, wait_for

NAME = "emulated USB camera"


class UsbCamera(Process):
    """The device; not plugged in at first."""

    def __init__(self, size, rate):
        load("uvcvideo")
        load("vhci-hcd")
        self.size = size
        self.jpegs = sorted(pathlib.Path(PICTURES).glob(f"[0-9]-{size}.jpg"))
        yuyv = next(pathlib.Path(PICTURES).glob(f"yuyv422-{size}.raw"))
        program = pathlib.Path(__file__).parent / "usb_camera.py"
        super().__init__(sys.executable, program, size, rate, yuyv, *self.jpegs, stdin=subprocess.PIPE, bufsize=0)
        self.said = 0

    def pictures(self, code):
        """What it shows: three frames of YUYV, or three files of MJPEG."""
        if code == "MJPG":
            return [file.read_bytes() for file in self.jpegs]
        return known_pictures(PICTURES, code, self.size)

    def tell(self, command):
        self.child.stdin.write(f"{command}\n".encode())
        self.said += 1
        self.wait_for(f"the answer to {command}", lambda: len(self.out.splitlines()) >= self.said)

    def plug(self):
        """Puts it in and returns its node, once that can be opened."""
        self.tell("plug")
        return self.wait_for("its node", self.node)

    def unplug(self):
        self.tell("unplug")
        wait_for("its node to go", lambda: not nodes(NAME, capture=False))

    @staticmethod
    def node():
        found = nodes(NAME)
        return found[0] if found else None
