"""The tests of the camera crate and of the program that need a driver."""

import os
import subprocess

import vivid
from lab import PATIENCE, Process

OF = {"tests/camera.rs": "the program", "tests/camera/main.rs": "the camera crate"}


def suite(report, long):
    for test in os.environ["CAMERA_TESTS"].split():
        source, program = test.split("=")
        vivid.start()
        with report.case("crate", "vivid", f"the tests of {OF[source]}") as row:
            with Process(program, env={**os.environ, "CAMLANE_REQUIRE_CAMERA": "1"}) as tests:
                try:
                    code = tests.child.wait(3 * PATIENCE)
                except subprocess.TimeoutExpired:
                    code = "none, they hang"
                told = tests.out.decode()
                assert code == 0, f"exit code {code}: {told[-1500:]}"
                skipped = sum(line.startswith("SKIPPED") for line in tests.err.splitlines())
            row["detail"] = told[told.index("test result:") :].split(";")[0].strip()
            if skipped:
                row["detail"] += f", {skipped} of them skipped: the kernel lacks what they need"
