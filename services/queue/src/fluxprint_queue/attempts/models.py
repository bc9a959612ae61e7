"""Tables of attempts."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    DateTime,
    ForeignKey,
    Index,
    Sequence,
    Text,
    bindparam,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_common.ids import show
from fluxprint_queue.attempts.states import DROPPED, LIVE, RESTED, VANISHED, AttemptState, ReportKind
from fluxprint_queue.database import SCHEMA, Base, created_at, moment

#: Fences grow with each claim and adoption, over all printers.
FENCE = Sequence("fence", schema=SCHEMA, metadata=Base.metadata)


def states_sql(states: frozenset[AttemptState]) -> str:
    """A SQL list of states, for partial indexes."""
    return "({})".format(", ".join(sorted(repr(str(state)) for state in states)))


def _released_sql(reasons: frozenset[str]) -> str:
    return "state = 'released' AND reason IN ({})".format(", ".join(sorted(map(repr, reasons))))


RESTED_SQL, VANISHED_SQL = _released_sql(RESTED), _released_sql(VANISHED)


class Attempt(Base):
    """One physical try of one copy on one printer."""

    __tablename__ = "attempt"
    __table_args__ = (
        CheckConstraint("state IN ({})".format(", ".join(repr(str(s)) for s in AttemptState)), name="state"),
        # The database, not an `if`, forbids a second live attempt on a printer ...
        Index(
            "uq_attempt_live_printer", "printer_id", unique=True, postgresql_where=text(f"state IN {states_sql(LIVE)}")
        ),
        # ... and a second print of a copy.
        Index(
            "uq_attempt_copy", "job_id", "copy_number", unique=True,
            postgresql_where=text(f"state IN {states_sql(LIVE | {AttemptState.COMPLETED})}"),
        ),
        Index("ix_attempt_leased", "lease_expires_at", postgresql_where=text("state = 'claimed'")),
        # The copies of a job that are given up: however often others were tried, a claim reads only these and the live.
        Index("ix_attempt_dropped", "job_id", "copy_number", postgresql_where=text(f"reason = '{DROPPED}'")),
        # What a claim asks of each job it comes across: a job may have been given back a thousand times.
        Index("ix_attempt_rested", "job_id", "printer_id", postgresql_where=text(RESTED_SQL)),
        Index(None, "job_id", "id"),
        Index(None, "organisation_id", "id"),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID]
    job_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.job.id"))
    printer_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.printer.id"))
    bridge_id: Mapped[UUID]
    journal_id: Mapped[UUID]
    copy_number: Mapped[int]
    state: Mapped[str] = mapped_column(Text)
    fence: Mapped[int] = mapped_column(BigInteger, FENCE, server_default=FENCE.next_value())
    lease_expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    reason: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)
    evidence: Mapped[dict[str, object] | None] = mapped_column(JSONB)
    created_at: Mapped[datetime] = created_at()
    permitted_at: Mapped[datetime | None] = moment()
    started_at: Mapped[datetime | None] = moment()
    ended_at: Mapped[datetime | None] = moment()
    resolved_by: Mapped[UUID | None]
    unknown_at: Mapped[datetime | None] = moment()

    @property
    def pictures_path(self) -> str:
        """Where the camera service shows what was seen of it."""
        return f"/api/v1/cameras/pictures?attempt_id={show('attempt', self.id)}"

    @property
    def timelapses_path(self) -> str:
        return f"/api/v1/cameras/timelapses?attempt_id={show('attempt', self.id)}"


def in_states(states: Collection[AttemptState]) -> ColumnElement[bool]:
    """Whether an attempt is in one of these states.

    They are written into the statement: a plan that is kept for any parameters could not use the partial indexes.
    """
    return Attempt.state.in_(bindparam("states", sorted(states), expanding=True, literal_execute=True, unique=True))


class AttemptReport(Base):
    """A report that was taken in: a repeated one is acknowledged and changes nothing."""

    __tablename__ = "attempt_report"
    __table_args__ = (CheckConstraint("kind IN ({})".format(", ".join(repr(str(k)) for k in ReportKind)), name="kind"),)

    attempt_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.attempt.id"), primary_key=True)
    report_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    accepted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
