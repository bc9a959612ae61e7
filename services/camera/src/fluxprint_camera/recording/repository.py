"""All SQL about recordings. Visibility is a WHERE clause."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Select, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.cameras.sight import Sight
from fluxprint_camera.recording.models import DutyRow, PictureRow, TimelapseRow, TimelapseState, unfinished
from fluxprint_camera.recording.settings import RecordingSettings
from fluxprint_common.database import ReadSession, rows_affected
from fluxprint_common.ids import new_id
from fluxprint_common.prints import Print

Row = TypeVar("Row", TimelapseRow, PictureRow)


@dataclass(frozen=True)
class Of:
    """What a list is narrowed to."""

    printer_id: UUID | None = None
    job_id: UUID | None = None
    attempt_id: UUID | None = None


# -- what people look at -------------------------------------------------------------------------------------------


def readable(kind: type[Row], sight: Sight) -> Select[Row]:
    """The timelapses, or pictures, of the cameras that may be seen."""
    query = select(kind).where(kind.organisation_id == sight.organisation_id)
    query = query if sight.cameras is None else query.where(kind.camera_id.in_(sight.cameras))
    return query if sight.printers is None else query.where(kind.printer_id.in_(sight.printers))


async def find(session: ReadSession | AsyncSession, kind: type[Row], sight: Sight, id_: UUID) -> Row | None:
    return (await session.scalars(readable(kind, sight).where(kind.id == id_))).one_or_none()


async def list_page(
    session: ReadSession, kind: type[Row], sight: Sight, of: Of, *, before: UUID | None, limit: int
) -> Sequence[Row]:
    """Newest first."""
    query = readable(kind, sight).order_by(kind.id.desc()).limit(limit)
    for column, value in (
        (kind.printer_id, of.printer_id),
        (kind.job_id, of.job_id),
        (kind.attempt_id, of.attempt_id),
    ):
        if value is not None:
            query = query.where(column == value)
    return (await session.scalars(query.where(kind.id < before) if before else query)).all()


async def remove(session: AsyncSession, kind: type[Row], ids: Collection[UUID]) -> None:
    await session.execute(delete(kind).where(kind.id.in_(ids)))


# -- what the recorder does ----------------------------------------------------------------------------------------


async def take_duty(session: AsyncSession, name: str, holder: UUID, *, for_s: float) -> bool:
    """Take or renew what one replica does for all; False where another one has it."""
    until = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, for_s)
    statement = insert(DutyRow).values(name=name, holder=holder, until=until)
    statement = statement.on_conflict_do_update(
        index_elements=[DutyRow.name],
        set_={"holder": holder, "until": until},
        where=or_(DutyRow.holder == holder, DutyRow.until < func.clock_timestamp()),
    )
    return await session.scalar(statement.returning(DutyRow.holder)) is not None


async def drop_duty(session: AsyncSession, name: str, holder: UUID) -> None:
    await session.execute(delete(DutyRow).where(DutyRow.name == name, DutyRow.holder == holder))


async def cameras_of(session: ReadSession, printers: Collection[tuple[UUID, UUID]]) -> Sequence[CameraRow]:
    """The cameras of some printers, which are named with their organisations."""
    ids = {printer_id for _organisation_id, printer_id in printers}
    rows = await session.scalars(select(CameraRow).where(CameraRow.printer_id.in_(ids)).order_by(CameraRow.id))
    return [row for row in rows if (row.organisation_id, row.printer_id) in printers]


async def camera(session: ReadSession, camera_id: UUID) -> CameraRow | None:
    return await session.get(CameraRow, camera_id)


async def begin(session: AsyncSession, print_: Print, camera_id: UUID, how: RecordingSettings) -> TimelapseRow:
    """The timelapse of a print by a camera, begun in this way where there is none."""
    values = {
        "id": new_id(),
        "organisation_id": print_.organisation_id,
        "printer_id": print_.printer_id,
        "camera_id": camera_id,
        "job_id": print_.job_id,
        "attempt_id": print_.attempt_id,
        "frame_by": how.timelapse_frame_by,
        "interval_s": how.timelapse_interval_s,
        "state": TimelapseState.RECORDING,
        "started_at": func.clock_timestamp(),
    }
    columns = [TimelapseRow.attempt_id, TimelapseRow.camera_id]
    await session.execute(insert(TimelapseRow).values(values).on_conflict_do_nothing(index_elements=columns))
    query = select(TimelapseRow).where(
        TimelapseRow.attempt_id == print_.attempt_id, TimelapseRow.camera_id == camera_id
    )
    return (await session.scalars(query)).one()


async def in_state(session: ReadSession, state: TimelapseState, *, limit: int) -> Sequence[TimelapseRow]:
    """The oldest in a state that is not final."""
    query = select(TimelapseRow).where(unfinished(), TimelapseRow.state == state)
    return (await session.scalars(query.order_by(TimelapseRow.id).limit(limit))).all()


async def oldest_of_each(session: ReadSession, state: TimelapseState) -> Sequence[TimelapseRow]:
    """The oldest of each organisation in a state that is not final, oldest first."""
    place = func.row_number().over(partition_by=TimelapseRow.organisation_id, order_by=TimelapseRow.id)
    ranked = select(TimelapseRow.id, place.label("place")).where(unfinished(), TimelapseRow.state == state).subquery()
    query = select(TimelapseRow).join(ranked, ranked.c.id == TimelapseRow.id).where(ranked.c.place == 1)
    return (await session.scalars(query.order_by(TimelapseRow.id))).all()


async def moments_of(session: ReadSession, attempt_id: UUID, camera_id: UUID) -> set[str]:
    """Of which moments of a print a camera's pictures are kept already."""
    query = select(PictureRow.moment).where(PictureRow.attempt_id == attempt_id, PictureRow.camera_id == camera_id)
    return set(await session.scalars(query.distinct()))


