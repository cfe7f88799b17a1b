"""Lanes in step, sealed lanes' policies, lanes in files."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

import camlane


def lanes(name, count=2, pins=4):
    names = [f"{name}-{index}" for index in range(count)]
    return names, [camlane.create(lane, width=4, height=4, format="GRAY8", pins=pins) for lane in names]


def publish(lane, time_ns, clock="monotonic"):
    with lane.loan() as loan:
        loan.array[:] = 1
        loan.publish(capture_time_ns=time_ns, clock=clock)


def test_frames_of_one_moment_come_together_and_the_others_are_counted(name):
    names, (left, right) = lanes(name)
    with camlane.synchronize(names, tolerance=0.001, timeout=20) as pairs:
        publish(left, 1_000_000_000)
        publish(left, 2_000_000_000)
        publish(right, 2_000_500_000)
        frames = next(pairs)
        assert [frame.number for frame in frames] == [2, 1]
        assert [frame.meta.capture_time_ns for frame in frames] == [2_000_000_000, 2_000_500_000]
        first, second = pairs.totals
        assert (first["paired"], first["unpaired"], first["delivered"]) == (1, 1, 2)
        assert (second["paired"], second["unpaired"], second["waiting"]) == (1, 0, 0)
        with pytest.raises(camlane.Timeout):
            pairs.next(0.01)
        left.close()
        with pytest.raises(camlane.Closed, match=names[0]):
            pairs.next()
    with pytest.raises(camlane.Released):
        pairs.next()


@pytest.mark.parametrize("how", ["for", "async"])
def test_a_set_that_does_not_come_is_explained_by_the_lanes_that_pause(name, how):
    names, (left, right) = lanes(name)

    def following(pairs):
        if how == "for":
            return next(pairs)
        return asyncio.run(asyncio.wait_for(pairs.__aiter__().__anext__(), 60))

    with camlane.synchronize(names, tolerance=0.001, timeout=0.01) as pairs:
        with pytest.raises(camlane.Timeout, match="^no frameset was complete in time$"):
            following(pairs)
        right.pause("unplugged", errno=19)
        publish(left, 1_000_000_000)
        with pytest.raises(camlane.Timeout, match=f"time: lane '{names[1]}': the camera is unplugged .*ENODEV") as told:
            following(pairs)
        assert names[0] not in str(told.value)
        left.pause("silent")
        with pytest.raises(camlane.Timeout, match=f"lane '{names[0]}': the camera gives no pic.*; lane '{names[1]}': "):
            following(pairs)
        right.resume()
        left.resume()
        publish(right, 1_000_000_000)
        assert [frame.number for frame in following(pairs)] == [1, 1]


def test_asyncio_gets_sets_in_step_and_is_told_of_the_end(name):
    names, producers = lanes(name)
    left, right = producers

    async def main():
        seen = []
        with camlane.synchronize(names, tolerance=0.001) as pairs:
            publish(left, 1_000_000_000)
            loop = asyncio.get_running_loop()
            loop.call_later(0.01, publish, right, 1_000_200_000)  # while the loop waits
            loop.call_later(0.02, publish, right, 2_000_000_000)
            loop.call_later(0.03, publish, left, 2_000_000_000)
            with pytest.raises(camlane.Closed, match=names[1]):
                async for one, other in pairs:
                    seen.append((one.number, other.number))
                    if len(seen) == 2:
                        right.close()
            with pytest.raises(camlane.Timeout):
                pairs.next(0.01)  # its end was told
        with camlane.synchronize([names[0], names[0]], tolerance=1, timeout=0.05) as same:
            assert [frame.number for frame in await same.__aiter__().__anext__()]
            with pytest.raises(camlane.Timeout):
                await same.__aiter__().__anext__()
        return seen

    assert asyncio.run(asyncio.wait_for(main(), 60)) == [(1, 1), (2, 2)]


# A camera whose frames have the times that it is told.
CAMERA = """
import sys, camlane
with camlane.create(sys.argv[1], width=4, height=4, format="GRAY8", pins=4) as lane:
    print("ready", flush=True)
    for line in sys.stdin:
        with lane.loan() as loan:
            loan.publish(capture_time_ns=int(line))
        print("published", flush=True)
