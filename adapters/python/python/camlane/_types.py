"""What a frame says about itself, as plain values."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Flags(enum.IntFlag):
    """Facts about one frame, as bits. Unknown bits are kept."""

    KEY = 1 << 0
    """A key frame: decoding can start here."""
    DELTA = 1 << 1
    """Needs earlier frames to be decoded."""
    CORRUPT = 1 << 2
    """The driver reported an error in this frame's data."""
    STARTUP = 1 << 3
    """The camera has not settled yet."""
    TRUNCATED = 1 << 4
    """The frame was larger than its slot and is cut."""
    DISCONTINUITY = 1 << 5
    """There is a gap before this frame."""
    TOP_FIELD = 1 << 6
    """Top field only."""
    BOTTOM_FIELD = 1 << 7
    """Bottom field only."""
    INTERLACED = 1 << 8
    """Both fields, interleaved."""
    END_OF_STREAM = 1 << 9
    """The last frame of the stream."""
    DUPLICATE = 1 << 10
    """The same picture as the frame before."""
    COPIED = 1 << 11
    """The producer copied once to get the pixels into the slot."""
    PARAMETERS = 1 << 12
    """Parameter sets are inside (H.264, H.265)."""
    DMABUF = 1 << 13
    """A camera's driver wrote it into the slot through a dma-buf."""
    USERPTR = 1 << 14
    """A camera's driver wrote it to the slot's addresses."""
    MMAP = 1 << 15
    """A camera's driver wrote it into a buffer of its own, from which it was copied."""


class Pause(NamedTuple):
    """Why a producer that lives gives no frames, as it says itself."""

    reason: str
    """"unplugged", "busy", "failed", "no-signal", "suspended", "silent", "intended", or "unknown"."""
    errno: int | None
    """The system's error behind it."""
    seconds: float
    """How long it has lasted."""
    text: str
    """All of that in a sentence."""


class Plane(NamedTuple):
    """Where a plane lies, in bytes from the beginning of the frame."""

    offset: int
    stride: int
    rows: int
    bytes: int


class Colour(NamedTuple):
    """Colour as ITU-T H.273 numbers it: 2 means "not stated"."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0
    """0 not stated, 1 full, 2 limited."""
    chroma_site: int = 0
    """0 not stated, else H.273's chroma sample location type plus one."""


@dataclass(frozen=True)
class Details:
    """What few readers need. None means not stated; a value is never invented."""

    colour: Colour | None = None
    significant_bits: int = 0
    """Bits of each sample that carry information; 0: as the format says."""
    orientation: int = 0
    """Exif orientation, 1 to 8; 0: unknown."""
    exposure_ns: int | None = None
    frame_duration_ns: int | None = None
    analogue_gain: float | None = None
    digital_gain: float | None = None
    colour_gains: tuple[float, float] | None = None
    """Gains of red and blue."""
    colour_temperature_k: int | None = None
    lens_position_dioptre: float | None = None
    sensor_temperature_c: float | None = None
    trigger: int | None = None
    """Trigger or input line that started the exposure."""
    region_of_interest: tuple[int, int, int, int] | None = None
    """x, y, width and height on the sensor, in pixels."""
    binning: tuple[int, int] | None = None
    """Sensor pixels per picture pixel, across and down."""
    black_levels: tuple[int, int, int, int] | None = None
    """Of the four Bayer channels, in 16-bit scale."""
    upstream: tuple[int, int] | None = None
    """The lane and the number of the raw frame that this one was made from."""
    pts_offset_ns: int | None = None
    """Presentation time minus capture time (encoders)."""


@dataclass(frozen=True)
class Policy:
    """Whom a sealed lane admits besides its producer's own user and root. None leaves the default."""

    users: Sequence[int] = ()
    """By the numbers that they have where the producer runs."""
    groups: Sequence[int] = ()
    """Primary groups of processes."""
    anybody: bool = False
    """Everybody who can reach the socket."""
    observers: bool = False
    """Everybody may observe, whoever may pin."""
    seats_per_user: int | None = None
    connections: int | None = None
    """Connections without a seat, in all; 256."""
    connections_per_user: int | None = None
    """Of one user; 64."""
