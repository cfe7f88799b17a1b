"""Lanes in step, sealed lanes' policies, lanes in files."""

from __future__ import annotations

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
    refused = subprocess.run([*run, "watch", name], capture_output=True, text=True)
    assert refused.returncode == 2 and "cargo install camlane-cli" in refused.stderr
