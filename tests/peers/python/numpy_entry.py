"""numpy alone: making a view of bytes that are there. No Python reader of frames can be cheaper."""

from __future__ import annotations

import numpy as np

ABOUT = {
    "name": "numpy alone (limit)",
    "version": np.__version__,
    "limit": True,
    "copies": False,
    "readers": 1,
    "setup": "np.frombuffer and reshape over a bytearray",
    "jobs": [["python", ["default"]]],
}

_frame = bytearray()


class Producer:
    def __init__(self, place):
        global _frame
        _frame = bytearray(place.width * place.height * 3)

    def publish(self, mark):
        mark(_frame)


class Consumer:
    def __init__(self, place):
        self.shape = place.shape

    def borrow(self):
        array = np.frombuffer(_frame, np.uint8).reshape(self.shape)
        del array
        return True
