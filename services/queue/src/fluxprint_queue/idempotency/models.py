"""The table of answered idempotency keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_queue.database import Base, created_at


class IdempotencyKey(Base):
    """The answer to a request, kept so that a repetition gets the same one."""

    __tablename__ = "idempotency_key"
    __table_args__ = (Index(None, "created_at"),)

    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    operation: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    body_sha256: Mapped[str] = mapped_column(Text)
    answer: Mapped[dict[str, object]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = created_at()
