"""Rules of observations: what a camera shows becomes an event, and pauses the very print that was seen."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.ids import show
from fluxprint_common.permissions import Permission, Role
from fluxprint_common.principal import Principal
from fluxprint_common.problems import NotFound
from fluxprint_queue.attempts import repository as attempts
from fluxprint_queue.commands.states import CommandKind
from fluxprint_queue.events import repository as events
from fluxprint_queue.jobs import service as jobs
from fluxprint_queue.observations.schemas import Observation, Observed, Outcome
from fluxprint_queue.printers import repository as printers
from fluxprint_queue.settings import QueueSettings


async def take_in(session: AsyncSession, settings: QueueSettings, seen: Observation) -> Observed:
    """Leave an event, and order a pause where one is asked for and that print still runs.

    Raises:
        NotFound: the printer is not that organisation's, or is gone.
    """
    if await printers.find(session, _somebody(seen, seen.organisation_id), seen.printer_id) is None:
        raise NotFound("There is no such printer.")
    outcome = await _pause(session, settings, seen)
    events.append(
        session,
        seen.type,
        subject=show("camera", seen.camera_id),
        organisation_id=seen.organisation_id,
        printer_id=seen.printer_id,
        data={
            **seen.data,
            "decision_id": show("decision", seen.id),
            "printer_id": show("printer", seen.printer_id),
            "attempt_id": show("attempt", seen.attempt_id) if seen.attempt_id else None,
            "job_id": show("job", seen.job_id) if seen.job_id else None,
            "outcome": outcome,
        },
    )
    return Observed(outcome=outcome)


async def _pause(session: AsyncSession, settings: QueueSettings, seen: Observation) -> Outcome:
    if seen.pause_for is None or seen.attempt_id is None or seen.job_id is None:
        return Outcome.NOTIFIED
    if seen.pause_until is not None and datetime.now(UTC) >= seen.pause_until:
        return Outcome.TOO_LATE
    person = _somebody(seen, seen.pause_for)
    at_printer = replace(person, printers=frozenset({seen.printer_id}))
    if await attempts.find(session, at_printer, seen.attempt_id) is None:
        return Outcome.NOT_PRINTING
    try:
        await jobs.order(session, settings, person, seen.job_id, CommandKind.PAUSE, attempt_id=seen.attempt_id)
    except (jobs.JobNotFound, jobs.NotPrinting):
        return Outcome.NOT_PRINTING
    return Outcome.PAUSE_ORDERED


def _somebody(seen: Observation, person_id: UUID) -> Principal:
    """The person who decided that a print is to be paused, as far as the rules of jobs ask who somebody is."""
    now = datetime.now(UTC)
    return Principal(
        subject=person_id,
        organisation_id=seen.organisation_id,
        role=Role.EDITOR,
        session_id=seen.id,
        permissions=frozenset({Permission.JOBS_WRITE}),
        expires_at=now,
        issued_at=now,
    )
