"""All SQL about watching. Visibility is a WHERE clause."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.cameras.sight import Sight
from fluxprint_camera.watching.kinds import Action, Kind
from fluxprint_camera.watching.models import Decision, Sighting, WatchPolicy
from fluxprint_common.database import ReadSession, rows_affected

_OPEN = Decision.ended_at.is_(None)
#: As in the index, word for word.
_UNTOLD = or_(Decision.told_at.is_(None), and_(Decision.ended_at.is_not(None), Decision.end_told_at.is_(None)))

#: What a picture takes of a disk at the least.
BLOCK_BYTES = 4096


@dataclass(frozen=True)
class DecisionFilter:
    """Which decisions are asked for; None: all."""

    camera_id: UUID | None = None
    printer_id: UUID | None = None
    attempt_id: UUID | None = None
    kind: Kind | None = None


def readable(sight: Sight) -> Select[Decision]:
    """The decisions that may be seen."""
    query = select(Decision).where(Decision.organisation_id == sight.organisation_id)
    query = query if sight.cameras is None else query.where(Decision.camera_id.in_(sight.cameras))
    return query if sight.printers is None else query.where(Decision.printer_id.in_(sight.printers))


async def find(session: ReadSession | AsyncSession, sight: Sight, decision_id: UUID) -> Decision | None:
    return (await session.scalars(readable(sight).where(Decision.id == decision_id))).one_or_none()


async def list_page(
    session: ReadSession, sight: Sight, wanted: DecisionFilter, *, before: UUID | None, limit: int
) -> Sequence[Decision]:
    """Decisions, newest first."""
    query = readable(sight).order_by(Decision.id.desc()).limit(limit)
    for column, value in (
        (Decision.camera_id, wanted.camera_id),
        (Decision.printer_id, wanted.printer_id),
        (Decision.attempt_id, wanted.attempt_id),
        (Decision.kind, wanted.kind),
    ):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(Decision.id < before)
    return (await session.scalars(query)).all()


async def add(session: AsyncSession, values: Mapping[str, object]) -> UUID | None:
    """Keep a decision; its id, or None where the trouble is open already or the print was paused before."""
    statement = insert(Decision).values(**values).on_conflict_do_nothing().returning(Decision.id)
    return (await session.scalars(statement)).one_or_none()


async def count_of_last_hour(session: AsyncSession, camera_id: UUID) -> int:
    hour_ago = func.now() - func.make_interval(0, 0, 0, 0, 1)
    query = select(func.count()).where(Decision.camera_id == camera_id, Decision.created_at > hour_ago)
    return int(await session.scalar(query) or 0)


async def end(session: AsyncSession, decision_ids: Collection[UUID], *, reason: str) -> int:
    """End open decisions; how many were."""
    statement = update(Decision).where(Decision.id.in_(decision_ids), _OPEN)
    return rows_affected(await session.execute(statement.values(ended_at=func.now(), end_reason=reason)))


async def end_of_camera(session: AsyncSession, camera_id: UUID, kind: Kind, *, reason: str) -> int:
    """End what is open of one kind at a camera; how many were."""
    statement = update(Decision).where(Decision.camera_id == camera_id, Decision.kind == kind, _OPEN)
    return rows_affected(await session.execute(statement.values(ended_at=func.now(), end_reason=reason)))


async def end_of_attempt(session: AsyncSession, attempt_id: UUID, kind: Kind, *, reason: str) -> None:
    """End what is open of one kind about a print, at all its cameras."""
    statement = update(Decision).where(Decision.attempt_id == attempt_id, Decision.kind == kind, _OPEN)
    await session.execute(statement.values(ended_at=func.now(), end_reason=reason))


async def has_pause(session: AsyncSession, attempt_id: UUID) -> bool:
    """Whether it was decided before that this print is to be paused."""
    query = exists().where(Decision.attempt_id == attempt_id, Decision.action == Action.PAUSE)
    return bool(await session.scalar(select(query)))


async def open_ones(session: ReadSession, camera_ids: Collection[UUID]) -> Sequence[Decision]:
    """What is open of these cameras, and of any camera where a print is named."""
    query = select(Decision).where(_OPEN, or_(Decision.camera_id.in_(camera_ids), Decision.attempt_id.is_not(None)))
    return (await session.scalars(query)).all()


async def untold(session: ReadSession, *, limit: int) -> Sequence[Decision]:
    """What the queue service has not heard of, oldest first."""
    return (await session.scalars(select(Decision).where(_UNTOLD).order_by(Decision.id).limit(limit))).all()


async def told(session: AsyncSession, decision_id: UUID, *, outcome: str) -> None:
    statement = update(Decision).where(Decision.id == decision_id, Decision.told_at.is_(None))
    await session.execute(statement.values(told_at=func.now(), outcome=outcome))


async def end_told(session: AsyncSession, decision_id: UUID) -> None:
    await session.execute(update(Decision).where(Decision.id == decision_id).values(end_told_at=func.now()))


async def forget(session: AsyncSession, *, keep_days: int, limit: int) -> int:
    """Delete old decisions that are over; how many."""
    old = select(Decision.id).where(Decision.created_at < func.now() - func.make_interval(0, 0, 0, keep_days), ~_OPEN)
    return rows_affected(await session.execute(delete(Decision).where(Decision.id.in_(old.limit(limit)))))


async def illustrated(session: ReadSession, decision_ids: Collection[UUID]) -> set[UUID]:
    """Which of these there are, with a picture."""
    query = select(Decision.id).where(Decision.id.in_(decision_ids), Decision.picture.is_not(None))
    return set(await session.scalars(query))


async def drop_pictures_beyond(
    session: AsyncSession, organisation_id: UUID, *, max_bytes: int, limit: int
) -> Sequence[str]:
    """Take the oldest pictures off an organisation's decisions, where all of them take more; which those were. Whether
    there is one is part of what the queue service is told: until then it stays."""
    size = func.greatest(Decision.picture_bytes, BLOCK_BYTES)
    newer = func.sum(size).over(order_by=Decision.id.desc()).label("total")
    whose = Decision.organisation_id == organisation_id, Decision.picture.is_not(None)
    sums = select(Decision.id, newer).where(*whose).subquery()
    beyond = select(Decision.id, Decision.picture).join(sums, sums.c.id == Decision.id)
    beyond = beyond.where(sums.c.total > max_bytes, Decision.told_at.is_not(None)).limit(limit)
    found = (await session.execute(beyond)).all()
    if found:
        ids = [row.id for row in found]
        await session.execute(update(Decision).where(Decision.id.in_(ids)).values(picture=None, picture_bytes=0))
    return [row.picture for row in found if row.picture is not None]


async def forget_policies(session: AsyncSession, *, keep_days: int) -> None:
    """Delete the old policies of printers that have no camera any more."""
    has_camera = exists().where(
        CameraRow.organisation_id == WatchPolicy.organisation_id, CameraRow.printer_id == WatchPolicy.printer_id
    )
    long_ago = func.now() - func.make_interval(0, 0, 0, keep_days)
    old = delete(WatchPolicy).where(WatchPolicy.printer_id.is_not(None), WatchPolicy.updated_at < long_ago, ~has_camera)
    await session.execute(old)


async def cameras(
    session: ReadSession, *, printer_ids: Collection[UUID], camera_ids: Collection[UUID]
) -> Sequence[CameraRow]:
    """The cameras of these printers, and these cameras."""
    query = select(CameraRow).where(or_(CameraRow.printer_id.in_(printer_ids), CameraRow.id.in_(camera_ids)))
    return (await session.scalars(query)).all()


async def note_sightings(session: AsyncSession, camera_ids: Collection[UUID]) -> None:
    """Pictures of these cameras came."""
    present = select(CameraRow.id, func.now()).where(CameraRow.id.in_(camera_ids)).order_by(CameraRow.id)
    statement = insert(Sighting).from_select(["camera_id", "seen_at"], present)
    await session.execute(
        statement.on_conflict_do_update(index_elements=[Sighting.camera_id], set_={"seen_at": func.now()})
    )


async def unseen_for(session: ReadSession, camera_ids: Collection[UUID]) -> Mapping[UUID, float]:
    """Seconds since pictures of these cameras last came, by the database's clock; without those that never did."""
    age = func.extract("epoch", func.now() - Sighting.seen_at)
    rows = await session.execute(select(Sighting.camera_id, age).where(Sighting.camera_id.in_(camera_ids)))
    return {row[0]: float(row[1]) for row in rows}


