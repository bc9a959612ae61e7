"""Tables of accounts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import Base, created_at, moment, moment_or_never


class UserRow(Base):
    """A person. `email` is normalised, so that equal addresses are equal text.

    Without `password_hash` they sign in elsewhere.
    """

    __tablename__ = "user"
    __table_args__ = (UniqueConstraint("email"), CheckConstraint("email = lower(email)", name="email_lower"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str | None] = mapped_column(Text)
    is_administrator: Mapped[bool]
    created_at: Mapped[datetime] = created_at()
    email_verified_at: Mapped[datetime | None] = moment_or_never()
    disabled_at: Mapped[datetime | None] = moment_or_never()


class LoginThrottleRow(Base):
    """Failed logins with one address, whether it has an account or not: a lockout must not tell."""

    __tablename__ = "login_throttle"
    __table_args__ = (Index(None, "last_failed_at"),)

    account_key: Mapped[str] = mapped_column(Text, primary_key=True)
    failures: Mapped[int]
    last_failed_at: Mapped[datetime] = moment()
    locked_until: Mapped[datetime | None] = moment_or_never()
