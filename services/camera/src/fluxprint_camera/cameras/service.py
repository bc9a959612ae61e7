"""Rules about cameras."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_camera.cameras import repository
from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.cameras.sight import Sight
from fluxprint_common.database import ReadSession
from fluxprint_common.ids import new_id
from fluxprint_common.problems import Conflict, NotFound

DEFAULT_NAME = "Camera"


class TooManyCameras(Conflict):
    """The organisation has as many cameras as it may have"""

    code = "too_many_cameras"


async def get(session: AsyncSession, sight: Sight, camera_id: UUID) -> CameraRow:
    """A camera that may be seen.

    Raises:
        NotFound: there is none, or it belongs to others.
    """
    camera = await repository.find(session, sight, camera_id)
    if camera is None:
        raise NotFound
    return camera


async def check_all(session: ReadSession, sight: Sight, camera_ids: frozenset[UUID]) -> None:
    """Raises: NotFound: one of them does not exist, or belongs to others."""
    if await repository.count_seen(session, sight, camera_ids) != len(camera_ids):
        raise NotFound


async def is_of_bridge(session: ReadSession, *, organisation_id: UUID, bridge_id: UUID, printer_id: UUID) -> bool:
    """Whether a printer's camera exists and belongs to this bridge."""
    camera = await repository.of_printer(session, organisation_id=organisation_id, printer_id=printer_id)
    return camera is not None and camera.bridge_id == bridge_id


async def ensure(
    session: AsyncSession, *, organisation_id: UUID, bridge_id: UUID, printer_id: UUID, limit: int
) -> UUID:
    """The id of a printer's camera, made at its first uplink. A printer that moved to another bridge takes it along.

    Raises:
        TooManyCameras: the organisation has `limit` of them.
    """
    camera = await repository.of_printer(session, organisation_id=organisation_id, printer_id=printer_id)
    if camera is not None:
        camera.bridge_id = bridge_id
        return camera.id
    if await repository.count(session, organisation_id=organisation_id) >= limit:
        raise TooManyCameras
    return await repository.add(
        session,
        camera_id=new_id(),
        organisation_id=organisation_id,
        printer_id=printer_id,
        bridge_id=bridge_id,
        name=DEFAULT_NAME,
    )


async def remember(session: AsyncSession, camera_id: UUID, *, last_frame_at: datetime) -> None:
    """Keep when the last picture came."""
    await repository.set_last_frame(session, camera_id, last_frame_at=last_frame_at)
