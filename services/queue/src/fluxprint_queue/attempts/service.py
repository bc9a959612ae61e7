"""Rules of attempts: claim, lease, permit, report, release. docs/protocol.md tells them as a story."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.ids import show, was_made
from fluxprint_common.principal import Principal
from fluxprint_queue.attempts import repository
from fluxprint_queue.attempts.errors import (
    AttemptEnded,
    AttemptNotFound,
    BedOccupied,
    FenceStale,
    JobCancelled,
    JournalMismatch,
    LeaseExpired,
    PrinterDisabled,
    PrintingDisabled,
    TransitionRefused,
)
from fluxprint_queue.attempts.models import Attempt
from fluxprint_queue.attempts.repository import Held, Staged
from fluxprint_queue.attempts.states import (
    ENDED,
    FAULTS,
    REPORTED_STATE,
    TRANSITIONS,
    AttemptState,
    ReportKind,
)
from fluxprint_queue.commands import service as commands
from fluxprint_queue.database import utc_now
from fluxprint_queue.events import repository as events
from fluxprint_queue.jobs import repository as jobs
from fluxprint_queue.jobs import settlement
from fluxprint_queue.jobs.models import Job
from fluxprint_queue.printers import repository as printers
from fluxprint_queue.printers.states import BedState
from fluxprint_queue.settings import QueueSettings

LEASE_LOST = "lease_expired"


@dataclass(frozen=True)
class Report:
    """What a bridge reports: see docs/protocol.md."""

    fence: int
    report_id: UUID
    kind: ReportKind
    reason: str | None
    detail: str | None
    evidence: dict[str, object]


def move(session: AsyncSession, attempt: Attempt, to: AttemptState, *, reason: str | None, detail: str | None) -> None:
    """Take an attempt to another state and leave the event. Raises: TransitionRefused"""
    if to not in TRANSITIONS[AttemptState(attempt.state)]:
        raise TransitionRefused(f"An attempt that is {attempt.state} does not become {to}.")
    attempt.state = to
    attempt.reason, attempt.detail = reason, detail
    if to in ENDED:
        attempt.ended_at = utc_now()
    if to is AttemptState.PRINTING and attempt.started_at is None:
        attempt.started_at = utc_now()
    if to is AttemptState.UNKNOWN:
        attempt.unknown_at = utc_now()
    note(session, attempt, str(to))


def note(session: AsyncSession, attempt: Attempt, what: str) -> None:
    """Leave an event about an attempt."""
    events.append(
        session,
        f"attempt.{what}",
        subject=show("attempt", attempt.id),
        organisation_id=attempt.organisation_id,
        printer_id=attempt.printer_id,
        data={
            "job_id": show("job", attempt.job_id),
            "printer_id": show("printer", attempt.printer_id),
            "copy_number": attempt.copy_number,
            "reason": attempt.reason,
            "detail": attempt.detail,
            **({"evidence": attempt.evidence} if attempt.state == AttemptState.UNKNOWN else {}),
        },
    )


@dataclass(frozen=True)
class Claimed:
    """The answer to a claim: an attempt, and whether its permit comes with it."""

    held: Held
    permitted: bool = False


async def adopt(
    session: AsyncSession, settings: QueueSettings, principal: Principal, printer_id: UUID
) -> Claimed | None:
    """The printer's live attempt with a new fence, if there is one."""
    attempt_id = await repository.adopt(session, principal, printer_id, lease_s=settings.lease_s)
    held = await repository.held(session, principal, attempt_id) if attempt_id is not None else None
    return Claimed(held) if held is not None else None


async def claim(
    session: AsyncSession,
    settings: QueueSettings,
    principal: Principal,
    printer_id: UUID,
    *,
    journal_id: UUID,
    staged: Staged | None,
    ready: bool = False,
    take_over: bool = True,
) -> Claimed | None:
    """A new attempt of the best job, else (with `take_over`) the printer's live attempt with a new fence, or None.

    With `ready`, an attempt that gets the id of what is staged has its permit in the same transaction: the bridge has
    looked at that file and at the printer.

    Raises:
        sqlalchemy.exc.IntegrityError: two claims at once; the caller may simply ask again.
    """
    opened = None
    if settings.enabled:
        opened = await repository.claim(
            session,
            principal,
            printer_id,
            journal_id=journal_id,
            staged=staged if staged and was_made(staged.attempt_id) else None,
            ready=ready,
            lease_s=settings.lease_s,
            rest_s=settings.fault_rest_s,
        )
    if opened is None:
        return await adopt(session, settings, principal, printer_id) if take_over else None
    held, permitted = opened.held, opened.held.attempt.state == AttemptState.STARTING
    note(session, held.attempt, "claimed")
    if opened.was_queued:
        settlement.note(session, held.job, str(held.job.state))
    if permitted:
        note(session, held.attempt, str(held.attempt.state))
    return Claimed(held, permitted)


async def renew_lease(
    session: AsyncSession, settings: QueueSettings, principal: Principal, attempt_id: UUID, fence: int
) -> int:
    """Keep a claimed attempt for another lease; seconds.

    Raises:
        AttemptNotFound, FenceStale, LeaseExpired, AttemptEnded
    """
    held = await repository.held(session, principal, attempt_id, lock=True)
    if held is None:
        raise AttemptNotFound
    _check_holder(held, fence)
    if held.attempt.state == AttemptState.CLAIMED and held.lease_left_s <= 0:
        raise LeaseExpired
    await repository.renew_lease(session, attempt_id, lease_s=settings.lease_s)
    return settings.lease_s


