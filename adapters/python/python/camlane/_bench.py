"""What a frame costs in Python, beside multiprocessing.shared_memory and, where it is installed, iceoryx2's package.

All in one process and in turn, 64x48 BGR: median and least of rounds shorter than a time slice, less what an empty call costs.
On a machine that has nothing else to do the two are alike; on a busy one the least is nearer to the truth.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing import shared_memory
from typing import Any

import camlane

ROUNDS, LOOPS = 301, 200
WIDTH, HEIGHT = 64, 48
SIZE = WIDTH * HEIGHT * 3

Steps = dict[str, Callable[[], None]]


def of_camlane(name: str, numpy: Any) -> Steps:
    """One end of each kind in this process."""
    producer = camlane.create(name, width=WIDTH, height=HEIGHT)
    lane = camlane.open(name, populate=True)
    picture = numpy.zeros((HEIGHT, WIDTH, 3), numpy.uint8)

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

    return {"publish": publish, "both": both, "copy": copy_in}


def of_shared_memory(numpy: Any) -> Steps:
    """Bytes without anything around them."""
    shared = shared_memory.SharedMemory(create=True, size=SIZE)
    picture = numpy.zeros((HEIGHT, WIDTH, 3), numpy.uint8)

    def view() -> None:
        numpy.ndarray((HEIGHT, WIDTH, 3), numpy.uint8, shared.buf)

    def copy_in() -> None:
        numpy.ndarray((HEIGHT, WIDTH, 3), numpy.uint8, shared.buf)[:] = picture

    def close() -> None:
        shared.close()
        shared.unlink()

    return {"view": view, "copy": copy_in, "close": close}


def of_iceoryx2(name: str, numpy: Any) -> Steps:
    """A publisher and a subscriber of slices of bytes; the payload of each sample viewed as an array."""
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
    publisher = service.publisher_builder().initial_max_slice_len(SIZE).max_loaned_samples(1).create()
    subscriber = service.subscriber_builder().create()

    def publish() -> None:
        publisher.loan_slice_uninit(SIZE).assume_init().send()

    def both() -> None:
        publisher.loan_slice_uninit(SIZE).assume_init().send()
        sample = subscriber.receive()
        array = numpy.frombuffer(sample.payload().as_memory_view(), numpy.uint8).reshape((HEIGHT, WIDTH, 3))
        del array
        sample.delete()

    return {"publish": publish, "both": both}


def measure(steps: Steps) -> tuple[dict[str, float], dict[str, float]]:
    """Nanoseconds of each, median and least; in turn, so that a busy moment hits all."""

    def nothing() -> None:
        pass

    steps = {"nothing": nothing, **steps}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            began = time.perf_counter_ns()
            for _ in range(LOOPS):
                step()
            times[name].append((time.perf_counter_ns() - began) / LOOPS)

    def less_call(figures: dict[str, float]) -> dict[str, float]:
        return {name: figure - figures["nothing"] for name, figure in figures.items()}

    medians = {name: statistics.median(rounds) for name, rounds in times.items()}
    return less_call(medians), less_call({name: min(rounds) for name, rounds in times.items()})


def main() -> int:
    """Measures and prints."""
    try:
        numpy: Any = importlib.import_module("numpy")
    except ImportError:
        print("the figures are of numpy views: pip install numpy", file=sys.stderr)
        return 1
    name = f"bench-{os.getpid()}"
    ours, theirs = of_camlane(name, numpy), of_shared_memory(numpy)
    close = theirs.pop("close")
    steps = {f"camlane {key}": step for key, step in ours.items()} | {f"shm {key}": step for key, step in theirs.items()}
    missing = ""
    try:
        steps |= {f"iceoryx2 {key}": step for key, step in of_iceoryx2(name, numpy).items()}
    except ImportError:
        missing = "iceoryx2's package is not installed: pip install iceoryx2"
    found = measure(steps)
    close()

    def line(what: str, step: str, less: str = "", note: str = "", beside: tuple[str, str] | None = None) -> None:
        median, least = (figures[step] - figures.get(less, 0.0) for figures in found)
        if beside:
            step, less = beside
            note = f"{median / (found[0][step] - found[0].get(less, 0.0)):.1f} times camlane's"
        print(f"{what:40} {median:8.0f} {least:8.0f}  {note}".rstrip())

    print(f"{'nanoseconds':40} {'median':>8} {'least':>8}")
    borrow = ("camlane both", "camlane publish")
    line("camlane: borrow, array, release", *borrow)
    line("camlane: loan and publish", "camlane publish")
    line(f"camlane: publish a copy of {SIZE} bytes", "camlane copy")
    line("shared_memory: array", "shm view", note="no metadata, no waiting, no protection")
    line(f"shared_memory: copy {SIZE} bytes", "shm copy", note="the same")
    if missing:
        print(missing)
    else:
        line("iceoryx2: receive, array, delete", "iceoryx2 both", "iceoryx2 publish", beside=borrow)
        line("iceoryx2: loan and send", "iceoryx2 publish", beside=("camlane publish", ""))
    return 0
