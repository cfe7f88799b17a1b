"""What keeps what alive, and what is said when that goes wrong."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import camlane


@pytest.fixture
def lane_and_producer(name):
    with camlane.create(name, width=8, height=6, format="GRAY8") as producer, camlane.open(name) as lane:
        yield lane, producer


def publish(producer, value: int) -> int:
    return producer.publish(np.full((6, 8), value, np.uint8))


def test_an_array_outlives_its_frame_its_lane_and_its_producer(name):
    producer = camlane.create(name, width=8, height=6, format="GRAY8")
    lane = camlane.open(name)
    publish(producer, 5)
    array = lane.next(1).array
    part = array[2:4, 1:3]
    del array
    lane.close()
    for value in range(20):
        publish(producer, value + 100)
    producer.close()
    del lane, producer
    gc.collect()
    assert (part == 5).all()


def test_release_refuses_while_arrays_live_as_memoryview_does(lane_and_producer):
    lane, producer = lane_and_producer
    publish(producer, 1)
    frame = lane.next(1)
    array = frame.array
    with pytest.raises(BufferError, match="1 array.*copy"):
        frame.release()
    assert not frame.released
    part = array[1:]
    del array
    with pytest.raises(BufferError):
        frame.release()
    del part
    frame.release()
    assert frame.released
    frame.release()
    with pytest.raises(camlane.Released, match="frame 1 was released"):
        frame.array
    with pytest.raises(ValueError):
        frame.meta


def test_metadata_stays_good_after_release(lane_and_producer):
    lane, producer = lane_and_producer
    publish(producer, 1)
    with lane.next(1) as frame:
        meta = frame.meta
    assert (meta.number, meta.width, meta.height, meta.format) == (1, 8, 6, "GRAY8")


def test_leaving_a_with_releases_and_warns_of_arrays_that_outlive_it(lane_and_producer):
    lane, producer = lane_and_producer
    for _ in range(5):
        publish(producer, 1)
        with lane.next(1) as frame:
            assert frame.array.max() == 1
        assert frame.released
    publish(producer, 2)
    with pytest.warns(ResourceWarning, match="copy"):
        with lane.next(1) as frame:
            array = frame.array
    publish(producer, 3)
    publish(producer, 4)
    assert (array == 2).all()


def test_dropping_frames_in_a_loop_never_runs_out(lane_and_producer):
    lane, producer = lane_and_producer
    publish(producer, 0)
    for frame in lane:
        array = frame.array
        assert (array == frame.number - 1).all()
        if frame.number == 100:
            break
        publish(producer, frame.number)


def test_holding_too_many_says_so_and_what_to_do(lane_and_producer):
    lane, producer = lane_and_producer
    held = []
    for value in range(2):
        publish(producer, value)
        held.append(lane.next(1))
    publish(producer, 9)
    with pytest.raises(camlane.AllFramesHeld, match=r"all 2 frames.*release.*copy.*pins"):
        lane.next(1)
    array = held.pop(0).array
    with pytest.raises(camlane.AllFramesHeld):
        lane.next(1)
    del array
    assert lane.next(1).array.max() == 9


def test_a_forgotten_frame_is_given_back_by_reference_counting(lane_and_producer):
    lane, producer = lane_and_producer

    class Owner:
        pass

    owner = Owner()
    publish(producer, 1)
    owner.frame = lane.next(1)
    owner.itself = owner
    dead = weakref.ref(owner)
    del owner
    gc.collect()
    assert dead() is None
    for value in range(10):
        publish(producer, value)
        lane.next(1)


def test_a_lane_that_was_closed_says_so(lane_and_producer):
    lane, _ = lane_and_producer
    lane.close()
    lane.close()
    assert lane.closed_here
    for use in (lane.poll, lane.next, lambda: next(lane), lane.fileno, lambda: lane.seat):
        with pytest.raises(camlane.Released, match="closed"):
            use()


def test_the_loan_ends_with_its_last_owner(lane_and_producer):
    lane, producer = lane_and_producer
    array = producer.loan().array  # the loan object itself is gone
    array[:] = 1
    for _ in range(10):
        publish(producer, 2)
    assert (array == 1).all()


def test_what_was_published_cannot_be_written_by_its_array(lane_and_producer):
    lane, producer = lane_and_producer
    with producer.loan() as loan:
        array = loan.array
        array[:] = 4
    assert loan.over
    with pytest.raises(ValueError):
        array[:] = 5
    with pytest.raises(camlane.Released):
        loan.array
    with pytest.raises(camlane.Released):
        loan.publish()
    assert (lane.next(1).array == 4).all()
    producer.close()
    assert array.shape == (6, 8) and array.sum() >= 0  # still mapped


def test_handles_refuse_to_be_pickled_or_copied(lane_and_producer):
    lane, producer = lane_and_producer
    publish(producer, 1)
    for handle in (lane, producer, lane.next(1), producer.loan(), camlane.observe(lane.name)):
        with pytest.raises(TypeError, match="another process"):
            pickle.dumps(handle)
        with pytest.raises(TypeError):
            copy.copy(handle)
