"""Arrays: where they lie, how they look, and that nobody can write to them."""

from __future__ import annotations

import ctypes
import io

import numpy as np
import pytest

import camlane


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def offset_in_lane(name: str, wanted: int) -> tuple[str, int]:
    """Access and file offset of an address, as the kernel says."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, access, offset, *rest = line.split()
            low, high = (int(end, 16) for end in span.split("-"))
            if low <= wanted < high:
                assert rest[-1].endswith(f"camlane.{name}.data")
                return access, int(offset, 16) + wanted - low
    raise AssertionError(f"{wanted:#x} is not mapped")


def test_an_array_lies_where_the_producer_filled_the_slot(name, producer):
    child = producer(name)
    with camlane.open(name) as lane:
        for value in (1, 2, 3):
            child.say(str(value))
            filled_at = int(child.hear())
            array = lane.next(10).array
            low, high = lane.addresses
            assert low <= address(array) < high
            assert offset_in_lane(name, address(array)) == ("r--s", filled_at)
            assert (array == value).all()


# Width and height are odd, rows padded to 16 bytes. Planes as (shape, strides), dtype.
ODD = {
    "GRAY8": ([((5, 7), (16, 1))], "u1"),
    "GRAY10": ([((5, 7), (16, 2))], "<u2"),
    "GRAY16": ([((5, 7), (16, 2))], "<u2"),
    "GRAY10P": ([((5, 16), (16, 1))], "u1"),
    "DEPTH16": ([((5, 7), (16, 2))], "<u2"),
    "FLOAT32": ([((5, 7), (32, 4))], "<f4"),
    "RGB8": ([((5, 7, 3), (32, 3, 1))], "u1"),
    "BGR8": ([((5, 7, 3), (32, 3, 1))], "u1"),
    "BGRA8": ([((5, 7, 4), (32, 4, 1))], "u1"),
    "RGB565": ([((5, 7), (16, 2))], "<u2"),
    "RGB16": ([((5, 7, 3), (48, 6, 2))], "<u2"),
    "RGBA16": ([((5, 7, 4), (64, 8, 2))], "<u2"),
    "YUYV": ([((5, 7, 2), (16, 2, 1))], "u1"),
    "NV12": ([((5, 7), (16, 1)), ((3, 4, 2), (16, 2, 1))], "u1"),
    "NV16": ([((5, 7), (16, 1)), ((5, 4, 2), (16, 2, 1))], "u1"),
    "NV24": ([((5, 7), (16, 1)), ((5, 7, 2), (32, 2, 1))], "u1"),
    "P010": ([((5, 7), (16, 2)), ((3, 4, 2), (16, 4, 2))], "<u2"),
    "I420": ([((5, 7), (16, 1)), ((3, 4), (16, 1)), ((3, 4), (16, 1))], "u1"),
    "I422": ([((5, 7), (16, 1)), ((5, 4), (16, 1)), ((5, 4), (16, 1))], "u1"),
    "I444": ([((5, 7), (16, 1))] * 3, "u1"),
    "BAYER8_RGGB": ([((5, 7), (16, 1))], "u1"),
    "BAYER12_BGGR": ([((5, 7), (16, 2))], "<u2"),
    "BAYER12P_RGGB": ([((5, 16), (16, 1))], "u1"),
}


@pytest.mark.parametrize("format", ODD)
def test_odd_pictures_with_padded_rows_have_the_planes_of_their_format(name, format):
    planes, dtype = ODD[format]
    with camlane.create(name, width=7, height=5, format=format, row_align=16) as producer:
        with camlane.open(name) as lane:
            loan = producer.loan()
            for number, plane in enumerate(loan.planes):
                plane[...] = number + 1
            loan.publish()
            with lane.next(1) as frame:
                assert [(plane.shape, plane.strides) for plane in frame.planes] == planes
                described = frame.meta.planes
                for number, plane in enumerate(frame.planes):
                    assert plane.dtype == dtype
                    assert (plane == number + 1).all()
                    assert address(plane) - address(frame.planes[0]) == described[number].offset
                    del plane
                assert frame.has_array == (len(planes) == 1 or format == "I444")


@pytest.mark.parametrize("format", camlane.FORMATS)
def test_every_format_comes_back_as_it_was_published(name, format):
    blob = format in ("OPAQUE", "JPEG", "H264", "H265", "PNG", "BMP")
    with camlane.create(name, width=8, height=6, format=format, max_bytes=100 if blob else None) as producer:
        with camlane.open(name) as lane:
            if blob:
                producer.publish(b"\x01\x02\x03")
                array = lane.next(1).array
                assert array.tolist() == [1, 2, 3]
            else:
                loan = producer.loan()
                shapes = [plane.shape for plane in loan.planes]
                dtype = loan.planes[0].dtype
                loan.discard()
                random = np.random.default_rng(1)
                planes = [random.integers(0, 255, shape).astype(dtype) for shape in shapes]
                producer.publish(tuple(planes))
                frame = lane.next(1)
                for plane, given in zip(frame.planes, planes, strict=True):
                    assert (plane == given).all()


@pytest.mark.parametrize(
    ("format", "width", "height", "row_align", "shape"),
    [
        ("NV12", 8, 6, 1, (9, 8)),
        ("NV12", 6, 4, 16, (6, 6)),
        ("P010", 8, 6, 1, (9, 8)),
        ("I420", 8, 6, 1, (9, 8)),
        ("I420", 8, 6, 16, None),
        ("I420", 8, 5, 1, None),
        ("NV12", 7, 6, 1, None),
        ("NV12", 1, 2, 1, None),
        ("NV24", 8, 6, 1, (18, 8)),
        ("NV24", 8, 6, 16, None),
        ("I444", 8, 6, 1, (18, 8)),
    ],
)
def test_one_array_shows_all_planes_only_if_they_lie_so(name, format, width, height, row_align, shape):
    with camlane.create(name, width=width, height=height, format=format, row_align=row_align) as producer:
        with camlane.open(name) as lane:
            producer.loan().publish()
            frame = lane.next(1)
            assert frame.has_array == (shape is not None)
            if shape:
                assert frame.array.shape == shape
            else:
                with pytest.raises(camlane.NotOneArray, match="planes"):
                    frame.array


def test_nobody_can_make_a_view_writeable(name):
    with camlane.create(name, width=8, height=6) as producer, camlane.open(name) as lane:
        producer.publish(np.full((6, 8, 3), 9, np.uint8))
        array = lane.next(1).array
        assert not array.flags.writeable
        with pytest.raises(ValueError):
            array[0, 0, 0] = 1
        with pytest.raises(ValueError):
            array.flags.writeable = True
        with pytest.raises(ValueError):
            array[1:].flags.writeable = True
        with pytest.raises((ValueError, TypeError, BufferError)):
            ctypes.c_char.from_buffer(array)
        assert (array == 9).all()


def test_numpy_takes_a_frame_for_an_array(name):
    with camlane.create(name, width=8, height=6, format="GRAY8") as producer, camlane.open(name) as lane:
        producer.publish(np.arange(48, dtype=np.uint8).reshape(6, 8))
        frame = lane.next(1)
        assert address(np.asarray(frame)) == address(frame.array)
        assert np.asarray(frame, dtype=np.float32).sum() == 1128
        copied = np.array(frame)
        copied[0, 0] = 77
        assert frame.array[0, 0] == 0
        copied = frame.copy()
        copied[0, 0] = 77
        assert frame.tobytes() == bytes(range(48))


def test_dlpack_says_read_only_or_refuses(name):
    with camlane.create(name, width=8, height=6, format="GRAY8") as producer, camlane.open(name) as lane:
        producer.publish(np.zeros((6, 8), np.uint8))
        frame = lane.next(1)
        assert frame.__dlpack_device__() == (1, 0)
        with pytest.raises(BufferError):
            frame.__dlpack__()  # the old kind of capsule cannot say it
        if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
            array = np.from_dlpack(frame)
            assert address(array) == address(frame.array)
            assert not array.flags.writeable
            del array
            frame.release()


# numpy's table of C functions is hidden before the first array is made, as in a numpy that is not known yet.
SLOW = """
import sys, numpy as np, camlane
try:
    import numpy._core.multiarray as multiarray
