#!/usr/bin/env python3
"""A USB camera without hardware: a UVC 1.0 device that the kernel's USB/IP host controller (vhci-hcd) believes in.

usage: usb_camera.py SIZE RATE YUYV-FILE JPEG-FILE...     as in 640x480 10 frames.yuyv 0.jpg 1.jpg 2.jpg

Frame n of the stream is picture n modulo their number. YUYV-FILE holds whole frames one after another, the other
files one MJPEG frame each. Reads one command a line on standard input and answers each with a line when it is done:

    plug     connect it to the first free port; the node /dev/videoN appears a little later
    unplug   pull the cable, in mid-stream if it streams
    short    cut the next frame to half its bytes
    damage   set the error bit of the next frame

Facts: USB Video Class 1.0 (descriptors, probe and commit, payload headers), the kernel's usbip_protocol.rst.
"""

import itertools
import pathlib
import select
import socket
import struct
import sys
import threading
import time

VHCI = pathlib.Path("/sys/devices/platform/vhci_hcd.0")
HIGH_SPEED = 3
DEVICE_ID = 0x10001

SUBMIT, UNLINK, SUBMITTED, UNLINKED = 1, 2, 3, 4
STALL = -32  # EPIPE: how a device says that it does not know a request

PAYLOAD = 16384  # bytes of one bulk transfer: 32 packets of 512, the most that uvcvideo asks for at once
FRAME_ID, END_OF_FRAME, ERROR, END_OF_HEADER = 0x01, 0x02, 0x40, 0x80

SET, GET, MINIMUM, MAXIMUM, STEP, LENGTH, INFORMATION, DEFAULT = 0x01, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87
PROBE, COMMIT = 1, 2
PROCESSING_UNIT, BRIGHTNESS = 2, 2
YUY2 = bytes.fromhex("5955593200001000800000aa00389b71")


def class_descriptor(*fields):
    """A class-specific interface descriptor: numbers are bytes, bytes stand for themselves."""
    body = b"".join(field if isinstance(field, bytes) else bytes([field]) for field in fields)
    return bytes([len(body) + 2, 0x24]) + body


class Camera:
    """What the device is and what it was told; bytes in, bytes out."""

    def __init__(self, width, height, rate, pictures):
        self.size = width, height
        self.interval = 10_000_000 // rate  # in units of 100 ns
        self.pictures = pictures  # by format index: 1 YUYV, 2 MJPEG
        self.brightness = 128
        self.format = 1
        self.configuration = self._configuration()

    def _frames(self, kind):
        width, height = self.size
        bits = width * height * 16 * 10_000_000 // self.interval
        frame = struct.pack("<BBHHIIIIBI", 1, 0, width, height, bits, bits, width * height * 2, self.interval, 1, self.interval)
        return class_descriptor(kind, frame)

    def _configuration(self):
        units = (
            class_descriptor(2, 1, struct.pack("<H", 0x0201), bytes(8), 3, bytes(3))  # camera: terminal 1
            + class_descriptor(5, PROCESSING_UNIT, 1, bytes(2), 2, b"\x01\x00", 0)  # knows brightness
            + class_descriptor(3, 3, struct.pack("<H", 0x0101), 0, PROCESSING_UNIT, 0)  # out to the host: terminal 3
        )
        header = class_descriptor(1, struct.pack("<HHI", 0x0100, 13 + len(units), 48_000_000), 1, 1)
        formats = (
            class_descriptor(4, 1, 1, YUY2, 16, 1, bytes(4)) + self._frames(5) + class_descriptor(13, 1, 1, 4)
            + class_descriptor(6, 2, 1, 1, 1, bytes(4)) + self._frames(7) + class_descriptor(13, 1, 1, 4)
        )
        inputs = class_descriptor(1, 2, struct.pack("<H", 15 + len(formats)), 0x81, 0, 3, 0, 0, 0, 1, bytes(2))
        interfaces = (
            bytes([8, 11, 0, 2, 14, 3, 0, 0])  # these two interfaces are one video function
            + bytes([9, 4, 0, 0, 0, 14, 1, 0, 0]) + header + units
            + bytes([9, 4, 1, 0, 1, 14, 2, 0, 0]) + inputs + formats
            + struct.pack("<BBBBHB", 7, 5, 0x81, 2, 512, 0)  # frames come over a bulk endpoint
        )
        return struct.pack("<BBHBBBBB", 9, 2, 9 + len(interfaces), 2, 1, 0, 0x80, 50) + interfaces

    def _stream_state(self):
        largest = max(map(len, self.pictures[self.format]))
        return struct.pack("<HBBI10sII", 1, self.format, 1, self.interval, bytes(10), largest, PAYLOAD)

    def control(self, setup, data):
        """Answers a request to endpoint 0; None refuses it."""
        kind, request, value, index, length = struct.unpack("<BBHHH", setup)
        if kind in (0x21, 0xA1):
            answer = self._class_request(request, value >> 8, index, data)
        elif (kind, request) == (0x80, 6):
            answer = self._descriptor(value)
        elif request in (1, 3, 9, 11):  # features, configuration, interface: there is only one of each
            answer = b""
        elif request == 0:
            answer = bytes(2)
        else:
            answer = None
        return answer if answer is None else answer[:length]

    def _descriptor(self, value):
        kind, number = value >> 8, value & 0xFF
        if kind == 1:
            return struct.pack("<BBHBBBBHHHBBBB", 18, 1, 0x0200, 0xEF, 2, 1, 64, 0x1209, 0x0001, 0x0100, 1, 2, 3, 1)
        if kind == 2:
            return self.configuration
        if kind == 3:
            text = ["\u0409", "camlane", "emulated USB camera", "1"][number].encode("utf-16-le")
            return bytes([len(text) + 2, 3]) + text
        return None

    def _class_request(self, request, selector, index, data):
        if index == PROCESSING_UNIT << 8 and selector == BRIGHTNESS:
            if request == SET:
                (self.brightness,) = struct.unpack("<h", data)
                return b""
            if request == INFORMATION:
                return b"\x03"
            numbers = {GET: self.brightness, MINIMUM: 0, MAXIMUM: 255, STEP: 1, DEFAULT: 128}
            return struct.pack("<h", numbers[request]) if request in numbers else None
        if index == 1 and selector in (PROBE, COMMIT):
            if request == SET:
                self.format = data[2] if data[2] in self.pictures else 1
                return b""
            if request == LENGTH:
                return struct.pack("<H", 26)
            return b"\x03" if request == INFORMATION else self._stream_state()
        return None


