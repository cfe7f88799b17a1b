"""Producing: shapes that are taken and refused, metadata there and back, conversions, listings."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest

import camlane


@pytest.fixture
def bgr(name):
    with camlane.create(name, width=8, height=6, rate=(30000, 1001), frame_id="optical") as producer:
        with camlane.open(name) as lane:
            yield producer, lane


RANDOM = np.random.default_rng(3).integers(0, 255, (6, 8, 3)).astype(np.uint8)
WIDE = np.random.default_rng(4).integers(0, 255, (12, 16, 4)).astype(np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        RANDOM,
        RANDOM[::-1],
        RANDOM[:, ::-1],
        RANDOM[:, :, ::-1],
        np.asfortranarray(RANDOM),
        WIDE[3:9, 4:12, :3],
        WIDE[::2, ::2, 1:],
    ],
    ids=["plain", "upside-down", "mirrored", "rgb", "fortran", "cropped", "thinned"],
)
def test_any_strides_are_honoured(bgr, picture):
    producer, lane = bgr
    producer.publish(picture)
    frame = lane.next(1)
    assert (frame.array == picture).all()
    assert camlane.Flags.COPIED in frame.meta.flags


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_plain_buffers_are_taken(bgr, kind):
    producer, lane = bgr
    producer.publish(kind(RANDOM.tobytes()))
    assert (lane.next(1).array == RANDOM).all()


def test_a_large_picture_arrives_whole(name):
    picture = np.random.default_rng(5).integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    with camlane.create(name, width=1920, height=1080) as producer, camlane.open(name) as lane:
        producer.publish(picture)
        assert (lane.next(1).array == picture).all()


@pytest.mark.parametrize(
    ("picture", "text"),
    [
        (np.zeros((6, 8, 4), np.uint8), r"shape \(6, 8, 3\), not \(6, 8, 4\)"),
        (np.zeros((6, 8, 3), np.float32), "of uint8, not of float32: convert"),
        (np.zeros((6, 8, 3), np.int8), "of uint8, not of another type"),
        (b"\0" * 10, "10 bytes were given, a BGR8 frame here has 144"),
        ((np.zeros((6, 8), np.uint8),) * 3, "3 planes were given, a BGR8 frame has 1"),
        (3.5, "not"),
    ],
    ids=["shape", "float", "signed", "bytes", "planes", "number"],
)
def test_what_does_not_fit_is_refused_with_what_would(bgr, picture, text):
    producer, lane = bgr
    with pytest.raises(camlane.Invalid, match=text):
        producer.publish(picture)
    assert lane.poll() is None


def test_an_exception_in_a_loan_publishes_nothing(bgr):
    producer, lane = bgr
    with pytest.raises(ZeroDivisionError):
        with producer.loan() as loan:
            loan.array[:] = 1 // 0
    assert lane.poll() is None and producer.published == 0


def test_metadata_comes_back_with_its_units(bgr):
    producer, lane = bgr
    details = camlane.Details(
        colour=camlane.Colour(matrix=1, range=2),
        significant_bits=7,
        orientation=6,
        exposure_ns=4_000_000,
        frame_duration_ns=33_366_667,
        analogue_gain=2.5,
        digital_gain=1.0,
        colour_gains=(1.5, 1.25),
        colour_temperature_k=5600,
        lens_position_dioptre=0.5,
        sensor_temperature_c=-12.5,
        trigger=3,
        region_of_interest=(1, 2, 3, 4),
        binning=(2, 1),
        black_levels=(1, 2, 3, 4),
        upstream=(7, 1 << 40),
        pts_offset_ns=-5,
    )
    producer.count_dropped(2)
    number = producer.publish(
        RANDOM,
        capture_time_ns=123,
        clock="boottime",
        reference="start-of-exposure",
        source_sequence=77,
        flags=camlane.Flags.KEY | camlane.Flags.DUPLICATE,
        user=b"\x01two",
        details=details,
    )
    meta = lane.next(1).meta
    assert (meta.number, meta.source_sequence) == (number, 77)
    assert (meta.capture_time_ns, meta.clock, meta.reference) == (123, "boottime", "start-of-exposure")
    assert meta.flags == camlane.Flags.KEY | camlane.Flags.DUPLICATE | camlane.Flags.COPIED
    assert (meta.user, meta.details, meta.dropped) == (b"\x01two", details, 2)
    assert meta.publish_time_ns and 0 <= meta.age_ns < 60e9
    assert (meta.bytes, meta.planes) == (144, (camlane.Plane(0, 24, 6, 144),))


def test_nothing_is_invented(bgr):
    producer, lane = bgr
    with producer.loan() as loan:
        loan.array[:] = 0
    meta = lane.next(1).meta
    assert meta.capture_time_ns is None and meta.details is None
    assert (meta.clock, meta.reference, meta.user, meta.flags) == ("unknown", "unknown", b"", camlane.Flags(0))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"clock": "sundial"}, "choose one of monotonic"), ({"user": b"x" * 193}, "193 bytes.*user_bytes")],
    ids=["clock", "user"],
)
def test_wrong_metadata_is_refused(bgr, wrong, text):
    producer, _ = bgr
    with pytest.raises(camlane.Invalid, match=text):
        producer.publish(RANDOM, capture_time_ns=1, **wrong)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"format": "BGR9"}, "no such pixel format"),
        ({"format": "JPEG"}, "most bytes"),
        ({"width": 0}, "empty"),
        ({"pins": 9}, "pins"),
        ({"row_align": 3}, "alignment of 3"),
        ({"sharing": "all"}, "everyone"),
        ({"frame_id": "x" * 65}, "64"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_lane_that_cannot_be_is_refused(name, wrong, text):
    with pytest.raises(camlane.Invalid, match=text):
        camlane.create(**{"name": name, "width": 8, "height": 6, **wrong})


def test_a_lane_has_one_producer(bgr):
    producer, _ = bgr
    with pytest.raises(camlane.LaneTaken, match="stop it first"):
        camlane.create(producer.name, width=8, height=6)


def test_a_lane_too_large_names_the_bytes(name):
    with pytest.raises(camlane.NoSharedMemory, match="bytes of shared memory"):
        camlane.create(name, width=30000, height=30000, seats=4096)
    assert name not in [status.name for status in camlane.list()]


def test_lanes_are_listed_and_observed(bgr):
    producer, lane = bgr
    producer.publish(RANDOM, user=b"u")
    (status,) = (status for status in camlane.list() if status.name == producer.name)
    assert (status.health, status.problem, status.published, status.seats) == ("running", None, 1, 8)
    assert status.info and (status.info.rate, status.info.frame_id) == ((30000, 1001), "optical")
    assert status.consumers and len(status.consumers) == 1
    with camlane.observe(producer.name) as observer:
        meta = observer.peek()
        assert meta and (meta.number, meta.width) == (1, 8)
        frame = observer.copy_newest()
        assert frame and (frame.array == RANDOM).all() and frame.meta.user == b"u"
        assert observer.state == "live"
        producer.close()
        assert observer.state == "closed"
    assert (frame.array == RANDOM).all()


# BT.601 limited red, as every colour-bar generator writes it.
@pytest.mark.parametrize(
    ("format", "planes"),
    [
        ("BGR8", ((0, 0, 254),)),
        ("RGBA8", ((254, 0, 0, 9),)),
        ("NV12", (81, (90, 240))),
        ("I420", (81, 90, 240)),
        ("I444", (81, 90, 240)),
        ("NV24", (81, (90, 240))),
    ],
)
def test_red_is_red_in_every_format(name, format, planes):
    with camlane.create(name, width=7, height=5, format=format, row_align=16) as producer:
        with camlane.open(name) as lane:
            loan = producer.loan()
            for plane, value in zip(loan.planes, planes, strict=True):
                plane[...] = value
            del plane
            loan.publish()
            frame = lane.next(1)
            assert (frame.rgb() == (254, 0, 0)).all() and frame.rgb().shape == (5, 7, 3)
            assert (frame.bgr() == (0, 0, 254)).all()
            assert frame.gray().shape == (5, 7) and 74 <= frame.gray()[0, 0] <= 78
            picture = frame.bgr()
            picture[:] = 0  # its own memory
            frame.release()


def png(rgb: np.ndarray) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = rgb.shape
    rows = b"".join(b"\0" + row.tobytes() for row in rgb)
    out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    out.seek(0, io.SEEK_END)
    out.write(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)))
    out.write(chunk(b"IDAT", zlib.compress(rows)))
    out.write(chunk(b"IEND", b""))
    return out.getvalue()


def test_compressed_frames_decode(name):
    with camlane.create(name, width=8, height=6, format="PNG", max_bytes=4096) as producer:
        with camlane.open(name) as lane:
            producer.publish(png(RANDOM))
            frame = lane.next(1)
            assert frame.meta.bytes == len(png(RANDOM)) == frame.array.size
            assert (frame.rgb() == RANDOM).all()
            producer.publish(png(RANDOM)[:40])
            with pytest.raises(camlane.CannotConvert, match="damaged"):
                lane.next(1).rgb()
            with producer.loan() as loan:
                loan.array[:3] = (1, 2, 3)
                loan.publish(bytes=3)
            assert lane.next(1).tobytes() == b"\x01\x02\x03"


def test_video_that_only_a_decoder_knows_says_so(name):
    with camlane.create(name, width=8, height=6, format="H264", max_bytes=64) as producer:
        with camlane.open(name) as lane:
            producer.publish(b"\0\0\0\1")
            with pytest.raises(camlane.CannotConvert, match="H264"):
                lane.next(1).bgr()
