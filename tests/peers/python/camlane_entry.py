"""camlane's Python package."""

from __future__ import annotations

from importlib.metadata import version

import camlane

ABOUT = {
    "name": "camlane for Python",
    "version": version("camlane"),
    "limit": False,
    "copies": False,
    "readers": 64,
    "setup": "loan.array and publish, frame.array and release",
    "jobs": [
        ["polling", ["default"]],
        ["asleep", ["default"]],
        ["stream", ["default", "adaptive"]],
        ["python", ["default"]],
    ],
}


class Producer:
    def __init__(self, place):
        self.lane = camlane.create(place.name, width=place.width, height=place.height, seats=place.readers)

    def publish(self, mark):
        loan = self.lane.loan()
        mark(loan.array)
        loan.publish()


class Consumer:
    def __init__(self, place):
        self.lane = camlane.open(place.name, populate=True, wait="adaptive" if place.way == "adaptive" else "sleep")

    def borrow(self):
        frame = self.lane.poll()
        array = frame.array
        del array
        frame.release()
        return True

    def poll(self, look, _limit):
        frame = self.lane.poll()
        return None if frame is None else self.show(frame, look)

    def wait(self, look, limit):
        try:
            return self.show(self.lane.next(limit), look)
        except (TimeoutError, camlane.Closed):
            return None

    @staticmethod
    def show(frame, look):
        seen = look(frame.array)
        frame.release()
        return seen
