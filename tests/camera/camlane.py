"""camlane's program, as the suites use it: a producer with a camera, and consumers in other processes."""

import hashlib
import itertools
import json
import pathlib
import re
import signal
import time

from lab import CAMLANE, PATIENCE, Limit, Process, json_lines, run

LANES = itertools.count(1)
REFUSED = "takes none of the memory paths"


class Publisher(Process):
    """`camlane publish` with a camera, into a lane of its own: a named one, or a sealed one."""

    def __init__(self, device, *options, sealed=False, lane=None):
        self.lane = lane or f"{'sealed:' if sealed else ''}lab{next(LANES)}"
        super().__init__(CAMLANE, "publish", self.lane, "--from", device, "--json", *options)

    def __exit__(self, *error):
        if self.child.poll() is None:
            self.interrupt()  # killed, it would leave its lane in memory
        super().__exit__(*error)

    def ready(self):
        """Waits until the first frame can be read. A driver that refuses the memory path ends the case: as its limit."""
        self.first = self.frames(1)[0]
        return self

    def summary(self):
        """What it says about itself at its end, which Ctrl-C brings about."""
        assert self.interrupt() == 0, self.err
        return json_lines(self.out)[-1]

    def _watch(self, count, *options):
        """What `camlane watch` writes about so many frames."""
        with Process(CAMLANE, "watch", self.lane, "--every", "--frames", count, "--timeout", PATIENCE, *options) as watch:
            while watch.child.poll() is None:
                if self.child.poll() is not None:
                    if REFUSED in self.err:
                        raise Limit(self.err.split(REFUSED, 1)[1].split(": ", 1)[1].strip())
                    raise AssertionError(f"publish ended with code {self.child.returncode}: {self.err}")
                time.sleep(0.02)
            assert watch.child.returncode == 0, f"{watch.err} (publish says: {self.err})"
            return watch.out

    def pixels(self, count, pictures):
        """Frames as a consumer in another process sees them, rows without padding; of compressed ones, those that are
        known are found by their bytes, as nothing else says where they end."""
        return split(self._watch(count, "--raw"), pictures)

    def frames(self, count):
        """What a consumer in another process is told about frames."""
        return [line for line in json_lines(self._watch(count, "--json")) if line["event"] == "frame"]

    def watching(self):
        return Watcher(self.lane)

    def info(self):
        """What `camlane info` says of the lane."""
        return json.loads(run(CAMLANE, "info", self.lane, "--json"))

    def copies(self):
        """Copies from the driver's memory into the lane, measured from outside: 0 if bytes of the lane change while the
        producer is stopped, for then the driver alone can have written them there; 1 if they do not, though the driver
        goes on. For that the camera must be slow: what it has queued must not be full before we look."""
        for _ in range(3):
            self.frames(2)
            self.child.send_signal(signal.SIGSTOP)
            try:
                before = self._fingerprint()
                end = time.monotonic() + 2
                while time.monotonic() < end:
                    if self._fingerprint() != before:
                        return 0
                    time.sleep(0.1)
            finally:
                self.child.send_signal(signal.SIGCONT)
        return 1

    def _fingerprint(self):
        """Of the lane's pixels: the largest memory of its kind that the producer maps, which has a name or is a memfd."""
        maps = pathlib.Path(f"/proc/{self.child.pid}/maps").read_text().splitlines()
        ranges = [line.split()[0] for line in maps if re.search(r"/memfd:|/dev/shm/camlane\.", line)]

        def length(text):
            begin, end = (int(address, 16) for address in text.split("-"))
            return end - begin

        largest = max(ranges, key=length)
        return hashlib.blake2b(pathlib.Path(f"/proc/{self.child.pid}/map_files/{largest}").read_bytes()).digest()


class Consumer(Process):
    """A consumer that goes on, and tells what comes as JSON."""

    def __init__(self, *options):
        super().__init__(CAMLANE, "watch", "--json", "--timeout", PATIENCE, *options)
        self.read = 0

    def event(self, what, wanted):
        """The next line that is wanted; those before it are passed over."""
        found = []

        def look():
            lines = self.out.split(b"\n")[:-1]
            while self.read < len(lines) and not found:
                line = json.loads(lines[self.read])
                self.read += 1
                if wanted(line):
                    found.append(line)
            return found

        return self.wait_for(what, look)[0]

    def told(self, event):
        """All that it told of a kind."""
        return [line for line in json_lines(self.out.rpartition(b"\n")[0]) if line["event"] == event]


class Watcher(Consumer):
    """`camlane watch`: every frame in order."""

    def __init__(self, lane):
        super().__init__(lane, "--every")

    def pause(self, reason):
        """Waits until it is told that no frames come, and that this is why."""
        return self.event("the reason", lambda line: line["event"] == "pause" and line["reason"] == reason)

    def frame(self, wanted=lambda frame: True):
        return self.event("such a frame", lambda line: line["event"] == "frame" and wanted(line))


class InStep(Consumer):
    """`camlane watch --sync`: several lanes in step."""

    def __init__(self, publishers, tolerance, *options):
        lanes = ",".join(publisher.lane for publisher in publishers)
        super().__init__("--sync", lanes, "--tolerance", tolerance, *options)

    def frameset(self):
        return self.event("a frameset", lambda line: line["event"] == "frameset")

    def later(self):
        """The next frameset that was captured after this moment: one that was made of what had been held back is none."""
        now = time.monotonic_ns()
        return self.event("a later frameset", lambda line: line["event"] == "frameset" and line["capture_ns"] > now)

    def news(self, publisher, words):
        """Waits for these words about a lane."""
        about = f"'{publisher.lane}'"
        return self.event(f"{words!r}", lambda line: line["event"] == "news" and about in line["text"] and words in line["text"])

    def summary(self):
        """What became of each lane's frames, once it has ended."""
        assert self.end() == 0, self.err
        return self.told("summary")[0]


def split(data, pictures):
    """Cuts a stream of frames. All raw pictures have one length; compressed ones are recognised."""
    frames = []
    while data:
        length = next((len(picture) for picture in pictures if data.startswith(picture)), len(pictures[0]))
        frames.append(data[:length])
        data = data[length:]
    return frames


def capture(device, name, size, count, pictures, *options):
    """Some frames of a camera, by way of a lane."""
    with Publisher(device, "--format", name, "--size", size, *options) as publisher:
        return publisher.ready().pixels(count, pictures)
