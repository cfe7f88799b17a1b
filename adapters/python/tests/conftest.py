"""Lanes with names of their own, and producers in other processes."""

from __future__ import annotations

import glob
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

COUNT = itertools.count()


@pytest.fixture
def name() -> Iterator[str]:
    name = f"py-{os.getpid()}-{next(COUNT)}"
    yield name
    # What killed producers leave, and the lock files, which nobody else may remove.
    for left in glob.glob(f"/dev/shm/camlane.{name}[.-]*"):
        os.unlink(left)


class Child:
    """A Python program in a process of its own, spoken to by lines."""

    def __init__(self, program: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def say(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"the child ended: {self.process.communicate()}"
        return line.strip()

    def end(self) -> tuple[int, str, str]:
        """Waits for the end: exit status, rest of the output, errors."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def start(program: str, *arguments: str) -> Child:
        children.append(Child(program, *arguments))
        return children[-1]

    yield start
    for child in children:
        child.process.kill()
        child.process.communicate()


# Publishes what each line says, and says where the slot of each frame is in the file.
PRODUCER = """
import sys, camlane, numpy as np
name, width, height, format = sys.argv[1:]
with camlane.create(name, width=int(width), height=int(height), format=format) as lane:
    print("ready", flush=True)
    for line in sys.stdin:
        with lane.loan() as loan:
            loan.array[...] = int(line)
            at = loan.array.__array_interface__["data"][0] - lane.addresses[0]
        print(at, flush=True)
"""


@pytest.fixture
def producer(start: Callable[..., Child]) -> Callable[..., Child]:
    def producer(name: str, width: int = 64, height: int = 48, format: str = "BGR8") -> Child:
        child = start(PRODUCER, name, str(width), str(height), format)
        assert child.hear() == "ready"
        return child

    return producer
