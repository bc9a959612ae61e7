"""SQL of events.

Events are written at the very end of their transaction, behind one advisory lock, so that `sequence` grows in the order
of commits: a reader that has seen 17 will never find a 16 later. The lock is held from the insert to the commit only.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from sqlalchemy import Select, func, select, text, tuple_, union_all
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session as SyncSession
from sqlalchemy.orm import aliased

from fluxprint_common.database import ReadSession, after_commit, rows_affected
from fluxprint_common.events import Event
from fluxprint_common.ids import new_id
from fluxprint_common.principal import Principal
from fluxprint_queue.events.models import EventRow

LOCK = 0x666C7578  #: "flux": whoever writes events holds it from before their numbers to the commit
# The lock is had before the first row comes, and a row takes its number when it is written: in the order of `append`.
_WRITE = text(
    """
    INSERT INTO queue.event (id, type, subject, organisation_id, printer_id, data)
    SELECT e.id, e.type, e.subject, e.organisation_id, e.printer_id, e.data
    FROM pg_advisory_xact_lock(:lock),
         ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb))
                    AS (id uuid, type text, subject text, organisation_id uuid, printer_id uuid, data jsonb))
         WITH ORDINALITY AS e (id, type, subject, organisation_id, printer_id, data, number)
    ORDER BY e.number
    """
)
_PENDING = "pending_events"
_LEFT = "left_events"
#: Key of `session.info` for what is told of each commit that leaves events: their types, organisations and printers.
#: Set for all sessions when the service starts.
RING = "ring"
Ring = Callable[[Sequence[tuple[str, UUID, UUID | None]]], None]


@dataclass(frozen=True)
class FeedEvent:
    """An event as the feed hands it on, with the printer it concerns (or None)."""

    event: Event
    printer_id: UUID | None


def append(
    session: AsyncSession,
    type_: str,
    *,
    subject: str,
    organisation_id: UUID,
    printer_id: UUID | None = None,
    data: Mapping[str, object] | None = None,
) -> None:
    """Leave an event in this transaction, and ring for it once that is committed. `data` is JSON."""
    if RING in session.info:
        if _PENDING not in session.info:
            left: list[tuple[str, UUID, UUID | None]] = []
            session.info[_LEFT] = left
            after_commit(session, partial(session.info[RING], left))
        session.info[_LEFT].append((type_, organisation_id, printer_id))
    session.info.setdefault(_PENDING, []).append(
        {
            "id": str(new_id()),
            "type": type_,
            "subject": subject,
            "organisation_id": str(organisation_id),
            "printer_id": str(printer_id) if printer_id else None,
            "data": dict(data or {}),
        }
    )


@sqlalchemy_event.listens_for(SyncSession, "before_commit")
def _write_pending(session: SyncSession) -> None:
    """Write what `append` collected, as the last statement before COMMIT."""
    rows = session.info.pop(_PENDING, None)
    if rows:
        session.flush()
        session.execute(_WRITE, {"lock": LOCK, "rows": json.dumps(rows)})


@sqlalchemy_event.listens_for(SyncSession, "after_rollback")
def _forget_pending(session: SyncSession) -> None:
    session.info.pop(_PENDING, None)


async def newest_sequence(session: ReadSession) -> int:
    """The last event's sequence, 0 where there is none."""
    return int(await session.scalar(select(func.coalesce(func.max(EventRow.sequence), 0))) or 0)


async def after(session: ReadSession, sequence: int, *, limit: int) -> Sequence[FeedEvent]:
    """Events of all organisations behind a sequence, oldest first."""
    statement = select(EventRow).where(EventRow.sequence > sequence).order_by(EventRow.sequence).limit(limit)
    return [_feed_event(row) for row in await session.scalars(statement)]


async def visible(
    session: ReadSession, principal: Principal, *, after: int, types: Sequence[str], limit: int
) -> Sequence[Event]:
    """The events that a principal may see behind a sequence, oldest first; all types where `types` is empty.

    For a key for named printers: those of its printers, and of what is for one of them.
    """
    if types:
        # Of each type the oldest, then of those the oldest: no index has several types in one order.
        parts = [_oldest_of_type(principal, type_, after=after, limit=limit) for type_ in sorted(set(types))]
        row = aliased(EventRow, union_all(*parts).subquery())
        statement = select(row).order_by(row.sequence).limit(limit)
    else:
        statement = _readable(principal).where(EventRow.sequence > after).order_by(EventRow.sequence).limit(limit)
    return [_feed_event(row).event for row in await session.scalars(statement)]


def _readable(principal: Principal) -> Select[EventRow]:
    statement = select(EventRow).where(EventRow.organisation_id == principal.organisation_id)
    return statement if principal.printers is None else statement.where(EventRow.printer_id.in_(principal.printers))


def _oldest_of_type(principal: Principal, type_: str, *, after: int, limit: int) -> Select[EventRow]:
    """Events of one type, in the order of the index that has the types and of no other.

    With `type = ...` another index would do for the order, and reads the events of all types if it is planned.
    """
    return (
        _readable(principal)
        .where(EventRow.type <= type_, tuple_(EventRow.type, EventRow.sequence) > tuple_(type_, after))
        .order_by(EventRow.type, EventRow.sequence)
        .limit(limit)
    )


async def oldest_sequence(session: ReadSession) -> int:
    """The oldest event that is kept, 0 where there is none."""
    return int(await session.scalar(select(func.coalesce(func.min(EventRow.sequence), 0))) or 0)


async def prune(session: AsyncSession, *, keep_days: int, limit: int) -> int:
    """Delete those of the oldest `limit` events that are older than the retention; how many there were."""
    # Only the oldest are looked at, so that a table without old ones is not read to its end; and they are deleted by
    # their keys, as an array, so that no plan reads it either.
    old = text(
        "DELETE FROM queue.event WHERE sequence = ANY (ARRAY("
        "SELECT sequence FROM (SELECT sequence, created_at FROM queue.event ORDER BY sequence LIMIT :limit) oldest"
        " WHERE created_at < now() - make_interval(days => :days)))"
    )
    return rows_affected(await session.execute(old, {"days": keep_days, "limit": limit}))


def _feed_event(row: EventRow) -> FeedEvent:
    event = Event(
        id=row.id,
        sequence=row.sequence,
        type=row.type,
        subject=row.subject,
        organisation_id=row.organisation_id,
        at=row.created_at,
        data=row.data,
    )
    return FeedEvent(event, row.printer_id)
