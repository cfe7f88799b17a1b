"""Cases that every driver is put through."""

from camlane import Publisher
from formats import BY_CODE
from lab import identify

PATHS = ["dmabuf", "userptr", "mmap"]
COPIES = {"dmabuf": 0, "userptr": 0, "mmap": 1}
COUNT = 6


def check_pictures(report, suite, driver, device, code, size, pictures, paths=PATHS):
    """The pictures that the device shows arrive byte for byte in a consumer, by every memory path."""
    for path in paths:
        with report.case(suite, driver, "known pictures arrive", memory=path, format=code, size=size):
            with publishing(device, code, size, path) as publisher:
                seen = identify(publisher.ready().pixels(COUNT, pictures), pictures)
                assert len(set(seen)) > 1, f"one picture, again and again: {seen}"


def check_copies(report, suite, driver, device, code, size, paths=PATHS):
    """The path costs the copies that it is said to cost, and frames carry the flag that says so."""
    for path in paths:
        with report.case(suite, driver, "copies are as told", memory=path, format=code, size=size) as row:
            with publishing(device, code, size, path, "--rate", "2") as publisher:
                told = {(frame["memory"], frame["copies"]) for frame in publisher.ready().frames(3)}
                row["copies"] = publisher.copies()
                assert row["copies"] == COPIES[path]
                assert told == {(path, row["copies"])}, f"frames say {told}"
                newest = publisher.info()["newest_frame"]
                assert (newest["memory"], newest["copies"]) == (path, row["copies"]), f"info says {newest}"


def publishing(device, code, size, path, *options):
    name = "JPEG" if code == "MJPG" else BY_CODE[code].name
    # Only a sealed lane's memory can be had as dma-bufs: it has no name.
    return Publisher(device, "--format", name, "--size", size, "--memory", path, *options, sealed=path == "dmabuf")
