"""Runs the programs and commands of a page about moving from old programs to new ones. See migrating.sh.

usage: migrating.py PAGE CAMLANE FOLDER, where FOLDER has the installed library in `prefix`
"""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import camlane as package

PAGE, CAMLANE, OUT = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
PEERS = pathlib.Path(__file__).parent / "tests/legacy/peers"
PATIENCE = 60.0
UNIQUE = str(os.getpid())

# Names of this run alone, in place of the page's.
NAMES = ["mmaptest_shm", "front-door", "backdoor", "hello_mem", "stream:hello", '"hello", &options']


def own(text: str) -> str:
    for name in NAMES:
        word = re.search(r"[\w-]+(?=\"|$)", name)
        assert word
        text = text.replace(name, name.replace(word[0], f"{word[0]}-{UNIQUE}", 1))
    return text


page = PAGE.read_text()
chapters = {part.split("\n", 1)[0].split(":")[0]: own(part) for part in page.split("\n## ")}
checks = 0


def check(fact: object, text: str) -> None:
    global checks
    checks += 1
    if not fact:
        sys.exit(f"migrating: {text}")


def blocks(chapter: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", chapters[chapter], re.DOTALL)


def commands(chapter: str) -> list[str]:
    """The command lines of a chapter, without their comments."""
    lines = [line.split("#")[0].strip() for block in blocks(chapter, "sh") for line in block.splitlines()]
    inline = re.findall(r"`((?:camlane|rm) [^`]+)`", re.sub(r"```.*?```", "", chapters[chapter], flags=re.DOTALL))
    return [line for line in lines + inline if line]


class Running:
    """A program that runs until it is told to stop; what it says is kept."""

    def __init__(self, *command: str) -> None:
        self.command = command
        self.said: list[str] = []
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A shell starts what runs in its background with SIGINT ignored, and that is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        threading.Thread(target=self._listen, daemon=True).start()
        everything.append(self)

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line.strip())

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def says(self, wanted: str, more: int = 1) -> None:
        """Waits until it says something that it has not said yet, so many times."""
        before = len(self.said)
        until(
            lambda: sum(bool(re.search(wanted, line)) for line in self.said[before:]) >= more,
            lambda: f"{self.command} says {wanted!r}; it said {self.said[-3:]} and is {self.process.poll()}",
        )

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)

    def ends(self) -> int:
        return self.process.wait(PATIENCE)


everything: list[Running] = []


