"""SQL of accounts."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.models import LoginThrottleRow, UserRow
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id


async def insert(
    session: AsyncSession, *, email: str, name: str, password_hash: str | None, is_administrator: bool
) -> UserRow:
    """A new user. The address is unique: a second one fails with the constraint `uq_user_email`."""
    row = UserRow(id=new_id(), email=email, name=name, password_hash=password_hash, is_administrator=is_administrator)
    session.add(row)
    await session.flush()
    return row


async def by_email(session: AsyncSession, email: str) -> UserRow | None:
    """The user with a normalised address."""
    return await session.scalar(select(UserRow).where(UserRow.email == email))


async def get(session: AsyncSession, user_id: UUID) -> UserRow | None:
    """A user."""
    return await session.get(UserRow, user_id)


async def lock(session: AsyncSession, user_id: UUID) -> UserRow | None:
    """A user, locked until the end of the transaction; others may go on to sign in as them."""
    statement = (
        select(UserRow)
        .where(UserRow.id == user_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return await session.scalar(statement)


async def replace_hash(session: AsyncSession, user_id: UUID, *, old: str, new: str) -> None:
    """Store the same password's new hash, unless the password was changed meanwhile."""
    await session.execute(
        update(UserRow).where(UserRow.id == user_id, UserRow.password_hash == old).values(password_hash=new)
    )


async def locked_for(session: AsyncSession, account_key: str) -> timedelta | None:
    """How much longer logins of this key are locked, where they are."""
    statement = select(LoginThrottleRow.locked_until - func.now()).where(
        LoginThrottleRow.account_key == account_key, LoginThrottleRow.locked_until > func.now()
    )
    remaining: timedelta | None = await session.scalar(statement)
    return remaining


async def lock_throttle(session: AsyncSession, account_key: str) -> LoginThrottleRow:
    """The counter of failures of this key, made where there is none, locked until the end of the transaction."""
    statement = (
        postgresql.insert(LoginThrottleRow)
        .values(account_key=account_key, failures=0, last_failed_at=func.now())
        .on_conflict_do_update(index_elements=["account_key"], set_={"account_key": account_key})
        .returning(LoginThrottleRow)
    )
    return (await session.scalars(statement)).one()


async def forget_failures(session: AsyncSession, account_key: str) -> None:
    """Forget the failures of this key, and its lock."""
    await session.execute(delete(LoginThrottleRow).where(LoginThrottleRow.account_key == account_key))


async def delete_old_throttles(session: AsyncSession, *, kept: timedelta, limit: int) -> int:
    """Forget up to `limit` keys whose last failure is longer ago than `kept`; returns how many."""
    table = LoginThrottleRow
    old = select(table.account_key).where(table.last_failed_at < func.now() - kept).limit(limit)
    return rows_affected(await session.execute(delete(table).where(table.account_key.in_(old))))
