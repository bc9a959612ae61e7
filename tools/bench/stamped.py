"""Pictures that say when they were made, for `viewers.c`: no camera's, but as large."""

import os
import struct
import time

SIZE = 45_000
#: The cameras' rate, unless whoever starts one sets another for it.
FPS = 15
FPS_SETTING = "BENCH_FPS"

_COMMENT = struct.Struct(">HHH8sQQ")
_NOISE = os.urandom(SIZE - _COMMENT.size - 2) + b"\xff\xd9"


def fps() -> float:
    """The rate of the camera that this process plays."""
    return float(os.environ.get(FPS_SETTING, FPS))


def stamped(sequence: int) -> bytes:
    """A file with a JPEG's ends; in its comment a number, and this moment by CLOCK_MONOTONIC in ns."""
    comment = _COMMENT.pack(0xFFD8, 0xFFFE, _COMMENT.size - 4, b"FPBENCH1", sequence, time.monotonic_ns())
    return comment + _NOISE
