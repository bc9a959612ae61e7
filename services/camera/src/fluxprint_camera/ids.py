"""The camera service's kinds of ids."""

from typing import Annotated
from uuid import UUID

from fluxprint_common.ids import Prefixed

CameraId = Annotated[UUID, Prefixed("camera")]
