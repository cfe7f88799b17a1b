"""Cases that every driver is put through."""

import re

from camlane import Publisher
from formats import BY_CODE
from lab import Limit, identify, traced

PATHS = ["dmabuf", "userptr", "mmap"]
COPIES = {"dmabuf": 0, "userptr": 0, "mmap": 1}
COUNT = 6
PADDED = 512


def check_pictures(report, suite, driver, device, code, size, pictures, paths=PATHS):
    """The pictures that the device shows arrive byte for byte in a consumer, by every memory path."""
    for path in paths:
        with report.case(suite, driver, "known pictures arrive", memory=path, format=code, size=size):
            with publishing(device, code, size, path) as publisher:
                seen = identify(publisher.ready().pixels(COUNT, pictures), pictures)
                assert len(set(seen)) > 1, f"one picture, again and again: {seen}"


def check_padded(report, suite, driver, device, code, size, pictures, paths=PATHS):
    """The same where the driver puts bytes between rows: the lane has them as they lie, and pictures arrive without."""
    for path in paths:
        with report.case(suite, driver, "known pictures arrive, rows padded", memory=path, format=code, size=size):
            with publishing(device, code, size, path, "--align", PADDED) as publisher:
                planes = publisher.ready().first["planes"]
                if any(plane["stride"] % PADDED for plane in planes):
                    told = ", ".join(str(plane["stride"]) for plane in planes)
                    raise Limit(f"the driver pads no rows: asked for multiples of {PADDED} bytes, it gives {told}")
                assert sum(plane["stride"] * plane["rows"] for plane in planes) > len(pictures[0]), planes
                seen = identify(publisher.pixels(COUNT, pictures), pictures)
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


def check_dma_buf_syncs(report, suite, driver, device, code, size, planes):
    """Before readers see a picture, each plane's dma-buf is opened for processors, and closed before the driver has it
    again. That is the kernel's own account; on processors whose caches see what devices write it changes nothing else."""
    with report.case(suite, driver, "each plane's dma-buf is synchronised", memory="dmabuf", format=code, size=size):
        with publishing(device, code, size, "dmabuf", "--rate", "25", "--seats", 2, "--history", 1) as publisher:
            pid = publisher.ready().child.pid
            probes = {"begin_cpu_udmabuf": "buf=%di:x64", "end_cpu_udmabuf": "buf=%di:x64"}
            with traced(pid, ["vb2/vb2_dqbuf", "vb2/vb2_qbuf"], probes) as events:
                publisher.frames(10 * COUNT)
        letters = {"vb2_dqbuf": "F", "begin_cpu_udmabuf": "b", "end_cpu_udmabuf": "e", "vb2_qbuf": "T"}
        order = "".join(letters[name] for name, _ in events)
        opened = {len(begun) for begun in re.findall(r"F(b*)(?=[^b])", order)}  # the last one may have been cut off
        closed = {len(ended) for ended in re.findall(r"(?<=[^e])(e*)T", order)}  # a slot's first time ends nothing
        assert opened == {planes} and planes in closed and closed <= {0, planes}, order
        of = {values["buf"]: "" for _, values in events if "buf" in values}
        for name, values in events:
            if "buf" in values:
                of[values["buf"]] += letters[name]
        assert all(re.fullmatch("e?(be)*b?", turns) for turns in of.values()), of
        assert any("beb" in turns for turns in of.values()), of


def publishing(device, code, size, path, *options):
    name = "JPEG" if code == "MJPG" else BY_CODE[code].name
    # Only a sealed lane's memory can be had as dma-bufs: it has no name.
    return Publisher(device, "--format", name, "--size", size, "--memory", path, *options, sealed=path == "dmabuf")
