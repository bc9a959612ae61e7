"""SQL of second factors."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.factors.models import RecoveryCodeRow, SecondFactorRow, SignInChallengeRow
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id


async def get(session: AsyncSession, user_id: UUID) -> SecondFactorRow | None:
    """A person's factor, confirmed or not."""
    return await session.get(SecondFactorRow, user_id)


async def is_active(session: AsyncSession, user_id: UUID) -> bool:
    """Whether the person has a confirmed factor."""
    table = SecondFactorRow
    statement = select(table.user_id).where(table.user_id == user_id, table.confirmed_at.is_not(None))
    return await session.scalar(statement) is not None


async def lock(session: AsyncSession, user_id: UUID) -> SecondFactorRow | None:
    """A person's factor, locked until the end of the transaction: of equal codes at once one is taken."""
    statement = (
        select(SecondFactorRow)
        .where(SecondFactorRow.user_id == user_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return await session.scalar(statement)


async def put_pending(session: AsyncSession, user_id: UUID, secret: bytes) -> bool:
    """A factor that is not active yet, instead of an earlier such one; False where there is an active one."""
    table = SecondFactorRow
    statement = postgresql.insert(table).values(user_id=user_id, secret=secret)
    statement = statement.on_conflict_do_update(
        index_elements=["user_id"],
        set_={"secret": secret, "created_at": func.now(), "failures": 0, "locked_until": None},
        where=table.confirmed_at.is_(None),
    )
    return rows_affected(await session.execute(statement)) == 1


async def remove(session: AsyncSession, user_id: UUID) -> bool:
    """Delete a person's factor with its codes and challenges; False where there was no active one."""
    table = SecondFactorRow
    gone = await session.execute(delete(table).where(table.user_id == user_id).returning(table.confirmed_at))
    return any(confirmed_at is not None for confirmed_at in gone.scalars())


async def replace_recovery_codes(session: AsyncSession, user_id: UUID, hashes: Collection[bytes]) -> None:
    """These codes, and no others any more."""
    await session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id))
    session.add_all(RecoveryCodeRow(id=new_id(), user_id=user_id, code_hash=code_hash) for code_hash in hashes)
    await session.flush()


async def use_recovery_code(session: AsyncSession, user_id: UUID, code_hash: bytes) -> bool:
    """Use up a code; False where it is none, or was used before."""
    table = RecoveryCodeRow
    statement = (
        update(table)
        .where(table.user_id == user_id, table.code_hash == code_hash, table.used_at.is_(None))
        .values(used_at=func.now())
    )
    return rows_affected(await session.execute(statement)) == 1


async def recovery_codes_left(session: AsyncSession, user_id: UUID) -> int:
    """How many codes were not used yet."""
    table = RecoveryCodeRow
    statement = select(func.count()).where(table.user_id == user_id, table.used_at.is_(None))
    return await session.scalar(statement) or 0


async def insert_challenge(session: AsyncSession, user_id: UUID, token_hash: bytes, *, lives: timedelta) -> None:
    """A new challenge."""
    values = {"id": new_id(), "user_id": user_id, "token_hash": token_hash, "expires_at": func.now() + lives}
    await session.execute(postgresql.insert(SignInChallengeRow).values(values))


async def lock_challenge(session: AsyncSession, token_hash: bytes) -> SignInChallengeRow | None:
    """A challenge that has not expired, locked until the end of the transaction."""
    table = SignInChallengeRow
    return await session.scalar(
        select(table).where(table.token_hash == token_hash, table.expires_at > func.now()).with_for_update()
    )


async def forget_challenges(session: AsyncSession, user_id: UUID) -> None:
    """No sign-in that has begun can be finished any more."""
    await session.execute(delete(SignInChallengeRow).where(SignInChallengeRow.user_id == user_id))


async def delete_expired(session: AsyncSession, *, limit: int) -> int:
    """Delete up to `limit` challenges that nobody answered in time; returns how many."""
    table = SignInChallengeRow
    old = select(table.id).where(table.expires_at < func.now()).limit(limit)
    return rows_affected(await session.execute(delete(table).where(table.id.in_(old))))
