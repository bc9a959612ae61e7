"""Tables of sessions."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import SCHEMA, Base, created_at, moment, moment_of_insertion, moment_or_never


class EndReason(StrEnum):
    LOGGED_OUT = "logged_out"
    TOKEN_REUSED = "token_reused"  # noqa: S105  (a reason, not a secret)
    MEMBERSHIP_ENDED = "membership_ended"
    ENDED_ELSEWHERE = "ended_elsewhere"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    EMAIL_CHANGED = "email_changed"
    SECOND_FACTOR_RESET = "second_factor_reset"
    ACCOUNT_DISABLED = "account_disabled"
    FINGERPRINT_CHANGED = "fingerprint_changed"


class SessionRow(Base):
    """A person signed in, in one organisation: the family of its refresh tokens.

    Attributes:
        authenticated_at: when the person last proved who they are; a refresh does not change it.
        second_factor: whether a second factor was part of that proof.
        device: what the client said it is, in a few words for the person to recognise it.
        fingerprint: a keyed hash of what is typical of the client; neither agent nor address can be read from it.
        via: `session`, or `outside` for the one that stands for all tokens of a trusted outside issuer.
    """

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
    authenticated_at: Mapped[datetime] = moment_of_insertion()
    second_factor: Mapped[bool] = mapped_column(server_default=false())
    last_used_at: Mapped[datetime] = moment_of_insertion()
    address: Mapped[str | None] = mapped_column(Text)
    device: Mapped[str | None] = mapped_column(Text)
    fingerprint: Mapped[bytes | None] = mapped_column(LargeBinary)
    via: Mapped[str] = mapped_column(Text, server_default="session")
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
        # A session that is used for weeks has thousands of used tokens: its one parent is found without them.
        Index(
            "uq_refresh_token_parent", "session_id", unique=True, postgresql_where=text("successor_nonce IS NOT NULL")
        ),
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
