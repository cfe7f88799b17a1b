#!/usr/bin/env python3
"""Writes the last results of each suite into a document, between `<!-- results -->` and `<!-- end of results -->`; of other
machines, what is not as in the first.

usage: table.py README.md FOLDER [OTHER FOLDER]...
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


def read(results):
    """The kernel, and the rows of all suites."""
    rows, kernels = [], set()
    for suite in sorted(results.glob("*.tsv")):
        kernel, head, *lines = suite.read_text().splitlines()
        kernels.add(kernel.lstrip("# "))
        rows += [dict(zip(head.split("\t"), line.split("\t"))) for line in lines]
    rows = [row for row in rows if row["driver"]]  # the others say that a suite ran to its end
    return f"{', '.join(kernels)}: {sum(row['result'] != 'FAIL' for row in rows)} of {len(rows)} cases held.", rows


def difference(rows, others):
    """Results that are others for the same case, those of one kind together."""
    facts = ["suite", "driver", "case", "memory", "format", "size"]
    before = {tuple(row[fact] for fact in facts): row for row in rows}
    kinds = {}
    for row in others:
        same = before.pop(tuple(row[fact] for fact in facts), None)
        skipped = "skipped" in row["detail"]
        if same is None or same["result"] != row["result"] or skipped:
            text = row["detail"] if row["result"] == "limit" or skipped else f"{row['case']}: {row['result']}"
            kinds.setdefault((row["driver"], row["memory"], text), []).append(row)
    lines = [
        f"- {driver}{', ' * bool(memory)}{memory}, in {len(rows)} case{'s' * (len(rows) > 1)}: {text}"
        for (driver, memory, text), rows in kinds.items()
    ]
    return lines + [f"- {len(before)} cases were not tried"] * bool(before)


def main():
    document, results, *others = map(pathlib.Path, sys.argv[1:])
    held, rows = read(results)
    limits = list(dict.fromkeys(row["detail"] for row in rows if row["result"] == "limit"))

    def told(row):
        return f"limit {limits.index(row['detail']) + 1}" if row["result"] == "limit" else row["result"]

    pictures = [row for row in rows if row["case"] == "known pictures arrive"]
    copies = [row for row in rows if row["case"] == "copies are as told"]
    padded = [row for row in rows if row["case"] == "known pictures arrive, rows padded"]
    text = [held, ""]
    for other in (folder for folder in others if any(folder.glob("*.tsv"))):
        other_held, other_rows = read(other)
        text += [f"{other_held} There it is otherwise than in the tables below:", "", *difference(rows, other_rows), ""]
    text += ["Known pictures arrive byte for byte in a consumer process:", ""]
    text += grid(pictures, ["driver", "format", "size"], told)
    text += ["", "The same where the driver is asked for rows at multiples of 512 bytes, so that there is padding between them:", ""]
    text += grid(padded, ["driver", "format", "size"], told)
    text += [""]
    text += [f"Limit {number}: {limit}\n" for number, limit in enumerate(limits, 1)]
    text += ["Copies per frame, measured while the producer stands still:", ""]
    text += grid(copies, ["driver", "format"], lambda row: row["copies"] if row["result"] == "pass" else told(row))
    text += ["", "| driver | what else was tried | |", "|---|---|---|"]
    rest = [row for row in rows if row not in pictures + padded + copies]
    text += [f"| {row['driver']} | {' '.join(filter(None, [row['case'], row['format'], row['memory']]))} | {told(row)} |" for row in rest]
    before, results = document.read_text().split(BEGIN)
    after = results.split(END)[1]
    document.write_text(before + BEGIN + "\n".join(text) + "\n" + END + after)


main()
