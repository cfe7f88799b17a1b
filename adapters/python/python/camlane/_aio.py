"""`async for frame in lane`: the event loop watches the lane's descriptor, no thread of Python's is involved."""

from __future__ import annotations

import asyncio

from ._camlane import Frame, Lane
from ._errors import Closed, Timeout

# A producer that died makes no descriptor readable: somebody has to look.
LOOK_AROUND = 0.25


class Frames:
    """The frames of a lane, for one `async for`."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._fileno = lane.fileno()

    def __aiter__(self) -> Frames:
        return self

    async def __anext__(self) -> Frame:
        loop = asyncio.get_running_loop()
        timeout = self._lane.timeout
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            try:
                frame = self._lane.poll()
            except Closed:
                raise StopAsyncIteration from None
            if frame is not None:
                return frame
            left = LOOK_AROUND if deadline is None else min(LOOK_AROUND, deadline - loop.time())
            if left <= 0:
                pause = self._lane.pause
                raise Timeout("no frame came in time" + (f": {pause.text}" if pause else ""))
            await self._readable(loop, left)

    async def _readable(self, loop: asyncio.AbstractEventLoop, limit: float) -> None:
        """Waits until the lane may have something, at most `limit` seconds."""
        event = loop.create_future()

        def tell() -> None:
            if not event.done():
                event.set_result(None)

        loop.add_reader(self._fileno, tell)
        timer = loop.call_later(limit, tell)
        try:
            await event
        finally:
            timer.cancel()
            loop.remove_reader(self._fileno)
