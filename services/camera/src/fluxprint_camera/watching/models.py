"""Tables of watching."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Float, ForeignKey, Index, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_camera.database import SCHEMA, Base
from fluxprint_camera.watching.kinds import Action, Kind, Verdict

_LOOKS = (Action.OFF, Action.NOTIFY)


def _one_of(column: str, values: type[StrEnum] | tuple[StrEnum, ...]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


class WatchPolicy(Base):
    """What is watched for, and what is done: an organisation's, or of one printer of it instead.

    `updated_by` is who answers for it: a pause is ordered in that person's name.
    """

    __tablename__ = "watch_policy"
    __table_args__ = (
        UniqueConstraint("organisation_id", "printer_id", postgresql_nulls_not_distinct=True),
        CheckConstraint(
            " AND ".join(
                [_one_of(kind, _LOOKS) for kind in ("frozen", "black", "no_picture")] + [_one_of("failure", Action)]
            ),
            name="actions",
        ),
        CheckConstraint("0 <= leave_score AND leave_score <= enter_score AND enter_score <= 1", name="scores"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID]
    printer_id: Mapped[UUID | None]
    frozen: Mapped[str] = mapped_column(Text)
    black: Mapped[str] = mapped_column(Text)
    no_picture: Mapped[str] = mapped_column(Text)
    failure: Mapped[str] = mapped_column(Text)
    enter_score: Mapped[float] = mapped_column(Float)
    leave_score: Mapped[float] = mapped_column(Float)
    enter_after_s: Mapped[int]
    leave_after_s: Mapped[int]
    updated_by: Mapped[UUID]
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Sighting(Base):
    """When a camera's pictures last came, to whichever replica has its bridge: each of them may miss them."""

    __tablename__ = "sighting"

    camera_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.camera.id", ondelete="CASCADE"), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Decision(Base):
    """Trouble that was seen, with everything that it was decided by. Open until the trouble is over.

    `value` and `threshold` are of the measure that crossed: the share of the picture that changed, its light, seconds
    without a picture, a score. `told_at` and `end_told_at` are when the queue service heard of it and of its end.
    """

    __tablename__ = "decision"
    __table_args__ = (
        CheckConstraint(_one_of("kind", Kind), name="kind"),
        CheckConstraint(_one_of("action", (Action.NOTIFY, Action.PAUSE)), name="action"),
        CheckConstraint(_one_of("verdict", Verdict), name="verdict"),
        CheckConstraint("action = 'notify' OR attempt_id IS NOT NULL", name="attempt"),
        # Of two replicas that see the same trouble one says so ...
        Index("uq_decision_open", "camera_id", "kind", unique=True, postgresql_where=text("ended_at IS NULL")),
        # ... and a print is paused once: whoever lets it go on has looked at it. Nobody has where nothing was ordered.
        Index(
            "uq_decision_pause_ordered",
            "attempt_id",
            unique=True,
            postgresql_where=text(
                "action = 'pause' AND (outcome IS NULL OR outcome IN ('pause_ordered', 'not_printing'))"
            ),
        ),
        Index(
            "ix_decision_untold",
            "id",
            postgresql_where=text("told_at IS NULL OR (ended_at IS NOT NULL AND end_told_at IS NULL)"),
        ),
        Index(
            "ix_decision_picture",
            "organisation_id",
            "id",
            postgresql_include=["picture_bytes"],
            postgresql_where=text("picture IS NOT NULL"),
        ),
        Index(None, "organisation_id", "id"),
        Index(None, "camera_id", "id"),
        Index(None, "attempt_id", "id"),
        Index(None, "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID]
    printer_id: Mapped[UUID]
    camera_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.camera.id", ondelete="CASCADE"))
    attempt_id: Mapped[UUID | None]
    job_id: Mapped[UUID | None]
    kind: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    ordered_by: Mapped[UUID | None]
    outcome: Mapped[str | None] = mapped_column(Text)
    value: Mapped[float] = mapped_column(Float)
    threshold: Mapped[float] = mapped_column(Float)
    label: Mapped[str | None] = mapped_column(Text)
    scores: Mapped[dict[str, float] | None] = mapped_column(JSONB)
    model: Mapped[str | None] = mapped_column(Text)
    model_version: Mapped[str | None] = mapped_column(Text)
    picture: Mapped[str | None] = mapped_column(Text)
    picture_bytes: Mapped[int] = mapped_column(server_default="0")
    captured_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    told_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    end_reason: Mapped[str | None] = mapped_column(Text)
    end_told_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    verdict: Mapped[str | None] = mapped_column(Text)
    verdict_by: Mapped[UUID | None]
    verdict_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
