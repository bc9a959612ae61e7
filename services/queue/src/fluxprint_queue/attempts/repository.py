"""SQL of attempts.

Locks are taken in the order printer, job, attempt, and as FOR NO KEY UPDATE: a row that refers to a locked one (a
command to its printer) can be added meanwhile, so that its foreign key does not turn the order round.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Boolean, Select, column, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer
from sqlalchemy.sql.selectable import ExecutableReturnsRows

from fluxprint_common.ids import new_id
from fluxprint_common.principal import Principal
from fluxprint_queue.attempts.models import (
    FENCE,
    RESTED_SQL,
    VANISHED_SQL,
    Attempt,
    AttemptReport,
    in_states,
    states_sql,
)
from fluxprint_queue.attempts.states import DROPPED, LIVE, PERMITTED, AttemptState, ReportKind
from fluxprint_queue.database import Base, utc_now
from fluxprint_queue.files.models import File
from fluxprint_queue.jobs.models import CLAIMABLE_SQL, Job
from fluxprint_queue.jobs.states import JobState
from fluxprint_queue.printers.states import BedState

MAX_REST_S = 3600

# The jobs j that a printer may take, best first. The organisation is given, not joined: so they are read in the order
# of their index, and reading ends with the first that fits.
_MAY_TAKE = f"""
    j.organisation_id = :organisation_id
          AND {CLAIMABLE_SQL.replace("state", "j.state").replace("copies_open", "j.copies_open")}
          AND (j.printer_id IS NULL OR j.printer_id = :printer_id)
          -- What just failed on this printer is another printer's for a while: a sick one must not drain the queue.
          AND NOT EXISTS (SELECT FROM queue.attempt a
                           WHERE a.job_id = j.id AND a.printer_id = :printer_id
                             AND {RESTED_SQL.replace("state", "a.state").replace("reason", "a.reason")}
                             AND a.ended_at > now() - make_interval(secs => :rest_s))
          -- What its bridge vanished with, again and again, may be what brings it down.
          AND NOT EXISTS (SELECT FROM queue.attempt a
                           WHERE a.job_id = j.id AND a.printer_id = :printer_id
                             AND {VANISHED_SQL.replace("state", "a.state").replace("reason", "a.reason")}
                             AND a.ended_at > now() - interval '1 day'
                          HAVING max(a.ended_at) > now() - make_interval(
                                     secs => least(:rest_s * 2 ^ least(count(*) - 1, 20), {MAX_REST_S})))
