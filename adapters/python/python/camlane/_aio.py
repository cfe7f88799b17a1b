"""`async for frame in lane`, `async for frames in lanes`: the event loop watches descriptors, no thread of Python's is involved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from ._camlane import Frame, Lane, Synchronizer
from ._errors import Closed, Timeout

T = TypeVar("T")

# A producer that died makes no descriptor readable: somebody has to look.
LOOK_AROUND = 0.25


class Frames:
    """The frames of a lane, for one `async for`."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._filenos = (lane.fileno(),)

    def __aiter__(self) -> Frames:
        return self

    async def __anext__(self) -> Frame:
        try:
            return await _first(self._lane.poll, self._filenos, self._lane.timeout)
        except Closed:
            raise StopAsyncIteration from None
        except Timeout as timeout:
            pause = self._lane.pause
            raise (Timeout(f"{timeout}: {pause.text}") if pause else timeout) from None


class Sets:
    """The sets of lanes that are read in step, for one `async for`."""

    def __init__(self, lanes: Synchronizer) -> None:
        self._lanes = lanes
        self._filenos = lanes.filenos()

    def __aiter__(self) -> Sets:
        return self

    async def __anext__(self) -> tuple[Frame, ...]:
        try:
            return await _first(self._poll, self._filenos, self._lanes.timeout)
        except Timeout:
            pass
        return self._lanes.next(0.0)  # a set of the last moment, or why there is none

    def _poll(self) -> tuple[Frame, ...] | None:
        try:
            return self._lanes.next(0.0)
        except Timeout:
            return None


async def _first(poll: Callable[[], T | None], filenos: Sequence[int], timeout: float | None) -> T:
    """What `poll` gives when it first gives something, at the latest after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    while True:
        found = poll()
        if found is not None:
            return found
        left = LOOK_AROUND if deadline is None else min(LOOK_AROUND, deadline - loop.time())
        if left <= 0:
            raise Timeout("no frame came in time")
        await _readable(loop, filenos, left)


async def _readable(loop: asyncio.AbstractEventLoop, filenos: Sequence[int], limit: float) -> None:
    """Waits until one of the descriptors is readable, at most `limit` seconds."""
    event = loop.create_future()

    def tell() -> None:
        if not event.done():
            event.set_result(None)

    for fileno in filenos:
        loop.add_reader(fileno, tell)
    timer = loop.call_later(limit, tell)
    try:
        await event
    finally:
        timer.cancel()
        for fileno in filenos:
            loop.remove_reader(fileno)
