"""A person says what became of a print where no machine can tell: docs/operations.md is written for that person."""

from collections.abc import Sequence
from datetime import datetime
from math import ceil
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.ids import show
from fluxprint_common.principal import Principal
from fluxprint_queue.attempts import repository
from fluxprint_queue.attempts.errors import AttemptEnded, AttemptNotFound, AttemptResolved, TransitionRefused
from fluxprint_queue.attempts.models import Attempt
from fluxprint_queue.attempts.schemas import AttemptResolve, Resolution
from fluxprint_queue.attempts.service import cancel_claims, move
from fluxprint_queue.attempts.states import DROPPED, ENDED, PERMITTED, AttemptState
from fluxprint_queue.commands import service as commands
from fluxprint_queue.database import utc_now
from fluxprint_queue.jobs import repository as jobs
from fluxprint_queue.jobs import settlement
from fluxprint_queue.jobs.models import Job
from fluxprint_queue.printers import repository as printers
from fluxprint_queue.printers import service as printer_rules
from fluxprint_queue.printers.models import Printer
from fluxprint_queue.printers.schemas import Hold
from fluxprint_queue.printers.states import BedState, Connection
from fluxprint_queue.settings import QueueSettings

MAX_DETAIL_CHARS = 1000
BRIDGE_SILENT, OCTOPRINT_SILENT = "bridge_silent", "octoprint_silent"
#: An OctoPrint that is being restarted or updated is back by then, and its bridge finds out by itself.
OCTOPRINT_SILENT_S = 600

#: What each decision makes of the attempt: its state, its reason, and what is said about it.
_MEANING = {
    Resolution.PRINTED: (AttemptState.COMPLETED, "resolved_printed", "found it printed"),
    Resolution.FAILED_REQUEUE: (AttemptState.FAILED, "resolved_requeue", "found it failed and wants it again"),
    Resolution.FAILED_DROP: (AttemptState.FAILED, DROPPED, "found it failed and dropped the copy"),
}


async def resolve(
    session: AsyncSession, settings: QueueSettings, principal: Principal, attempt_id: UUID, decision: AttemptResolve
) -> Attempt:
    """End an attempt whose outcome is unknown, or whose bridge is gone. Deciding the same again changes nothing.

    Raises:
        AttemptNotFound. AttemptResolved: somebody decided otherwise. AttemptEnded, TransitionRefused: the outcome is
        known, or the bridge will tell. BedChanged: something else was printed since, so look again.
    """
    found = await repository.find(session, principal, attempt_id)
    if found is None:
        raise AttemptNotFound
    printer = await printers.find(session, principal, found.printer_id, lock=True)
    job = await jobs.locked(session, found.job_id)
    attempt = await repository.locked(session, attempt_id)
    if attempt.resolved_by is None:
        _check_open(attempt, printer, settings)
        if decision.bed_is_clear and printer is not None and not _lies_on_bed(attempt, printer):
            raise printer_rules.BedChanged(
                "Something else was printed since: resolve the attempt without `bed_is_clear`, then look at the bed."
            )
        await _end(session, principal, job, attempt, decision.outcome)
    elif attempt.reason != _MEANING[decision.outcome][1]:
        raise AttemptResolved(attempt.detail)
    if decision.bed_is_clear and printer is not None and _lies_on_bed(attempt, printer):
        await printer_rules.clear_bed(session, principal, printer)
    return attempt


async def holds(session: AsyncSession, settings: QueueSettings, shown: Sequence[Printer]) -> dict[UUID, Hold]:
    """The printers that take no work before a person has said what became of a print."""
    of_printer = {printer.id: printer for printer in shown}
    held = {}
    for attempt in await repository.permitted_on_printers(session, of_printer):
        printer = of_printer[attempt.printer_id]
        silence = _silence(attempt, printer, settings)
        if attempt.state == AttemptState.UNKNOWN or silence is not None:
            held[printer.id] = _hold(attempt, printer, silence)
    return held