"""  # noqa: S608
_BEST_FIRST = "ORDER BY j.priority DESC, j.id"


def _columns_sql(**tables: type[Base]) -> str:
    return ", ".join(f"{name}.{one.name}" for name, table in tables.items() for one in table.__table__.columns)


def _claiming(sql: str) -> ExecutableReturnsRows:
    """The claim, to be read as an attempt, its job, its file, and whether the job was queued till then."""
    was_queued = column("was_queued", Boolean)
    columns = [one for table in (Attempt, Job, File) for one in table.__table__.columns]
    return select(Attempt, Job, File, was_queued).from_statement(text(sql).columns(*columns, was_queued))


# One statement picks the best job for a printer and opens the attempt. The printer's row is locked, so claims for one
# printer queue up; jobs that another printer is taking at this moment are skipped, not waited for. A job that may be
# claimed has no attempt that is unknown, so it is active from now on, whatever else of it lives.
#
# With :ready an attempt that gets the staged id has its permit at once, and occupies the bed. Everything that a permit
# checks is so here: the printer is enabled and its bed clear, the job neither cancelled nor failed (it has open
# copies), and lease, fence and journal are this claim's own.
#
# What is written is not yet there to be read: the attempt, its job and its file are what the statement returns.
_CLAIM_SQL = f"""
    WITH chosen_printer AS MATERIALIZED (
        SELECT FROM queue.printer p
        WHERE p.id = :printer_id AND p.bridge_id = :bridge_id AND p.organisation_id = :organisation_id
          AND p.deleted_at IS NULL AND p.enabled AND p.bed_state = 'clear'
          AND NOT EXISTS (SELECT FROM queue.attempt a WHERE a.printer_id = p.id AND a.state IN {states_sql(LIVE)})
        FOR NO KEY UPDATE
    ), chosen_job AS MATERIALIZED (
        SELECT j.id, j.state FROM queue.job j
        WHERE EXISTS (SELECT FROM chosen_printer) AND {_MAY_TAKE}
        {_BEST_FIRST}
        LIMIT 1
        FOR NO KEY UPDATE OF j SKIP LOCKED
    ), taken AS (
        UPDATE queue.job j SET copies_open = j.copies_open - 1, state = '{JobState.ACTIVE}'
        FROM chosen_job c WHERE j.id = c.id
        RETURNING j.*,
                  (SELECT f.sha256 FROM queue.file f WHERE f.id = j.file_id) = CAST(:staged_sha256 AS text)
                  AND NOT EXISTS (SELECT FROM queue.attempt a WHERE a.id = :staged_id) AS is_staged
    ), opened AS (
    INSERT INTO queue.attempt (id, organisation_id, job_id, printer_id, bridge_id, journal_id,
                               copy_number, state, permitted_at, lease_expires_at)
    SELECT CASE WHEN is_staged THEN CAST(:staged_id AS uuid) ELSE CAST(:attempt_id AS uuid) END,
           taken.organisation_id, taken.id, :printer_id, :bridge_id, :journal_id,
           (SELECT min(n) FROM generate_series(1, taken.copies) n
             WHERE NOT EXISTS (SELECT FROM queue.attempt a WHERE a.job_id = taken.id AND a.copy_number = n
                                AND a.state IN {states_sql(LIVE | {AttemptState.COMPLETED})})
               AND NOT EXISTS (SELECT FROM queue.attempt a WHERE a.job_id = taken.id AND a.copy_number = n
                                AND a.reason = '{DROPPED}')),
           CASE WHEN is_staged AND :ready THEN '{AttemptState.STARTING}' ELSE '{AttemptState.CLAIMED}' END,
           CASE WHEN is_staged AND :ready THEN CAST(:permitted_at AS timestamptz) END,
           clock_timestamp() + make_interval(secs => :lease_s)
    FROM taken
    RETURNING *
    ), bed AS (
        UPDATE queue.printer p SET bed_state = '{BedState.OCCUPIED}', bed_attempt_id = opened.id, bed_changed_at = now()
        FROM opened WHERE p.id = :printer_id AND opened.state = '{AttemptState.STARTING}'
    )
    SELECT {_columns_sql(opened=Attempt, taken=Job, f=File)}, chosen_job.state = '{JobState.QUEUED}' AS was_queued
    FROM opened, taken JOIN queue.file f ON f.id = taken.file_id, chosen_job
    """  # noqa: S608  (only our own state names are put together)
_CLAIM = _claiming(_CLAIM_SQL)

# The file of the job that a claim would take if the printer were free: the same choice, without locks, and whatever
# lies on the bed. With :sha256, of the best such job that prints this content.
_NEXT = text(
    f"""
    SELECT file.* FROM queue.job j
      JOIN queue.file ON file.id = j.file_id
     WHERE EXISTS (SELECT FROM queue.printer p
                    WHERE p.id = :printer_id AND p.bridge_id = :bridge_id AND p.organisation_id = :organisation_id
                      AND p.deleted_at IS NULL AND p.enabled)
       AND {_MAY_TAKE}
       AND (CAST(:sha256 AS text) IS NULL OR file.sha256 = :sha256)
    {_BEST_FIRST}
    LIMIT 1
    """  # noqa: S608
)


@dataclass(frozen=True)
class Staged:
    """Content that a bridge brought to a printer ahead of time, under the id that an attempt may get."""

    attempt_id: UUID
    sha256: str


@dataclass(frozen=True)
class Held:
    """An attempt, the seconds that are left of its lease by the database's clock, its job and its file."""

    attempt: Attempt
    lease_left_s: float
    job: Job
    file: File


