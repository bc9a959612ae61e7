"""Cameras whose uplinks other processes have, as far as the hub wants to know."""

from typing import Protocol
from uuid import UUID

from fluxprint_camera.relay.live import Live


class Elsewhere(Protocol):
    """What the hub asks when it does not have a camera's uplink itself, and how many watch where it has."""

    def look(self, *, camera_id: UUID, organisation_id: UUID) -> Live | None:
        """A camera that another process has, without its picture."""
        ...

    def viewers(self, camera_id: UUID) -> int:
        """How many watch a camera of this process through others."""
        ...
