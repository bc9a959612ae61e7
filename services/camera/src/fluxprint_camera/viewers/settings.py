"""Settings of watching."""

from typing import Literal

from pydantic import BaseModel, Field


class ViewerSettings(BaseModel):
    """What viewers may have, and how it is sent."""

    fast_path: Literal["auto", "off"] = Field("auto", description="Send frames past the server where that is possible")
    limit_small_pictures: str = Field(
        "1200/minute", pattern=r"^\d+/(second|minute|hour|day)$", description="Pictures that somebody has made smaller"
    )
    max_cameras_per_socket: int = Field(64, ge=1, le=1000, description="Cameras over one WebSocket")
