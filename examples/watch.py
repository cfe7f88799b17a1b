"""A consumer in Python: reads the newest frames where they lie, without a copy.

`python examples/watch.py`, while the example `produce` or `camlane publish front-door` runs; needs camlane and numpy.
"""

import sys

import camlane


def main(name: str) -> None:
    with camlane.open(name, patience=10.0, timeout=5.0) as lane:
        for frame in lane:  # ends when the producer ends the stream; a restart is followed
            array = frame.array if frame.has_array else frame.planes[0]
            age_ms = (frame.age_ns or 0) / 1e6
            print(
                f"frame {frame.number}: {frame.format} {frame.width}x{frame.height}, mean {array.mean():.1f}, "
                f"missed {frame.meta.missed}, {age_ms:.2f} ms old"
            )


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "front-door")
    except camlane.Error as error:
        sys.exit(f"watch: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
