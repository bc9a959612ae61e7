"""What replicas say to each other through Redis."""

import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from fluxprint_camera.relay.frame import JPEG, Frame

CONTROL = "fluxprint:camera:replicas"
FRAMES = "fluxprint:camera:frames:"
#: So many cameras in one message: far below what `fluxprint_common.doorbell` takes.
IN_ONE_MESSAGE = 100
#: No replica shows a picture nearly so long.
MAX_AGE_S = 24 * 3600
_HEAD = struct.Struct("!H")


class Has(BaseModel):
    """A camera whose uplink the sender has."""

    camera_id: UUID
    organisation_id: UUID
    began_at: float = Field(description="When the uplink opened: of two, the younger one counts.")
    online: bool
    trouble: str | None = Field(max_length=100)
    fps: float
    viewers: int
    last_frame_at: AwareDatetime | None


class Wants(BaseModel):
    """A camera that somebody watches at the sender, who has not got its uplink."""

    camera_id: UUID
    fps: float = Field(gt=0)
    viewers: int = Field(ge=0)
    first: bool = Field(description="Whether the newest frame is to be sent at once.")


class Said(BaseModel):
    """One message; a part of what a replica has and wants, or cameras that it has no longer."""

    type: Literal["said"] = "said"
    replica: UUID
    has: Sequence[Has] = ()
    wants: Sequence[Wants] = ()
    gone: Sequence[UUID] = ()


def channel_of(camera_id: UUID) -> str:
    """Where a camera's frames are published."""
    return f"{FRAMES}{camera_id.hex}"


def camera_of(channel: bytes) -> UUID:
    """The camera of such a channel. Raises: ValueError: it is none."""
    return UUID(hex=channel.decode().removeprefix(FRAMES))


def pack(frame: Frame) -> bytes:
    """A frame with its head, for Redis."""
    # How long ago it was received, not when: the clocks of two replicas may differ.
    age = datetime.now(UTC) - frame.received_at
    head = json.dumps(
        {
            "sequence": frame.sequence,
            "captured_at": frame.captured_at.timestamp(),
            "age_s": max(0.0, age.total_seconds()),
            "media_type": frame.media_type,
        }
    ).encode()
    return b"".join((_HEAD.pack(len(head)), head, frame.jpeg))


def unpack(data: bytes) -> Frame:
    """The frame that `pack` wrote, received when the sender received it.

    Raises:
        ValueError: it is something else.
    """
    try:
        (size,) = _HEAD.unpack_from(data)
        head = json.loads(data[_HEAD.size : _HEAD.size + size])
        captured_at = datetime.fromtimestamp(float(head["captured_at"]), UTC)
        if head["media_type"] != JPEG:
            raise KeyError("media_type")  # a kind that this version does not know
        age_s = float(head.get("age_s", 0))  # a version before this one does not say it
        if not 0 <= age_s <= MAX_AGE_S:
            raise ValueError("age_s")
        return Frame.of(
            data[_HEAD.size + size :],
            sequence=int(head["sequence"]),
            captured_at=captured_at,
            received_at=datetime.now(UTC) - timedelta(seconds=age_s),
        )
    except (struct.error, LookupError, TypeError, ValueError, OverflowError) as error:
        raise ValueError("not a frame") from error
