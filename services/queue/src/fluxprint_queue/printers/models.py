"""Tables of printers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_queue.database import Base, created_at, moment
from fluxprint_queue.printers.states import BedState, Connection


def _one_of(column: str, values: type[BedState] | type[Connection]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


class Printer(Base):
    """A printer behind a bridge.

    `version` counts changes that people make, for ETags; telemetry does not touch it.
    """

    __tablename__ = "printer"
    __table_args__ = (
        CheckConstraint(_one_of("bed_state", BedState), name="bed_state"),
        CheckConstraint(_one_of("connection", Connection), name="connection"),
        Index(None, "organisation_id", "id"),
        Index(None, "bridge_id"),
        Index(
            "uq_printer_name",
            "organisation_id",
            text("lower(name)"),
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID]
    bridge_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    enabled: Mapped[bool]
    version: Mapped[int] = mapped_column(server_default="1")
    bed_state: Mapped[str] = mapped_column(Text)
    bed_attempt_id: Mapped[UUID | None]
    bed_changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    connection: Mapped[str] = mapped_column(Text, server_default=Connection.OFFLINE)
    connection_since: Mapped[datetime | None] = moment()
    telemetry: Mapped[dict[str, object] | None] = mapped_column(JSONB)
    last_seen_at: Mapped[datetime | None] = moment()
    created_at: Mapped[datetime] = created_at()
    deleted_at: Mapped[datetime | None] = moment()
