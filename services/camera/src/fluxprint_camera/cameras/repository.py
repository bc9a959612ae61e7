"""All SQL about cameras. Visibility is a WHERE clause."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_camera.cameras.announced import Announced, Seen
from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.cameras.sight import Sight
from fluxprint_common.database import ReadSession


def readable(sight: Sight) -> Select[CameraRow]:
    """The cameras that may be seen."""
    query = select(CameraRow).where(CameraRow.organisation_id == sight.organisation_id)
    query = query if sight.cameras is None else query.where(CameraRow.id.in_(sight.cameras))
    return query if sight.printers is None else query.where(CameraRow.printer_id.in_(sight.printers))


async def find(session: AsyncSession, sight: Sight, camera_id: UUID) -> CameraRow | None:
    return (await session.scalars(readable(sight).where(CameraRow.id == camera_id))).one_or_none()


async def count_seen(session: ReadSession, sight: Sight, camera_ids: Collection[UUID]) -> int:
    """How many of these cameras may be seen."""
    seen = readable(sight).where(CameraRow.id.in_(camera_ids)).subquery()
    return (await session.scalars(select(func.count()).select_from(seen))).one()


async def after(session: ReadSession, sight: Sight, *, after_id: UUID | None, limit: int) -> Sequence[CameraRow]:
    """Cameras by id, oldest first."""
    query = readable(sight).order_by(CameraRow.id).limit(limit)
    if after_id is not None:
        query = query.where(CameraRow.id > after_id)
    return (await session.scalars(query)).all()


async def find_to_change(session: AsyncSession, sight: Sight, camera_id: UUID) -> CameraRow | None:
    return (await session.scalars(readable(sight).where(CameraRow.id == camera_id).with_for_update())).one_or_none()


async def of_printers(
    session: AsyncSession, *, organisation_id: UUID, printer_ids: Collection[UUID]
) -> Sequence[CameraRow]:
    query = select(CameraRow).where(CameraRow.organisation_id == organisation_id, CameraRow.printer_id.in_(printer_ids))
    return (await session.scalars(query)).all()


async def of_bridge(session: AsyncSession, *, organisation_id: UUID, bridge_id: UUID) -> Sequence[CameraRow]:
    query = select(CameraRow).where(CameraRow.organisation_id == organisation_id, CameraRow.bridge_id == bridge_id)
    return (await session.scalars(query)).all()


async def count(session: AsyncSession, *, organisation_id: UUID) -> int:
    query = select(func.count()).select_from(CameraRow).where(CameraRow.organisation_id == organisation_id)
    return (await session.scalars(query)).one()


async def add(
    session: AsyncSession, *, camera_id: UUID, organisation_id: UUID, bridge_id: UUID, camera: Announced
) -> UUID:
    """Add a camera, or update the bridge of the one that another connection added meanwhile; the id of it."""
    statement = (
        insert(CameraRow)
        .values(id=camera_id, organisation_id=organisation_id, bridge_id=bridge_id, **asdict(camera))
        .on_conflict_do_update(
            index_elements=[CameraRow.organisation_id, CameraRow.printer_id, CameraRow.key],
            set_={"bridge_id": bridge_id},
        )
        .returning(CameraRow.id)
    )
    return (await session.scalars(statement)).one()


async def set_seen(session: AsyncSession, camera_id: UUID, seen: Seen) -> None:
    values: dict[str, object] = {}
    if seen.last_frame_at is not None:
        values["last_frame_at"] = seen.last_frame_at
    if (source := seen.source) is not None:
        values |= {
            "source_state": source.state,
            "source_reason": source.reason,
            "source_detail": source.detail,
            "source_since": source.since,
        }
    if values:
        await session.execute(update(CameraRow).where(CameraRow.id == camera_id).values(values))
