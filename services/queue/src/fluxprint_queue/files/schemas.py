"""Bodies of the files routes."""

from typing import Annotated

from pydantic import Field, StringConstraints

from fluxprint_common.ids import UserId
from fluxprint_common.schemas import Output, Timestamp
from fluxprint_queue.files.names import MAX_NAME_CHARS
from fluxprint_queue.files.slicing import MAX_THUMBNAILS, Slicing
from fluxprint_queue.ids import FileId

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$", max_length=64)]


class ThumbnailInfo(Output):
    """A picture in the file; its bytes are at `/files/{id}/thumbnails/{width}x{height}`."""

    width_px: int = Field(ge=1, le=4096, json_schema_extra={"format": "int32"})
    height_px: int = Field(ge=1, le=4096, json_schema_extra={"format": "int32"})
    media_type: str = Field(max_length=50)


class File(Output):
    """A G-code file."""

    id: FileId
    name: str = Field(max_length=MAX_NAME_CHARS, examples=["bracket.gcode"])
    size_bytes: int = Field(ge=1, json_schema_extra={"format": "int64"})
    sha256: Sha256
    slicing: Slicing
    thumbnails: list[ThumbnailInfo] = Field(max_length=MAX_THUMBNAILS)
    uploaded_by: UserId
    created_at: Timestamp
