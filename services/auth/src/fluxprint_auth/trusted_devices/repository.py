"""SQL of trusted devices."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.trusted_devices.models import TrustedDeviceRow
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id

_Row = TrustedDeviceRow


async def find(session: AsyncSession, user_id: UUID, token_hash: bytes) -> UUID | None:
    """The person's device that holds a token."""
    return await session.scalar(
        select(_Row.id).where(_Row.user_id == user_id, _Row.token_hash == token_hash, _Row.expires_at > func.now())
    )


async def knows_network(session: AsyncSession, user_id: UUID, network: str) -> bool:
    """Whether one of the person's devices signed in from there last."""
    statement = select(_Row.id).where(_Row.user_id == user_id, _Row.network == network, _Row.expires_at > func.now())
    return await session.scalar(statement.limit(1)) is not None


async def use(session: AsyncSession, device_id: UUID, *, network: str, lifetime: timedelta) -> None:
    """It was signed in with again."""
    values = {"network": network, "last_used_at": func.now(), "expires_at": func.now() + lifetime}
    await session.execute(update(_Row).where(_Row.id == device_id).values(**values))


async def insert(
    session: AsyncSession, user_id: UUID, *, token_hash: bytes, network: str, lifetime: timedelta, at_most: int
) -> None:
    """A new device; of more than `at_most` the ones that were used longest ago are trusted no more."""
    session.add(
        _Row(
            id=new_id(),
            user_id=user_id,
            token_hash=token_hash,
            network=network,
            last_used_at=func.now(),
            expires_at=func.now() + lifetime,
        )
    )
    await session.flush()
    surplus = select(_Row.id).where(_Row.user_id == user_id).order_by(_Row.last_used_at.desc(), _Row.id.desc())
    await session.execute(delete(_Row).where(_Row.id.in_(surplus.offset(at_most))))


async def delete_of(session: AsyncSession, user_id: UUID) -> None:
    """None of the person's devices is trusted any more."""
    await session.execute(delete(_Row).where(_Row.user_id == user_id))


async def delete_expired(session: AsyncSession, *, limit: int) -> int:
    """Delete up to `limit` devices that nobody signed in with for long; returns how many."""
    old = select(_Row.id).where(_Row.expires_at < func.now()).limit(limit)
    return rows_affected(await session.execute(delete(_Row).where(_Row.id.in_(old))))
