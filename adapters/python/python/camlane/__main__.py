"""`python -m camlane` lists the lanes that there are; `python -m camlane bench` measures what a frame costs here. The program
`camlane` does more; it is installed apart from this package."""

import sys

import camlane


def main(arguments: list[str]) -> int:
    """Prints one line for each lane, or each figure."""
    if arguments == ["bench"]:
        from camlane import _bench

        return _bench.main()
    if arguments:
        print(
            f"python -m camlane lists lanes; python -m camlane bench measures. For `{' '.join(arguments)}` use the program "
            "`camlane`, which is installed apart from this package: cargo install camlane-cli",
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
    sys.exit(main(sys.argv[1:]))
