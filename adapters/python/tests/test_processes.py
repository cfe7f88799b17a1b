"""Forks, signals and the end of the interpreter."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import pytest

import camlane


def publish(producer, value: int) -> None:
    producer.publish(np.full((6, 8, 3), value, np.uint8))


def try_everything(lane, producer, frame, loan, queue) -> None:
    """Runs in a forked child with the parent's handles."""
    said = []
    for use in (
        lane.poll,
        lane.next,
        lambda: next(lane),
        lambda: frame.array,
        frame.bgr,
        producer.loan,
        lambda: producer.publish(b"\0" * 144),
        loan.publish,
    ):
        try:
            use()
            said.append("no error")
        except Exception as error:
            said.append(type(error).__name__)
    with camlane.open(lane.name) as own:
        said.append(str((own.next(10).array == 1).all()))
    del lane, frame, loan, producer
    queue.put(said)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_and_hurts_nobody(name):
    context = multiprocessing.get_context("fork")
    with camlane.create(name, width=8, height=6) as producer, camlane.open(name) as lane:
        lane.fileno()  # with its thread
        publish(producer, 1)
        frame = lane.next(1)
        loan = producer.loan()
        array = frame.array
        queue = context.Queue()
        child = context.Process(target=try_everything, args=(lane, producer, frame, loan, queue))
        child.start()
        assert queue.get(timeout=60) == ["ForkedError"] * 8 + ["True"]
        child.join(60)
        assert child.exitcode == 0
        # The child's end gave back nothing of ours.
        for value in range(30):
            publish(producer, value + 2)
        assert (array == 1).all()
        assert lane.next(1).array.max() == 31
        loan.publish()
        assert lane.next(1).number == 32


def read_one(name: str, queue) -> None:
    with camlane.open(name, patience=30) as lane:
        queue.put(int(lane.next(30).array.max()))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_opens_the_lane_by_its_name(name, method):
    context = multiprocessing.get_context(method)
    with camlane.create(name, width=8, height=6) as producer, camlane.open(name) as lane:
        publish(producer, 41)
        held = lane.next(1).array  # a frame that the parent holds meanwhile
        publish(producer, 42)
        queue = context.Queue()
        child = context.Process(target=read_one, args=(name, queue))
        child.start()
        assert queue.get(timeout=60) == 42
        child.join(60)
        assert child.exitcode == 0
        for value in range(30):
            publish(producer, value)
        assert (held == 41).all()  # the child's end gave back nothing of ours


# The thread gets the interpreter only when the main thread lets go of it: while it waits for a frame.
INTERRUPTER = """
import asyncio, os, signal, sys, threading, camlane
sys.setswitchinterval(1000)
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell started in the background
begun = threading.Event()
def interrupt():
    begun.wait()
    os.kill(os.getpid(), signal.SIGINT)
thread = threading.Thread(target=interrupt)
thread.start()
"""


WAITER = INTERRUPTER + """
with camlane.open(sys.argv[1], wait=sys.argv[2]) as lane:
    try:
        if sys.argv[3] != "async":
            begun.set()
        if sys.argv[3] == "async":
            async def first():
                begun.set()  # a loop that is still being made is not ours to end
                async for _ in lane:
                    pass
            asyncio.run(first())
        elif sys.argv[3] == "sets":
            with camlane.synchronize([sys.argv[1]] * 2, tolerance=1) as pairs:
                next(pairs)
        else:
            lane.next() if sys.argv[3] == "next" else next(lane)
    except KeyboardInterrupt:
        print("interrupted")
    thread.join()
"""


OPENER = INTERRUPTER + """
try:
    begun.set()
    camlane.open(sys.argv[1], patience=600)
except KeyboardInterrupt:
    print("interrupted")
thread.join()
"""


def test_ctrl_c_ends_patience(name, start):
    assert start(OPENER, name).end() == (0, "interrupted\n", "")


@pytest.mark.parametrize("wait", ["sleep", "spin"])
@pytest.mark.parametrize("how", ["next", "for", "async", "sets"])
def test_ctrl_c_ends_a_wait(name, start, wait, how):
    with camlane.create(name, width=8, height=6):
        assert start(WAITER, name, wait, how).end() == (0, "interrupted\n", "")


# Everything is alive when the interpreter goes: globals, cycles, threads that wait.
LEAVER = """
import sys, threading, camlane, numpy as np
producer = camlane.create(sys.argv[1], width=8, height=6, pins=4)
lane = camlane.open(sys.argv[1])
lane.fileno()
producer.publish(np.zeros((6, 8, 3), np.uint8))
frame = lane.next(1)
array = frame.array
class Cycle: pass
cycle = Cycle(); cycle.itself = cycle; cycle.frame = frame; cycle.part = array[1:]
loan = producer.loan(); half = loan.array
other = camlane.open(sys.argv[2])  # its producer lives on
{thread}
sys.modules["keep"] = (producer, lane, frame, array, cycle, loan, half)
"""
THREAD = """
started = threading.Event()
def wait():
    started.set()
    other.next()
threading.Thread(target=wait, daemon=True).start()
started.wait()
"""


@pytest.mark.parametrize("thread", ["", THREAD], ids=["quiet", "a-daemon-thread-waits"])
def test_the_interpreter_ends_quietly_with_everything_alive(name, start, thread):
    with camlane.create(name + "-other", width=8, height=6):
        for _ in range(5):
            assert start(LEAVER.format(thread=thread), name, name + "-other").end() == (0, "", "")
            assert name not in [status.name for status in camlane.list()]


def test_a_killed_consumer_leaves_its_seat(name, start):
    holder = """
import sys, camlane
lane = camlane.open(sys.argv[1]); array = lane.next(30).array
print("holding", flush=True); sys.stdin.read()
"""
    with camlane.create(name, width=8, height=6, seats=1) as producer:
        publish(producer, 1)
        child = start(holder, name)
        assert child.hear() == "holding"
        with pytest.raises(camlane.SeatsTaken, match=str(child.process.pid)):
            camlane.open(name)
        os.kill(child.process.pid, signal.SIGKILL)
        child.process.wait()
        with camlane.open(name) as lane:
            assert lane.next(1).number == 1


WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
import camlane
with camlane.create(sys.argv[1], width=2, height=1, format="GRAY8") as producer, camlane.open(sys.argv[1]) as lane:
    producer.publish(b"ab")
    producer.publish(memoryview(bytearray(b"cd")))
    frame = lane.next(10)
    assert frame.tobytes() == b"cd" and frame.meta.width == 2
    try:
        frame.array
    except ImportError as error:
        print(error)
"""


def test_bytes_need_no_numpy(name, start):
    status, out, err = start(WITHOUT_NUMPY, name).end()
    assert (status, err) == (0, "") and "pip install numpy" in out
