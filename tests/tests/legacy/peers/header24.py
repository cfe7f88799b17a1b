"""The same in Python, with the standard library alone. usage: header24.py read|write NAME WIDTH HEIGHT"""

import mmap
import os
import struct
import sys
import time

HEADER = struct.Struct("<iiiqi")
assert HEADER.size == 24


def main() -> None:
    role, name, width, height = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    pixels = width * height * 3
    total = HEADER.size + pixels
    path = "/dev/shm/" + name.lstrip("/")
    if role == "write":
        fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        os.ftruncate(fd, total)
        memory = mmap.mmap(fd, total, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    else:
        fd = os.open(path, os.O_RDONLY)
        memory = mmap.mmap(fd, total, mmap.MAP_SHARED, mmap.PROT_READ)
    print("ok ready", flush=True)
    for line in sys.stdin:
        order, *rest = line.split()
        if order == "quit":
            return
        if order == "frame":
            value = int(rest[0])
            memory[20:24] = struct.pack("<i", 0)
            memory[0:20] = HEADER.pack(width, height, 3, time.time_ns() // 1_000_000, 0)[:20]
            memory[24:total] = bytes([value]) * pixels
            memory[20:24] = struct.pack("<i", 1)
            print("ok", flush=True)
        if order == "look":
            w, h, channels, stamp, valid = HEADER.unpack_from(memory, 0)
            picture = memory[24:total]
            whole = picture == picture[:1] * pixels
            again = HEADER.unpack_from(memory, 0) == (w, h, channels, stamp, valid)
            print(
                f"ok width={w} height={h} channels={channels} timestamp={stamp} valid={valid}"
                f" first={picture[0]} whole={int(whole)} again={int(again)}",
                flush=True,
            )


main()
