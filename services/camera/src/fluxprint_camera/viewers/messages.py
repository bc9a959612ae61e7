"""What goes over a viewer's WebSocket, subprotocol `fluxprint.view.v1`; see docs/camera-viewers.md for examples."""

import struct
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from fluxprint_camera.ids import CameraId
from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.viewers.tokens import MAX_CHARS

SUBPROTOCOL = "fluxprint.view.v1"
MAX_TEXT_CHARS = 8192
#: What is not whole yet lies in memory, for as long as a connection lives.
MAX_MESSAGE_BYTES = 4 * MAX_TEXT_CHARS
MAX_WINDOW = 2

VERSION = 1
KIND_JPEG = 1
#: Version, kind, index of the camera, flags (none yet), sequence, milliseconds since 1970 of the capture.
HEADER = struct.Struct("!BBHIQQ")

# A server's frame of a WebSocket, final and binary, not masked (RFC 6455, 5.2).
_BINARY = 0x82
_MEDIUM, _LARGE = struct.Struct("!BBH"), struct.Struct("!BBQ")


class Watch(BaseModel):
    """Up: show a camera. For one that is shown already, what is said anew takes the place of the old."""

    type: Literal["watch"]
    camera_id: CameraId
    max_fps: float | None = Field(None, ge=0.1, le=60)
    window: int = Field(MAX_WINDOW, ge=1, le=MAX_WINDOW)
    token: str | None = Field(None, max_length=MAX_CHARS)


class Stop(BaseModel):
    """Up: show a camera no longer."""

    type: Literal["stop"]
    camera_id: CameraId


class Ack(BaseModel):
    """Up: a frame, and with it those before it, was shown: send another."""

    type: Literal["ack"]
    camera_id: CameraId
    sequence: int


Up = Annotated[Watch | Stop | Ack, Field(discriminator="type")]
UP: TypeAdapter[Watch | Stop | Ack] = TypeAdapter(Up)


class Watching(BaseModel):
    """Down: a camera's frames carry this index from now on."""

    type: Literal["watching"] = "watching"
    camera_id: CameraId
    index: int


class StatusMessage(BaseModel):
    """Down: whether pictures come, and why not."""

    type: Literal["status"] = "status"
    camera_id: CameraId
    status: Literal["online", "offline"]
    reason: str | None


class Ended(BaseModel):
    """Down: a camera is shown no longer, or is not at all."""

    type: Literal["ended"] = "ended"
    camera_id: CameraId
    reason: str


def header_of(frame: Frame, index: int) -> bytes:
    """What stands before the picture in a binary message."""
    captured_ms = int(frame.captured_at.timestamp() * 1000)
    return HEADER.pack(VERSION, KIND_JPEG, index, 0, frame.sequence, captured_ms)


Pieces = tuple[bytes, memoryview]


class Framer:
    """Makes binary messages as they stand on the wire, each once: most viewers of a camera have it under one index."""

    def __init__(self) -> None:
        self._last: tuple[Frame, int, Pieces] | None = None

    def framed(self, frame: Frame, index: int) -> Pieces:
        """The message's beginning, and the picture that all share; the same object for the same frame and index."""
        if self._last is not None and self._last[0] is frame and self._last[1] == index:
            return self._last[2]
        header, picture = header_of(frame, index), frame.jpeg
        size = len(header) + len(picture)
        if size < 126:
            start = bytes((_BINARY, size))
        else:
            start = _MEDIUM.pack(_BINARY, 126, size) if size < 2**16 else _LARGE.pack(_BINARY, 127, size)
        pieces = start + header, picture
        self._last = frame, index, pieces
        return pieces


framer = Framer()
