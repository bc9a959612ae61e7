"""SQL of the administration: accounts of the whole installation, and the database itself."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.administration.status import DatabaseStatus, TableStatus
from fluxprint_auth.database import SCHEMA
from fluxprint_auth.mail import repository as mails
from fluxprint_auth.sessions.models import SessionRow

_SERVER = text("""
    SELECT current_setting('server_version') AS server_version,
           pg_database_size(current_database()) AS database_bytes,
           current_setting('max_connections')::integer AS max_connections,
           (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections,
           (SELECT floor(extract(epoch FROM max(clock_timestamp() - xact_start)))::integer FROM pg_stat_activity
            WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
           ) AS oldest_transaction_s
""")
_TABLES = text("""
    SELECT relname, pg_total_relation_size(pg_class.oid) AS bytes,
           CASE WHEN reltuples < 0 THEN pg_stat_get_live_tuples(pg_class.oid) ELSE reltuples::bigint END AS rows
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = :schema AND relkind = 'r' ORDER BY bytes DESC, relname LIMIT 200
""")


async def users(session: AsyncSession, *, email: str | None, after_id: UUID | None, limit: int) -> Sequence[UserRow]:
    """Accounts, oldest first; with `email` only those whose address has that in it."""
    statement = select(UserRow).order_by(UserRow.id).limit(limit)
    if after_id is not None:
        statement = statement.where(UserRow.id > after_id)
    if email:
        statement = statement.where(UserRow.email.contains(email.lower(), autoescape=True))
    return (await session.scalars(statement)).all()


async def live_sessions(session: AsyncSession, user_id: UUID) -> int:
    """How many sessions a person has."""
    statement = select(func.count()).where(
        SessionRow.user_id == user_id, SessionRow.ended_at.is_(None), SessionRow.expires_at > func.now()
    )
    return (await session.execute(statement)).scalar_one()


async def lock_administrators(session: AsyncSession) -> Sequence[UUID]:
    """The administrators who can sign in, locked until the end of the transaction."""
    statement = (
        select(UserRow.id)
        .where(UserRow.is_administrator, UserRow.disabled_at.is_(None))
        .order_by(UserRow.id)
        .with_for_update(key_share=True)
    )
    return (await session.scalars(statement)).all()


async def set_disabled(session: AsyncSession, user_id: UUID, at: datetime | None) -> None:
    """Disable an account, or enable it with None."""
    await session.execute(update(UserRow).where(UserRow.id == user_id).values(disabled_at=at))


async def database_status(session: AsyncSession) -> DatabaseStatus:
    """What the database is like at this moment."""
    server = (await session.execute(_SERVER)).one()
    tables = (await session.execute(_TABLES, {"schema": SCHEMA})).all()
    return DatabaseStatus(
        server_version=server[0],
        schema_revision=await _revision(session),
        database_bytes=server[1],
        tables=[TableStatus(name=row[0], bytes=row[1], rows=row[2]) for row in tables],
        connections=server[3],
        max_connections=server[2],
        oldest_transaction_s=server[4],
        waiting_mails=(await mails.waiting(session)).count,
    )


async def _revision(session: AsyncSession) -> str | None:
    readable = text("SELECT has_table_privilege('public.alembic_version', 'SELECT')")
    try:
        if not (await session.execute(readable)).scalar_one():
            return None
    except ProgrammingError:  # made by something else than our migrations
        return None
    revision: str | None = await session.scalar(text("SELECT version_num FROM public.alembic_version"))
    return revision