except ImportError:
    import numpy.core.multiarray as multiarray
if sys.argv[2] == "hidden":
    del multiarray._ARRAY_API
with camlane.create(sys.argv[1], width=7, height=5, format="RGB16", row_align=16) as producer:
    with producer.loan() as loan:
        loan.array[...] = np.arange(105).reshape(5, 7, 3)
        assert loan.array.flags.writeable and loan.array.flags.aligned
    with camlane.open(sys.argv[1]) as lane:
        array = lane.next(10).array
        low, high = lane.addresses
        assert low <= array.__array_interface__["data"][0] < high
        print(array.shape, array.strides, array.dtype.str, array.flags.writeable, array.sum())
        try:
            array.flags.writeable = True
        except ValueError:
            print("read-only")
"""


@pytest.mark.parametrize("table", ["hidden", "there"])
def test_an_array_is_the_same_with_and_without_numpys_table_of_functions(name, start, table):
    status, out, err = start(SLOW, name, table).end()
    assert (status, err) == (0, "")
    assert out == "(5, 7, 3) (48, 6, 2) <u2 False 5460\nread-only\n"


def capsule_name(capsule) -> bytes:
    get = ctypes.pythonapi.PyCapsule_GetName
    get.restype, get.argtypes = ctypes.c_char_p, [ctypes.py_object]
    return get(capsule)


def capsule_flags(capsule) -> int:
    """`flags` of DLPack's DLManagedTensorVersioned: after a version, a context and a deleter."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.c_uint64.from_address(get(capsule, capsule_name(capsule)) + 24).value


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="this numpy has no versioned DLPack")
def test_a_dlpack_capsule_has_the_read_only_flag_and_holds_the_frame(name):
    with camlane.create(name, width=8, height=6, format="GRAY8") as producer, camlane.open(name) as lane:
        producer.publish(np.full((6, 8), 5, np.uint8))
        frame = lane.next(1)
        capsule = frame.__dlpack__(max_version=(1, 0))
        assert capsule_name(capsule) == b"dltensor_versioned"
        assert capsule_flags(capsule) & 1  # DLPACK_FLAG_BITMASK_READ_ONLY
        with pytest.raises(BufferError):
            frame.release()
        del capsule
        # What may be written to is a copy, and says so.
        copied = np.from_dlpack(frame, copy=True)
        assert copied.flags.writeable and address(copied) != address(frame.array)
        copied[:] = 9
        assert (frame.array == 5).all()
        del copied
        frame.release()
        with pytest.raises(camlane.Released):
            frame.__dlpack__(max_version=(1, 0))


