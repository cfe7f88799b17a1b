"""Camera frames in shared memory as numpy arrays: one camera, many readers, zero copies, no daemon.

    import camlane

    with camlane.open("front-door") as lane:
        for frame in lane:
            print(frame.number, frame.array.mean())

and in the process that has the camera:

    with camlane.create("front-door", width=640, height=480, format="BGR8") as lane:
        while True:
            lane.publish(picture)          # one copy
            with lane.loan() as loan:      # or none: fill the slot in place
                loan.array[:] = 0

Arrays of frames are read-only, lie in the lane's memory itself, and keep their frame held as long as they live. A consumer
may hold few frames at once: keep `frame.copy()` instead of frames.
"""

from ._camlane import (
    FORMATS,
    Frame,
    Lane,
    LaneInfo,
    LaneStatus,
    Loan,
    Meta,
    Object,
    Observer,
    Producer,
    Segment,
    Synchronizer,
    create,
    list,
    observe,
    open,
    synchronize,
)
from ._errors import (
    AllFramesHeld,
    CannotConvert,
    ClocksDiffer,
    Closed,
    Error,
    ForkedError,
    Invalid,
    LaneTaken,
    NoFreeSlot,
    NoSharedMemory,
    NoSuchLane,
    NotOneArray,
    NotPermitted,
    ObjectError,
    ProducerGone,
    Released,
    SeatsTaken,
    Timeout,
)
from ._types import Colour, Details, Flags, Pause, Plane, Policy
from ._window import Window

__all__ = [
    "FORMATS",
    "AllFramesHeld",
    "CannotConvert",
    "ClocksDiffer",
    "Closed",
    "Colour",
    "Details",
    "Error",
    "Flags",
    "ForkedError",
    "Frame",
    "Invalid",
    "Lane",
    "LaneInfo",
    "LaneStatus",
    "LaneTaken",
    "Loan",
    "Meta",
    "NoFreeSlot",
    "NoSharedMemory",
    "NoSuchLane",
    "NotOneArray",
    "NotPermitted",
    "Object",
    "ObjectError",
    "Observer",
    "Pause",
    "Plane",
    "Policy",
    "Producer",
    "ProducerGone",
    "Released",
    "SeatsTaken",
    "Segment",
    "Synchronizer",
    "Timeout",
    "Window",
    "create",
    "list",
    "observe",
    "open",
    "synchronize",
]
