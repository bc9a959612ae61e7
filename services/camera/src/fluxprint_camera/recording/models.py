"""Tables of recordings."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    DateTime,
    Float,
    Index,
    Text,
    UniqueConstraint,
    bindparam,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_camera.database import Base
from fluxprint_camera.recording.settings import FrameBy


class TimelapseState(StrEnum):
    """`rendering`: also while others are rendered first."""

    RECORDING = "recording"
    RENDERING = "rendering"
    READY = "ready"
    FAILED = "failed"
    EMPTY = "empty"


class Moment(StrEnum):
    """What of a print a picture shows."""

    START = "start"
    END = "end"
    BEFORE_FAILURE = "before_failure"
    FAILURE = "failure"


UNFINISHED = frozenset({TimelapseState.RECORDING, TimelapseState.RENDERING})


def _one_of(column: str, values: type[TimelapseState] | type[Moment] | type[FrameBy]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


class TimelapseRow(Base):
    """One camera's timelapse of one attempt; its files are found by its id.

    Attributes:
        frame_by, interval_s: how it was begun; None: by a version that did not write it down.
        problem: why something of it is missing, a stable code.
        outcome: what became of the print.
        progress: 0 to 1, of the rendering.
        renders: how often it was begun to be rendered, since somebody asked for it.
        size_bytes: of the video; of the frames until there is one.
        duration_s: how long the video plays.
    """

    __tablename__ = "timelapse"
    __table_args__ = (
        UniqueConstraint("attempt_id", "camera_id"),
        CheckConstraint(_one_of("state", TimelapseState), name="state"),
        CheckConstraint(_one_of("frame_by", FrameBy), name="frame_by"),
        CheckConstraint("(frame_by IS NULL) = (interval_s IS NULL)", name="interval_s"),
        Index(None, "organisation_id", "id"),
        Index("ix_timelapse_unfinished", "id", postgresql_where=text("state IN ('recording', 'rendering')")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID]
    printer_id: Mapped[UUID]
    camera_id: Mapped[UUID]
    job_id: Mapped[UUID]
    attempt_id: Mapped[UUID]
    frame_by: Mapped[str | None] = mapped_column(Text)
    interval_s: Mapped[float | None] = mapped_column(Float)
    state: Mapped[str] = mapped_column(Text)
    problem: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(Text)
    frames: Mapped[int] = mapped_column(server_default="0")
    progress: Mapped[float] = mapped_column(Float, server_default="0")
    renders: Mapped[int] = mapped_column(server_default="0")
    size_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    duration_s: Mapped[float | None] = mapped_column(Float)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ready_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


def unfinished() -> ColumnElement[bool]:
    """Whether a timelapse is still worked on; written out, so that the partial index is used."""
    values = sorted(UNFINISHED)
    states = bindparam("states", values, type_=Text, expanding=True, literal_execute=True, unique=True)
    return TimelapseRow.state.in_(states)


class PictureRow(Base):
    """A picture that is kept as evidence of a print; its file is found by its id."""

    __tablename__ = "picture"
    __table_args__ = (
        CheckConstraint(_one_of("moment", Moment), name="moment"),
        Index(None, "organisation_id", "id"),
        Index(None, "attempt_id", "camera_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID]
    printer_id: Mapped[UUID]
    camera_id: Mapped[UUID]
    job_id: Mapped[UUID]
    attempt_id: Mapped[UUID]
    moment: Mapped[str] = mapped_column(Text)
    captured_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class DutyRow(Base):
    """What one replica does for all: who has it, and until when unless it is renewed."""

    __tablename__ = "duty"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    holder: Mapped[UUID]
    until: Mapped[datetime] = mapped_column(DateTime(timezone=True))
