"""The queue's kinds of ids."""

from typing import Annotated
from uuid import UUID

from fluxprint_common.ids import Prefixed

FileId = Annotated[UUID, Prefixed("file")]
JobId = Annotated[UUID, Prefixed("job")]
AttemptId = Annotated[UUID, Prefixed("attempt")]
CommandId = Annotated[UUID, Prefixed("command")]
# The camera service's, which this one only passes on.
CameraId = Annotated[UUID, Prefixed("camera")]
DecisionId = Annotated[UUID, Prefixed("decision")]
