"""Rules of jobs."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.ids import new_id
from fluxprint_common.lookup import Lookups
from fluxprint_common.principal import Principal
from fluxprint_common.problems import Conflict, FieldProblem, Invalid, NotFound, Unavailable
from fluxprint_queue.attempts import repository as attempts
from fluxprint_queue.attempts import service as attempt_rules
from fluxprint_queue.attempts.states import PERMITTED, AttemptState
from fluxprint_queue.commands import service as commands
from fluxprint_queue.commands.models import Command
from fluxprint_queue.commands.states import CommandKind
from fluxprint_queue.files import repository as files
from fluxprint_queue.jobs import repository, settlement
from fluxprint_queue.jobs.models import Job
from fluxprint_queue.jobs.schemas import JobCreate
from fluxprint_queue.jobs.states import ENDED, JobState
from fluxprint_queue.printers import repository as printers
from fluxprint_queue.settings import QueueSettings


class JobNotFound(NotFound):
    """There is no such job, or it is not yours"""

    code = "job_not_found"


class JobEnded(Conflict):
    """The job has ended"""

    code = "job_ended"


class NotPrinting(Conflict):
    """No print of this job is in a state for that"""

    code = "not_printing"


class PrintingSwitchedOff(Unavailable):
    """Printing is switched off on this server for now; everything else works, and queued jobs wait"""

    code = "printing_disabled"


class PrinterMissing(Invalid):
    """This API key is for some printers; say which one the job is for"""

    code = "printer_missing"


class ReferenceUnknown(Invalid):
    """The request refers to something that does not exist or is not yours"""

    code = "reference_unknown"


async def create(session: AsyncSession, settings: QueueSettings, principal: Principal, body: JobCreate) -> Job:
    """Queue a job. Raises: PrintingSwitchedOff, ReferenceUnknown, PrinterMissing"""
    if not settings.enabled:
        raise PrintingSwitchedOff(retry_after_s=300)
    file = await files.find(session, principal, body.file_id, lock=True)
    if file is None:
        raise _unknown("file_id", "There is no such file.")
    printer_id = _printer_of(principal, body)
    if printer_id and await printers.find(session, principal, printer_id) is None:
        raise _unknown("printer_id", "There is no such printer.")
    job = Job(
        id=new_id(),
        organisation_id=principal.organisation_id,
        file_id=file.id,
        printer_id=printer_id,
        name=body.name or file.name,
        priority=body.priority,
        copies=body.copies,
        copies_open=body.copies,
        copies_completed=0,
        copies_dropped=0,
        state=JobState.QUEUED,
        created_by=principal.subject,
    )
    session.add(job)
    await session.flush()
    settlement.note(session, job, "created")
    return job


async def get(session: AsyncSession, principal: Principal, job_id: UUID, *, lock: bool = False) -> Job:
    """One job. Raises: JobNotFound"""
    job = await repository.find(session, principal, job_id, lock=lock)
    if job is None:
        raise JobNotFound
    return job


async def show(lookups: Lookups, principal: Principal, job_id: UUID) -> Mapping[str, object]:
    """One job as clients see it. Raises: JobNotFound"""
    job = await repository.shown(lookups, principal, job_id)
    if job is None:
        raise JobNotFound
    return job


async def cancel(session: AsyncSession, principal: Principal, job_id: UUID) -> Job:
    """Stop a job: at once where nothing prints yet, else through the bridge. Repeating it does no harm.

    Raises:
        JobNotFound, JobEnded
    """
    job = await get(session, principal, job_id, lock=True)
    if job.state == JobState.CANCELLED:
        return job
    if JobState(job.state) in ENDED:
        raise JobEnded(f"The job is {job.state}.")
    settlement.request_cancel(job)
    await attempt_rules.cancel_claims(session, job)
    # Asked again, it is ordered again where the first order was not carried out.
    for attempt in await attempts.of_job(session, job.id, PERMITTED - {AttemptState.UNKNOWN}):
        await commands.give(session, attempt, CommandKind.CANCEL, principal, deadline_s=commands.CANCEL_DEADLINE_S)
    await settlement.settle(session, job)
    return job


async def order(
    session: AsyncSession,
    settings: QueueSettings,
    principal: Principal,
    job_id: UUID,
    kind: CommandKind,
    *,
    attempt_id: UUID | None = None,
) -> Sequence[Command]:
    """Pause or resume the prints of a job, or only the one of them that is named.

    Raises:
        JobNotFound. NotPrinting: there is none to pause or resume.
    """
    job = await get(session, principal, job_id, lock=True)
    fitting = {AttemptState.PRINTING} if kind is CommandKind.PAUSE else {AttemptState.PAUSED}
    found = await attempts.of_job(session, job.id, fitting)
    if attempt_id is not None:
        found = [attempt for attempt in found if attempt.id == attempt_id]
    if not found:
        raise NotPrinting
    return [
        await commands.give(session, attempt, kind, principal, deadline_s=settings.command_deadline_s)
        for attempt in found
    ]


def _printer_of(principal: Principal, body: JobCreate) -> UUID | None:
    """The printer that a job is for. What a key for named printers makes is never for any printer."""
    if body.printer_id is not None or principal.printers is None:
        return body.printer_id
    if len(principal.printers) > 1:
        message = "The API key is for several printers."
        raise PrinterMissing(message, errors=[FieldProblem(pointer="/printer_id", code="missing", message=message)])
    return next(iter(principal.printers), None)


def _unknown(field: str, message: str) -> ReferenceUnknown:
    return ReferenceUnknown(message, errors=[FieldProblem(pointer=f"/{field}", code="unknown", message=message)])
