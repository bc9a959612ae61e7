"""The table of events: every transition leaves a row, in its own transaction."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_queue.database import Base, created_at


class EventRow(Base):
    """Append-only. `sequence` grows in the order of commits (see events/repository.py)."""

    __tablename__ = "event"
    __table_args__ = (
        Index(None, "organisation_id", "sequence"),
        Index(None, "organisation_id", "type", "sequence"),
    )

    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    id: Mapped[UUID]
    organisation_id: Mapped[UUID]
    type: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    printer_id: Mapped[UUID | None]
    data: Mapped[dict[str, object]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = created_at()
