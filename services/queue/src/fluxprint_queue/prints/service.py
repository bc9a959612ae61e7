"""What is told of prints."""

from collections.abc import Collection, Sequence
from uuid import UUID

from pydantic import ValidationError

from fluxprint_common.database import ReadSession
from fluxprint_common.prints import Print, PrintState
from fluxprint_queue.attempts.models import Attempt
from fluxprint_queue.attempts.states import AttemptState
from fluxprint_queue.prints import repository
from fluxprint_queue.telemetry.hub import TelemetryHub
from fluxprint_queue.telemetry.schemas import Telemetry

_TOLD = frozenset(PrintState)


async def read(session: ReadSession, hub: TelemetryHub, attempt_ids: Collection[UUID]) -> list[Print]:
    """Every print that goes on, and those of `attempt_ids` that had their permit."""
    attempts = list(await repository.going_on(session))
    known = {attempt.id for attempt in attempts}
    if missing := set(attempt_ids) - known:
        attempts += await repository.named(session, missing)
    told = await _telemetry(session, hub, attempts)
    return [_print(attempt, told.get(attempt.printer_id)) for attempt in attempts if attempt.state in _TOLD]


async def _telemetry(session: ReadSession, hub: TelemetryHub, attempts: Sequence[Attempt]) -> dict[UUID, Telemetry]:
    """The newest that this process heard; what another one heard is in the database a few seconds later."""
    printers = {attempt.printer_id for attempt in attempts}
    found = {printer: newest for printer in printers if (newest := hub.newest(printer)) is not None}
    if missing := printers - found.keys():
        for printer, kept in (await repository.telemetry(session, missing)).items():
            try:
                found[printer] = Telemetry.model_validate(kept)
            except ValidationError:  # of another version
                continue
    return found


def _print(attempt: Attempt, told: Telemetry | None) -> Print:
    ours = told if told is not None and told.attempt_id == attempt.id else None
    return Print(
        attempt_id=attempt.id,
        job_id=attempt.job_id,
        printer_id=attempt.printer_id,
        organisation_id=attempt.organisation_id,
        state=PrintState(attempt.state),
        reason=attempt.reason,
        started_at=attempt.started_at,
        ended_at=attempt.unknown_at if attempt.state == AttemptState.UNKNOWN else attempt.ended_at,
        progress=ours.progress if ours else None,
        height_mm=ours.height_mm if ours else None,
        told_at=ours.at if ours else None,
    )
