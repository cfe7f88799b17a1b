"""What can go wrong. Every text says what a person can do about it."""

import errno


class Error(Exception):
    """Whatever can go wrong with a lane."""


class NoSuchLane(Error, FileNotFoundError):
    """There is no such lane; the text names those that there are."""


class LaneTaken(Error):
    """A living producer has the lane."""


class SeatsTaken(Error):
    """All seats of the lane are taken by living consumers."""


class NoSharedMemory(Error):
    """Shared memory is full: bytes needed and free, and how to get more, are in the text."""


class NotPermitted(Error, PermissionError):
    """The system refuses access."""


class Invalid(Error, ValueError):
    """What was asked for cannot be."""


class Timeout(Error, TimeoutError):
    """No frame came in time; the producer lives. The text says why, where the producer does; so does `lane.pause`."""


class Closed(Error):
    """The producer ended the stream, and all its frames were read. Waiting on follows a producer that comes later."""


class ProducerGone(Error):
    """The producer died without ending the stream. Waiting on follows the one that takes its place."""


class AllFramesHeld(Error):
    """This consumer holds all the frames that it may: let go of one, or copy what is kept."""


class NoFreeSlot(Error):
    """Consumers hold every slot, which only a lane with too few slots allows."""


class ForkedError(Error):
    """The handle was inherited through fork and belongs to the parent: open the lane again."""


class Released(Error, ValueError):
    """The frame, loan or lane was released or closed here."""


class NotOneArray(Error, ValueError):
    """The planes of the frame do not lie so that one array could show them: use `planes`."""


class CannotConvert(Error, ValueError):
    """The frame's format cannot be converted, or its payload is damaged."""


class ClocksDiffer(Error, ValueError):
    """Capture times of several lanes cannot be compared: a frame has none, or one on another clock."""


class ObjectError(Error, OSError):
    """The system refused something on a raw object: `errno` has its number, `name` what errno.h calls it."""

    @property
    def name(self) -> str:
        """"ENOENT", "EEXIST", "EACCES", ..."""
        return errno.errorcode.get(self.errno or 0, "")
