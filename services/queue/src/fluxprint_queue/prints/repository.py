"""SQL of prints: what goes on, over all organisations."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import defer

from fluxprint_common.database import ReadSession
from fluxprint_common.prints import MAX_PRINTS
from fluxprint_queue.attempts.models import Attempt, in_states
from fluxprint_queue.attempts.states import PERMITTED
from fluxprint_queue.printers.models import Printer


async def going_on(session: ReadSession) -> Sequence[Attempt]:
    """The attempts that have their permit and have not ended, without their evidence."""
    return (await session.scalars(_ATTEMPTS.where(in_states(PERMITTED)).limit(MAX_PRINTS))).all()


async def named(session: ReadSession, attempt_ids: Collection[UUID]) -> Sequence[Attempt]:
    """These attempts, whatever became of them."""
    return (await session.scalars(_ATTEMPTS.where(Attempt.id.in_(attempt_ids)))).all()


async def telemetry(session: ReadSession, printer_ids: Collection[UUID]) -> dict[UUID, dict[str, object]]:
    """What was last kept of these printers' telemetry."""
    rows = await session.execute(
        select(Printer.id, Printer.telemetry).where(Printer.id.in_(printer_ids), Printer.telemetry.is_not(None))
    )
    return {row.id: row.telemetry for row in rows}


async def bridges(session: ReadSession, printer_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """The bridges of those of these printers that were not deleted."""
    rows = await session.execute(
        select(Printer.id, Printer.bridge_id).where(Printer.id.in_(printer_ids), Printer.deleted_at.is_(None))
    )
    return {row.id: row.bridge_id for row in rows}


_ATTEMPTS = select(Attempt).options(defer(Attempt.evidence, raiseload=True))
