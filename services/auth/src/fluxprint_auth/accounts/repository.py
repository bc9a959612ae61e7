"""SQL of accounts."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.models import LoginThrottleRow, UserRow
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id


async def insert(
    session: AsyncSession,
    *,
    email: str,
    name: str,
    password_hash: str | None,
    is_administrator: bool = False,
    email_verified: bool = False,
) -> UserRow:
    """A new user. The address is unique: a second one fails with the constraint `uq_user_email`."""
    row = UserRow(
        id=new_id(),
        email=email,
        name=name,
        password_hash=password_hash,
        is_administrator=is_administrator,
        email_verified_at=func.now() if email_verified else None,
    )
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


async def verify_email(session: AsyncSession, user_id: UUID, *, email: str) -> bool:
    """The address was proved to be the person's; False where it is not theirs any more."""
    statement = (
        update(UserRow)
        .where(UserRow.id == user_id, UserRow.email == email)
        .values(email_verified_at=func.coalesce(UserRow.email_verified_at, func.now()))
    )
    return rows_affected(await session.execute(statement)) == 1


async def set_password(session: AsyncSession, user_id: UUID, password_hash: str) -> None:
    """Another password from now on."""
    await session.execute(update(UserRow).where(UserRow.id == user_id).values(password_hash=password_hash))


async def set_email(session: AsyncSession, user_id: UUID, email: str) -> None:
    """Another, verified address. One that is taken violates `uq_user_email`."""
    values = {"email": email, "email_verified_at": func.now()}
    await session.execute(update(UserRow).where(UserRow.id == user_id).values(**values))


async def set_name(session: AsyncSession, user_id: UUID, name: str) -> UserRow | None:
    """Another name from now on."""
    statement = update(UserRow).where(UserRow.id == user_id).values(name=name).returning(UserRow)
    return await session.scalar(statement.execution_options(populate_existing=True))


async def locked_for(session: AsyncSession, keys: Sequence[str]) -> timedelta | None:
    """How much longer the one of these counters that is locked for longest is, where one is."""
    statement = select(func.max(LoginThrottleRow.locked_until) - func.now()).where(
        LoginThrottleRow.account_key.in_(keys), LoginThrottleRow.locked_until > func.now()
    )
    remaining: timedelta | None = await session.scalar(statement)
    return remaining


async def lock_throttle(session: AsyncSession, key: str, *, account: str | None) -> LoginThrottleRow:
    """A counter of failures, made where there is none, locked until the end of the transaction."""
    statement = (
        postgresql.insert(LoginThrottleRow)
        .values(account_key=key, account=account, failures=0, last_failed_at=func.now())
        .on_conflict_do_update(index_elements=["account_key"], set_={"account_key": key})
        .returning(LoginThrottleRow)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(statement)).one()


async def delete_throttles(session: AsyncSession, account: str) -> None:
    """Forget the failed logins of an account."""
    await session.execute(delete(LoginThrottleRow).where(LoginThrottleRow.account == account))


async def delete_old_throttles(session: AsyncSession, *, kept: timedelta, limit: int) -> int:
    """Forget up to `limit` keys whose last failure is longer ago than `kept`; returns how many."""
    table = LoginThrottleRow
    old = select(table.account_key).where(table.last_failed_at < func.now() - kept).limit(limit)
    return rows_affected(await session.execute(delete(table).where(table.account_key.in_(old))))
