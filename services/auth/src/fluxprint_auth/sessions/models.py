"""Tables of sessions."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import SCHEMA, Base, created_at, moment, moment_or_never


class EndReason(StrEnum):
    LOGGED_OUT = "logged_out"
    TOKEN_REUSED = "token_reused"  # noqa: S105  (a reason, not a secret)
    MEMBERSHIP_ENDED = "membership_ended"


class SessionRow(Base):
    """A person signed in, in one organisation: the family of its refresh tokens."""

    __tablename__ = "session"
    __table_args__ = (
        CheckConstraint("end_reason IN ({})".format(", ".join(repr(str(r)) for r in EndReason)), name="end_reason"),
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="ended"),
        Index(None, "user_id"),
        Index(None, "organisation_id"),
        Index(None, "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.user.id", ondelete="CASCADE"))
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.organisation.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = created_at()
    expires_at: Mapped[datetime] = moment()
    ended_at: Mapped[datetime | None] = moment_or_never()
    end_reason: Mapped[str | None] = mapped_column(Text)


class RefreshTokenRow(Base):
    """One refresh token of a session, known by its hash only.

    The one with `rotated_at` null is current. `successor_nonce` lets whoever holds a token that was just rotated
    compute its successor again; it is cleared as soon as that successor is used.
    """

    __tablename__ = "refresh_token"
    __table_args__ = (
        UniqueConstraint("token_hash"),
        Index("uq_refresh_token_current", "session_id", unique=True, postgresql_where=text("rotated_at IS NULL")),
        Index(None, "session_id"),
        Index(None, "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.session.id", ondelete="CASCADE"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = created_at()
    expires_at: Mapped[datetime] = moment()
    rotated_at: Mapped[datetime | None] = moment_or_never()
    successor_nonce: Mapped[bytes | None] = mapped_column(LargeBinary)
