"""SQL of jobs."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.principal import Principal
from fluxprint_queue.jobs.models import Job
from fluxprint_queue.jobs.states import ENDED, JobState


def readable(principal: Principal) -> Select[Job]:
    """The jobs that a principal may see."""
    statement = select(Job).where(Job.organisation_id == principal.organisation_id)
    return statement.where(Job.created_by == principal.subject) if principal.sees_only_own else statement


async def find(session: AsyncSession, principal: Principal, job_id: UUID, *, lock: bool = False) -> Job | None:
    statement = readable(principal).where(Job.id == job_id)
    return await session.scalar(statement.with_for_update(key_share=True) if lock else statement)


async def locked(session: AsyncSession, job_id: UUID) -> Job:
    """A job as it is now, and stays until the transaction ends."""
    statement = (
        select(Job).where(Job.id == job_id).with_for_update(key_share=True).execution_options(populate_existing=True)
    )
    return (await session.scalars(statement)).one()


async def wait_for_printer(session: AsyncSession, printer_id: UUID) -> bool:
    """Whether a job that has not ended may print on this printer only."""
    ended = [str(state) for state in ENDED]
    return bool(await session.scalar(select(exists().where(Job.printer_id == printer_id, Job.state.not_in(ended)))))


async def list_page(
    session: AsyncSession, principal: Principal, *, states: Sequence[JobState], before: UUID | None, limit: int
) -> Sequence[Job]:
    """Newest first; all states where `states` is empty."""
    statement = readable(principal).order_by(Job.id.desc()).limit(limit)
    if states:
        statement = statement.where(Job.state.in_(sorted(states)))
    return (await session.scalars(statement.where(Job.id < before) if before else statement)).all()
