"""The table of security events."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import Base, created_at


class SecurityEventRow(Base):
    """Append-only, by the rights of the service's database role. Outlives what it speaks of: no foreign keys."""

    __tablename__ = "security_events"
    __table_args__ = (
        CheckConstraint("outcome IN ('success', 'failure')", name="outcome"),
        Index(None, "organisation_id", "id"),
        Index(None, "user_id", "id"),
        Index(None, "actor_id", "id"),
        Index(None, "organisation_id", "type", "id"),
        Index(None, "type", "id"),
        Index("ix_security_events_failure", "organisation_id", "id", postgresql_where=text("outcome = 'failure'")),
        Index(None, "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = created_at()
    outcome: Mapped[str] = mapped_column(Text, server_default="success")
    reason: Mapped[str | None] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(Text)
    agent: Mapped[str | None] = mapped_column(Text)
    organisation_id: Mapped[UUID | None]
    actor_id: Mapped[UUID | None]
    user_id: Mapped[UUID | None]
    session_id: Mapped[UUID | None]
    bridge_id: Mapped[UUID | None]
    data: Mapped[dict[str, object]] = mapped_column(JSONB)
