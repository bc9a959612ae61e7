"""Tables of jobs."""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, Index, SmallInteger, Text, bindparam, text
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_queue.database import SCHEMA, Base, created_at, moment
from fluxprint_queue.jobs.states import CLAIMABLE, ENDED, OPEN, JobState


def _in_sql(states: Iterable[JobState]) -> str:
    return "state IN ({})".format(", ".join(sorted(repr(str(state)) for state in states)))


CLAIMABLE_SQL = f"{_in_sql(CLAIMABLE)} AND copies_open > 0"


class Job(Base):
    """What somebody wants printed.

    `copies_open` counts the copies that are neither printed nor being tried nor dropped: what a claim may take. It is
    zero once the job was cancelled or has failed, so that no further copy starts.
    """

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint("state IN ({})".format(", ".join(repr(str(s)) for s in JobState)), name="state"),
        CheckConstraint("copies BETWEEN 1 AND 1000", name="copies"),
        CheckConstraint("copies_open >= 0 AND copies_completed >= 0 AND copies_dropped >= 0", name="copies_open"),
        CheckConstraint("copies_open + copies_completed + copies_dropped <= copies", name="copies_sum"),
        CheckConstraint("priority BETWEEN 0 AND 100", name="priority"),
        # What a claim reads: only waiting jobs stand in it, so its cost does not grow with the finished ones.
        Index("ix_job_claimable", "organisation_id", text("priority DESC"), "id", postgresql_where=text(CLAIMABLE_SQL)),
        # The few that have not ended, for whoever looks for them among all.
        Index("ix_job_open", "organisation_id", "id", postgresql_where=text(_in_sql(OPEN))),
        # The others by their state: few may have failed among very many that were printed.
        Index("ix_job_ended", "organisation_id", "state", "id", postgresql_where=text(_in_sql(ENDED))),
        Index(None, "organisation_id", "id"),
        # A client sees only its own.
        Index(None, "organisation_id", "created_by", "id"),
        Index(None, "file_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID]
    file_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.file.id"))
    printer_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{SCHEMA}.printer.id"))
    name: Mapped[str] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(SmallInteger)
    copies: Mapped[int]
    copies_open: Mapped[int]
    copies_completed: Mapped[int] = mapped_column(server_default="0")
    releases: Mapped[int] = mapped_column(server_default="0")
    state: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[UUID]
    created_at: Mapped[datetime] = created_at()
    cancel_requested_at: Mapped[datetime | None] = moment()
    failed_at: Mapped[datetime | None] = moment()
    ended_at: Mapped[datetime | None] = moment()
    copies_dropped: Mapped[int] = mapped_column(server_default="0")


def in_states(states: Collection[JobState]) -> ColumnElement[bool]:
    """Whether a job is in one of these states.

    They are written into the statement: a plan that is kept for any parameters could not use the partial indexes.
    """
    return Job.state.in_(bindparam("states", sorted(states), expanding=True, literal_execute=True, unique=True))