def test_a_library_that_retries_without_a_version_is_refused_and_not_served_writeable_memory(name):
    with camlane.create(name, width=8, height=6, format="GRAY8") as producer, camlane.open(name) as lane:
        producer.publish(np.zeros((6, 8), np.uint8))
        frame = lane.next(1)

        def from_dlpack(producer_of_capsules):  # as the array API standard has it for consumers of both kinds
            try:
                return producer_of_capsules.__dlpack__(max_version=(0, 8))
            except TypeError:
                return producer_of_capsules.__dlpack__()

        with pytest.raises((BufferError, RuntimeError)):
            from_dlpack(frame)
        for options in ({}, {"stream": None}, {"dl_device": (1, 0)}):
            with pytest.raises((BufferError, TypeError)):
                frame.__dlpack__(**options)
        frame.release()  # a refusal keeps nothing


def test_a_memoryview_is_the_frame_itself(name):
    with camlane.create(name, width=7, height=5, format="GRAY16", row_align=16) as producer:
        with camlane.open(name) as lane:
            producer.publish(np.arange(35, dtype=np.uint16).reshape(5, 7))
            frame = lane.next(1)
            try:
                view = memoryview(frame)
            except TypeError:
                pytest.skip("the wheel for Python 3.10 has no buffer protocol")
            assert (view.shape, view.strides, view.format, view.readonly) == ((5, 7), (16, 2), "<H", True)
            assert np.asarray(view).tolist() == frame.array.tolist()
            with pytest.raises(BufferError, match="padded"):
                io.BytesIO(frame)
            with pytest.raises(BufferError):
                frame.release()
            view.release()
            frame.release()
