#!/usr/bin/env python3
"""Plays frames into a video output device, at a pace, by write(2).

usage: feed.py DEVICE FOURCC SIZE RATE FILE     FILE holds three frames
"""

import fcntl
import itertools
import pathlib
import struct
import sys
import time

VIDIOC_S_FMT = 0xC0D05605  # _IOWR('V', 5, struct v4l2_format), 208 bytes where a long has 64 bits
OUTPUT, PROGRESSIVE = 2, 1

device, code, size, rate, file = sys.argv[1:]
width, height = map(int, size.split("x"))
data = pathlib.Path(file).read_bytes()
step = len(data) // 3
with open(device, "wb", buffering=0) as output:
    shape = struct.pack("=IIII4sIII", OUTPUT, 0, width, height, code.encode(), PROGRESSIVE, 0, step)
    fcntl.ioctl(output, VIDIOC_S_FMT, shape.ljust(208, b"\0"))
    due = time.monotonic()
    for number in itertools.count():
        at = number % 3 * step
        output.write(data[at : at + step])
        due = max(due + 1 / float(rate), time.monotonic())
        time.sleep(max(0, due - time.monotonic()))
