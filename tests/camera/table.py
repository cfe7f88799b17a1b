#!/usr/bin/env python3
"""Writes the last results of each suite into a document, between `<!-- results -->` and `<!-- end of results -->`.

usage: table.py FOLDER README.md
"""

import pathlib
import sys

BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
PATHS = ["dmabuf", "userptr", "mmap"]


def grid(rows, heads, value):
    """A table with a line for each driver and format, and a column for each memory path."""
    lines = [f"| {' | '.join(heads + PATHS)} |", "|---" * len(heads + PATHS) + "|"]
    keys = list(dict.fromkeys((row["driver"], row["format"], row["size"]) for row in rows))
    for key in keys:
        cells = {row["memory"]: value(row) for row in rows if (row["driver"], row["format"], row["size"]) == key}
        lines.append(f"| {' | '.join([*key[: len(heads)], *(cells.get(path, '') for path in PATHS)])} |")
    return lines


def main():
    results, document = map(pathlib.Path, sys.argv[1:])
    rows, kernels = [], set()
    for suite in sorted(results.glob("*.tsv")):
        kernel, head, *lines = suite.read_text().splitlines()
        kernels.add(kernel.lstrip("# "))
        rows += [dict(zip(head.split("\t"), line.split("\t"))) for line in lines]
    rows = [row for row in rows if row["driver"]]  # the others say that a suite ran to its end
    limits = list(dict.fromkeys(row["detail"] for row in rows if row["result"] == "limit"))

    def told(row):
        return f"limit {limits.index(row['detail']) + 1}" if row["result"] == "limit" else row["result"]

    pictures = [row for row in rows if row["case"] == "known pictures arrive"]
    copies = [row for row in rows if row["case"] == "copies are as told"]
    others = [row for row in rows if row not in pictures + copies]
    text = [f"{', '.join(kernels)}: {sum(row['result'] != 'FAIL' for row in rows)} of {len(rows)} cases held.", ""]
    text += ["Known pictures arrive byte for byte in a consumer process:", ""]
    text += grid(pictures, ["driver", "format", "size"], told)
    text += [f"\nLimit {number}: {limit}" for number, limit in enumerate(limits, 1)]
    text += ["", "Copies per frame, measured while the producer stands still:", ""]
    text += grid(copies, ["driver", "format"], lambda row: row["copies"] if row["result"] == "pass" else told(row))
    text += ["", "| driver | what else was tried | |", "|---|---|---|"]
    text += [f"| {row['driver']} | {' '.join(filter(None, [row['case'], row['format']]))} | {told(row)} |" for row in others]
    before, rest = document.read_text().split(BEGIN)
    after = rest.split(END)[1]
    document.write_text(before + BEGIN + "\n".join(text) + "\n" + END + after)


main()
