"""HTTP of jobs."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from fluxprint_common.database import Database, Reading, Session
from fluxprint_common.ids import show
from fluxprint_common.openapi import problems
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.ratelimit import limit_by_subject
from fluxprint_queue.attempts import repository as attempts
from fluxprint_queue.attempts.schemas import Attempt
from fluxprint_queue.commands.schemas import Command
from fluxprint_queue.commands.states import CommandKind
from fluxprint_queue.idempotency.header import IdempotencyHeader
from fluxprint_queue.idempotency.service import once
from fluxprint_queue.ids import JobId
from fluxprint_queue.jobs import repository, service
from fluxprint_queue.jobs.schemas import CommandList, Job, JobCreate
from fluxprint_queue.jobs.states import JobState

router = APIRouter(prefix="/jobs", tags=["jobs"])

Reader = Annotated[Principal, require(Permission.JOBS_READ)]
Writer = Annotated[Principal, require(Permission.JOBS_WRITE)]

OPERATIONS = limit_by_subject("operations", "limit_operations")


# Routes are tried in order, and this one is asked for most.
@router.get("/{job_id}", summary="Get a job", response_model=Job, responses=problems(401, 403, 404))
async def get_job(request: Request, principal: Reader, job_id: JobId) -> Mapping[str, object]:
    """One job."""
    database: Database = request.app.state.database
    return await service.show(database.lookups, principal, job_id)


@router.post(
    "",
    summary="Queue a job",
    status_code=201,
    response_model=Job,
    responses=problems(401, 403, 409),
    dependencies=[limit_by_subject("jobs", "limit_jobs"), OPERATIONS],
)
async def create_job(
    request: Request,
    response: Response,
    session: Session,
    principal: Writer,
    body: JobCreate,
    idempotency_key: IdempotencyHeader = None,
) -> Job:
    """Queue a file for printing. It starts on the next printer that is idle, fits, and has a clear bed."""

    async def work() -> Job:
        return Job.model_validate(await service.create(session, request.app.state.settings, principal, body))

    job = await once(
        session,
        subject_id=principal.credential_id,
        operation="create_job",
        key=idempotency_key,
        body=body,
        answer_type=Job,
        work=work,
    )
    response.headers["Location"] = f"/api/v1/jobs/{show('job', job.id)}"
    return job


@router.get("", summary="List jobs", response_model=Page[Job], responses=problems(401, 403))
async def list_jobs(
    session: Reading,
    principal: Reader,
    paging: Paging,
    state: Annotated[list[JobState] | None, Query(max_length=7, description="Only jobs in these states.")] = None,
) -> Page[Job]:
    """The organisation's jobs, newest first."""
    rows = await repository.list_page(
        session, principal, states=state or [], before=paging.after_id, limit=paging.limit + 1
    )
    return page(rows, paging, id_of=lambda row: row.id, show=Job.model_validate)


@router.get(
    "/{job_id}/attempts",
    summary="List the tries of a job",
    response_model=Page[Attempt],
    responses=problems(401, 403, 404),
)
async def list_job_attempts(session: Reading, principal: Reader, job_id: JobId, paging: Paging) -> Page[Attempt]:
    """The tries of a job, newest first."""
    await service.get(session, principal, job_id)
    rows = await attempts.list_of_job(session, principal, job_id, before=paging.after_id, limit=paging.limit + 1)
    return page(rows, paging, id_of=lambda row: row.id, show=Attempt.model_validate)


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    response_model=Job,
    responses=problems(401, 403, 404, 409),  # no rate limit: it may be an emergency
)
async def cancel_job(session: Session, principal: Writer, job_id: JobId) -> Job:
    """Stop a job. Where a print runs, the job is `cancelling` until its bridge says that it stopped."""
    return Job.model_validate(await service.cancel(session, principal, job_id))


@router.post(
    "/{job_id}/pause",
    summary="Pause a job",
    status_code=202,
    response_model=CommandList,
    responses=problems(401, 403, 404, 409),
    dependencies=[OPERATIONS],
)
async def pause_job(request: Request, session: Session, principal: Writer, job_id: JobId) -> CommandList:
    """Pause what prints of a job."""
    return await _order(request, session, principal, job_id, CommandKind.PAUSE)


@router.post(
    "/{job_id}/resume",
    summary="Resume a job",
    status_code=202,
    response_model=CommandList,
    responses=problems(401, 403, 404, 409),
    dependencies=[OPERATIONS],
)
async def resume_job(request: Request, session: Session, principal: Writer, job_id: JobId) -> CommandList:
    """Go on with what was paused."""
    return await _order(request, session, principal, job_id, CommandKind.RESUME)


async def _order(
    request: Request, session: Session, principal: Principal, job_id: JobId, kind: CommandKind
) -> CommandList:
    given = await service.order(session, request.app.state.settings, principal, job_id, kind)
    return CommandList(items=[Command.model_validate(command) for command in given])
