"""Settings of the uplinks."""

from pydantic import BaseModel, Field


class IngestSettings(BaseModel):
    """`CAMERA_*`: what bridges may send, and how often they are to."""

    max_fps: float = Field(15, gt=0, le=60, description="What a bridge is asked for at most")
    max_frame_bytes: int = Field(2 * 1024 * 1024, ge=1024, le=8 * 1024 * 1024 - 1024)
    max_width: int = Field(3840, ge=160, le=16_384, description="Pixels of a picture's longer side, at most")
    max_cameras_per_bridge: int = Field(100, ge=1, le=1000)
    idle_interval_s: float = Field(10, ge=0.1, le=300, description="One picture so often while nobody watches")
    idle_margin_s: float = Field(5, ge=0.1, le=60, description="Silence past two idle intervals that ends an uplink")
    linger_s: float = Field(3, ge=0, le=60, description="How long a picture that nobody watches is still asked for")