"""


@pytest.mark.parametrize("how", ["for", "async"])
def test_a_camera_that_is_killed_is_named_and_its_successor_is_paired_again(name, start, how):
    names = [name + "-left", name + "-right"]
    left, right = (start(CAMERA, each) for each in names)
    assert (left.hear(), right.hear()) == ("ready", "ready")

    def shoot(time_ns, *cameras):
        for camera in cameras:
            camera.say(str(time_ns))
            assert camera.hear() == "published"

    def following(pairs):
        if how == "for":
            return next(pairs)
        return asyncio.run(asyncio.wait_for(pairs.__aiter__().__anext__(), 60))

    with camlane.synchronize(names, tolerance=0.001, timeout=30) as pairs:
        shoot(1_000_000_000, left, right)
        assert [frame.number for frame in following(pairs)] == [1, 1]
        shoot(2_000_000_000, left)  # its partner never comes
        right.process.kill()
        right.process.wait()
        with pytest.raises(camlane.ProducerGone, match=names[1]):
            following(pairs)
        right = start(CAMERA, names[1])
        assert right.hear() == "ready"
        shoot(3_000_000_000, left, right)
        frames = following(pairs)
        assert [frame.meta.capture_time_ns for frame in frames] == [3_000_000_000] * 2
        assert [total["unpaired"] for total in pairs.totals] == [1, 0]
        assert pairs.totals[1]["restarts"] == 1


def test_times_of_different_clocks_are_refused(name):
    names, (left, right) = lanes(name)
    with camlane.synchronize(names, tolerance=0.001, timeout=20) as pairs:
        publish(left, 1_000_000_000)
        publish(right, 1_000_000_000, clock="realtime")
        with pytest.raises(camlane.ClocksDiffer, match="realtime"):
            next(pairs)
    with pytest.raises(camlane.Invalid, match="two"):
        camlane.synchronize(names[:1], tolerance=0.001)


def test_a_policy_decides_whom_a_sealed_lane_admits(tmp_path, name):
    address = f"sealed:{tmp_path}/{name}.sock"
    policy = camlane.Policy(users=[os.getuid()], seats_per_user=1)
    with camlane.create(address, width=4, height=4, format="GRAY8", policy=policy):
        with camlane.open(address, trust_users=[12345]):
            with pytest.raises((camlane.SeatsTaken, camlane.NotPermitted)):
                camlane.open(address)
        assert os.stat(f"{tmp_path}/{name}.sock").st_mode & 0o777 == 0o600
    with camlane.create(address, width=4, height=4, format="GRAY8", policy=camlane.Policy(observers=True)):
        assert os.stat(f"{tmp_path}/{name}.sock").st_mode & 0o777 == 0o666


def test_a_lane_in_a_file_is_a_lane_like_any_other(tmp_path):
    address = f"file:{tmp_path}/left.lane"
    with camlane.create(address, width=4, height=4, format="GRAY8") as producer, camlane.open(address) as lane:
        publish(producer, 1)
        frame = lane.next(20)
        assert frame.array.tolist() == [[1] * 4] * 4
        start, end = lane.addresses
        assert start <= frame.array.__array_interface__["data"][0] < end


def test_the_module_lists_lanes_and_names_the_program_for_the_rest(name):
    run = [sys.executable, "-m", "camlane"]
    with camlane.create(name, width=4, height=4, format="GRAY8"):
        listed = subprocess.run(run, capture_output=True, text=True, check=True)
        assert f"{name}  running  GRAY8 4x4" in listed.stdout.splitlines()
    measured = subprocess.run([*run, "bench"], capture_output=True, text=True, check=True).stdout
    assert "borrow, array, release" in measured and "shared_memory: array" in measured and "iceoryx2" in measured
    refused = subprocess.run([*run, "watch", name], capture_output=True, text=True)
    assert refused.returncode == 2 and "cargo install camlane-cli" in refused.stderr
