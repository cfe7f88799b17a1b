"""multiprocessing's SharedMemory, and an Event for each consumer: what the standard library offers."""

from __future__ import annotations

import platform
from multiprocessing.shared_memory import SharedMemory

import numpy as np

ABOUT = {
    "name": "SharedMemory + Event (Python)",
    "version": platform.python_version(),
    "limit": False,
    "copies": False,
    "readers": 4,
    "setup": "one picture in place, an Event for each consumer; nothing says when it may be overwritten",
    "jobs": [["asleep", ["default"]], ["stream", ["default"]], ["python", ["default"]]],
}

_bells = []
_start = None


def bells(events):
    """Takes the Events, which only children of one process share."""
    _bells.extend(events)


def start_later(start):
    """Takes what starts the consumers, to be called when the memory is there."""
    global _start
    _start = start


class Producer:
    def __init__(self, place):
        self.memory = SharedMemory(place.name, create=True, size=place.width * place.height * 3)
        self.memory.buf[:] = bytes(len(self.memory.buf))
        self.shape = place.shape
        _start()

    def publish(self, mark):
        mark(np.ndarray(self.shape, np.uint8, self.memory.buf))
        for bell in _bells:
            bell.set()

    def __del__(self):
        self.memory.close()
        self.memory.unlink()


class Consumer:
    def __init__(self, place, bell=None):
        self.memory = SharedMemory(place.name)
        self.shape = place.shape
        self.bell = bell

    def borrow(self):
        array = np.ndarray(self.shape, np.uint8, self.memory.buf)
        del array
        return True

    def wait(self, look, limit):
        if not self.bell.wait(limit):
            return None
        self.bell.clear()
        return look(np.ndarray(self.shape, np.uint8, self.memory.buf))
