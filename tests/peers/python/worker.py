"""Runs one side of a measurement of a Python peer: the counterpart of the crate `drive`, whose reports it speaks.

usage: worker.py ENTRY describe | produce SPEC | consume SPEC

ENTRY is a module beside this one with `Producer`, `Consumer` and `ABOUT`. Times are `time.monotonic_ns`, on both sides.
"""

from __future__ import annotations

import gc
import importlib
import json
import mmap
import os
import struct
import sys
import time
from collections import Counter
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

HEAD = struct.Struct("<QQ")  # stamp and number, at a frame's beginning
SIZES = {"vga": (640, 480), "fhd": (1920, 1080), "uhd": (3840, 2160)}
LIMIT = 0.06  # longest sleep without a look at the board
PATIENCE = 0.2  # a frame that was not seen by then is lost
FEWEST = 8
WARM_UP = {"stream": 15, "python": 20}


class Place:
    """Where the two ends meet, and what for."""

    def __init__(self, spec: dict[str, Any]) -> None:
        place = spec["place"]
        self.name: str = place["name"]
        self.folder = Path(place["folder"])
        self.width, self.height = SIZES[place["size"]]
        self.shape = (self.height, self.width, 3)
        self.readers: int = max(place["readers"], 1)
        self.job: str = place["job"]
        self.way: str = place["way"]
        self.index: int = spec["index"]
        self.sleeps = self.job in ("asleep", "stream", "attach")


class Board:
    """Words that all processes of a measurement see; laid out as in `drive/src/board.rs`."""

    GO, STOP, SEEN, STEP = 0, 16, 32, 16  # in words of eight bytes

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDWR)
        self.words = memoryview(mmap.mmap(descriptor, 0)).cast("Q")
        os.close(descriptor)

    def has_started(self) -> bool:
        return self.words[self.GO] != 0

    def has_stopped(self) -> bool:
        return self.words[self.STOP] != 0

    def stop(self) -> None:
        self.words[self.STOP] = 1

    def saw(self, consumer: int, number: int) -> None:
        self.words[self.SEEN + self.STEP * consumer] = number

    def seen(self, consumers: int) -> int:
        return min(self.words[self.SEEN + self.STEP * index] for index in range(consumers))


def times(samples: list[int]) -> list[tuple[int, int]]:
    return sorted(Counter(samples).items())


def say(report: Any) -> None:
    print(json.dumps(report), flush=True)


def processor_time() -> float:
    return time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)


def produce(module: ModuleType, spec: dict[str, Any], board: Board) -> dict[str, Any]:
    place = Place(spec)
    duration = spec["time"]["secs"] + spec["time"]["nanos"] / 1e9
    producer = module.Producer(place)
    say("ready")
    while not board.has_started():
        time.sleep(0.0002)
    gc.collect()
    gc.disable()
    if place.job == "python":
        return cost(module, place, producer, duration)
    if place.job == "stream":
        return stream(producer, spec["rate"], duration)
    warm_up, polling = WARM_UP.get(place.job, 100), place.job == "polling"
    costs: list[int] = []
    number, lost, end = 0, 0, time.monotonic() + duration
    while number < warm_up + FEWEST or time.monotonic() < end:
        number += 1
        publish(producer, number, costs)
        deadline = time.monotonic() + PATIENCE
        while board.seen(place.readers) < number:
            if not polling:
                time.sleep(0.0003)
            if time.monotonic() > deadline:
                lost += 1
                break
        if polling:
            pause = time.monotonic_ns() + 20_000
            while time.monotonic_ns() < pause:
                pass
    return {"publish": times(costs[warm_up:]), "lost": lost}


def publish(producer: Any, number: int, costs: list[int]) -> None:
    start = time.monotonic_ns()
    producer.publish(lambda frame: HEAD.pack_into(frame, 0, time.monotonic_ns(), number))
    costs.append(time.monotonic_ns() - start)


def stream(producer: Any, rate: int, duration: float) -> dict[str, Any]:
    costs: list[int] = []
    warm_up, frames = WARM_UP["stream"], round(duration * rate)
    due, before = time.monotonic(), 0.0
    for number in range(1, warm_up + frames + 1):
        due += 1 / rate
        time.sleep(max(due - time.monotonic(), 0))
        if number == warm_up + 1:
            before = processor_time()
        publish(producer, number, costs)
    time.sleep(1 / rate)
    return {"publish": times(costs[warm_up:]), "cpu_us": (processor_time() - before) * 1e6 / frames}


