"""Applies the mutants of mutants.txt, one at a time, to copies of core, and requires that the model catches each.

Called by loom.sh. A mutant that does not compile, whose text is not found exactly once, or that no named case catches is
a failure; so the list cannot drift away from the code.
"""

import concurrent.futures
import os
import queue
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
LIMIT = 300  # seconds for one case; one that takes longer was not caught


def read(path):
    """Yields (name, file, cases, [(from, to), ...]) for each entry."""
    for entry in re.split(r"^mutant ", path.read_text(), flags=re.M)[1:]:
        lines = entry.splitlines()
        fields = {"case": []}
        edits, side = [], None
        for line in lines[1:]:
            if line.startswith("file "):
                fields["file"] = line[5:].strip()
            elif line.startswith("case "):
                fields["case"].append(line[5:].strip())
            elif line.startswith("- "):
                if side != "-":
                    edits.append(([], []))
                edits[-1][0].append(line[2:])
                side = "-"
            elif line.startswith("+"):
                edits[-1][1].append(line[2:])
                side = "+"
            elif not line.strip() or line.startswith("#"):
                side = None
            else:
                sys.exit(f"mutants.txt: cannot read {line!r}")
        yield lines[0].strip(), fields["file"], fields["case"], [("\n".join(a), "\n".join(b)) for a, b in edits]


def workshop(number):
    """A workspace that holds core alone."""
    place = ROOT / "target/loom" / f"mutants-{number}"
    shutil.rmtree(place / "core", ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "core", place / "core")
    manifest = (ROOT / "Cargo.toml").read_text()
    manifest = re.sub(r"^(members|exclude|default-members) = \[.*?\]\n", "", manifest, flags=re.M | re.S)
    manifest = manifest.replace("[workspace]\n", '[workspace]\nmembers = ["core"]\n', 1)
    (place / "Cargo.toml").write_text(manifest)
    shutil.copy(ROOT / "Cargo.lock", place / "Cargo.lock")
    return place


def mutate(text, edits):
    for before, after in edits:
        found = text.count(before)
        if found != 1:
            return None, f"its text occurs {found} times: {before.strip()!r}"
        text = text.replace(before, after)
    return text, None


def attempt(place, mutant):
    """Returns None if the model caught the mutant, else why not."""
    _, name, cases, edits = mutant
    path = place / "core/src" / name
    original = (ROOT / "core/src" / name).read_text()
    text, problem = mutate(original, edits)
    if problem:
        return problem
    path.write_text(text)
    environment = dict(os.environ, CARGO_TARGET_DIR=str(place / "target"))
    build = ["cargo", "test", "--quiet", "-p", "camlane-core", "--test", "loom", "--no-run", "--message-format=short"]
    try:
        built = subprocess.run(build, cwd=place, env=environment, capture_output=True, text=True)
        if built.returncode:
            return "it does not compile:\n" + built.stderr[-2000:]
        run = build[:-2] + ["--"]
        for case in cases:
            try:
                ran = subprocess.run(run + [case], cwd=place, env=environment, capture_output=True, text=True, timeout=LIMIT)
            except subprocess.TimeoutExpired:
                continue
            if ran.returncode and "panicked at" in ran.stdout + ran.stderr:
                return None
            if "0 passed" in ran.stdout and "0 failed" in ran.stdout:
                return f"there is no case {case!r}"
        return "no case failed"
    finally:
        path.write_text(original)


def main():
    mutants = list(read(ROOT / "tests/mutants.txt"))
    if len(sys.argv) > 1:
        mutants = [mutant for mutant in mutants if mutant[0] == sys.argv[1]] or sys.exit(f"no mutant {sys.argv[1]!r}")
    places = queue.Queue()
    for number in range(min(WORKERS, len(mutants))):
        places.put(workshop(number))

    def one(mutant):
        place, began = places.get(), time.monotonic()
        try:
            return attempt(place, mutant), time.monotonic() - began
        finally:
            places.put(place)

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for mutant, (problem, seconds) in zip(mutants, pool.map(one, mutants)):
            print(f"{'CAUGHT' if problem is None else 'MISSED':6} {seconds:6.1f} s  {mutant[0]}", flush=True)
            if problem:
                failed += 1
                print(f"       {problem}", flush=True)
    print(f"mutants: {len(mutants) - failed} passed, {failed} failed")
    sys.exit(bool(failed))


main()
