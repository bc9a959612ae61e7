"""Bodies of the viewers' routes."""

from typing import Annotated

from pydantic import Field, SecretStr

from fluxprint_camera.ids import CameraId
from fluxprint_camera.viewers.tokens import MAX_CAMERAS, MAX_CHARS
from fluxprint_common.schemas import Input, Output, Timestamp


class ViewToken(Output):
    """Opens some cameras for some minutes: add it to their addresses as `?token=...`."""

    token: str = Field(max_length=MAX_CHARS, examples=["eyJhbGciOiJIUzI1NiIs..."])
    expires_at: Timestamp = Field(description="Until when it opens something, and can be renewed.")
    renewable_until: Timestamp = Field(
        description="What was opened may go on until then, while the session lives, and no token of this line is later."
    )


class CameraSet(Input):
    """Cameras that are shown together."""

    camera_ids: Annotated[list[CameraId], Field(min_length=1, max_length=MAX_CAMERAS)]


class Renewal(Input):
    """A token that is still good."""

    token: Annotated[SecretStr, Field(min_length=1, max_length=MAX_CHARS)]
