"""Cameras as clients see them."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from fluxprint_camera.ids import CameraId
from fluxprint_common.ids import BridgeId, PrinterId
from fluxprint_common.schemas import Name, Output, Timestamp


class CameraStatus(StrEnum):
    """`online`: pictures come, a few a minute while nobody watches."""

    ONLINE = "online"
    OFFLINE = "offline"


class Camera(Output):
    """A printer's camera, known since its bridge first connected."""

    id: CameraId
    printer_id: PrinterId
    bridge_id: BridgeId
    name: Annotated[Name, Field(examples=["Camera"])]
    status: CameraStatus
    created_at: Timestamp
    last_frame_at: Timestamp | None = Field(description="When the newest picture came; null before the first.")
    viewers: int = Field(
        ge=0, le=2**31 - 1, json_schema_extra={"format": "int32"}, description="Streams that are open.", examples=[2]
    )
    fps: float = Field(
        ge=0, le=1000, description="Pictures per second that arrive, over the last of them.", examples=[14.9]
    )
