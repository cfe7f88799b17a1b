"""Reads what callgrind counted, prints it beside the record, and fails where an operation takes over a tenth more.

Called by instructions.sh: instructions.py CALLGRIND-FILE RECORD TOOLCHAIN [--record]
"""

import re
import sys
from pathlib import Path

OPERATION = re.compile(r"(?:^|::)((?:lane|wide|named)_\w+)")


def count(path):
    """Instructions of one call of each operation, with all that it calls, as its callers saw it."""
    names, calls, costs = {}, {}, {}
    callee = None
    lines = iter(path.read_text().splitlines())
    for line in lines:
        # callgrind-format: a name stands behind its number once, and a call's cost on the line after `calls=`.
        if found := re.match(r"c?fn=\((\d+)\)(?: (.*))?", line):
            number, name = found.groups()
            if name:
                names[number] = name
            callee = names[number]
        elif line.startswith("calls="):
            if operation := OPERATION.search(callee):
                key = operation[1]
                calls[key] = calls.get(key, 0) + int(line[6:].split()[0])
                costs[key] = costs.get(key, 0) + int(next(lines).split()[-1])
    return {key: round(costs[key] / calls[key]) for key in sorted(calls)}


def main(file, record, toolchain, *mode):
    counts, record = count(Path(file)), Path(record)
    if mode == ("--record",):
        head = f"# Instructions of each operation: tests/instructions.sh --record\n# {toolchain}\n"
        record.write_text(head + "".join(f"{name} {now}\n" for name, now in counts.items()))
    lines = record.read_text().splitlines()
    recorded = {name: int(was) for name, was in (line.split() for line in lines if not line.startswith("#"))}
    print(f"{'operation':<22} {'recorded':>8} {'now':>8}")
    bad = False
    for name in sorted(counts | recorded):
        was, now = recorded.get(name), counts.get(name)
        if was is None or now is None:
            note, bad = "NOT RECORDED" if was is None else "NOT COUNTED", True
        elif now > 1.1 * was:
            note, bad = f"MORE: {now / was - 1:+.0%}", True
        else:
            note = f"less: {now / was - 1:+.0%}, record it" if now < 0.9 * was else ""
        print(f"{name:<22} {was or '-':>8} {now or '-':>8}  {note}".rstrip())
    if bad:
        print(f"recorded with {lines[1][2:]}, counted with {toolchain}")
        print("if the change is worth it: tests/instructions.sh --record, and commit the record with the change")
    return bad


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