async def change(session: AsyncSession, timelapse_id: UUID, **values: object) -> bool:
    """Set columns of a timelapse; False where it was deleted."""
    statement = update(TimelapseRow).where(TimelapseRow.id == timelapse_id).values(**values)
    return rows_affected(await session.execute(statement)) > 0


async def begin_rendering_again(session: AsyncSession, timelapse_id: UUID) -> bool:
    """Put a failed timelapse in line; False where it is not failed (any more)."""
    statement = update(TimelapseRow).where(TimelapseRow.id == timelapse_id, TimelapseRow.state == TimelapseState.FAILED)
    values = {"state": TimelapseState.RENDERING, "problem": None, "renders": 0, "progress": 0.0}
    return rows_affected(await session.execute(statement.values(values))) > 0


async def add_picture(
    session: AsyncSession, timelapse: TimelapseRow, *, id_: UUID, moment: str, captured_at: datetime, size_bytes: int
) -> None:
    """Keep a picture of a print; one that is kept already changes nothing."""
    names = ("organisation_id", "printer_id", "camera_id", "job_id", "attempt_id")
    values = {name: getattr(timelapse, name) for name in names}
    statement = insert(PictureRow).values(
        id=id_, moment=moment, captured_at=captured_at, size_bytes=size_bytes, **values
    )
    await session.execute(statement.on_conflict_do_nothing())


# -- what is deleted -----------------------------------------------------------------------------------------------


async def done_with(session: ReadSession, kind: type[Row], *, days: int, limit: int) -> Sequence[UUID]:
    """Finished ones that have been kept for so long, or whose camera was forgotten."""
    has_camera = exists().where(CameraRow.id == kind.camera_id)
    is_old = kind.created_at < func.now() - func.make_interval(0, 0, 0, days)
    query = select(kind.id).where(or_(is_old, ~has_camera))
    if kind is TimelapseRow:
        query = query.where(~unfinished())
    return (await session.scalars(query.limit(limit))).all()


async def timelapses_beyond(session: ReadSession, *, max_bytes: int, limit: int) -> Sequence[UUID]:
    """The oldest finished timelapses of organisations that have more than `max_bytes` of them. What the frames of
    unfinished ones take counts, but no more than half: many prints at once do not push out all that was kept."""
    sum_, organisation_id = func.sum(TimelapseRow.size_bytes), TimelapseRow.organisation_id
    finished = sum_.filter(~unfinished()).over(partition_by=organisation_id, order_by=TimelapseRow.id.desc())
    frames = func.coalesce(sum_.filter(unfinished()).over(partition_by=organisation_id), 0)
    summed = select(
        TimelapseRow.id, unfinished().label("stays"), finished.label("finished"), frames.label("frames")
    ).subquery()
    room = max_bytes - func.least(summed.c.frames, max_bytes // 2)
    query = select(summed.c.id).where(~summed.c.stays, summed.c.finished > room)
    return (await session.scalars(query.order_by(summed.c.id).limit(limit))).all()


async def pictures_beyond(session: ReadSession, *, max_bytes: int, limit: int) -> Sequence[UUID]:
    """The oldest pictures of organisations that have more than `max_bytes` of them."""
    newer = func.sum(PictureRow.size_bytes).over(partition_by=PictureRow.organisation_id, order_by=PictureRow.id.desc())
    summed = select(PictureRow.id, newer.label("total")).subquery()
    query = select(summed.c.id).where(summed.c.total > max_bytes)
    return (await session.scalars(query.order_by(summed.c.id).limit(limit))).all()


async def existing(session: ReadSession, kind: type[Row], ids: Collection[UUID]) -> set[UUID]:
    """Which of these there are."""
    return set(await session.scalars(select(kind.id).where(kind.id.in_(ids))))