async def permit(
    session: AsyncSession,
    settings: QueueSettings,
    principal: Principal,
    attempt_id: UUID,
    *,
    fence: int,
    journal_id: UUID,
) -> Attempt:
    """Leave to press start, once this transaction is committed.

    Raises:
        AttemptNotFound, or the reason of the refusal: docs/protocol.md lists them.
    """
    attempt = await repository.find_of_bridge(session, principal, attempt_id)
    if attempt is None:
        raise AttemptNotFound
    printer = await printers.find_of_bridge(session, principal, attempt.printer_id, lock=True)
    job = await jobs.locked(session, attempt.job_id)
    held = await repository.held(session, principal, attempt_id, lock=True)
    if held is None or printer is None:
        raise AttemptNotFound
    _check_holder(held, fence)
    attempt = held.attempt
    if attempt.state not in (AttemptState.CLAIMED, AttemptState.STARTING):
        raise TransitionRefused(f"The attempt is {attempt.state} already.")
    if attempt.journal_id != journal_id:
        raise JournalMismatch
    if job.cancel_requested_at is not None or job.failed_at is not None:
        raise JobCancelled
    if attempt.state == AttemptState.STARTING:
        if printer.bed_attempt_id != attempt.id:
            raise BedOccupied("Something else was printed since the permit was given.")
        attempt.permitted_at = utc_now()
        return attempt  # the journal that holds the permit knows that start was never pressed
    if not settings.enabled:
        raise PrintingDisabled
    if held.lease_left_s <= 0:
        raise LeaseExpired
    if not printer.enabled:
        raise PrinterDisabled
    if printer.bed_state != BedState.CLEAR:
        raise BedOccupied
    move(session, attempt, AttemptState.STARTING, reason=None, detail=None)
    attempt.permitted_at = utc_now()
    await printers.set_bed(session, printer.id, BedState.OCCUPIED, attempt.id)
    return attempt


async def report(
    session: AsyncSession, settings: QueueSettings, principal: Principal, attempt_id: UUID, report: Report
) -> Attempt:
    """Take in what happened at the printer. Repeated reports are acknowledged and change nothing.

    Raises:
        AttemptNotFound, FenceStale, AttemptEnded, TransitionRefused
    """
    found = await repository.find_of_bridge(session, principal, attempt_id)
    if found is None:
        raise AttemptNotFound
    job = await jobs.locked(session, found.job_id)
    attempt = await repository.locked(session, attempt_id)
    if not await repository.take_report(session, attempt.id, report.report_id, report.kind):
        return attempt
    target = REPORTED_STATE[report.kind]
    if attempt.state == target:
        return attempt
    if report.fence != attempt.fence:
        raise FenceStale
    if AttemptState(attempt.state) in ENDED:
        raise AttemptEnded(f"The attempt is {attempt.state}.")
    settlement.forget_unknown(job, attempt)
    if report.evidence:
        attempt.evidence = report.evidence
    move(session, attempt, target, reason=report.reason, detail=report.detail)
    await _after_move(session, settings, job, attempt)
    return attempt


async def release_expired(session: AsyncSession, settings: QueueSettings, attempt_id: UUID, job_id: UUID) -> None:
    """Give a job back whose bridge let its lease run out before the permit."""
    job = await jobs.locked(session, job_id)
    attempt = await repository.locked(session, attempt_id)
    left = await repository.lease_left_s(session, attempt_id)
    if attempt.state == AttemptState.CLAIMED and left <= 0:
        move(session, attempt, AttemptState.RELEASED, reason=LEASE_LOST, detail="The bridge went silent.")
        await _after_move(session, settings, job, attempt)


async def _after_move(session: AsyncSession, settings: QueueSettings, job: Job, attempt: Attempt) -> None:
    """What an attempt's new state means for its commands and its job."""
    if AttemptState(attempt.state) in ENDED:
        await commands.end_of_attempt(session, attempt.id, cancelled=attempt.state == AttemptState.CANCELLED)
    settlement.count(job, attempt)
    if attempt.state == AttemptState.RELEASED and attempt.reason in FAULTS:
        job.releases += 1
        if job.releases >= settings.max_releases:
            settlement.give_up(job, reason=attempt.reason, detail=attempt.detail)
    await cancel_claims(session, job)
    await settlement.settle(session, job)


async def cancel_claims(session: AsyncSession, job: Job) -> None:
    """End what was claimed of a job that is being ended: no permit would be given, and the printers are wanted."""
    if job.cancel_requested_at is None and job.failed_at is None:
        return
    for attempt in await repository.of_job(session, job.id, {AttemptState.CLAIMED}):
        move(session, attempt, AttemptState.CANCELLED, reason="job_ended", detail=None)


def _check_holder(held: Held, fence: int) -> None:
    if held.attempt.fence != fence:
        raise FenceStale
    if AttemptState(held.attempt.state) in ENDED:
        raise AttemptEnded(f"The attempt is {held.attempt.state}.")
