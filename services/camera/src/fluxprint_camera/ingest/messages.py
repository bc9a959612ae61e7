"""What goes over an uplink, subprotocol `fluxprint.camera.v1`; docs/camera.md shows an example of each."""

from enum import Enum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

from fluxprint_camera.ids import CameraId
from fluxprint_camera.relay.channel import Ended

SUBPROTOCOL = "fluxprint.camera.v1"
MAX_TEXT_CHARS = 1024
JPEG_MAGIC = b"\xff\xd8\xff"  # start of image, and the first byte of the marker behind it (ITU-T T.81, B.1.1.3)


class Hello(BaseModel):
    """Down, once: which camera this is."""

    type: Literal["hello"] = "hello"
    camera_id: CameraId


class Want(BaseModel):
    """Down, at once and whenever it changes: how many pictures are worth sending."""

    type: Literal["want"] = "want"
    fps: float
    idle_interval_s: float


class Ack(BaseModel):
    """Down, for each frame: send the next one."""

    type: Literal["ack"] = "ack"
    sequence: int


class FrameHeader(BaseModel):
    """Up: the next message is this picture, as binary."""

    type: Literal["frame"]
    sequence: int = Field(ge=1, lt=2**63)
    captured_at: AwareDatetime
    size_bytes: int = Field(ge=1)


class Close(Enum):
    """Why the relay closes an uplink: code and reason."""

    NOT_THE_PROTOCOL = (4400, "expected a frame's header as text, then its picture as binary")
    TOKEN_ENDED = (4401, "the access token has ended: get a new one and connect again")
    SILENT = (4408, "nothing came for too long")
    TAKEN_OVER = (4409, "another connection took over")
    SEQUENCE = (4410, "the sequence must grow with each frame")
    TOO_LARGE = (4413, "the picture is larger than allowed")
    NOT_A_JPEG = (4415, "the picture is not a JPEG")
    SIZE = (4416, "the picture has another size than its header says")

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def reason(self) -> str:
        return self.value[1]


CLOSE_AT_END = {
    Ended.TAKEN_OVER: Close.TAKEN_OVER,
    Ended.EXPIRED: Close.TOKEN_ENDED,
    Ended.SILENT: Close.SILENT,
}
