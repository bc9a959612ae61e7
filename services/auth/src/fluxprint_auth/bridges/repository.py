"""SQL of bridge identities. A revoked bridge is kept for the record and shown to nobody."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, delete, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert as insert_into
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.bridges.models import BridgeInstanceRow, BridgeRow
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id


async def insert(
    session: AsyncSession, *, organisation_id: UUID, name: str, token_hash: bytes | None, created_by: UUID
) -> BridgeRow:
    """A new bridge; without a hash it has no token yet. A second live one of a name violates `uq_bridge_name`."""
    row = BridgeRow(
        id=new_id(), organisation_id=organisation_id, name=name, token_hash=token_hash, created_by=created_by
    )
    session.add(row)
    await session.flush()
    return row


async def get(session: AsyncSession, bridge_id: UUID, *, organisation_id: UUID) -> BridgeRow | None:
    """A bridge of that organisation."""
    statement = select(BridgeRow).where(
        BridgeRow.id == bridge_id, BridgeRow.organisation_id == organisation_id, BridgeRow.revoked_at.is_(None)
    )
    return await session.scalar(statement)


async def after(
    session: AsyncSession, *, organisation_id: UUID, after_id: UUID | None, limit: int
) -> Sequence[BridgeRow]:
    """Bridges of that organisation, oldest first."""
    statement = (
        select(BridgeRow)
        .where(BridgeRow.organisation_id == organisation_id, BridgeRow.revoked_at.is_(None))
        .order_by(BridgeRow.id)
        .limit(limit)
    )
    if after_id is not None:
        statement = statement.where(BridgeRow.id > after_id)
    return (await session.scalars(statement)).all()


async def revoke(session: AsyncSession, bridge_id: UUID, *, organisation_id: UUID) -> bool:
    """Revoke a bridge; False where that organisation has none."""
    statement = (
        update(BridgeRow)
        .where(BridgeRow.id == bridge_id, BridgeRow.organisation_id == organisation_id, BridgeRow.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
    return rows_affected(await session.execute(statement)) == 1


async def lock_by_token(session: AsyncSession, token_hash: bytes) -> BridgeRow | None:
    """The bridge with that token, locked until the end of the transaction."""
    statement = (
        select(BridgeRow).where(BridgeRow.token_hash == token_hash, BridgeRow.revoked_at.is_(None)).with_for_update()
    )
    return await session.scalar(statement)


async def note_instance(session: AsyncSession, bridge_id: UUID, instance: str, *, at: datetime) -> bool:
    """Note that a process used the bridge's token; whether it did so before."""
    statement = (
        insert_into(BridgeInstanceRow)
        .values(bridge_id=bridge_id, instance=instance, last_used_at=at)
        .on_conflict_do_update(index_elements=["bridge_id", "instance"], set_={"last_used_at": at})
        .returning(literal_column("xmax <> 0", Boolean))  # 0 in a row that was inserted
    )
    return bool(await session.scalar(statement))


async def forget_instances(session: AsyncSession, bridge_id: UUID, *, keep: int) -> datetime | None:
    """Keep only the newest processes; when the newest of those forgotten was seen, or None where there was none."""
    of_bridge = BridgeInstanceRow.bridge_id == bridge_id
    newest = select(BridgeInstanceRow.instance).where(of_bridge).order_by(BridgeInstanceRow.last_used_at.desc())
    statement = delete(BridgeInstanceRow).where(of_bridge, BridgeInstanceRow.instance.not_in(newest.limit(keep)))
    seen = (await session.scalars(statement.returning(BridgeInstanceRow.last_used_at))).all()
    return max(seen, default=None)


async def is_live(session: AsyncSession, bridge_id: UUID, *, organisation_id: UUID) -> bool:
    """Whether a bridge was not revoked."""
    return await get(session, bridge_id, organisation_id=organisation_id) is not None
