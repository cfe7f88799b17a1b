"""A mapped file as Python has it. usage: window.py FILE LENGTH read|write|copy"""

import mmap
import os
import struct
import sys


def main() -> None:
    path, length, access = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    fd = os.open(path, os.O_RDONLY if access == "read" else os.O_RDWR)
    kinds = {"read": mmap.ACCESS_READ, "write": mmap.ACCESS_WRITE, "copy": mmap.ACCESS_COPY}
    memory = mmap.mmap(fd, length, access=kinds[access])
    os.close(fd)
    print("ok ready", flush=True)
    for line in sys.stdin:
        order, *rest = line.split()
        if order == "quit":
            return
        if order == "write":  # AT HEX...
            memory.seek(int(rest[0]))
            memory.write(bytes.fromhex(rest[1]))
            print(f"ok tell={memory.tell()}", flush=True)
        if order == "unpack":  # COUNT: what struct makes of a prefix
            (prefix,) = struct.unpack(f"{rest[0]}s", memory[: int(rest[0])])
            print("ok " + prefix.hex(), flush=True)
        if order == "find":
            print(f"ok at={memory.find(bytes.fromhex(rest[0])) + 1}", flush=True)  # 0: nowhere
        if order == "flush":
            memory.flush()
            print("ok", flush=True)


main()