@dataclass(frozen=True)
class Opened:
    """What a claim has opened, and whether its job was queued till then."""

    held: Held
    was_queued: bool


def readable(principal: Principal) -> Select[Attempt]:
    """The attempts of an organisation; for a key for named printers those on them."""
    statement = select(Attempt).where(Attempt.organisation_id == principal.organisation_id)
    return statement if principal.printers is None else statement.where(Attempt.printer_id.in_(principal.printers))


def of_bridge(principal: Principal) -> Select[Attempt]:
    """The attempts of the bridge whose token this is."""
    return readable(principal).where(Attempt.bridge_id == principal.subject)


async def claim(
    session: AsyncSession,
    principal: Principal,
    printer_id: UUID,
    *,
    journal_id: UUID,
    staged: Staged | None,
    ready: bool = False,
    lease_s: int,
    rest_s: int,
) -> Opened | None:
    """Open an attempt of the best job for an idle printer; None where there is nothing to do.

    It gets the id of what is staged where that is the job's file and the id is new; what is staged chooses no job.
    With `ready` such an attempt is `starting`, and its part on the bed.
    """
    rows = await session.execute(
        _CLAIM,
        {
            "printer_id": printer_id,
            "bridge_id": principal.subject,
            "organisation_id": principal.organisation_id,
            "attempt_id": new_id(),
            "journal_id": journal_id,
            "staged_id": staged.attempt_id if staged else None,
            "staged_sha256": staged.sha256 if staged else None,
            "ready": ready,
            "permitted_at": utc_now(),
            "lease_s": lease_s,
            "rest_s": rest_s,
        },
        execution_options={"populate_existing": True},
    )
    row = rows.one_or_none()
    return Opened(Held(row[0], float(lease_s), row[1], row[2]), row[3]) if row is not None else None


async def next_file(
    session: AsyncSession, principal: Principal, printer_id: UUID, *, rest_s: int, sha256: str | None = None
) -> File | None:
    """The file that a claim would bring if the printer were free; with `sha256`, whether any claim could bring it."""
    found: File | None = await session.scalar(
        select(File).from_statement(_NEXT),
        {
            "printer_id": printer_id,
            "bridge_id": principal.subject,
            "organisation_id": principal.organisation_id,
            "rest_s": rest_s,
            "sha256": sha256,
        },
    )
    return found


async def adopt(session: AsyncSession, principal: Principal, printer_id: UUID, *, lease_s: int) -> UUID | None:
    """Give the printer's live attempt a new fence, so that whoever held it before is refused; its id, if any."""
    lease = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, lease_s)
    return await session.scalar(
        update(Attempt)
        .where(
            Attempt.printer_id == printer_id,
            Attempt.bridge_id == principal.subject,
            Attempt.organisation_id == principal.organisation_id,
            in_states(LIVE),
        )
        .values(fence=FENCE.next_value(), lease_expires_at=lease)
        .returning(Attempt.id)
    )


async def held(session: AsyncSession, principal: Principal, attempt_id: UUID, *, lock: bool = False) -> Held | None:
    """A bridge's attempt with its lease, job and file; `lock` locks the attempt alone."""
    left = func.extract("epoch", Attempt.lease_expires_at - func.clock_timestamp())
    statement = (
        of_bridge(principal)
        .add_columns(left, Job, File)
        .join(Job, Job.id == Attempt.job_id)
        .join(File, File.id == Job.file_id)
        .where(Attempt.id == attempt_id)
        .execution_options(populate_existing=True)
    )
    row = (
        await session.execute(statement.with_for_update(of=Attempt, key_share=True) if lock else statement)
    ).one_or_none()
    return Held(row[0], float(row[1]), row[2], row[3]) if row else None


