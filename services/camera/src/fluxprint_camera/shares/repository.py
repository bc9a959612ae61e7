"""All SQL about shares."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.shares.models import ShareRow
from fluxprint_common.database import ReadSession, rows_affected

_LIVE = ShareRow.ended_at.is_(None) & (ShareRow.expires_at > func.now())


async def count_live(session: AsyncSession, camera_id: UUID) -> int:
    """How many shares of a camera work. Until the transaction ends no other may be added."""
    await session.execute(select(CameraRow.id).where(CameraRow.id == camera_id).with_for_update(key_share=True))
    query = select(func.count()).select_from(ShareRow).where(ShareRow.camera_id == camera_id, _LIVE)
    return (await session.scalars(query)).one()


async def insert(session: AsyncSession, share: ShareRow) -> None:
    """A new share."""
    session.add(share)
    await session.flush()
    await session.refresh(share)


async def after(session: ReadSession, camera_id: UUID, *, after_id: UUID | None, limit: int) -> Sequence[ShareRow]:
    """A camera's shares that work, oldest first."""
    query = select(ShareRow).where(ShareRow.camera_id == camera_id, _LIVE).order_by(ShareRow.id).limit(limit)
    if after_id is not None:
        query = query.where(ShareRow.id > after_id)
    return (await session.scalars(query)).all()


async def by_hash(session: ReadSession, token_hash: bytes) -> ShareRow | None:
    """The share that is known by this hash and works."""
    return (await session.scalars(select(ShareRow).where(ShareRow.token_hash == token_hash, _LIVE))).one_or_none()


async def end(session: AsyncSession, camera_id: UUID, share_id: UUID) -> bool:
    """End a share of a camera; false where none works that has this id."""
    found = ShareRow.id == share_id, ShareRow.camera_id == camera_id, _LIVE
    return rows_affected(await session.execute(update(ShareRow).where(*found).values(ended_at=func.now()))) == 1


async def ended_within(session: ReadSession, span: timedelta, *, limit: int) -> Sequence[UUID]:
    """The shares that were taken back lately, the last ones first."""
    query = select(ShareRow.id).where(ShareRow.ended_at > func.now() - span)
    return (await session.scalars(query.order_by(ShareRow.ended_at.desc()).limit(limit))).all()


async def expiry(session: AsyncSession, *, in_s: int) -> datetime:
    """The moment in so many seconds, by the clock that decides whether a share works."""
    moment: datetime = (await session.execute(select(func.now() + timedelta(seconds=in_s)))).scalar_one()
    return moment


async def delete_over(session: AsyncSession, *, kept: timedelta, limit: int) -> int:
    """Delete up to `limit` shares that ended or expired longer ago than `kept`; returns how many."""
    before = func.now() - kept
    over = select(ShareRow.id).where(or_(ShareRow.ended_at < before, ShareRow.expires_at < before)).limit(limit)
    return rows_affected(await session.execute(delete(ShareRow).where(ShareRow.id.in_(over))))
