"""Tables of jobs."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_queue.database import SCHEMA, Base, created_at, moment
from fluxprint_queue.jobs.states import CLAIMABLE, JobState

CLAIMABLE_SQL = "state IN ({}) AND copies_open > 0".format(", ".join(sorted(repr(str(s)) for s in CLAIMABLE)))


class Job(Base):
    """What somebody wants printed.

    `copies_open` counts the copies that are neither printed nor being tried: what a claim may take. It is zero once
    the job was cancelled or has failed, so that no further copy starts.
    """

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint("state IN ({})".format(", ".join(repr(str(s)) for s in JobState)), name="state"),
        CheckConstraint("copies BETWEEN 1 AND 1000", name="copies"),
        CheckConstraint("copies_open >= 0 AND copies_completed >= 0", name="copies_open"),
        CheckConstraint("copies_open + copies_completed <= copies", name="copies_sum"),
        CheckConstraint("priority BETWEEN 0 AND 100", name="priority"),
        # What a claim reads: only waiting jobs stand in it, so its cost does not grow with the finished ones.
        Index("ix_job_claimable", "organisation_id", text("priority DESC"), "id", postgresql_where=text(CLAIMABLE_SQL)),
        Index(None, "organisation_id", "id"),
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