async def policies(session: ReadSession, organisation_ids: Collection[UUID]) -> Sequence[WatchPolicy]:
    query = select(WatchPolicy).where(WatchPolicy.organisation_id.in_(organisation_ids))
    return (await session.scalars(query)).all()


def readable_policies(sight: Sight) -> Select[WatchPolicy]:
    """The policies that may be seen: the organisation's, and its printers'."""
    query = select(WatchPolicy).where(WatchPolicy.organisation_id == sight.organisation_id)
    if sight.printers is not None:
        query = query.where(or_(WatchPolicy.printer_id.is_(None), WatchPolicy.printer_id.in_(sight.printers)))
    return query


async def list_policies(session: ReadSession, sight: Sight, *, after: UUID | None, limit: int) -> Sequence[WatchPolicy]:
    """Policies by id, oldest first."""
    query = readable_policies(sight).order_by(WatchPolicy.id).limit(limit)
    return (await session.scalars(query.where(WatchPolicy.id > after) if after else query)).all()


async def policy_of(session: ReadSession | AsyncSession, sight: Sight, printer_id: UUID | None) -> WatchPolicy | None:
    query = readable_policies(sight).where(WatchPolicy.printer_id.is_not_distinct_from(printer_id))
    return (await session.scalars(query)).one_or_none()


async def put_policy(
    session: AsyncSession, values: Mapping[str, object], *, changed: Mapping[str, object]
) -> WatchPolicy:
    """Add a policy, or change the one that is there."""
    statement = (
        insert(WatchPolicy)
        .values(**values, **changed)
        .on_conflict_do_update(index_elements=[WatchPolicy.organisation_id, WatchPolicy.printer_id], set_=dict(changed))
        .returning(WatchPolicy)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(statement)).one()


async def delete_policy(session: AsyncSession, sight: Sight, printer_id: UUID | None) -> None:
    statement = delete(WatchPolicy).where(
        WatchPolicy.organisation_id == sight.organisation_id, WatchPolicy.printer_id.is_not_distinct_from(printer_id)
    )
    await session.execute(statement)


async def has_camera(session: ReadSession | AsyncSession, sight: Sight, printer_id: UUID) -> bool:
    """Whether this printer may be seen and has a camera."""
    if sight.printers is not None and printer_id not in sight.printers:
        return False
    query = select(
        exists().where(CameraRow.organisation_id == sight.organisation_id, CameraRow.printer_id == printer_id)
    )
    return bool(await session.scalar(query))


async def set_verdict(
    session: AsyncSession, decision: Decision, *, verdict: str | None, by: UUID | None, at: datetime | None
) -> None:
    decision.verdict, decision.verdict_by, decision.verdict_at = verdict, by, at
    await session.flush()