async def _end(session: AsyncSession, principal: Principal, job: Job, attempt: Attempt, outcome: Resolution) -> None:
    state, reason, said = _MEANING[outcome]
    before = f" Before: {attempt.detail}" if attempt.detail else ""
    again = "" if settlement.may_print(job) else ", which is not printed again because its job is being ended"
    told = f"{said}{again}" if outcome is Resolution.FAILED_REQUEUE else said
    settlement.forget_unknown(job, attempt)
    attempt.resolved_by = principal.subject
    detail = f"{show('user', principal.subject)} {told}.{before}"[:MAX_DETAIL_CHARS]
    move(session, attempt, state, reason=reason, detail=detail)
    match outcome:
        case Resolution.PRINTED:
            settlement.count(job, attempt)
        case Resolution.FAILED_REQUEUE:
            settlement.reopen(job)
        case Resolution.FAILED_DROP:
            job.copies_dropped += 1
    await commands.end_of_attempt(session, attempt.id, cancelled=False)
    await cancel_claims(session, job)
    await settlement.settle(session, job)


def _check_open(attempt: Attempt, printer: Printer | None, settings: QueueSettings) -> None:
    state = AttemptState(attempt.state)
    if state in ENDED:
        raise AttemptEnded(f"The attempt is {state}: there is nothing left to decide.")
    if state is not AttemptState.UNKNOWN and _silence(attempt, printer, settings) is None:
        raise TransitionRefused(
            f"The attempt is {state}. A person resolves one whose outcome is unknown, or whose printer has "
            "been offline for longer than a permit is valid, or one that prints and whose OctoPrint has not answered "
            f"for {OCTOPRINT_SILENT_S // 60} minutes."
        )
    # The unknown may be another bridge's word: who got the permit could still press start after the decision.
    if attempt.permitted_at is None or attempt.started_at is not None:
        return
    # Twice as long as a permit is valid: clocks of replicas differ.
    left_s = 2 * settings.permit_valid_s - (utc_now() - attempt.permitted_at).total_seconds()
    if left_s > 0:
        raise TransitionRefused(f"Start may still be pressed. Decide in {ceil(left_s)} s, when the permit has run out.")


def _lies_on_bed(attempt: Attempt, printer: Printer) -> bool:
    return printer.bed_attempt_id == attempt.id and printer.bed_state == BedState.OCCUPIED


def _silence(attempt: Attempt, printer: Printer | None, settings: QueueSettings) -> str | None:
    """Whose silence leaves a permitted attempt to a person, if any does.

    That of its bridge, which can't press start any more, or of an OctoPrint that was seen printing it. A start that was
    not seen may still wait in a silent OctoPrint's hands: nobody decides over that.
    """
    if AttemptState(attempt.state) not in PERMITTED:
        return None
    if printer is None:  # deleted, or of a bridge that is gone
        return BRIDGE_SILENT
    silent_s = (utc_now() - _heard_at(attempt, printer)).total_seconds()
    if printer.connection == Connection.OFFLINE and silent_s > 2 * settings.permit_valid_s:
        return BRIDGE_SILENT
    if printer.connection != Connection.OCTOPRINT_OFFLINE or attempt.started_at is None:
        return None
    since = printer.connection_since
    return OCTOPRINT_SILENT if since and (utc_now() - since).total_seconds() > OCTOPRINT_SILENT_S else None


def _heard_at(attempt: Attempt, printer: Printer) -> datetime:
    moments = (attempt.permitted_at, printer.last_seen_at)
    return max(moment for moment in moments if moment is not None)


def _hold(attempt: Attempt, printer: Printer, silence: str | None) -> Hold:
    """Why a printer is held, and the call that ends it."""
    since, reason, detail = attempt.unknown_at, attempt.reason, attempt.detail
    if attempt.state != AttemptState.UNKNOWN:
        of_bridge = silence == BRIDGE_SILENT
        since, reason = _heard_at(attempt, printer) if of_bridge else printer.connection_since, silence
        whom = "the bridge" if of_bridge else "OctoPrint"
        detail = (
            f"Nothing is heard from {whom}. When it was, the attempt was {attempt.state}. The print may go on "
            f"without that: start {whom} again, or look at the printer and say what became of the print."
        )
    return Hold(
        attempt_id=attempt.id,
        job_id=attempt.job_id,
        since=since or attempt.created_at,
        reason=reason,
        detail=detail,
        resolve_path=f"/api/v1/attempts/{show('attempt', attempt.id)}/resolve",
    )
