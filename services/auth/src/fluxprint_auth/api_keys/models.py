"""Tables of API keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import SCHEMA, Base, created_at, moment_or_never


class ApiKeyRow(Base):
    """A key that speaks for the person who made it, in one organisation, known by its hash only.

    Attributes:
        hint: its last characters, for people to tell it from others.
        scopes: what it may do at most; what its maker may do at that moment bounds it as well.
        printer_ids: the only printers that it is good for; null: all that its maker's role may see.
    """

    __tablename__ = "api_key"
    __table_args__ = (
        UniqueConstraint("token_hash"),
        CheckConstraint("cardinality(scopes) > 0", name="scopes"),
        CheckConstraint("cardinality(printer_ids) > 0", name="printers"),
        Index(None, "organisation_id", "id"),
        Index(None, "user_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.organisation.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.user.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    hint: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    printer_ids: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    created_at: Mapped[datetime] = created_at()
    expires_at: Mapped[datetime | None] = moment_or_never()
    last_used_at: Mapped[datetime | None] = moment_or_never()
    last_used_address: Mapped[str | None] = mapped_column(Text)
    revoked_at: Mapped[datetime | None] = moment_or_never()
