"""SQL of pairings."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Row, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as insert_into
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.bridges.models import BridgeRow
from fluxprint_auth.pairings.models import PairingRow, PairingState
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id

_LOCK = 0x70616972  # "pair"; no other advisory lock of this database has the number


async def count_waiting(session: AsyncSession) -> int:
    """How many wait for a person. Until the end of the transaction nobody else counts, so that a bound holds."""
    await session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    waiting = PairingRow.state == PairingState.PENDING, PairingRow.expires_at > func.now()
    return (await session.scalars(select(func.count()).select_from(PairingRow).where(*waiting))).one()


async def insert(
    session: AsyncSession,
    *,
    device_hash: bytes,
    user_code: str,
    expires_at: datetime,
    interval_s: int,
    address: str,
    agent: str,
) -> bool:
    """A new pairing; False where another one has that code."""
    statement = insert_into(PairingRow).values(
        id=new_id(),
        device_hash=device_hash,
        user_code=user_code,
        state=PairingState.PENDING,
        expires_at=expires_at,
        interval_s=interval_s,
        address=address,
        agent=agent,
    )
    return rows_affected(await session.execute(statement.on_conflict_do_nothing(index_elements=["user_code"]))) == 1


async def lock_by_device(session: AsyncSession, device_hash: bytes) -> PairingRow | None:
    """The pairing with that device code, locked until the end of the transaction."""
    return await session.scalar(select(PairingRow).where(PairingRow.device_hash == device_hash).with_for_update())


async def by_code(
    session: AsyncSession, user_code: str, *, organisation_id: UUID, lock: bool = False
) -> PairingRow | None:
    """The pairing with that code, which waits for anybody or was decided by that organisation."""
    statement = select(PairingRow).where(PairingRow.user_code == user_code, PairingRow.expires_at > func.now())
    row = await session.scalar(statement.with_for_update() if lock else statement)
    # Looked at behind the lock: as a condition it would hold for the row as it was before somebody else decided.
    if row is None or (row.state != PairingState.PENDING and row.organisation_id != organisation_id):
        return None
    return row


async def revoke_stranded(
    session: AsyncSession, *, organisation_id: UUID | None, limit: int
) -> Sequence[Row[UUID, UUID]]:
    """Revoke bridges that were approved and never fetched their token; each one's id and organisation."""
    waits = exists().where(PairingRow.bridge_id == BridgeRow.id, PairingRow.expires_at > func.now())
    stranded = (
        select(BridgeRow.id)
        .where(BridgeRow.token_hash.is_(None), BridgeRow.revoked_at.is_(None), ~waits)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if organisation_id is not None:
        stranded = stranded.where(BridgeRow.organisation_id == organisation_id)
    statement = update(BridgeRow).where(BridgeRow.id.in_(stranded)).values(revoked_at=func.now())
    return (await session.execute(statement.returning(BridgeRow.id, BridgeRow.organisation_id))).all()


async def delete_old(session: AsyncSession, *, kept: timedelta, limit: int) -> int:
    """Delete pairings that expired longer ago than `kept`."""
    old = select(PairingRow.id).where(PairingRow.expires_at < func.now() - kept).limit(limit)
    return rows_affected(await session.execute(delete(PairingRow).where(PairingRow.id.in_(old))))
