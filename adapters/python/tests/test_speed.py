"""Prints what a frame costs; nothing is asserted, for machines differ. Run it pinned: `taskset -c 1 pytest -s -k speed`."""

from __future__ import annotations

import statistics
import time
from multiprocessing import shared_memory

import numpy as np

import camlane

# Rounds shorter than a time slice: most of them are then whole even on a busy machine, and the median is of those.
ROUNDS, LOOPS = 201, 200


def test_speed_of_a_frame(name, capsys):
    picture = np.zeros((48, 64, 3), np.uint8)
    producer = camlane.create(name, width=64, height=48)
    lane = camlane.open(name)
    shared = shared_memory.SharedMemory(create=True, size=picture.nbytes)

    def publish() -> None:
        producer.loan().publish()

    def borrow() -> None:
        producer.loan().publish()
        frame = lane.poll()
        array = frame.array
        del array
        frame.release()

    def copy_in() -> None:
        producer.publish(picture)

    def peer_view() -> None:
        np.ndarray(picture.shape, picture.dtype, shared.buf)

    def peer_copy() -> None:
        np.ndarray(picture.shape, picture.dtype, shared.buf)[:] = picture

    def nothing() -> None:
        pass

    steps = [nothing, publish, borrow, copy_in, peer_view, peer_copy]
    times: dict[str, list[float]] = {step.__name__: [] for step in steps}
    for _ in range(ROUNDS):
        for step in steps:
            began = time.perf_counter_ns()
            for _ in range(LOOPS):
                step()
            times[step.__name__].append((time.perf_counter_ns() - began) / LOOPS)
    shared.close()
    shared.unlink()
    call = statistics.median(times["nothing"])
    median = {step: statistics.median(rounds) - call for step, rounds in times.items()}
    with capsys.disabled():
        print(f"\n  loan and publish           {median['publish']:5.0f} ns")
        print(f"  borrow, view and release   {median['borrow'] - median['publish']:5.0f} ns")
        print(f"  publish a copy (9 KB)      {median['copy_in']:5.0f} ns")
        print(f"  shared_memory: view        {median['peer_view']:5.0f} ns (no metadata, no protection)")
        print(f"  shared_memory: copy (9 KB) {median['peer_copy']:5.0f} ns (no metadata, no protection)")
