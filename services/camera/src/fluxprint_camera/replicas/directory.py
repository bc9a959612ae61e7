"""What the other replicas said lately: what they have, and what they want of what this one has."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from fluxprint_camera.relay.live import Live
from fluxprint_camera.relay.status import NO_PICTURES, ONLINE, Status
from fluxprint_camera.replicas.messages import Has, Wants


@dataclass(frozen=True, slots=True)
class Owner:
    """Who has a camera."""

    replica: UUID
    has: Has
    until: float


@dataclass(frozen=True, slots=True)
class Demand:
    """What a replica wants of a camera; `turn` grows with each time that it wants the newest frame at once."""

    fps: float
    viewers: int
    turn: int
    until: float


class Directory:
    """Believes everything for a while only.

    Args:
        believed_s: for so long.
    """

    def __init__(self, *, believed_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._believed_s = believed_s
        self._clock = clock
        self._owners: dict[UUID, Owner] = {}
        self._demands: dict[UUID, dict[UUID, Demand]] = {}

    def take_has(self, replica: UUID, has: Has) -> None:
        """Somebody has a camera; where another one says so too, who has it for a shorter time."""
        known = self.owner(has.camera_id)
        if known is None or known.replica == replica or known.has.began_at <= has.began_at:
            self._owners[has.camera_id] = Owner(replica, has, self._clock() + self._believed_s)

    def take_gone(self, replica: UUID, camera_id: UUID) -> None:
        """Somebody has a camera no longer."""
        known = self._owners.get(camera_id)
        if known is not None and known.replica == replica:
            del self._owners[camera_id]

    def take_wants(self, replica: UUID, wants: Wants) -> None:
        """Somebody wants frames."""
        demands = self._demands.setdefault(wants.camera_id, {})
        before = demands.get(replica)
        turn = (before.turn if before is not None else 0) + wants.first
        demands[replica] = Demand(wants.fps, wants.viewers, turn, self._clock() + self._believed_s)

    def forget(self) -> None:
        """Drop what is believed no longer."""
        now = self._clock()
        self._owners = {camera: owner for camera, owner in self._owners.items() if owner.until > now}
        kept = (
            (camera, {replica: demand for replica, demand in demands.items() if demand.until > now})
            for camera, demands in self._demands.items()
        )
        self._demands = {camera: demands for camera, demands in kept if demands}

    def owner(self, camera_id: UUID) -> Owner | None:
        """Who has a camera, of the others."""
        owner = self._owners.get(camera_id)
        return owner if owner is not None and owner.until > self._clock() else None

    def wanted(self, camera_id: UUID) -> tuple[float, int]:
        """The most frames a second that others want of a camera, 0 for none; and a number that changes when one of
        them wants the newest at once."""
        demands = self._current(camera_id)
        return max((demand.fps for demand in demands), default=0.0), sum(demand.turn for demand in demands)

    def demanded(self) -> list[UUID]:
        """The cameras that others want frames of."""
        return [camera_id for camera_id in self._demands if self._current(camera_id)]

    def viewers(self, camera_id: UUID) -> int:
        """How many watch a camera at other replicas."""
        return sum(demand.viewers for demand in self._current(camera_id))

    def look(self, *, camera_id: UUID, organisation_id: UUID) -> Live | None:
        """A camera that another replica has."""
        owner = self.owner(camera_id)
        if owner is None or owner.has.organisation_id != organisation_id:
            return None
        has = owner.has
        status = ONLINE if has.online else Status(has.trouble or NO_PICTURES)
        return Live(
            online=has.online,
            viewers=has.viewers,
            fps=has.fps,
            status=status,
            connected=True,
            last_frame_at=has.last_frame_at,
        )

    def _current(self, camera_id: UUID) -> list[Demand]:
        now = self._clock()
        return [demand for demand in self._demands.get(camera_id, {}).values() if demand.until > now]
