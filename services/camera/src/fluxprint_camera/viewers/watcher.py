"""Who watches, and until when."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from fluxprint_camera.cameras.sight import Sight
from fluxprint_common.permissions import Permission
from fluxprint_common.standing import Ground

_LOOKING = frozenset({Permission.CAMERAS_VIEW})


@dataclass(frozen=True, slots=True)
class Watcher:
    """Somebody who was let in; `Grants.watching` sees to it that what they open ends in time.

    Attributes:
        person_id: whose places count: a person, an API key, or a share.
        session_id: what the watching ends with: a session, an API key, or a share.
        issued_at: when the access token was made that it stands on.
        expires_at: until when what is opened now may go on.
        cameras: the only cameras that may be seen; None where it is any of the organisation's.
        printers: the only printers whose cameras may be seen; None where it is any.
        ground: what has to go on standing where the watching outlives an access token; None where it does not.
        needs: what the ground has to allow.
        heard_of: what else is listened for beside the session: who made a share, with which key.
        max_viewers: how many may watch at once by this; None: as many as one person may.
    """

    organisation_id: UUID
    person_id: UUID
    session_id: UUID
    issued_at: datetime
    expires_at: datetime
    cameras: frozenset[UUID] | None = None
    printers: frozenset[UUID] | None = None
    ground: Ground | None = None
    needs: frozenset[Permission] = _LOOKING
    heard_of: tuple[UUID, ...] = ()
    max_viewers: int | None = None

    @property
    def sight(self) -> Sight:
        """What this watcher may see of what is kept."""
        return Sight(self.organisation_id, self.printers, self.cameras)

    def may_see(self, camera_id: UUID) -> bool:
        """Whether a camera of the organisation is within what this watcher may see."""
        return self.cameras is None or camera_id in self.cameras

    @property
    def expires_in_s(self) -> float:
        return (self.expires_at - datetime.now(UTC)).total_seconds()