class Plugged:
    """The camera while its cable is in: serves the host controller's requests in a thread."""

    def __init__(self, camera):
        self.camera = camera
        self.faults = []
        self.waiting = []  # transfers of the bulk endpoint, oldest first: (number, bytes wanted)
        self.payloads = iter(())
        self.due = time.monotonic()
        self.numbers = itertools.count()
        self.socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with other:
            (VHCI / "attach").write_text(f"{free_port()} {other.fileno()} {DEVICE_ID} {HIGH_SPEED}")
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def pull(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()

    def _serve(self):
        while True:
            self._stream()
            pause = max(0, self.due - time.monotonic()) if self.waiting else None
            if not select.select([self.socket], [], [], pause)[0]:
                continue
            header = self._receive(48)
            if not header:
                return
            command, number, _, from_device, endpoint = struct.unpack(">5I", header[:20])
            if command == UNLINK:
                self._unlink(number, *struct.unpack(">I", header[20:24]))
                continue
            _, length = struct.unpack(">II", header[20:28])
            data = b"" if from_device else self._receive(length)
            if endpoint == 1:
                self.waiting.append((number, length))
            else:
                self._answer(number, self.camera.control(header[40:], data), 0 if from_device else length)

    def _receive(self, length):
        try:
            return self.socket.recv(length, socket.MSG_WAITALL)
        except ConnectionError:
            return b""

    def _send(self, message):
        try:
            self.socket.sendall(message)
        except OSError:  # pulled: the next read tells
            pass

    def _answer(self, number, data, sent=0):
        status, data = (STALL, b"") if data is None else (0, data)
        self._send(struct.pack(">5IiIIII8x", SUBMITTED, number, 0, 0, 0, status, sent or len(data), 0, 0, 0) + data)

    def _unlink(self, number, victim):
        """Takes back a transfer that waits. The host does that to all when it stops the stream."""
        kept = [transfer for transfer in self.waiting if transfer[0] != victim]
        status = -104 if len(kept) < len(self.waiting) else 0  # ECONNRESET: taken back; 0: it was answered before
        self.waiting, self.payloads = kept, iter(())
        self._send(struct.pack(">5Ii24x", UNLINKED, number, 0, 0, 0, status))

    def _stream(self):
        while self.waiting:
            payload = next(self.payloads, None)
            if payload is None:
                if time.monotonic() < self.due:
                    return
                self.due = max(self.due + self.camera.interval / 1e7, time.monotonic() - 0.1)
                self.payloads = self._cut(next(self.numbers))
                continue
            self._answer(self.waiting.pop(0)[0], payload)

    def _cut(self, number):
        """One frame as payloads, each with the two bytes of header in front."""
        pictures = self.camera.pictures[self.camera.format]
        frame = pictures[number % len(pictures)]
        fault = self.faults.pop(0) if self.faults else None
        if fault == "short":
            frame = frame[: len(frame) // 2]
        flags = END_OF_HEADER | (number & FRAME_ID) | (ERROR if fault == "damage" else 0)
        room = PAYLOAD - 2
        for at in range(0, len(frame), room):
            last = END_OF_FRAME if at + room >= len(frame) else 0
            yield bytes([2, flags | last]) + frame[at : at + room]


def free_port():
    """The first high-speed port with nothing in it: in the state 4, says the controller's own table."""
    for _ in range(100):
        for line in (VHCI / "status").read_text().splitlines()[1:]:
            hub, port, state = line.split()[:3]
            if hub == "hs" and int(state) == 4:
                return int(port)
        time.sleep(0.1)  # the port that was just left is still being cleaned up
    raise SystemExit("no free port")


def main():
    size, rate, yuyv, *jpegs = sys.argv[1:]
    width, height = map(int, size.split("x"))
    frames = pathlib.Path(yuyv).read_bytes()
    step = width * height * 2
    pictures = {
        1: [frames[at : at + step] for at in range(0, len(frames), step)],
        2: [pathlib.Path(path).read_bytes() for path in jpegs],
    }
    camera = Camera(width, height, int(rate), pictures)
    plugged = None
    for command in map(str.strip, sys.stdin):
        if command == "plug":
            plugged = Plugged(camera)
        elif command == "unplug":
            plugged.pull()
        elif command in ("short", "damage"):
            plugged.faults.append(command)
        else:
            raise SystemExit(f"what is {command}?")
        print(command, flush=True)


main()
