"""What the suites share: processes, waiting, camera nodes, and the report of what held and what did not."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import traceback

PATIENCE = 120  # seconds for what should happen soon: the machine is emulated, and its host may be busy
CAMLANE = os.environ.get("CAMERA_CAMLANE", "camlane")
KERNEL = os.environ.get("KERNEL", "")
PICTURES = os.environ.get("CAMERA_PICTURES", "")
VIDEO = pathlib.Path("/sys/class/video4linux")
TRACING = pathlib.Path("/sys/kernel/tracing")


class Limit(Exception):
    """The driver's own limit, in the program's words: a result, and no failure."""


class Report:
    """Rows of results: one for each case, told as it ends, and kept for programs: a table for each suite."""

    COLUMNS = ["suite", "driver", "case", "memory", "format", "size", "copies", "result", "detail"]

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.failed = self.passed = 0
        self.away = False  # results cannot be left in the folder of the job any more: see away.py

    @contextlib.contextmanager
    def case(self, suite, driver, case, **facts):
        """Runs the block as one case. It may add facts to the row that it is given."""
        row = {"suite": suite, "driver": driver, "case": case, **facts}
        begun = time.monotonic()
        try:
            yield row
            row["result"] = "pass"
        except Limit as limit:
            row["result"], row["detail"] = "limit", str(limit)
        except Exception as error:  # whatever it is, the other cases go on
            row["result"], row["detail"] = "FAIL", f"{type(error).__name__}: {error}"
            traceback.print_exc()
        self.failed += row["result"] == "FAIL"
        self.passed += row["result"] != "FAIL"
        cells = [re.sub(r"\s+", " ", str(row.get(column, ""))).strip() for column in self.COLUMNS]
        with (self.folder / f"{suite}.tsv").open("a") as file:
            if file.tell() == 0:
                file.write(f"# Linux {os.uname().release}\n" + "\t".join(self.COLUMNS) + "\n")
            file.write("\t".join(cells) + "\n")
        facts = " ".join(cell for cell in cells[3:7] + cells[8:] if cell)
        print(f"{row['result']:5} {suite}: {case}  {facts}  ({time.monotonic() - begun:.1f} s)", flush=True)


def run(*command, timeout=PATIENCE, **options):
    """Runs a program to its end, which must be good, and returns what it wrote."""
    done = subprocess.run(
        list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False, **options
    )
    if done.returncode != 0:
        told = (done.stdout[-500:] + done.stderr[-1500:]).decode(errors="replace")
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}: {told}")
    return done.stdout


def wait_for(what, condition, patience=PATIENCE):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + patience
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience} s for {what}")
        time.sleep(0.02)


class Process:
    """A program that runs beside the suite; what it writes is kept. As a context it is ended when the block ends."""

    def __init__(self, *command, **options):
        self.name = pathlib.Path(command[0]).name
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm")
        self.outputs = [pathlib.Path(self.folder.name, name) for name in ("out", "err")]
        with self.outputs[0].open("wb") as out, self.outputs[1].open("wb") as err:
            options.setdefault("stdin", subprocess.DEVNULL)
            self.child = subprocess.Popen(list(map(str, command)), stdout=out, stderr=err, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.folder.cleanup()

    @property
    def out(self):
        return self.outputs[0].read_bytes()

    @property
    def err(self):
        return self.outputs[1].read_text(errors="replace")

    def wait_for(self, what, condition):
        """Waits for something that this process brings about; its early end is told at once."""

        def happened():
            ended = self.child.poll() is not None
            answer = condition()
            if ended and not answer:
                raise AssertionError(f"{self.name} ended with code {self.child.returncode} before {what}: {self.err[-1500:]}")
            return answer

        return wait_for(f"{what}; {self.name} says: {self.err[-500:]}", happened)

    def processor_seconds(self):
        """Processor time that it has used, in user's and kernel's mode (proc_pid_stat(5), fields 14 and 15)."""
        fields = pathlib.Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        """Waits for the end and returns the exit code."""
        return self.child.wait(PATIENCE)

    def interrupt(self):
        """Ends it as Ctrl-C does and returns the exit code."""
        self.child.send_signal(signal.SIGINT)
        return self.end()


def load(module, *parameters):
    run("modprobe", "-d", KERNEL, module, *parameters)


def nodes(name, capture=True):
    """Device nodes whose name matches the pattern; of those, the ones that give pictures."""
    found = []
    for entry in sorted(VIDEO.glob("video*")):
        with contextlib.suppress(OSError):  # it may go at any time
            if re.search(name, (entry / "name").read_text()):
                found.append(f"/dev/{entry.name}")
    if capture:
        found = [node for node in found if b"Video Capture" in ctl(node, "--all", patient=False).split(b"Media Driver")[0]]
    return found


@contextlib.contextmanager
def traced(pid, events, probes):
    """What the kernel does for a process while the block runs: (event, values), oldest first, in a list that is full when
    the block has ended. Probes are events on the kernel's functions, by their name: what to note of a call."""
    if not TRACING.joinpath("kprobe_events").exists():
        run("mount", "-t", "tracefs", "tracefs", TRACING)

    def write(file, text):
        (TRACING / file).write_text(text)

    write("kprobe_events", "".join(f"p:lab/{function} {function} {noted}\n" for function, noted in probes.items()))
    groups = [*events, *(f"lab/{function}" for function in probes)]
    seen = []
    try:
        write("tracing_on", "0")
        write("trace", "")
        for group in groups:
            write(f"events/{group}/filter", f"common_pid == {pid}")
            write(f"events/{group}/enable", "1")
        write("tracing_on", "1")  # all at one moment
        yield seen
    finally:
        write("tracing_on", "0")
        for group in groups:
            write(f"events/{group}/enable", "0")
        text = (TRACING / "trace").read_text()
        write("kprobe_events", "")
    for line in text.splitlines():
        if not line.startswith("#"):
            name, values = re.search(r": (\w+): (.*)", line).groups()
            seen.append((name, dict(re.findall(r"(\w+) ?= ?(\S+)", values))))


def ctl(node, *arguments, patient=True):
    """v4l2-ctl."""
    if patient:
        return run("v4l2-ctl", "-d", node, *arguments)
    done = subprocess.run(["v4l2-ctl", "-d", node, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.stdout


def identify(frames, pictures):
    """Which of the known pictures each frame is. A frame that is none of them is an error."""
    numbers = []
    for at, frame in enumerate(frames):
        if frame not in pictures:
            nearest = max(pictures, key=lambda picture: sum(a == b for a, b in zip(frame[::997], picture[::997])))
            same = sum(a == b for a, b in zip(frame, nearest))
            raise AssertionError(
                f"frame {at} of {len(frames)} is none of the known pictures: {len(frame)} bytes, of which {same} are as in"
                f" picture {pictures.index(nearest)} of {len(nearest)} bytes"
            )
        numbers.append(pictures.index(frame))
    return numbers


def cut(data, length):
    """Whole frames out of a file of frames."""
    assert data and len(data) % length == 0, f"{len(data)} bytes are not whole frames of {length}"
    return [data[at : at + length] for at in range(0, len(data), length)]


def json_lines(data):
    return [json.loads(line) for line in data.decode().splitlines() if line.startswith("{")]
