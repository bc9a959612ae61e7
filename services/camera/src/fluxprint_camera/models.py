"""All tables of the camera service, for migrations."""

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.database import Base
from fluxprint_camera.recording.models import DutyRow, PictureRow, TimelapseRow
from fluxprint_camera.shares.models import ShareRow
from fluxprint_camera.watching.models import Decision, Sighting, WatchPolicy

metadata = Base.metadata

__all__ = [
    "CameraRow",
    "Decision",
    "DutyRow",
    "PictureRow",
    "ShareRow",
    "Sighting",
    "TimelapseRow",
    "WatchPolicy",
    "metadata",
]
