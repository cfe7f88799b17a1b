"""What a frame costs in Python, beside multiprocessing.shared_memory and, where it is installed, iceoryx2's package.

All in one process and in turn, BGR of two sizes: what costs the same for both copies nothing. Median and least of rounds, less
what an empty call costs. On a machine that has nothing else to do the two are alike; on a busy one the least is nearer to the
truth. A lane's copies go into one slot after the other, those beside it into one place that the cache keeps.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing import shared_memory
from typing import Any

import camlane

Shape = tuple[int, int, int]
Steps = dict[str, Callable[[], None]]

# Shape, rounds, loops in each.
SIZES: list[tuple[Shape, int, int]] = [((48, 64, 3), 301, 200), ((1080, 1920, 3), 31, 200)]


def of_camlane(name: str, numpy: Any, shape: Shape) -> Steps:
    """One end of each kind in this process."""
    producer = camlane.create(name, width=shape[1], height=shape[0])
    lane = camlane.open(name, populate=True)
    picture = numpy.zeros(shape, numpy.uint8)

    def publish() -> None:
        producer.loan().publish()

    def both() -> None:
        producer.loan().publish()
        frame = lane.poll()
        if frame is not None:
            array = frame.array
            del array
            frame.release()

    def copy_in() -> None:
        producer.publish(picture)

    both()  # the next frame is the first that is measured
    copy_in()
    (low, high), frame = lane.addresses, lane.next(1.0)
    if not low <= frame.array.__array_interface__["data"][0] < high:
        raise RuntimeError("the array is not the lane's memory")
    return {"publish": publish, "both": both, "copy": copy_in}


def of_shared_memory(numpy: Any, shape: Shape) -> Steps:
    """Bytes without anything around them."""
    shared = shared_memory.SharedMemory(create=True, size=math.prod(shape))
    picture = numpy.zeros(shape, numpy.uint8)

    def view() -> None:
        numpy.ndarray(shape, numpy.uint8, shared.buf)

    def copy_in() -> None:
        numpy.ndarray(shape, numpy.uint8, shared.buf)[:] = picture

    def close() -> None:
        shared.close()
        shared.unlink()

    return {"view": view, "copy": copy_in, "close": close}


def of_iceoryx2(name: str, numpy: Any, shape: Shape) -> Steps:
    """A publisher and a subscriber of slices of bytes; the payload of each sample viewed as an array."""
    size = math.prod(shape)
    iox2: Any = importlib.import_module("iceoryx2")
    iox2.set_log_level(iox2.LogLevel.Error)
    node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)
    service = (
        node.service_builder(iox2.ServiceName.new(name))
        .publish_subscribe(iox2.Slice[ctypes.c_uint8])
        .enable_safe_overflow(True)
        .subscriber_max_buffer_size(2)
        .history_size(0)
        .open_or_create()
    )
    publisher = service.publisher_builder().initial_max_slice_len(size).max_loaned_samples(1).create()
    subscriber = service.subscriber_builder().create()

    def publish() -> None:
        publisher.loan_slice_uninit(size).assume_init().send()

    def both() -> None:
        publisher.loan_slice_uninit(size).assume_init().send()
        sample = subscriber.receive()
        array = numpy.frombuffer(sample.payload().as_memory_view(), numpy.uint8).reshape(shape)
        del array
        sample.delete()

    return {"publish": publish, "both": both}


def measure(steps: Steps, rounds: int, loops: int) -> tuple[dict[str, float], dict[str, float]]:
    """Nanoseconds of each, median and least; in turn, so that a busy moment hits all."""

    def nothing() -> None:
        pass

    steps = {"nothing": nothing, **steps}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            began = time.perf_counter_ns()
            for _ in range(loops):
                step()
            times[name].append((time.perf_counter_ns() - began) / loops)

    def less_call(figures: dict[str, float]) -> dict[str, float]:
        return {name: figure - figures["nothing"] for name, figure in figures.items()}

    medians = {name: statistics.median(found) for name, found in times.items()}
    return less_call(medians), less_call({name: min(found) for name, found in times.items()})


def bench(numpy: Any, name: str, shape: Shape, rounds: int, loops: int) -> None:
    """Measures frames of one size and prints."""
    ours, theirs = of_camlane(name, numpy, shape), of_shared_memory(numpy, shape)
    close = theirs.pop("close")
    steps = {f"camlane {key}": step for key, step in ours.items()} | {f"shm {key}": step for key, step in theirs.items()}
    missing = ""
    try:
        steps |= {f"iceoryx2 {key}": step for key, step in of_iceoryx2(name, numpy, shape).items()}
    except ImportError:
        missing = "iceoryx2's package is not installed: pip install iceoryx2"
    found = measure(steps, rounds, loops)
    close()

    def line(what: str, step: str, less: str = "", note: str = "", beside: tuple[str, str] | None = None) -> None:
        median, least = (figures[step] - figures.get(less, 0.0) for figures in found)
        if beside:
            step, less = beside
            note = f"{median / (found[0][step] - found[0].get(less, 0.0)):.1f} times camlane's"
        print(f"{what:40} {median:8.0f} {least:8.0f}  {note}".rstrip())

    title = f"nanoseconds, {shape[1]}x{shape[0]} BGR, {math.prod(shape)} bytes"
    print(f"{title:40} {'median':>8} {'least':>8}")
    borrow = ("camlane both", "camlane publish")
    line("camlane: borrow, array, release", *borrow)
    line("camlane: loan and publish", "camlane publish")
    line("camlane: publish a copy", "camlane copy")
    line("shared_memory: array", "shm view", note="no metadata, no waiting, no protection")
    line("shared_memory: copy", "shm copy", note="the same")
    if missing:
        print(missing)
    else:
        line("iceoryx2: receive, array, delete", "iceoryx2 both", "iceoryx2 publish", beside=borrow)
        line("iceoryx2: loan and send", "iceoryx2 publish", beside=("camlane publish", ""))


def main() -> int:
    """Measures and prints."""
    try:
        numpy: Any = importlib.import_module("numpy")
    except ImportError:
        print("the figures are of numpy views: pip install numpy", file=sys.stderr)
        return 1
    for index, (shape, rounds, loops) in enumerate(SIZES):
        bench(numpy, f"bench-{os.getpid()}-{index}", shape, rounds, loops)
    return 0
