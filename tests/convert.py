"""What converting a 1080p frame costs in camlane and in OpenCV, in one run and in turn. See convert.sh.

Least times of many rounds: the processor's, not those of what else ran. Each side makes a new picture every time. Both get the
same bytes; how far the results are apart is printed too (OpenCV's demosaic has other edges, its YUV other rounding).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import cv2
import numpy as np

import camlane

WIDTH, HEIGHT, ROUNDS = 1920, 1080, 60
random = np.random.default_rng(1)


def noise(*shape: int, dtype: type = np.uint8, most: int = 256) -> np.ndarray:
    return random.integers(0, most, shape).astype(dtype)


def least(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def p010() -> tuple[np.ndarray, np.ndarray]:
    return noise(HEIGHT, WIDTH, dtype=np.uint16, most=1024) << 6, noise(HEIGHT // 2, WIDTH // 2, 2, dtype=np.uint16, most=1024) << 6


semi = (noise(HEIGHT, WIDTH), noise(HEIGHT // 2, WIDTH // 2, 2))
planar = (noise(HEIGHT, WIDTH), noise(HEIGHT // 2, WIDTH // 2), noise(HEIGHT // 2, WIDTH // 2))
joined = np.concatenate([plane.reshape(-1) for plane in planar]).reshape(HEIGHT * 3 // 2, WIDTH)
semi_joined = np.concatenate([plane.reshape(-1) for plane in semi]).reshape(HEIGHT * 3 // 2, WIDTH)
# What a camera sees is smooth, with some noise: the decoder's usual work.
smooth = cv2.GaussianBlur(noise(HEIGHT, WIDTH, 3), (0, 0), 8)
smooth = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX) // 2 + noise(HEIGHT, WIDTH, 3, most=8)
jpeg = cv2.imencode(".jpg", smooth.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].reshape(-1)

# Format, what is published, camlane's method, the same by OpenCV (None: it has none).
packed, bayer, deep = noise(HEIGHT, WIDTH, 2), noise(HEIGHT, WIDTH), noise(HEIGHT, WIDTH, dtype=np.uint16, most=1024)
rgb, bgra = noise(HEIGHT, WIDTH, 3), noise(HEIGHT, WIDTH, 4)
CASES: list[tuple[str, object, str, Callable[[], object] | None]] = [
    ("YUYV", packed, "bgr", lambda: cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_YUYV)),
    ("UYVY", packed, "bgr", lambda: cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_UYVY)),
    ("NV12", semi, "bgr", lambda: cv2.cvtColor(semi_joined, cv2.COLOR_YUV2BGR_NV12)),
    ("NV21", semi, "bgr", lambda: cv2.cvtColor(semi_joined, cv2.COLOR_YUV2BGR_NV21)),
    ("I420", planar, "bgr", lambda: cv2.cvtColor(joined, cv2.COLOR_YUV2BGR_I420)),
    ("P010", p010(), "bgr", None),
    ("NV16", (noise(HEIGHT, WIDTH), noise(HEIGHT, WIDTH // 2, 2)), "bgr", None),
    ("NV12", semi, "gray", lambda: cv2.cvtColor(semi_joined, cv2.COLOR_YUV2GRAY_NV12)),
    ("RGB8", rgb, "bgr", lambda: cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)),
    ("BGRA8", bgra, "bgr", lambda: cv2.cvtColor(bgra, cv2.COLOR_BGRA2BGR)),
    ("RGB8", rgb, "gray", lambda: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)),
    ("BAYER8_RGGB", bayer, "bgr", lambda: cv2.cvtColor(bayer, cv2.COLOR_BayerBG2BGR)),
    ("BAYER10_RGGB", deep, "bgr", lambda: cv2.convertScaleAbs(cv2.cvtColor(deep, cv2.COLOR_BayerBG2BGR), alpha=255 / 1023)),
    ("JPEG", jpeg, "bgr", lambda: cv2.imdecode(jpeg, cv2.IMREAD_COLOR)),
]

print(f"OpenCV {cv2.__version__}, {WIDTH}x{HEIGHT}, least of {ROUNDS} rounds, one thread unless it says two")
print("| from | to | camlane | OpenCV | OpenCV, two threads | camlane / OpenCV | apart |")
print("|--|--|--|--|--|--|--|")
for number, (format, picture, target, theirs) in enumerate(CASES):
    name = f"convert-{os.getpid()}-{number}"
    with camlane.create(name, width=WIDTH, height=HEIGHT, format=format, max_bytes=len(jpeg) if format == "JPEG" else None) as producer:
        with camlane.open(name) as lane:
            producer.publish(picture)
            frame = lane.next(10)
            ours = getattr(frame, target)
            times: list[list[float]] = [[], [], []]
            for _ in range(ROUNDS):
                times[0].append(least(ours))
                for threads in (1, 2):
                    cv2.setNumThreads(threads)
                    times[threads].append(least(theirs) if theirs else float("nan"))
            mine, one, two = (min(each) for each in times)
            line = f"| {format} | {target} | {mine:.2f} ms |"
            if theirs:
                apart = np.abs(np.asarray(theirs())[1:-1, 1:-1].astype(int) - ours()[1:-1, 1:-1])
                line += f" {one:.2f} ms | {two:.2f} ms | {mine / one:.2f} | {apart.mean():.2f} on average |"
            else:
                line += " has none | | | |"
            print(line)
    os.unlink(f"/dev/shm/camlane.{name}.lock")
