"""Shares as clients see them."""

from typing import Annotated

from pydantic import Field

from fluxprint_camera.ids import CameraId, ShareId
from fluxprint_common.ids import UserId
from fluxprint_common.schemas import Input, Name, Output, Timestamp

LONGEST_S = 30 * 86_400

_Viewers = Annotated[int, Field(ge=1, le=100, json_schema_extra={"format": "int32"}, examples=[5])]
_Label = Annotated[Name, Field(description="For whom it is, for those who look at the list.", examples=["Customer"])]


class ShareDraft(Input):
    """A share to be made."""

    label: _Label
    expires_in_s: int = Field(ge=60, le=LONGEST_S, json_schema_extra={"format": "int32"}, examples=[86_400])
    max_viewers: _Viewers = Field(5, description="So many may watch at once by this link.")


class Share(Output):
    """A link that opens one camera to whoever has it."""

    id: ShareId
    camera_id: CameraId
    label: _Label
    maker_id: UserId = Field(description="Whose right it stands on: it ends with that.")
    max_viewers: _Viewers
    created_at: Timestamp
    expires_at: Timestamp


class ShareCreated(Output):
    """A new share, with what is shown this one time only."""

    share: Share
    token: str = Field(max_length=100, description="For `?token=` on this camera's stream and snapshot.")
    url: str = Field(max_length=500, description="The stream, with the token.")
