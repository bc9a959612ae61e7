"""Settings of recording."""

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, Field

#: At a time, of all organisations together.
MAX_RECORDINGS = 500


class FrameBy(StrEnum):
    """When a timelapse gets its next frame."""

    LAYER = "layer"
    INTERVAL = "interval"


class RecordingSettings(BaseModel):
    """What is recorded of prints, and for how long it is kept."""

    data_dir: Path | None = Field(None, description="Where recordings are kept; without it nothing is recorded")
    data_reserve_bytes: int = Field(1024**3, ge=0, description="What recordings leave free on their disk")
    prints_poll_s: float = Field(2, ge=0.1, le=60, description="How often the queue is asked what prints")
    timelapse_frame_by: FrameBy = Field(FrameBy.LAYER, description="`layer` or `interval`")
    timelapse_interval_s: float = Field(10, ge=0.1, le=3600)
    timelapse_layer_wait_s: float = Field(120, ge=1, le=3600, description="Without a new layer for so long: a frame")
    timelapse_max_frames: int = Field(1500, ge=10, le=20_000, description="Past it every other frame is dropped")
    timelapse_max_bytes: int = Field(512 * 1024**2, ge=1024**2, description="Of one timelapse's frames; the same")
    timelapse_fps: int = Field(25, ge=1, le=60, description="Of the video")
    timelapse_width_px: int = Field(1280, ge=64, le=3840, description="Of the video at most")
    recording_fps: float = Field(0.5, ge=0.05, le=15, description="Pictures a second that are taken while it prints")
    failure_pictures: int = Field(5, ge=0, le=30, description="The last ones before a failure that are kept")
    render_timeout_s: float = Field(900, ge=1, le=24 * 3600)
    render_max_bytes: int = Field(
        256 * 1024**2, ge=1024**2, description="Of a video; one that would be larger gets less quality"
    )
    ffmpeg: str | None = Field(None, description="Another ffmpeg than the one that is installed with the service")
    recordings_kept_days: int = Field(30, ge=1, le=3650)
    max_recordings_per_organisation: int = Field(
        100, ge=1, le=MAX_RECORDINGS, description=f"At a time; {MAX_RECORDINGS} are of all together"
    )
    recordings_bytes: int = Field(
        10 * 1024**3, ge=1024**2, description="Timelapses of one organisation; the oldest finished ones go first"
    )
    recording_pictures_bytes: int = Field(
        2 * 1024**3, ge=1024**2, description="Pictures of prints of one organisation; the oldest go first"
    )
