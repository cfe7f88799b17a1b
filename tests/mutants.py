"""Applies the entries of a list, one at a time, to copies of the sources, and requires that a test catches each.

  tests/loom.sh mutants              mutants.txt: the model of core
  python3 tests/mutants.py guards    guards.txt: processes that are killed, starved and lied to
  python3 tests/mutants.py guards NAME
  tests/fuzz.sh planted              planted.txt: bugs that the kept inputs of tests/fuzz find

A mutant that does not compile, whose text is not found exactly once, whose case does not exist, or that no case catches
for the reason that is meant, is a failure; so the lists cannot drift away from the code.
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
LIMIT = 300  # seconds for one case; one that takes longer was not caught


@dataclass
class List:
    """Which list, what it is about, and where its copies are built."""

    file: str
    under: str  # where its files are
    members: list  # packages that a copy has
    package: str  # the one whose tests are the cases
    test: str  # the program of all cases; empty: a case names its own, as in `named::life::...`
    place: str
    workers: int
    inside: str = ""  # another package, which lies in one of the members and is a workspace of its own elsewhere


LISTS = {
    "mutants": List("mutants.txt", "core/src", ["core"], "camlane-core", "loom", "target/loom/mutants", 2),
    # One at a time: its cases are crowds of processes themselves.
    "guards": List(
        "guards.txt",
        "",
        ["core", "adapters/posix", "adapters/v4l2", "tests"],
        "camlane-tests",
        "",
        "target/guards",
        1,
    ),
    "planted": List(
        "planted.txt",
        "",
        ["core", "adapters/posix", "adapters/v4l2", "adapters/convert", "adapters/measure", "adapters/cli", "tests"],
        "camlane-fuzz",
        "",
        "target/planted",
        1,
        "tests/fuzz",
    ),
}


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
            sys.exit(f"{path.name}:{number}: cannot read {line!r}")
        side = key
    for mutant in mutants:
        if not (mutant.file and mutant.cases and mutant.edits) or bool(mutant.says) == bool(mutant.equivalent):
            sys.exit(f"{path.name}: {mutant.name}: needs file, case, either says or equivalent, and an edit")
    return mutants


def workshop(kind, number):
    """Makes a workspace that holds only what the list is about."""
    place = ROOT / f"{kind.place}-{number}"
    place.mkdir(parents=True, exist_ok=True)
    for member in kind.members:
        shutil.rmtree(place / member, ignore_errors=True)
        # Without the times of the originals: cargo must see that these are newer than what it built from the last mutant.
        ignored = shutil.ignore_patterns("target")
        shutil.copytree(ROOT / member, place / member, copy_function=shutil.copyfile, ignore=ignored)
    manifest = (ROOT / "Cargo.toml").read_text()
    manifest = re.sub(r"^(members|exclude|default-members) = \[.*?\]\n", "", manifest, flags=re.M | re.S)
    members = [*kind.members, kind.inside] if kind.inside else kind.members
    manifest = manifest.replace("[workspace]\n", f"[workspace]\nmembers = {json.dumps(members)}\n", 1)
    (place / "Cargo.toml").write_text(manifest)
    shutil.copy(ROOT / "Cargo.lock", place / "Cargo.lock")
    if kind.inside:
        inner = place / kind.inside / "Cargo.toml"
        inner.write_text(re.sub(r"^\[(workspace|profile\.[^]]*)\]\n([^[]*)", "", inner.read_text(), flags=re.M))
    return place


def build(kind, place, test):
    """Returns a program of cases, or what the compiler says."""
    environment = dict(os.environ, CARGO_TARGET_DIR=str(place / "target"))
    command = ["cargo", "test", "--quiet", "-p", kind.package, "--test", test, "--no-run", "--message-format=json"]
    built = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    if built.returncode:
        said = [message["message"]["rendered"] for message in messages if message["reason"] == "compiler-message"]
        return None, "it does not compile:\n" + "".join(said or built.stderr)[-2000:]
    # The programs that the tests start are among them, and may have a test's name.
    programs = [m["executable"] for m in messages if m.get("executable") and m["target"]["kind"] == ["test"]]
    return programs[-1], None


def judge(kind, place, mutant):
    """Returns None if the cases end as the mutant says, else what they did."""
    outcomes = []
    for case in mutant.cases:
        test, name = (kind.test, case) if kind.test else case.split("::", 1)
        program, problem = build(kind, place, test)
        if problem:
            return problem
        try:
            command = [program, "--nocapture", name]
            ran = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=LIMIT)
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


def attempt(kind, place, mutant):
    path = place / kind.under / mutant.file
    original = (ROOT / kind.under / mutant.file).read_text()
    text = original
    for before, after in (("\n".join(before), "\n".join(after)) for before, after in mutant.edits):
        if (found := text.count(before)) != 1:
            return f"its text occurs {found} times: {before.strip()!r}"
        text = text.replace(before, after)
    try:
        path.write_text(text)
        return judge(kind, place, mutant)
    finally:
        path.write_text(original)


def main():
    kind = LISTS.get(sys.argv[1] if len(sys.argv) > 1 else "") or sys.exit(__doc__)
    mutants = read(ROOT / "tests" / kind.file)
    if len(sys.argv) > 2:
        mutants = [mutant for mutant in mutants if mutant.name == sys.argv[2]] or sys.exit(f"no mutant {sys.argv[2]!r}")
    workers = min(kind.workers, len(mutants))
    places = queue.Queue()
    for number in range(workers):
        places.put(workshop(kind, number))

    def one(mutant):
        place, began = places.get(), time.monotonic()
        try:
            return attempt(kind, place, mutant), time.monotonic() - began
        finally:
            places.put(place)

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for mutant, (problem, seconds) in zip(mutants, pool.map(one, mutants)):
            verdict = "FAILED" if problem else "equal" if mutant.equivalent else "caught"
            print(f"{verdict} {seconds:6.1f} s  {mutant.name}", flush=True)
            if problem:
                failed += 1
                print(f"       {problem}", flush=True)
    print(f"{sys.argv[1]}: {len(mutants) - failed} passed, {failed} failed")
    sys.exit(bool(failed))


main()
