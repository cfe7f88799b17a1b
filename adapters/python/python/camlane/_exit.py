"""Ends the streams of a program that ends, also where its globals outlive it because a daemon thread still uses them."""

from __future__ import annotations

import atexit
import contextlib
import weakref

from ._camlane import Producer
from ._errors import ForkedError

PRODUCERS: weakref.WeakSet[Producer] = weakref.WeakSet()


@atexit.register
def close_all() -> None:
    """Closes every producer that is alive. In a forked child they are the parent's, and closing does nothing."""
    for producer in [*PRODUCERS]:
        with contextlib.suppress(ForkedError):
            producer.close()