async def find_of_bridge(session: AsyncSession, principal: Principal, attempt_id: UUID) -> Attempt | None:
    return await session.scalar(of_bridge(principal).where(Attempt.id == attempt_id))


async def find(session: AsyncSession, principal: Principal, attempt_id: UUID) -> Attempt | None:
    return await session.scalar(readable(principal).where(Attempt.id == attempt_id))


async def locked(session: AsyncSession, attempt_id: UUID) -> Attempt:
    """The attempt as it is now, and stays until the transaction ends. Its job is locked already."""
    statement = select(Attempt).where(Attempt.id == attempt_id).with_for_update(key_share=True)
    return (await session.scalars(statement.execution_options(populate_existing=True))).one()


async def of_job(session: AsyncSession, job_id: UUID, states: Collection[AttemptState]) -> Sequence[Attempt]:
    """A job's attempts in some states, locked."""
    statement = select(Attempt).where(Attempt.job_id == job_id, in_states(states))
    return (await session.scalars(statement.order_by(Attempt.id).with_for_update(key_share=True))).all()


async def states_of_job(session: AsyncSession, job_id: UUID) -> set[AttemptState]:
    """The states of a job's live attempts."""
    rows = await session.scalars(select(Attempt.state).where(Attempt.job_id == job_id, in_states(LIVE)).distinct())
    return {AttemptState(state) for state in rows}


async def list_of_job(
    session: AsyncSession, principal: Principal, job_id: UUID, *, before: UUID | None, limit: int
) -> Sequence[Attempt]:
    """Newest first."""
    statement = readable(principal).where(Attempt.job_id == job_id).order_by(Attempt.id.desc()).limit(limit)
    return (await session.scalars(statement.where(Attempt.id < before) if before else statement)).all()


async def live_on_printer(session: AsyncSession, printer_id: UUID, states: Collection[AttemptState]) -> bool:
    """Whether the printer has an attempt in one of these states."""
    return bool(await session.scalar(select(exists().where(Attempt.printer_id == printer_id, in_states(states)))))


async def permitted_on_printers(session: AsyncSession, printer_ids: Collection[UUID]) -> Sequence[Attempt]:
    """The attempts of some printers that only a report or a person ends, without their evidence."""
    statement = select(Attempt).where(Attempt.printer_id.in_(printer_ids), in_states(PERMITTED))
    return (await session.scalars(statement.options(defer(Attempt.evidence, raiseload=True)))).all()


async def renew_lease(session: AsyncSession, attempt_id: UUID, *, lease_s: int) -> None:
    lease = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, lease_s)
    await session.execute(update(Attempt).where(Attempt.id == attempt_id).values(lease_expires_at=lease))


async def take_report(session: AsyncSession, attempt_id: UUID, report_id: UUID, kind: ReportKind) -> bool:
    """Remember a report; False where it was taken in before."""
    statement = insert(AttemptReport).values(attempt_id=attempt_id, report_id=report_id, kind=kind)
    return await session.scalar(statement.on_conflict_do_nothing().returning(AttemptReport.report_id)) is not None


async def expired_leases(session: AsyncSession, *, limit: int) -> Sequence[tuple[UUID, UUID]]:
    """Attempt and job ids of claims whose lease ran out."""
    rows = await session.execute(
        select(Attempt.id, Attempt.job_id)
        .where(in_states({AttemptState.CLAIMED}), Attempt.lease_expires_at < func.clock_timestamp())
        .limit(limit)
    )
    return [(row.id, row.job_id) for row in rows]


async def lease_left_s(session: AsyncSession, attempt_id: UUID) -> float:
    """Seconds until an attempt's lease ends, by the database's clock."""
    left = func.extract("epoch", Attempt.lease_expires_at - func.clock_timestamp())
    return float(await session.scalar(select(left).where(Attempt.id == attempt_id)) or 0)