def cost(module: ModuleType, place: Place, producer: Any, duration: float) -> dict[str, Any]:
    """Both ends in one process: what each step costs, with nothing else going on."""
    consumer = module.Consumer(place)
    borrows: list[int] = []
    costs: list[int] = []
    end = time.monotonic() + duration
    clock = time.monotonic_ns
    pairs = sorted(clock() - clock() for _ in range(1001))
    own = -pairs[500]
    while len(costs) < WARM_UP["python"] + FEWEST or time.monotonic() < end:
        start = clock()
        producer.publish(lambda frame: None)
        published = clock()
        found = consumer.borrow()
        borrowed = clock()
        if not found:
            raise RuntimeError("no frame to borrow")
        costs.append(max(published - start - own, 0))
        borrows.append(max(borrowed - published - own, 0))
    return {"publish": times(costs[WARM_UP["python"] :]), "borrow": times(borrows[WARM_UP["python"] :])}


def consume(module: ModuleType, spec: dict[str, Any], board: Board, ready: Callable[[], None], *rest: Any) -> Any:
    place = Place(spec)
    consumer = module.Consumer(place, *rest)
    ready()
    gc.collect()
    gc.disable()
    take = consumer.poll if place.job == "polling" else consumer.wait
    warm_up = WARM_UP.get(place.job, 100)
    held: list[int] = []
    touched: list[int] = []
    last, first, begin, end = 0, 0, 0.0, 0.0
    unpack, clock = HEAD.unpack_from, time.monotonic_ns

    def look(frame: Any) -> tuple[int, int, int, int]:
        held_at = clock()
        stamp, number = unpack(frame, 0)
        return held_at, clock(), stamp, number

    while not board.has_stopped():
        seen = take(look, LIMIT)
        if seen is None or seen[3] <= last:
            continue
        last = seen[3]
        board.saw(place.index, last)
        if last > warm_up:
            held.append(max(seen[0] - seen[2], 0))
            touched.append(max(seen[1] - seen[2], 0))
        if place.job == "stream" and last >= warm_up:
            end = processor_time()
            if first == 0:
                first, begin = last, end
    outcome: dict[str, Any] = {"held": times(held), "touched": times(touched)}
    if last > first > 0:
        outcome["cpu_us"] = (end - begin) * 1e6 / (last - first)
        outcome["lost"] = last - first - len(touched)
    return outcome


def inherit(module: ModuleType, spec: dict[str, Any]) -> None:
    """For what only children inherit: the producer's process starts the consumers, whose places others keep warm."""
    place = Place(spec)
    others = sorted(set(os.sched_getaffinity(0)) - {spec["cpu"]}) or [spec["cpu"]]
    context = get_context("spawn")
    bells = [context.Event() for _ in range(place.readers)]
    module.bells(bells)
    children = []
    if place.job != "python":
        for index, bell in enumerate(bells):
            theirs = {**spec, "index": index, "cpu": others[index % len(others)]}
            children.append(context.Process(target=child, args=(module.__name__, theirs, bell), daemon=True))
    os.sched_setaffinity(0, {spec["cpu"]})
    board = Board(spec["board"])
    module.start_later(lambda: [each.start() for each in children])
    outcome = produce(module, spec, board)
    board.stop()
    for each in children:
        each.join(5)
    say({"done": outcome})


def child(name: str, spec: dict[str, Any], bell: Any) -> None:
    os.sched_setaffinity(0, {spec["cpu"]})
    place = Place(spec)
    mark, found = (place.folder / f"{what}-{place.index}" for what in ("ready", "outcome"))
    outcome = consume(importlib.import_module(name), spec, Board(spec["board"]), mark.touch, bell)
    (found.with_suffix(".new")).write_text(json.dumps(outcome))
    found.with_suffix(".new").rename(found)


def stand_in(spec: dict[str, Any]) -> None:
    """Speaks for a consumer that the producer's process started."""
    place = Place(spec)
    mark, found = (place.folder / f"{what}-{place.index}" for what in ("ready", "outcome"))
    for path, report in ((mark, lambda: "ready"), (found, lambda: {"done": json.loads(found.read_text())})):
        while not path.exists():
            time.sleep(0.01)
        say(report())


def main() -> None:
    name, side, *rest = sys.argv[1:]
    module = importlib.import_module(name)
    if side == "describe":
        print(json.dumps([module.ABOUT]))
        return
    spec = json.loads(rest[0])
    inherits = hasattr(module, "bells")
    if inherits and side == "consume":
        stand_in(spec)
    elif inherits:
        inherit(module, spec)
        sys.stdin.read()
    else:
        os.sched_setaffinity(0, {spec["cpu"]})
        board = Board(spec["board"])
        if side == "produce":
            outcome = produce(module, spec, board)
            board.stop()
            say({"done": outcome})
            sys.stdin.read()
        else:
            say({"done": consume(module, spec, board, lambda: say("ready"))})


if __name__ == "__main__":
    main()
