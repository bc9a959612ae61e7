"""SQL of jobs."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Select, Uuid, any_, bindparam, exists, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from fluxprint_common.lookup import Lookup, Lookups
from fluxprint_common.principal import Principal
from fluxprint_queue.jobs import schemas
from fluxprint_queue.jobs.models import Job, in_states
from fluxprint_queue.jobs.states import OPEN, JobState

_SHOWN = select(*(getattr(Job, name) for name in schemas.Job.model_fields)).where(
    Job.organisation_id == bindparam("organisation_id"), Job.id == bindparam("job_id")
)
_TO_CREATOR = Job.created_by == bindparam("created_by")
_OF_PRINTERS = Job.printer_id == any_(bindparam("printers", type_=ARRAY(Uuid)))
_SHOWN_TO_ALL = Lookup(_SHOWN)
_SHOWN_TO_CREATOR = Lookup(_SHOWN.where(_TO_CREATOR))
_SHOWN_OF_PRINTERS = Lookup(_SHOWN.where(_OF_PRINTERS))
_SHOWN_TO_CREATOR_OF_PRINTERS = Lookup(_SHOWN.where(_TO_CREATOR, _OF_PRINTERS))


def readable(principal: Principal) -> Select[Job]:
    """The jobs that a principal may see; a key for named printers only those that are for one of them."""
    statement = select(Job).where(Job.organisation_id == principal.organisation_id)
    if principal.printers is not None:
        statement = statement.where(Job.printer_id.in_(principal.printers))
    return statement.where(Job.created_by == principal.subject) if principal.sees_only_own else statement


async def find(session: AsyncSession, principal: Principal, job_id: UUID, *, lock: bool = False) -> Job | None:
    statement = readable(principal).where(Job.id == job_id)
    return await session.scalar(statement.with_for_update(key_share=True) if lock else statement)


async def shown(lookups: Lookups, principal: Principal, job_id: UUID) -> Mapping[str, object] | None:
    """A job as clients see it: the fields of `schemas.Job`."""
    if principal.printers is None:
        lookup = _SHOWN_TO_CREATOR if principal.sees_only_own else _SHOWN_TO_ALL
    else:
        lookup = _SHOWN_TO_CREATOR_OF_PRINTERS if principal.sees_only_own else _SHOWN_OF_PRINTERS
    return await lookups.row(
        lookup,
        organisation_id=principal.organisation_id,
        job_id=job_id,
        created_by=principal.subject,
        printers=list(principal.printers or ()),
    )


async def locked(session: AsyncSession, job_id: UUID) -> Job:
    """A job as it is now, and stays until the transaction ends."""
    statement = (
        select(Job).where(Job.id == job_id).with_for_update(key_share=True).execution_options(populate_existing=True)
    )
    return (await session.scalars(statement)).one()


async def wait_for_printer(session: AsyncSession, printer_id: UUID) -> bool:
    """Whether a job that has not ended may print on this printer only."""
    return bool(await session.scalar(select(exists().where(Job.printer_id == printer_id, in_states(OPEN)))))


async def list_page(
    session: AsyncSession, principal: Principal, *, states: Sequence[JobState], before: UUID | None, limit: int
) -> Sequence[Job]:
    """Newest first; all states where `states` is empty."""
    latest = readable(principal).where(Job.id < before) if before else readable(principal)
    latest = latest.order_by(Job.id.desc()).limit(limit)
    if not states:
        return (await session.scalars(latest)).all()
    # Of each state the newest, then of those the newest: no index has several states in one order.
    job = aliased(Job, union_all(*(latest.where(in_states([state])) for state in sorted(set(states)))).subquery())
    return (await session.scalars(select(job).order_by(job.id.desc()).limit(limit))).all()
