"""Rules about cameras."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_camera.cameras import repository
from fluxprint_camera.cameras.announced import Announced, Place, Seen
from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.cameras.sight import Sight
from fluxprint_common.database import ReadSession
from fluxprint_common.ids import new_id
from fluxprint_common.problems import Conflict, NotFound


class TooManyCameras(Conflict):
    """The organisation has as many cameras as it may have"""

    code = "too_many_cameras"


class CameraOnline(Conflict):
    """Its bridge is connected and has this camera: take it out of the bridge's settings first"""

    code = "camera_online"


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


async def change(session: AsyncSession, sight: Sight, camera_id: UUID, changes: Mapping[str, object]) -> CameraRow:
    """Set what people may set of a camera. After a name of its own, the bridge's is not taken any more.

    Args:
        changes: columns.

    Raises:
        NotFound: there is none, or it belongs to others.
    """
    camera = await repository.find_to_change(session, sight, camera_id)
    if camera is None:
        raise NotFound
    for name, value in changes.items():
        setattr(camera, name, value)
    return camera


async def remove(session: AsyncSession, sight: Sight, camera_id: UUID, *, connected: bool) -> None:
    """Forget a camera. It is made anew where its bridge announces it again.

    Raises:
        NotFound: there is none, or it belongs to others. CameraOnline: its bridge is there and has it.
    """
    camera = await repository.find_to_change(session, sight, camera_id)
    if camera is None:
        raise NotFound
    if connected:
        raise CameraOnline
    await session.delete(camera)


async def places_of_bridge(session: AsyncSession, *, organisation_id: UUID, bridge_id: UUID) -> set[Place]:
    """The cameras that belong to a bridge."""
    rows = await repository.of_bridge(session, organisation_id=organisation_id, bridge_id=bridge_id)
    return {(row.printer_id, row.key) for row in rows}


async def ensure(
    session: AsyncSession, *, organisation_id: UUID, bridge_id: UUID, announced: Sequence[Announced], limit: int
) -> dict[Place, UUID]:
    """The ids of cameras, made when they are first announced. A printer that moved to another bridge takes its along.

    What is missing in the answer is more than the `limit` that the organisation may have.
    """
    printer_ids = {camera.printer_id for camera in announced}
    rows = await repository.of_printers(session, organisation_id=organisation_id, printer_ids=printer_ids)
    there = {(row.printer_id, row.key): row for row in rows}
    found: dict[Place, UUID] = {}
    missing: list[Announced] = []
    for camera in announced:
        row = there.get(camera.place)
        if row is None:
            missing.append(camera)
            continue
        row.bridge_id = bridge_id
        row.rotate, row.flip_h, row.flip_v = camera.rotate, camera.flip_h, camera.flip_v
        found[camera.place] = row.id
    if missing:
        free = max(0, limit - await repository.count(session, organisation_id=organisation_id))
        for camera in missing[:free]:
            found[camera.place] = await repository.add(
                session, camera_id=new_id(), organisation_id=organisation_id, bridge_id=bridge_id, camera=camera
            )
    return found


async def remember(session: AsyncSession, seen: Mapping[UUID, Seen]) -> None:
    """Keep what an uplink learned of cameras."""
    for camera_id, what in sorted(seen.items()):  # in one order: two that write at once do not wait for each other
        await repository.set_seen(session, camera_id, what)
