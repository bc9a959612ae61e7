"""All SQL about cameras. Visibility is a WHERE clause."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.cameras.sight import Sight
from fluxprint_common.database import ReadSession


def readable(sight: Sight) -> Select[CameraRow]:
    """The cameras that may be seen."""
    query = select(CameraRow).where(CameraRow.organisation_id == sight.organisation_id)
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


async def of_printer(session: AsyncSession, *, organisation_id: UUID, printer_id: UUID) -> CameraRow | None:
    query = select(CameraRow).where(CameraRow.organisation_id == organisation_id, CameraRow.printer_id == printer_id)
    return (await session.scalars(query)).one_or_none()


async def count(session: AsyncSession, *, organisation_id: UUID) -> int:
    query = select(func.count()).select_from(CameraRow).where(CameraRow.organisation_id == organisation_id)
    return (await session.scalars(query)).one()


async def add(
    session: AsyncSession, *, camera_id: UUID, organisation_id: UUID, printer_id: UUID, bridge_id: UUID, name: str
) -> UUID:
    """Add a camera, or update the bridge of the one that another connection added meanwhile; the id of it."""
    statement = (
        insert(CameraRow)
        .values(id=camera_id, organisation_id=organisation_id, printer_id=printer_id, bridge_id=bridge_id, name=name)
        .on_conflict_do_update(
            index_elements=[CameraRow.organisation_id, CameraRow.printer_id, CameraRow.key],
            set_={"bridge_id": bridge_id},
        )
        .returning(CameraRow.id)
    )
    return (await session.scalars(statement)).one()


async def set_last_frame(session: AsyncSession, camera_id: UUID, *, last_frame_at: datetime) -> None:
    await session.execute(update(CameraRow).where(CameraRow.id == camera_id).values(last_frame_at=last_frame_at))
