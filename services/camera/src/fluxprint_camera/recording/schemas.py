"""Recordings as clients see them."""

from pydantic import Field

from fluxprint_camera.ids import AttemptId, CameraId, JobId, PictureId, TimelapseId
from fluxprint_camera.recording.models import Moment, TimelapseState
from fluxprint_camera.recording.problems import Trouble
from fluxprint_common.ids import PrinterId
from fluxprint_common.prints import PrintState
from fluxprint_common.schemas import Output, Timestamp


class Timelapse(Output):
    """What one camera recorded of one print, and the video of it."""

    id: TimelapseId
    camera_id: CameraId
    printer_id: PrinterId
    job_id: JobId
    attempt_id: AttemptId
    state: TimelapseState = Field(
        description="`recording` while it prints, `rendering` until there is a video, then `ready`. `failed`: it could"
        " not be rendered; `empty`: no picture came."
    )
    problem: str | None = Field(
        max_length=100,
        description="Why something of it is missing.",
        examples=["disk_full"],
        json_schema_extra={"x-extensible-enum": [str(trouble) for trouble in Trouble]},
    )
    outcome: str | None = Field(
        max_length=20,
        description="What became of the print, as far as that was known at its end; null while it goes on.",
        examples=["completed"],
        json_schema_extra={"x-extensible-enum": [str(state) for state in PrintState]},
    )
    frames: int = Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int32"}, examples=[312])
    progress: float = Field(ge=0, le=1, description="Of the rendering.", examples=[1.0])
    size_bytes: int = Field(
        ge=0,
        le=2**63 - 1,
        json_schema_extra={"format": "int64"},
        description="Of the video; of the frames until there is one.",
    )
    duration_s: float | None = Field(
        ge=0, le=10**6, description="How long the video plays; null until there is one.", examples=[12.48]
    )
    started_at: Timestamp
    ended_at: Timestamp | None
    ready_at: Timestamp | None


class PrintPicture(Output):
    """A picture that was kept of a print."""

    id: PictureId
    camera_id: CameraId
    printer_id: PrinterId
    job_id: JobId
    attempt_id: AttemptId
    moment: Moment = Field(
        description="`start` and `end` of the print, or its `failure`, with the last pictures `before_failure`."
    )
    captured_at: Timestamp = Field(description="By the bridge's clock.")
    size_bytes: int = Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int32"})
    image_path: str = Field(
        max_length=200, examples=["/api/v1/cameras/pictures/picture_0193a5c8f2d07c4e8b1f6a2d3c4b5a69/image"]
    )
