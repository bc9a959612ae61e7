"""SQL of security events. Ids grow with time, so that newest first is highest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.security.events import Outcome
from fluxprint_auth.security.models import SecurityEventRow


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which events are asked for; None asks for all.

    Attributes:
        user_id: whom it happened to, or who did it.
        since: at this moment or later. until: before this moment.
    """

    organisation_id: UUID | None = None
    user_id: UUID | None = None
    type: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None


async def before(
    session: AsyncSession, wanted: Wanted, *, before_id: UUID | None, limit: int
) -> Sequence[SecurityEventRow]:
    """Events, newest first."""
    table = SecurityEventRow
    statement = select(table).order_by(table.id.desc()).limit(limit)
    if before_id is not None:
        statement = statement.where(table.id < before_id)
    if wanted.organisation_id is not None:
        statement = statement.where(table.organisation_id == wanted.organisation_id)
    if wanted.user_id is not None:
        statement = statement.where(or_(table.user_id == wanted.user_id, table.actor_id == wanted.user_id))
    if wanted.type is not None:
        statement = statement.where(table.type == wanted.type)
    if wanted.outcome is not None:
        statement = statement.where(table.outcome == wanted.outcome.value)
    if wanted.since is not None:
        statement = statement.where(table.created_at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(table.created_at < wanted.until)
    return (await session.scalars(statement)).all()


async def delete_old(session: AsyncSession, *, kept: timedelta, limit: int) -> int:
    """Delete up to `limit` events older than `kept`; returns how many.

    The service has no right to delete an event: a function of the schema's owner does it, and spares the last 30 days.
    """
    return int((await session.execute(select(func.auth.delete_old_security_events(kept, limit)))).scalar_one())
