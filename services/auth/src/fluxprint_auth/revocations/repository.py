"""SQL of revocations."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.revocations.models import RevocationRow
from fluxprint_common.database import rows_affected

#: A transaction may become visible after a younger one: what is older than this has been seen by whoever asks.
#: Far longer than a transaction may last (`fluxprint_common.database`).
SETTLED_AFTER = timedelta(minutes=2)


async def insert_all(
    session: AsyncSession, sids: Collection[UUID], *, made_before: datetime | None, expires_at: datetime
) -> None:
    """Revocations of several at the same moment."""
    await session.execute(
        insert(RevocationRow),
        [{"sid": sid, "made_before": made_before, "expires_at": expires_at} for sid in sids],
    )


async def clock_time(session: AsyncSession) -> datetime:
    """Now, by the database's clock; not when the transaction began."""
    now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def made_before(session: AsyncSession, sid: UUID) -> datetime | None:
    """Until when the tokens that are refused were made; None where nothing of this was refused but for good."""
    return await session.scalar(select(func.max(RevocationRow.made_before)).where(RevocationRow.sid == sid))


async def after(session: AsyncSession, last_id: int, *, limit: int) -> Sequence[RevocationRow]:
    """Revocations behind `last_id` that still count, oldest first."""
    statement = (
        select(RevocationRow)
        .where(RevocationRow.id > last_id, RevocationRow.expires_at > func.now())
        .order_by(RevocationRow.id)
        .limit(limit)
    )
    return (await session.scalars(statement)).all()


async def settled_id(session: AsyncSession) -> int:
    """The newest revocation that no running transaction can still be slower than."""
    settled = RevocationRow.created_at < func.now() - SETTLED_AFTER
    return await session.scalar(select(func.max(RevocationRow.id)).where(settled)) or 0


async def delete_expired(session: AsyncSession, *, limit: int) -> int:
    """Forget up to `limit` revocations whose tokens have all ended; returns how many."""
    old = select(RevocationRow.id).where(RevocationRow.expires_at < func.now()).limit(limit)
    return rows_affected(await session.execute(delete(RevocationRow).where(RevocationRow.id.in_(old))))
