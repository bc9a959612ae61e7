"""What goes over an uplink, subprotocol `fluxprint.camera.v2`; docs/camera-uplink.md shows an example of each."""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, TypeAdapter, model_validator

from fluxprint_camera.ids import CameraId
from fluxprint_camera.relay.channel import Ended
from fluxprint_common.schemas import Name, Received

SUBPROTOCOL = "fluxprint.camera.v2"
MAX_TEXT_CHARS = 256 * 1024
MAX_CAMERAS = 1000
JPEG_MAGIC = b"\xff\xd8\xff"  # start of image, and the first byte of the marker behind it (ITU-T T.81, B.1.1.3)

_HEADER = struct.Struct("!BBHQQ")
_VERSION = 2
_MAX_SEQUENCE = 2**63 - 1
_MAX_CAPTURED_MS = 253_402_300_799_999  # the end of year 9999

ChannelNumber = Annotated[int, Field(ge=0, le=2**16 - 1)]
#: What a bridge calls one of a printer's cameras; it never changes while the camera is the same.
Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")]
#: Why a camera gives no pictures. The bridge's word: a newer bridge may know more of them.
Reason = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$")]


class AnnouncedCamera(Received):
    """One camera of the list."""

    channel: ChannelNumber
    printer_id: str = Field(max_length=100)
    key: Key
    name: Name
    rotate: Literal[0, 90, 180, 270] = 0
    flip_h: bool = False
    flip_v: bool = False


class Cameras(Received):
    """Up, first and whenever it changes: all cameras of the bridge."""

    type: Literal["cameras"]
    cameras: list[AnnouncedCamera] = Field(max_length=MAX_CAMERAS)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        channels = {camera.channel for camera in self.cameras}
        names = {(camera.printer_id, camera.key) for camera in self.cameras}
        if len(channels) < len(self.cameras) or len(names) < len(self.cameras):
            raise ValueError("a channel or a camera is there twice")
        return self


class SourceState(Received):
    """Up: how the camera itself is."""

    type: Literal["state"]
    channel: ChannelNumber
    state: Literal["ok", "failed"]
    reason: Reason | None = None
    detail: str | None = Field(None, max_length=300)

    @model_validator(mode="after")
    def _reason_of_a_failure(self) -> Self:
        if (self.state == "failed") != (self.reason is not None):
            raise ValueError("a failure has a reason, and nothing else has one")
        return self


FROM_BRIDGE: TypeAdapter[Cameras | SourceState] = TypeAdapter(Cameras | SourceState)


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Up: what stands before a picture in its binary message."""

    channel: int
    sequence: int
    captured_at: datetime

    SIZE = _HEADER.size

    @classmethod
    def read(cls, message: bytes) -> Self:
        """Raises `ValueError` where this is no header of version 2."""
        try:
            version, flags, channel, sequence, captured_ms = _HEADER.unpack_from(message)
        except struct.error:
            raise ValueError("too short") from None
        if (version, flags) != (_VERSION, 0) or not 1 <= sequence <= _MAX_SEQUENCE or captured_ms > _MAX_CAPTURED_MS:
            raise ValueError("not a header of version 2")
        seconds, milliseconds = divmod(captured_ms, 1000)
        captured_at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)
        return cls(channel, sequence, captured_at)


class AcceptedCamera(BaseModel):
    channel: int
    camera_id: CameraId


class RefusedCamera(BaseModel):
    channel: int
    code: str
    detail: str


class Accepted(BaseModel):
    """Down, for each list and whenever something of it changes: which cameras frames are taken of."""

    type: Literal["accepted"] = "accepted"
    cameras: list[AcceptedCamera]
    refused: list[RefusedCamera]
    max_frame_bytes: int
    max_width: int


class Want(BaseModel):
    """Down, at once and whenever it changes: how many pictures of a camera are worth sending."""

    type: Literal["want"] = "want"
    channel: int
    fps: float
    idle_interval_s: float


class Ack(BaseModel):
    """Down, for each frame: send the next one of this camera."""

    type: Literal["ack"] = "ack"
    channel: int
    sequence: int


class Close(Enum):
    """Why the relay closes an uplink: code and reason."""

    NOT_THE_PROTOCOL = (4400, "not a message of fluxprint.camera.v2, or not when it may come")
    TOKEN_ENDED = (4401, "the access token has ended: get a new one and connect again")
    SILENT = (4408, "nothing came for too long")
    TAKEN_OVER = (4409, "another connection took over")
    SEQUENCE = (4410, "the sequence must grow with each frame of a camera")
    WINDOW = (4411, "a frame came before the last one of its camera was acknowledged")
    TOO_LARGE = (4413, "the picture is larger than allowed")
    NOT_A_JPEG = (4415, "the picture is not a JPEG")

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def reason(self) -> str:
        return self.value[1]


#: What the end of one camera's publication means for the whole uplink. One that was taken over concerns only itself.
CLOSE_AT_END = {Ended.EXPIRED: Close.TOKEN_ENDED, Ended.SILENT: Close.SILENT}
