"""SQL of doorbells: whom to ring, and whether there is anything to answer who asks without one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import and_, bindparam, exists, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.lookup import Lookup, Lookups
from fluxprint_common.principal import Principal
from fluxprint_queue.attempts.models import Attempt, states_sql
from fluxprint_queue.attempts.states import LIVE
from fluxprint_queue.commands.models import Command
from fluxprint_queue.jobs.models import CLAIMABLE_SQL, Job
from fluxprint_queue.printers.models import Printer
from fluxprint_queue.printers.states import BedState

#: More printers than jobs are rung: one of them may not be fit for the job, or gone.
SPARE = 3
MAX_RINGS = 500

# Those that are free come first; after them those that will be, which may fetch the file ahead of time. Drawn by lot,
# so that a printer which never takes anything is not always rung instead of one that would; every replica draws the
# same ones, because each reaches only the bridges that are linked to it.
_FOR_WORK = text(
    f"""
    SELECT p.id, p.bridge_id FROM queue.printer p
     WHERE p.organisation_id = :organisation_id AND p.deleted_at IS NULL AND p.enabled
     ORDER BY p.bed_state <> 'clear' OR EXISTS (
                  SELECT FROM queue.attempt a WHERE a.printer_id = p.id AND a.state IN {states_sql(LIVE)}),
              p.connection <> 'online', md5(p.id::text || :lot)
     LIMIT (SELECT CASE WHEN count(*) > 0 THEN least(sum(waiting.copies_open) + {SPARE}, {MAX_RINGS}) ELSE 0 END FROM (
                SELECT copies_open FROM queue.job
                 WHERE organisation_id = :organisation_id AND printer_id IS NULL AND {CLAIMABLE_SQL}
                 LIMIT {MAX_RINGS}) waiting)
    """  # noqa: S608  (only our own state names are put together)
)


async def printers_for_work(session: AsyncSession, organisation_id: UUID, *, lot: int) -> Sequence[tuple[UUID, UUID]]:
    """Printers that may take the jobs which wait for any printer, with their bridges: as many as can be needed.

    Args:
        lot: a number that is the same in every replica, and another one next time: an event's sequence.
    """
    rows = await session.execute(_FOR_WORK, {"organisation_id": organisation_id, "lot": str(lot)})
    return [(row.id, row.bridge_id) for row in rows]


async def bridges_of(session: AsyncSession, printer_ids: Collection[UUID]) -> Mapping[UUID, UUID]:
    """The bridges of some printers, deleted ones too."""
    rows = await session.execute(select(Printer.id, Printer.bridge_id).where(Printer.id.in_(printer_ids)))
    return {row.id: row.bridge_id for row in rows}


@dataclass(frozen=True)
class Waiting:
    """What waits for a printer.

    Attributes:
        attempt: one that it has already.
        job: one that it may take, for all that can be told at a glance.
        free: the printer is in service and its bed is clear.
    """

    attempt: bool
    job: bool
    command: bool
    free: bool


_ATTEMPT = exists().where(Attempt.printer_id == Printer.id, text(f"attempt.state IN {states_sql(LIVE)}"))
_JOB = exists().where(
    Job.organisation_id == bindparam("organisation_id"),
    text(CLAIMABLE_SQL.replace("state", "job.state")),
    or_(Job.printer_id.is_(None), Job.printer_id == Printer.id),
)
_COMMAND = exists().where(Command.printer_id == Printer.id, text("command.state = 'pending'"))
_WAITING = Lookup(
    select(
        _ATTEMPT.label("attempt"),
        _JOB.label("job"),
        _COMMAND.label("command"),
        and_(Printer.enabled, Printer.bed_state == BedState.CLEAR).label("free"),
    ).where(
        Printer.id == bindparam("printer_id"),
        Printer.organisation_id == bindparam("organisation_id"),
        Printer.bridge_id == bindparam("bridge_id"),
        Printer.deleted_at.is_(None),
    )
)


async def waiting(polls: Lookups, principal: Principal, printer_id: UUID) -> Waiting | None:
    """What waits for a printer of this bridge; None where it has no such printer.

    Hundreds of printers ask every few seconds, and nearly always nothing waits: then this is all that is read.
    """
    row = await polls.row(
        _WAITING,
        printer_id=printer_id,
        organisation_id=principal.organisation_id,
        bridge_id=principal.subject,
    )
    return Waiting(**row) if row is not None else None  # type: ignore[arg-type]
