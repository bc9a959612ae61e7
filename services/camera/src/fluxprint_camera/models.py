"""All tables of the camera service, for migrations."""

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.database import Base

metadata = Base.metadata

__all__ = ["CameraRow", "metadata"]
