"""Applies the mutants of mutants.txt, one at a time, to copies of core, and requires that the model catches each.

Called by loom.sh. A mutant that does not compile, whose text is not found exactly once, whose case does not exist, or
that no case catches for the reason that is meant, is a failure; so the list cannot drift away from the code.
"""

import concurrent.futures
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
LIMIT = 300  # seconds for one case; one that takes longer was not caught


@dataclass
class Mutant:
    name: str
    file: str = ""
    cases: list = field(default_factory=list)
    says: str = ""
    equivalent: str = ""
    edits: list = field(default_factory=list)  # of (lines to find, lines to put there)


def read(path):
    mutants, side = [], None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        key, _, value = line.partition(" ")
        if key == "mutant":
            mutants.append(Mutant(value))
        elif key in ("file", "says", "equivalent") and value:
            setattr(mutants[-1], key, value)
        elif key == "case" and value:
            mutants[-1].cases.append(value)
        elif key == "-":
            if side != "-":
                mutants[-1].edits.append(([], []))
            mutants[-1].edits[-1][0].append(value)
        elif key == "+":
            mutants[-1].edits[-1][1].append(value)
        elif line and not line.startswith("#"):
            sys.exit(f"mutants.txt:{number}: cannot read {line!r}")
        side = key
    for mutant in mutants:
        if not (mutant.file and mutant.cases and mutant.edits) or bool(mutant.says) == bool(mutant.equivalent):
            sys.exit(f"mutants.txt: {mutant.name}: needs file, case, either says or equivalent, and an edit")
    return mutants


def workshop(number):
    """Makes a workspace that holds core alone."""
    place = ROOT / "target/loom" / f"mutants-{number}"
    shutil.rmtree(place / "core", ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    # Without the times of the originals: cargo must see that these are newer than what it built from the last mutant.
    shutil.copytree(ROOT / "core", place / "core", copy_function=shutil.copyfile)
    manifest = (ROOT / "Cargo.toml").read_text()
    manifest = re.sub(r"^(members|exclude|default-members) = \[.*?\]\n", "", manifest, flags=re.M | re.S)
    manifest = manifest.replace("[workspace]\n", '[workspace]\nmembers = ["core"]\n', 1)
    (place / "Cargo.toml").write_text(manifest)
    shutil.copy(ROOT / "Cargo.lock", place / "Cargo.lock")
    return place


def build(place):
    """Returns the program of the model's cases, or what the compiler says."""
    environment = dict(os.environ, CARGO_TARGET_DIR=str(place / "target"))
    command = ["cargo", "test", "--quiet", "-p", "camlane-core", "--test", "loom", "--no-run", "--message-format=json"]
    built = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    if built.returncode:
        said = [message["message"]["rendered"] for message in messages if message["reason"] == "compiler-message"]
        return None, "it does not compile:\n" + "".join(said or built.stderr)[-2000:]
    return [message["executable"] for message in messages if message.get("executable")][-1], None


def judge(mutant, program):
    """Returns None if the cases end as the mutant says, else what they did."""
    outcomes = []
    for case in mutant.cases:
        try:
            ran = subprocess.run([program, "--nocapture", case], capture_output=True, text=True, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            outcomes.append(f"{case} went on for {LIMIT} s")
            continue
        said = ran.stdout + ran.stderr
        if "running 0 tests" in said:
            return f"there is no case {case}"
        failed = ran.returncode != 0
        if mutant.says and failed and mutant.says in said:
            return None
        if failed or mutant.says:
            outcomes.append(f"{case} " + ("failed for another reason:\n" + said[-2000:] if failed else "passed"))
    return "\n       ".join(outcomes) or None


def attempt(place, mutant):
    path = place / "core/src" / mutant.file
    original = (ROOT / "core/src" / mutant.file).read_text()
    text = original
    for before, after in (("\n".join(before), "\n".join(after)) for before, after in mutant.edits):
        if (found := text.count(before)) != 1:
            return f"its text occurs {found} times: {before.strip()!r}"
        text = text.replace(before, after)
    try:
        path.write_text(text)
        program, problem = build(place)
        return problem or judge(mutant, program)
    finally:
        path.write_text(original)


def main():
    mutants = read(ROOT / "tests/mutants.txt")
    if len(sys.argv) > 1:
        mutants = [mutant for mutant in mutants if mutant.name == sys.argv[1]] or sys.exit(f"no mutant {sys.argv[1]!r}")
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
            verdict = "FAILED" if problem else "equal" if mutant.equivalent else "caught"
            print(f"{verdict} {seconds:6.1f} s  {mutant.name}", flush=True)
            if problem:
                failed += 1
                print(f"       {problem}", flush=True)
    print(f"mutants: {len(mutants) - failed} passed, {failed} failed")
    sys.exit(bool(failed))


main()
