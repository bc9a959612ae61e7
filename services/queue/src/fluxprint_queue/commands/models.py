"""Tables of commands."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_queue.commands.states import CommandKind, CommandState
from fluxprint_queue.database import SCHEMA, Base, created_at, moment


class Command(Base):
    """An order for a print that runs: durable, with a deadline and a result."""

    __tablename__ = "command"
    __table_args__ = (
        CheckConstraint("kind IN ({})".format(", ".join(repr(str(k)) for k in CommandKind)), name="kind"),
        CheckConstraint("state IN ({})".format(", ".join(repr(str(s)) for s in CommandState)), name="state"),
        Index("uq_command_pending", "attempt_id", "kind", unique=True, postgresql_where=text("state = 'pending'")),
        Index("ix_command_pending_printer", "printer_id", "id", postgresql_where=text("state = 'pending'")),
        Index(None, "organisation_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID]
    printer_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.printer.id"))
    attempt_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.attempt.id"))
    kind: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[UUID]
    created_at: Mapped[datetime] = created_at()
    deadline_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = moment()
