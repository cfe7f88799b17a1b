"""`python -m camlane`: lists the lanes that there are. The program `camlane` does more; it is installed apart from this package."""

import sys

import camlane


def main() -> int:
    """Prints one line for each lane."""
    if len(sys.argv) > 1:
        print(
            f"python -m camlane lists lanes and takes no arguments. For `{' '.join(sys.argv[1:])}` use the program `camlane`, "
            "which is installed apart from this package: cargo install camlane-cli",
            file=sys.stderr,
        )
        return 2
    lanes = camlane.list()
    for lane in lanes:
        info = lane.info
        what = lane.problem if info is None else f"{info.format} {info.width}x{info.height}"
        print(f"{lane.name}  {lane.health}  {what}")
    if not lanes:
        print("no lane is running", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
