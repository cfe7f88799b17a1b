"""The tests of the camera crate and of the program that need a driver."""

import os

import vivid
from lab import PATIENCE, run

OF = {"tests/camera.rs": "the program", "tests/camera/main.rs": "the camera crate"}


def suite(report, long):
    for test in os.environ["CAMERA_TESTS"].split():
        source, program = test.split("=")
        vivid.start()
        with report.case("crate", "vivid", f"the tests of {OF[source]}") as row:
            told = run(program, env={**os.environ, "CAMLANE_REQUIRE_CAMERA": "1"}, timeout=10 * PATIENCE).decode()
            row["detail"] = told[told.index("test result:") :].split(";")[0].strip()