def until(done: Callable[[], bool], what: str | Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() >= deadline:
            check(False, f"waited in vain until {what if isinstance(what, str) else what()}")
        time.sleep(0.005)
    check(True, "it came about")


def runs() -> None:
    """Waits for a producer: a lane that was left behind is there, too, with its last frame."""
    lane = own("front-door")
    until(lambda: any(each.name == lane and each.health == "running" for each in package.list()), "the lane runs")


def camlane(line: str) -> Running:
    words = shlex.split(line)
    check(words[0] == "camlane", line)
    return Running(CAMLANE, *words[1:])


def compiled(name: str, source: str) -> str:
    compiler, kind = ("cc", "c") if name.endswith(".c") else ("c++", "c++")
    (OUT / name).write_text(source)
    program, prefix = str(OUT / pathlib.Path(name).stem), OUT / "prefix"
    standard = "-std=gnu11" if kind == "c" else "-std=gnu++17"
    command = [compiler, standard, "-O2", "-Wall", "-x", kind, str(OUT / name), "-x", "none", "-o", program, f"-I{prefix}/include"]
    done = subprocess.run([*command, f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib", "-lcamlane", "-lpthread", "-lrt"])
    check(done.returncode == 0, f"{name} does not compile:\n{source}")
    return program


def python(source: str) -> Running:
    return Running(sys.executable, "-u", "-c", source)


# What the page leaves out of the old programs: a camera of 100 frames per second, each frame of one value.
OLD_WRITER = """
#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
struct FrameHeader { int width, height, channels; int64_t timestamp_ms; int frame_valid; } __attribute__((packed));
struct Frame { int cols = 640, rows = 404; unsigned char *data = new unsigned char[640 * 404 * 3]; };
static void grab(Frame &frame) {
    static unsigned char value;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    memset(frame.data, ++value, 640 * 404 * 3);
}
static int64_t now_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}
#pragma GCC diagnostic ignored "-Wunused-result"
int main() {
    Frame frame;
    const size_t size = 640 * 404 * 3 + sizeof(FrameHeader);
    %s
}
"""
OLD_READER = """
import mmap, os, struct, time
import numpy as np
total_size = 640 * 404 * 3 + 24
last = None
def show(picture):
    global last
    value = int(picture[-1, -1, -1])
    if value != last:
        print("old reader:", picture.shape, value)
    last = value
    time.sleep(0.001)
%s
"""
GRAB = """
import time
import numpy as np
value = 0
def grab():
    global value
    value = (value + 1) % 256
    time.sleep(0.01)
    return np.full((404, 640, 3), value, np.uint8)
"""
NEW_WRITER = """
%s
#include <chrono>
#include <thread>
static bool grab(unsigned char *pixels, std::size_t bytes) {
    static unsigned char value;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::memset(pixels, ++value, bytes);
    return true;
}
int main() { write_frames(grab); }
"""

old_writer = compiled("old_writer.cpp", OLD_WRITER % blocks("What you have", "cpp")[0])
old_reader = OLD_READER % blocks("What you have", "python")[0]
new_reader = blocks("Step 2", "python")[0]
new_cpp_reader = compiled("new_reader.cpp", blocks("Step 2", "cpp")[0])
new_writer = compiled("new_writer.cpp", NEW_WRITER % blocks("Step 3", "cpp")[0])
new_python_writer = GRAB + blocks("Step 3", "python")[0]
shm = pathlib.Path(f"/dev/shm/{own('mmaptest_shm')}")
PYTHON_FRAME, CPP_FRAME = r"^640 404 BGR8 0? ?", r"^640 x 404, 775680 bytes in place$"


def old_programs() -> None:
    writer = Running(old_writer)
    until(shm.exists, "the old writer made its object")
    until(lambda: shm.stat().st_size == 775704, "it has its size")
    reader = python(old_reader)
    reader.says(r"old reader: \(404, 640, 3\)", 5)

    print("step 1: nothing changes")
    bridge = None
    for line in commands("Step 1"):
        if " watch " in line:
            watch = camlane(line)
            watch.says(r"640x404|fps|/s")
            check(watch.stop() in (0, 130), f"{line} ends on Ctrl-C")
        elif " snap " in line:
            snap = subprocess.run([CAMLANE, *shlex.split(line)[1:]], cwd=OUT, timeout=PATIENCE)
            check(snap.returncode == 0 and (OUT / "now.png").read_bytes()[:4] == b"\x89PNG", line)
        elif " bridge " in line:
            bridge = camlane(line)
        else:
            check(False, f"nothing here runs {line!r}")
    assert bridge
    runs()
    reader.says("old reader", 5)  # goes on as before

    print("step 2: new readers of the old writer, beside the old one")
    python_reader, cpp_reader = python(new_reader), Running(new_cpp_reader)
    python_reader.says(PYTHON_FRAME, 10)
    cpp_reader.says(CPP_FRAME, 10)
    reader.says("old reader", 5)
    writer.stop(signal.SIGKILL)
    check(cpp_reader.ends() == 0, "the lane ends when the old writer dies")
    python_reader.ends()
    writer = Running(old_writer)  # and comes again with it
    runs()
    python_reader = python(new_reader)
    python_reader.says(PYTHON_FRAME, 10)
    reader.stop(signal.SIGKILL)
    writer.stop(signal.SIGKILL)
    check(bridge.stop() in (0, 130), "the bridge ends on Ctrl-C")
    python_reader.ends()


def new_programs(start_writer: Callable[[], Running], what: str) -> None:
    print(f"step 3: the new writer in {what}, new readers, and the old reader by the bridge")
    shm.unlink(missing_ok=True)
    writer = start_writer()
    runs()
    python_reader, cpp_reader = python(new_reader), Running(new_cpp_reader)
    python_reader.says(PYTHON_FRAME, 10)
    cpp_reader.says(CPP_FRAME, 10)
    (line,) = commands("Step 3")
    bridge = camlane(line)
    until(shm.exists, "the bridge made the object")
    check(shm.stat().st_mode & 0o777 == 0o644, "with the mode that was asked for")
    reader = python(old_reader)
    reader.says(r"old reader: \(404, 640, 3\)", 10)
    # The new writer is started anew: all readers go on, the old one too.
    writer.stop(signal.SIGKILL)
    writer = start_writer()
    runs()
    reader.says("old reader", 10)
    python_reader = python(new_reader)
    python_reader.says(PYTHON_FRAME, 10)

    print("step 4: without the bridge")
    check(bridge.stop() in (0, 130), "the bridge ends on Ctrl-C")
    reader.stop(signal.SIGKILL)
    python_reader.says(PYTHON_FRAME, 10)
    for line in commands("Step 4"):
        if line.startswith("rm "):
            check(shlex.split(line)[1] == str(shm), line)
            shm.unlink(missing_ok=True)  # as the command does it, if it is there
        else:
            listed = subprocess.run([CAMLANE, *shlex.split(line)[1:]], capture_output=True, text=True, timeout=PATIENCE)
            check(own("front-door") in listed.stdout, f"{line}: {listed.stdout}{listed.stderr}")
    writer.stop()
    writer.stop(signal.SIGKILL) if writer.process.poll() is None else None
    for each in (python_reader, cpp_reader):
        each.stop(signal.SIGKILL) if each.process.poll() is None else None


STREAM_READER = """
#include <stdio.h>
#include <camlane.h>
int main(void) {
    camlane_stream_reader *reader;
    camlane_stream_options options = {.struct_size = sizeof options, .patience_ms = 20000};
    if (camlane_stream_open("%s", &options, &reader) < 0) return 1;
    uint8_t bytes[64];
    size_t count;
    puts("open");
    fflush(stdout);
    while (camlane_stream_read(reader, bytes, sizeof bytes, 20000, &count) == 0 && count > 0) {
        printf("%%.*s\\n", (int)count, (const char *)bytes);
        fflush(stdout);
    }
    return 0;
}
"""
STREAM_WRITER = """
#include <stdio.h>
#include <camlane.h>
int main(void) {
%s
    getchar();
    camlane_stream_end(writer);
    return 0;
}
"""


def messages() -> None:
    print("messages and byte streams")
    stream_reader = compiled("stream_reader.c", STREAM_READER % f"hello-{UNIQUE}")
    stream_writer = compiled("stream_writer.c", STREAM_WRITER % blocks("Messages and byte streams", "c")[0])
    text_writer = compiled("text.c", (PEERS / "text.c").read_text())
    sync_writer = compiled("sharesync.cpp", (PEERS / "sharesync.cpp").read_text())
    old = Running(text_writer, own("/backdoor"))
    until(lambda: "ok ready" in old.said, "the old program is ready")
    old.tell("create")
    old.tell("set written-by-the-old-program")
    until(lambda: old.said.count("ok") == 1, "the old program wrote")
    ran = set()
    for line in commands("Messages and byte streams"):
        words = shlex.split(line)[1:]
        ran.add(" ".join(words[:2]) if words[0] == "text" else words[0])
        if words[0] == "bridge":
            old_stream = Running(sync_writer, "write", own("/hello_mem"))
            until(lambda: any("ok" in said for said in old_stream.said), "the old stream is there")
            bridge = camlane(line)
            reader = Running(stream_reader)
            until(lambda: "open" in reader.said, "the stream is there")
            for _ in range(3):
                old_stream.tell("write hello")
            until(lambda: "".join(reader.said).count("hello") == 3, lambda: f"three messages; {reader.said}")
            bridge.stop()
            old_stream.stop(signal.SIGKILL)
            reader.stop(signal.SIGKILL)
        else:
            done = subprocess.run([CAMLANE, *words], capture_output=True, text=True, timeout=PATIENCE)
            check(done.returncode == 0, f"{line}: {done.stderr}")
            if words[1] == "get":
                check("written-by-the-old-program" in done.stdout, f"{line}: {done.stdout}")
            else:
                old.tell("get")
                until(lambda: "ok MESSAGE" in old.said, "the old program reads the message")
    check(ran == {"text get", "text set", "bridge"}, f"the page's commands are {ran}")
    writer = Running(stream_writer)
    reader = Running(stream_reader)
    until(lambda: "hello" in reader.said, "the new program's message arrives")
    writer.tell("")
    check((writer.ends(), reader.ends()) == (0, 0), "both end in good order")


try:
    old_programs()
    new_programs(lambda: Running(new_writer), "C++")
    new_programs(lambda: python(new_python_writer), "Python")
    messages()
finally:
    for program in everything:
        program.process.kill()
    for left in pathlib.Path("/dev/shm").glob(f"*-{UNIQUE}*"):
        left.unlink()
print(f"migrating: every step of {PAGE.name} ran, {checks} checks passed")
