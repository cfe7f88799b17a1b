"""Raw objects and windows on them."""

from __future__ import annotations

import errno
import mmap
import os
import pathlib
import stat

import numpy as np
import pytest

import camlane

PAGE = mmap.ALLOCATIONGRANULARITY


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "file")


@pytest.fixture
def shm(name):
    yield f"/{name}"
    if os.path.exists(f"/dev/shm/{name}"):
        os.unlink(f"/dev/shm/{name}")


def test_of_several_creators_one_succeeds_and_the_others_are_told_by_name(shm):
    with camlane.Object.create_new(shm, 4096, mode=0o622) as made:
        assert made.size == 4096
        assert stat.S_IMODE(os.stat(f"/dev/shm{shm}").st_mode) == 0o622  # whatever the umask is
        with pytest.raises(camlane.ObjectError) as raised:
            camlane.Object.create_new(shm, 1)
        assert (raised.value.errno, raised.value.name) == (errno.EEXIST, "EEXIST")
        again, created = camlane.Object.open_or_create(shm, 99)
        assert not created and again.size == 4096
    camlane.Object.unlink(shm)
    with pytest.raises(OSError) as gone:
        camlane.Object.open(shm)
    assert gone.value.errno == errno.ENOENT


def test_an_object_grows_with_its_bytes_reserved_and_is_cut_only_by_name(shm):
    made = camlane.Object.create_new(shm, 10)
    made.write_at(5, b"hello")
    made.grow(20)
    assert (made.size, made.read_at(5, 100)) == (20, b"hello" + bytes(10))
    made.grow(5)
    assert made.size == 20
    with pytest.raises(camlane.ObjectError) as full:
        made.grow(1 << 60)
    assert full.value.name == "ENOSPC"
    with pytest.raises(camlane.Invalid, match="20"):
        made.write_at(18, b"long")
    made.truncate(3)
    assert made.size == 3
    assert made.is_current
    camlane.Object.unlink(shm)
    assert not made.is_current
    made.close()
    with pytest.raises(camlane.Released):
        _ = made.size


def test_a_read_only_object_is_not_written(shm):
    camlane.Object.create_new(shm, 4)
    reader = camlane.Object.open(shm)
    with pytest.raises(camlane.ObjectError) as refused:
        reader.write_at(0, b"x")
    assert refused.value.name == "EBADF"


def test_a_shared_window_is_a_buffer_over_the_object_itself(shm):
    window = camlane.Window(shm, 100, create=0o600)
    pixels = np.frombuffer(window, np.uint8).reshape(10, 10)
    window[3:6] = b"abc"
    memoryview(window)[99] = 7
    assert bytes(pixels[0, 3:6]) == b"abc" and pixels[9, 9] == 7
    with open(f"/dev/shm{shm}", "rb") as there:
        assert there.read()[3:6] == b"abc"
    assert window.find(b"bc") == 4
    window.seek(3)
    assert window.read(3) == b"abc" and window.tell() == 6


def test_a_window_longer_than_its_file_extends_it_and_a_read_only_one_does_not(file):
    with open(file, "wb") as there:
        there.write(b"x" * 10)
    with pytest.raises(camlane.Invalid, match="ends at byte 10"):
        camlane.Window(file, 11, kind="read-only")
    assert os.path.getsize(file) == 10
    assert len(camlane.Window(file, 5000)) == 5000
    assert os.path.getsize(file) == 5000


def test_a_window_is_read_only_where_it_says_so_and_begins_where_it_is_asked_to(file):
    with open(file, "wb") as there:
        there.write(bytes(PAGE) + b"tail")
    window = camlane.Window(file, kind="read-only", offset=PAGE)
    assert window[:] == b"tail" and memoryview(window).readonly
    with pytest.raises(TypeError):
        window[0:1] = b"x"
    with pytest.raises(camlane.Invalid, match=str(PAGE)):
        camlane.Window(file, offset=1)
    with pytest.raises(camlane.Invalid, match="kind"):
        camlane.Window(file, kind="copy")


def test_a_private_window_reaches_the_file_when_it_is_flushed_and_not_before(file):
    with open(file, "wb") as there:
        there.write(b"abcdef")
    window = camlane.Window(file, kind="private")
    window[0:3] = b"xyz"
    assert pathlib.Path(file).read_bytes() == b"abcdef"
    window.flush(1, 1)
    assert pathlib.Path(file).read_bytes() == b"aycdef"
    window.flush()
    assert pathlib.Path(file).read_bytes() == b"xyzdef"


