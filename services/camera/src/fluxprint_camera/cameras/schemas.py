"""Cameras as clients see them."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic.json_schema import SkipJsonSchema

from fluxprint_camera.cameras.models import RecordingMode
from fluxprint_camera.ids import CameraId
from fluxprint_common.ids import BridgeId, PrinterId
from fluxprint_common.schemas import Input, Name, Output, Timestamp


class CameraStatus(StrEnum):
    """`online`: pictures come, a few a minute while nobody watches."""

    ONLINE = "online"
    OFFLINE = "offline"


class SourceState(StrEnum):
    """What the bridge last said of the camera itself; `unknown` before it said anything."""

    UNKNOWN = "unknown"
    OK = "ok"
    FAILED = "failed"


class CameraUpdate(Input):
    """What changes; absent stays. The rest of a camera is the bridge's."""

    name: Annotated[Name, Field(examples=["Nozzle"])] | SkipJsonSchema[None] = None
    recording: RecordingMode | None = Field(
        None,
        description="null: `default`. What is being recorded already goes on as it began, whatever restarts; `off` "
        "does not end it.",
    )
    recording_interval_s: float | None = Field(
        None,
        ge=1,
        le=3600,
        description="Between two frames by `interval`; null: as the installation is set.",
        examples=[30],
    )

    @field_validator("name")
    @classmethod
    def _named(cls, name: str | None) -> str:
        if name is None:  # absent is not checked
            raise ValueError("a camera has a name: leave it out to keep it")
        return name

    @field_validator("recording")
    @classmethod
    def _removed(cls, recording: RecordingMode | None) -> RecordingMode:
        return recording or RecordingMode.DEFAULT


class Camera(Output):
    """One of a printer's cameras, known since its bridge first connected."""

    id: CameraId
    printer_id: PrinterId
    bridge_id: BridgeId
    key: str = Field(max_length=50, description="What the bridge calls it.", examples=["default"])
    name: Annotated[Name, Field(examples=["Camera"])]
    rotate: Literal[0, 90, 180, 270] = Field(
        description="Degrees clockwise to turn a picture by, after the flips, to see it upright. Pictures come as the "
        "camera takes them."
    )
    flip_h: bool = Field(description="Mirror a picture left to right.")
    flip_v: bool = Field(description="Mirror a picture top to bottom.")
    recording: RecordingMode
    recording_interval_s: float | None = Field(
        ge=1, le=3600, description="Between two frames by `interval`; null: as the installation is set.", examples=[30]
    )
    status: CameraStatus
    source_state: SourceState
    source_reason: str | None = Field(
        max_length=40,
        description="Why the camera itself gives no pictures: `frozen`, `unreachable`, `refused`, `not_a_camera`, "
        "`truncated`, `closed` or `too_large`; others may come.",
        examples=["unreachable"],
    )
    source_detail: str | None = Field(max_length=300, description="The same for a person.", examples=["no connection"])
    source_since: Timestamp | None = Field(description="Since when it is so.")
    created_at: Timestamp
    last_frame_at: Timestamp | None = Field(description="When the newest picture came; null before the first.")
    viewers: int = Field(
        ge=0, le=2**31 - 1, json_schema_extra={"format": "int32"}, description="Streams that are open.", examples=[2]
    )
    fps: float = Field(
        ge=0, le=1000, description="Pictures per second that arrive, over the last of them.", examples=[14.9]
    )
