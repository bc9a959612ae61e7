"""The camera service's kinds of ids."""

from typing import Annotated
from uuid import UUID

from fluxprint_common.ids import Prefixed

CameraId = Annotated[UUID, Prefixed("camera")]
ShareId = Annotated[UUID, Prefixed("share")]
TimelapseId = Annotated[UUID, Prefixed("timelapse")]
PictureId = Annotated[UUID, Prefixed("picture")]
DecisionId = Annotated[UUID, Prefixed("decision")]
# The queue's kinds, which the camera service only passes on.
JobId = Annotated[UUID, Prefixed("job")]
AttemptId = Annotated[UUID, Prefixed("attempt")]
