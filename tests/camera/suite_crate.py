"""The camera crate's own tests, which need a driver."""

import os
import pathlib

import vivid
from lab import PATIENCE, run


def suite(report, long):
    for program in os.environ["CAMERA_TESTS"].split():
        vivid.start()
        name = pathlib.Path(program).name.rsplit("-", 1)[0]
        with report.case("crate", "vivid", f"the tests in {name}") as row:
            told = run(program, env={**os.environ, "CAMLANE_REQUIRE_CAMERA": "1"}, timeout=10 * PATIENCE).decode()
            row["detail"] = told[told.index("test result:") :].split(";")[0].strip()
