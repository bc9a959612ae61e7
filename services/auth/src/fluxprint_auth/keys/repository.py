"""SQL of signing keys."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.keys.models import SigningKeyRow
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id

_LOCK = 0x6B657973  # "keys"; no other advisory lock of this database has the number
_PUBLISHED = or_(SigningKeyRow.published_until.is_(None), SigningKeyRow.published_until > func.now())


async def lock(session: AsyncSession) -> None:
    """Be the only one that makes or rotates keys, until the end of the transaction."""
    await session.execute(select(func.pg_advisory_xact_lock(_LOCK)))


async def published(session: AsyncSession) -> Sequence[SigningKeyRow]:
    """The keys whose tokens are believed now, the last to sign first."""
    statement = select(SigningKeyRow).where(_PUBLISHED)
    return (await session.scalars(statement.order_by(SigningKeyRow.signs_from.desc(), SigningKeyRow.id.desc()))).all()


async def insert(session: AsyncSession, *, kid: str, private_key: bytes, signs_from: datetime) -> SigningKeyRow:
    """A new key."""
    row = SigningKeyRow(id=new_id(), kid=kid, private_key=private_key, signs_from=signs_from)
    session.add(row)
    await session.flush()
    return row


async def after(session: AsyncSession, *, after_id: UUID | None, limit: int) -> Sequence[SigningKeyRow]:
    """All keys that are still there, oldest first."""
    statement = select(SigningKeyRow).order_by(SigningKeyRow.id).limit(limit)
    if after_id is not None:
        statement = statement.where(SigningKeyRow.id > after_id)
    return (await session.scalars(statement)).all()


async def delete_withdrawn(session: AsyncSession, *, kept: timedelta, limit: int) -> int:
    """Delete keys that nobody believes any more, and so long ago that no report asks for them."""
    old = select(SigningKeyRow.id).where(SigningKeyRow.published_until < func.now() - kept).limit(limit)
    return rows_affected(await session.execute(delete(SigningKeyRow).where(SigningKeyRow.id.in_(old))))
