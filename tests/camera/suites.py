#!/usr/bin/env python3
"""Runs suites inside the machine and leaves the table of each in $JOB. Fails if a case did.

usage: suites.py short|long SUITE...     crate, vivid, loopback, uvc, sync, clients; sleep on its own
"""

import importlib
import os
import sys

import away
from lab import Report


def main():
    report = Report(os.environ["JOB"])
    length, *names = sys.argv[1:]
    for name in names:
        with report.case(name, "", "the suite runs to its end"):
            importlib.import_module(f"suite_{name}").suite(report, length == "long")
    print(f"{report.passed} passed, {report.failed} failed", flush=True)
    if report.away:
        away.by_wire(int(report.failed > 0))
    sys.exit(report.failed > 0)


main()
