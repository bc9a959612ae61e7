"""How a job follows its attempts: counting copies, and the state that results."""

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.ids import show
from fluxprint_queue.attempts import repository as attempts
from fluxprint_queue.attempts.models import Attempt
from fluxprint_queue.attempts.states import AttemptState
from fluxprint_queue.database import utc_now
from fluxprint_queue.events import repository as events
from fluxprint_queue.jobs.models import Job
from fluxprint_queue.jobs.states import ENDED, JobState, job_state


def count(job: Job, attempt: Attempt) -> None:
    """Book an attempt's end on its job's copies."""
    match AttemptState(attempt.state):
        case AttemptState.COMPLETED:
            job.copies_completed += 1
            job.releases = 0
        case AttemptState.RELEASED:
            reopen(job)
        case AttemptState.FAILED:
            give_up(job, reason=attempt.reason or "print_failed", detail=attempt.detail)
        case AttemptState.CANCELLED:
            # Whoever cancels at the printer wants this print to stop: nothing starts it again.
            request_cancel(job)
            job.reason, job.detail = attempt.reason, attempt.detail
        case _:
            pass


def reopen(job: Job) -> None:
    """A copy may be tried again, unless the job is being ended."""
    if may_print(job):
        job.copies_open += 1


def may_print(job: Job) -> bool:
    """Whether further copies may start."""
    return job.cancel_requested_at is None and job.failed_at is None


def forget_unknown(job: Job, attempt: Attempt) -> None:
    """An attempt is about to leave `unknown`, if it is that: its reason is not its job's any more."""
    if attempt.state == AttemptState.UNKNOWN and (job.reason, job.detail) == (attempt.reason, attempt.detail):
        job.reason = job.detail = None


def give_up(job: Job, *, reason: str, detail: str | None) -> None:
    """No further copy starts; the job fails once what prints has ended."""
    job.copies_open = 0
    if job.failed_at is None:
        job.failed_at = utc_now()
    job.reason, job.detail = reason, detail


def request_cancel(job: Job) -> None:
    """No further copy starts; the job is cancelled once what prints has ended."""
    job.copies_open = 0
    if job.cancel_requested_at is None:
        job.cancel_requested_at = utc_now()


async def settle(session: AsyncSession, job: Job) -> None:
    """Bring a locked job's state up to date, and leave the event where it changed."""
    await session.flush()
    copies_left = job.copies - job.copies_completed - job.copies_dropped
    state = job_state(
        copies=job.copies,
        completed=job.copies_completed,
        live=await attempts.states_of_job(session, job.id),
        cancel_requested=job.cancel_requested_at is not None,
        failed=job.failed_at is not None or copies_left == 0,
    )
    if state is JobState.UNKNOWN and job.reason is None:
        unknown, *_others = await attempts.of_job(session, job.id, {AttemptState.UNKNOWN})
        job.reason, job.detail = unknown.reason, unknown.detail
    if state == job.state:
        return
    job.state = state
    job.ended_at = utc_now() if state in ENDED else None
    if state is JobState.COMPLETED:
        job.reason = job.detail = None
    if state is JobState.FAILED and job.reason is None:
        job.reason = "copies_dropped"
        job.detail = f"{job.copies_dropped} of {job.copies} copies were given up by a person."
    note(session, job, str(state))


def note(session: AsyncSession, job: Job, what: str) -> None:
    """Leave an event about a job."""
    events.append(
        session,
        f"job.{what}",
        subject=show("job", job.id),
        organisation_id=job.organisation_id,
        printer_id=job.printer_id,
        data={
            "name": job.name,
            "copies": job.copies,
            "copies_completed": job.copies_completed,
            "copies_dropped": job.copies_dropped,
            "reason": job.reason,
            "detail": job.detail,
        },
    )
