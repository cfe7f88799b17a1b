"""Waiting: time-outs, ends, restarts, other threads, asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time

import numpy as np
import pytest

import camlane


def picture(value: int) -> np.ndarray:
    return np.full((6, 8, 3), value, np.uint8)


def test_no_lane_names_those_that_run(name):
    with camlane.create(name, width=8, height=6):
        with pytest.raises(camlane.NoSuchLane, match=name) as caught:
            camlane.open(name + "x")
        assert isinstance(caught.value, FileNotFoundError)
        with pytest.raises(camlane.NoSuchLane):
            camlane.open(name + "x", patience=0.05)


def test_a_lane_that_comes_later_is_waited_for(name):
    made = []
    timer = threading.Timer(0.05, lambda: made.append(camlane.create(name, width=8, height=6)))
    timer.start()
    with camlane.open(name, patience=30):
        timer.join()


def left_by_a_killed_one(name, producer) -> None:
    child = producer(name)
    child.say("1")
    child.hear()
    child.process.kill()
    child.process.wait()


def test_what_a_killed_producer_left_is_opened_when_patience_ends(name, producer):
    left_by_a_killed_one(name, producer)
    for patience in 0.0, 0.05:
        began = time.monotonic()
        with camlane.open(name, patience=patience) as lane:
            assert time.monotonic() - began >= patience
            assert (lane.next(10).array == 1).all()
            with pytest.raises(camlane.ProducerGone):
                lane.next(10)


def test_patience_waits_for_the_producer_that_comes_after_one_that_was_killed(name, producer):
    left_by_a_killed_one(name, producer)
    opened = []
    waiting = threading.Thread(target=lambda: opened.append(camlane.open(name, patience=30)))
    waiting.start()
    deadline = time.monotonic() + 30
    while [status.consumers for status in camlane.list() if status.name == name] != [[os.getpid()]]:
        assert time.monotonic() < deadline, "it does not come"
    child = producer(name)
    child.say("7")
    child.hear()
    waiting.join(30)
    with opened[0] as lane:
        frame = lane.next(10)
        assert (frame.array == 7).all() and not frame.meta.changed and lane.restarts == 0


def test_a_timeout_is_a_timeout_error(name):
    with camlane.create(name, width=8, height=6), camlane.open(name, timeout=0.02) as lane:
        with pytest.raises(camlane.Timeout) as caught:
            lane.next(0.01)
        assert isinstance(caught.value, TimeoutError)
        with pytest.raises(camlane.Timeout):
            next(lane)
        assert lane.poll() is None


def test_every_frame_comes_in_order_and_the_iteration_ends_with_the_producer(name):
    producer = camlane.create(name, width=8, height=6, history=8)
    with camlane.open(name, read="every") as every, camlane.open(name) as latest:
        for value in range(5):
            producer.publish(picture(value))
            if value == 0:
                assert every.next(1).number == 1  # from here on
        producer.close()
        assert [frame.number for frame in every] == [2, 3, 4, 5]
        frames = list(latest)
        assert [(frame.number, frame.meta.missed) for frame in frames] == [(5, 4)]
        with pytest.raises(camlane.Timeout):
            every.next(0.02)  # its end was told; this waits for another producer
        assert every.poll() is None
        assert (every.delivered, every.missed) == (5, 0)


def test_next_says_closed_where_an_iteration_ends(name):
    producer = camlane.create(name, width=8, height=6)
    with camlane.open(name) as lane:
        producer.close()
        with pytest.raises(camlane.Closed):
            lane.next()


@pytest.mark.parametrize("wait", ["sleep", "adaptive", "spin"])
def test_a_restart_with_another_size_is_followed(name, wait):
    with camlane.create(name, width=8, height=6) as first:
        lane = camlane.open(name, wait=wait)
        first.publish(picture(1))
        old = next(lane).array
    assert list(lane) == []
    with camlane.create(name, width=16, height=4, format="GRAY8") as second:
        second.publish(np.full((4, 16), 2, np.uint8))
        frame = next(lane)
        assert frame.array.shape == (4, 16)
        assert set(frame.meta.changed) == {"restarted", "format", "size"}
        assert lane.restarts == 1
        assert (lane.info.width, lane.info.format) == (16, "GRAY8")
        assert (old == 1).all()


def test_a_producer_that_died_is_an_error_and_its_successor_is_followed(name, producer):
    child = producer(name)
    with camlane.open(name) as lane:
        child.say("1")
        child.hear()
        assert lane.next(10).number == 1
        child.process.kill()
        with pytest.raises(camlane.ProducerGone):
            next(lane)
        child = producer(name)
        child.say("7")
        frame = lane.next(10)
        assert (frame.array == 7).all() and "restarted" in frame.meta.changed


def test_other_threads_run_while_one_waits(name):
    with camlane.create(name, width=8, height=6) as producer, camlane.open(name) as lane:
        got = []
        thread = threading.Thread(target=lambda: got.append(lane.next(60).number))
        thread.start()
        count = 0
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            count += 1
        assert thread.is_alive()
        assert count > 10_000
        producer.publish(picture(1))
        thread.join(60)
        assert got == [1]


def test_two_threads_share_a_lane_without_a_deadlock(name):
    with camlane.create(name, width=8, height=6, history=64, pins=4) as producer:
        with camlane.open(name, read="every") as lane:
            producer.publish(picture(0))
            numbers = [lane.next(1).number]

            def work() -> None:
                with contextlib.suppress(camlane.Released):
                    numbers.extend(frame.number for frame in lane)

            threads = [threading.Thread(target=work) for _ in range(2)]
            for thread in threads:
                thread.start()
            for value in range(40):
                producer.publish(picture(value))
            producer.close()
            while lane.delivered < 41:
                pass
            lane.close()  # one of them is told of the end, the other waits for what comes after it
            for thread in threads:
                thread.join(60)
            assert sorted(numbers) == list(range(1, 42))


def test_asyncio_reads_two_lanes_at_once(name):
    names = [name + "-a", name + "-b"]
    producers = [camlane.create(each, width=8, height=6, history=32) for each in names]

    async def read(each: str) -> list[int]:
        values = []
        with camlane.open(each, read="every") as lane:
            ready.append(each)
            async for frame in lane:
                values.append(int(frame.array[0, 0, 0]))
        return values

    async def write() -> None:
        while len(ready) < 2:
            await asyncio.sleep(0)
        for value in range(20):
            for number, producer in enumerate(producers):
                producer.publish(picture(value + 100 * number))
            await asyncio.sleep(0.001)
        for producer in producers:
            producer.close()

    async def main() -> list[list[int]]:
        one, other, _ = await asyncio.gather(read(names[0]), read(names[1]), write())
        return [one, other]

    ready: list[str] = []
    assert asyncio.run(main()) == [list(range(20)), list(range(100, 120))]


def test_asyncio_can_be_cancelled_and_times_out(name):
    async def main() -> None:
        with camlane.open(name) as lane:
            frames = aiter_of(lane)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(frames.__anext__(), 0.05)
            producer.publish(picture(3))
            assert (await frames.__anext__()).number == 1
        with camlane.open(name, timeout=0.05) as lane:
            assert (await aiter_of(lane).__anext__()).number == 1
            with pytest.raises(camlane.Timeout):
                await aiter_of(lane).__anext__()

    def aiter_of(lane):
        return lane.__aiter__()

    with camlane.create(name, width=8, height=6) as producer:
        asyncio.run(main())


def test_asyncio_notices_a_death(name, producer):
    child = producer(name)

    async def main() -> None:
        with camlane.open(name) as lane:
            async for _ in lane:
                child.process.kill()

    child.say("1")
    child.hear()
    with pytest.raises(camlane.ProducerGone):
        asyncio.run(main())


def test_a_pause_has_its_reason(name):
    with camlane.create(name, width=8, height=6) as producer, camlane.open(name) as lane:
        assert lane.pause is None
        producer.pause("unplugged", errno=19)
        with pytest.raises(camlane.Timeout, match="the camera is unplugged .*ENODEV"):
            lane.next(0.02)
        assert isinstance(lane.pause, camlane.Pause)
        assert lane.pause[:2] == ("unplugged", 19) and lane.pause.seconds >= 0.019
        with camlane.observe(name) as observer:
            assert observer.pause.reason == "unplugged"

        async def waits():
            with camlane.open(name, timeout=0.01) as other:
                async for _ in other:
                    pass

        with pytest.raises(camlane.Timeout, match="unplugged"):
            asyncio.run(waits())
        with pytest.raises(camlane.Invalid, match="no-signal"):
            producer.pause("tired")
        producer.resume()
        assert lane.pause is None
