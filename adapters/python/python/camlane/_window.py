"""Windows on objects: `mmap.mmap`, with a length that is checked and a `flush` that does what it says."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any, Literal

from ._camlane import Object
from ._errors import Invalid

if TYPE_CHECKING:
    from typing_extensions import Self

_ACCESS = {"shared": mmap.ACCESS_WRITE, "read-only": mmap.ACCESS_READ, "private": mmap.ACCESS_COPY}


class Window(mmap.mmap):
    """Bytes of a shared-memory object or a file, as a buffer: `memoryview(window)`, `np.frombuffer(window)`, slices,
    `find`, `read`, `seek` and all else of `mmap.mmap`.

    name: as for `Object`.
    length: bytes; None takes all from `offset` on. A shared window that is longer than its object extends it, with the
        bytes reserved: a full file system is an error here and not SIGBUS later.
    kind: "shared" writes what others see, "read-only" writes nothing, "private" writes what this window alone sees, until
        `flush` brings it to the object.
    offset: where it begins, a multiple of mmap.ALLOCATIONGRANULARITY.
    create: makes the object with these permissions, for example 0o600, if there is none.

    A program that cuts the object ends this one with SIGBUS at its next look at the lost bytes, as with any mapping;
    `Object.read_at` and `write_at` give an error instead. Raises ObjectError with the system's errno, Invalid.
    """

    _object: Object
    _kind: str
    _offset: int

    def __new__(
        cls,
        name: str,
        length: int | None = None,
        *,
        kind: Literal["shared", "read-only", "private"] = "shared",
        offset: int = 0,
        create: int | None = None,
    ) -> Self:
        if kind not in _ACCESS:
            raise Invalid(f"kind={kind!r}: choose one of {', '.join(map(repr, _ACCESS))}")
        if offset < 0 or offset % mmap.ALLOCATIONGRANULARITY:
            page = mmap.ALLOCATIONGRANULARITY
            raise Invalid(f"offset={offset}: a window begins at a multiple of {page}; slice a memoryview of it")
        end = offset + (length or 0)
        if kind == "shared" and create is not None:
            opened, _ = Object.open_or_create(name, end, mode=create)
        else:
            opened = Object.open(name, write=kind == "shared")
        with opened:
            if kind == "shared" and opened.size < end:
                opened.grow(end)
            if length is None:
                length = max(opened.size - offset, 0)
            if length == 0:
                raise Invalid(f"there is nothing to map: {name!r} ends at byte {opened.size}")
            if opened.size < offset + length:
                raise Invalid(f"{name!r} ends at byte {opened.size}: a {kind} window cannot extend it")
            this: Self = super().__new__(cls, opened.fileno(), length, access=_ACCESS[kind], offset=offset)
        this._object = Object.open(opened.name) if kind == "private" else opened
        this._kind, this._offset = kind, offset
        return this

    def flush(self, offset: int = 0, size: int | None = None, /, *_flags: Any) -> None:
        """Brings `size` bytes from any `offset` on to the file, and waits until it has them. Of a private window, this
        writes them there, where others see them from then on."""
        if size is None:
            size = len(self) - offset
        if offset < 0 or size < 0 or offset + size > len(self):
            raise Invalid(f"bytes {offset} to {offset + size} are not inside the window's {len(self)}")
        if self._kind == "private":
            with Object.open(self._object.name, write=True) as target:
                if not self._object.is_current:
                    raise Invalid(f"{self._object.name!r} is another object by now")
                target.write_at(self._offset + offset, self[offset : offset + size])
                target.sync()
        elif self._kind == "shared":
            back = offset % mmap.ALLOCATIONGRANULARITY  # msync(2) wants a page's start
            super().flush(offset - back, size + back)