def test_a_flush_begins_at_any_byte_and_ends_inside(file):
    window = camlane.Window(file, 3 * PAGE, create=0o600)
    window[10:13] = b"abc"
    window.flush(10, 100)
    window.flush(PAGE + 5, 1)
    with pytest.raises(camlane.Invalid):
        window.flush(0, 3 * PAGE + 1)


# A program of the old kind: text and an encoded picture in a page of a file, in both directions.
OPENCV = """
import mmap, os, sys
import cv2, numpy as np
path, length = sys.argv[1], int(sys.argv[2])
fd = os.open(path, os.O_RDWR)
page = mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
assert page[:3] == b"abc"
picture = cv2.imdecode(np.frombuffer(page[3 : 3 + length], np.uint8), cv2.IMREAD_UNCHANGED)
answer = cv2.imencode(".bmp", 255 - picture)[1].tobytes()
page[3 : 3 + len(answer)] = answer
print(len(answer))
"""


def test_an_encoded_picture_goes_to_opencv_and_back(file, start):
    cv2 = pytest.importorskip("cv2")
    picture = np.random.default_rng(1).integers(0, 256, (30, 20, 3), np.uint8)
    encoded = cv2.imencode(".bmp", picture)[1].tobytes()
    with camlane.Window(file, PAGE, create=0o600) as window:
        window.write(b"abc")
        window.write(encoded)
        status, said, errors = start(OPENCV, file, str(len(encoded))).end()
        assert status == 0, errors
        answer = np.frombuffer(window[3 : 3 + int(said)], np.uint8)
        assert (cv2.imdecode(answer, cv2.IMREAD_UNCHANGED) == 255 - picture).all()


def test_nothing_can_be_mapped_is_said_and_not_guessed(file):
    with open(file, "wb"):
        pass
    with pytest.raises(camlane.Invalid, match="nothing to map"):
        camlane.Window(file)
    with pytest.raises(FileNotFoundError):
        open(file + "-absent")
    with pytest.raises(camlane.ObjectError):
        camlane.Window(file + "-absent")


# A program as people have it: attaches the segment of a key, adds one to each byte.
OLD = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget(ctypes.c_int(int(sys.argv[1])), ctypes.c_size_t(0), 0)
address = libc.shmat(segment, None, 0)
view = (ctypes.c_uint8 * 8).from_address(address)
for at in range(8):
    view[at] += 1
print("done", flush=True)
sys.stdin.read()
"""


def test_a_segment_is_the_same_bytes_to_a_program_that_attaches_it_by_its_key(start, tmp_path):
    key = camlane.Segment.key_of(tmp_path, 7)
    assert key == (os.stat(tmp_path).st_ino & 0xFFFF | (os.stat(tmp_path).st_dev & 0xFF) << 16 | 7 << 24)
    signed = key - (1 << 32) if key >= 1 << 31 else key
    with camlane.Segment.create_new(key, 100, mode=0o640) as segment:
        try:
            assert (segment.size, segment.read_at(90, 50), segment.users) == (100, bytes(10), 1)
            segment.write_at(0, bytes(range(8)))
            with pytest.raises(camlane.ObjectError) as taken:
                camlane.Segment.create_new(key, 1)
            assert taken.value.name == "EEXIST"
            with pytest.raises(camlane.Invalid, match="100"):
                segment.write_at(95, b"longer")
            old = start(OLD, str(signed))
            assert old.hear() == "done"
            assert segment.users == 2
            assert segment.read_at(0, 8) == bytes(range(1, 9))
            old.process.kill()
            old.process.wait()
            assert segment.users == 1
            with camlane.Segment.open(signed) as reader:
                assert reader.read_at(0, 3) == b"\x01\x02\x03"
                with pytest.raises(camlane.ObjectError) as refused:
                    reader.write_at(0, b"x")
                assert refused.value.name == "EACCES"
        finally:
            camlane.Segment.remove(key)
        assert segment.read_at(0, 1) == b"\x01"  # attached still
    with pytest.raises(camlane.Released):
        segment.read_at(0, 1)
    with pytest.raises(camlane.ObjectError) as gone:
        camlane.Segment.open(key)
    assert gone.value.name == "ENOENT"
    for wrong in (0, 1 << 32, -(1 << 31) - 1):
        with pytest.raises((camlane.Invalid, camlane.ObjectError)):
            camlane.Segment.open(wrong)
