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
    """Failed logins with one address from one place, whether it has an account or not: a lockout must not tell.

    Attributes:
        account_key: a hash of the address and of where the failures came from (`accounts/lockout.py`).
        account: a hash of the address alone, by which an account is unlocked; None for what counts over all accounts.
        began_at: since when failures are counted, where they are counted over a time that doesn't move.
    """

    __tablename__ = "login_throttle"
    __table_args__ = (Index(None, "last_failed_at"), Index(None, "account"))

    account_key: Mapped[str] = mapped_column(Text, primary_key=True)
    account: Mapped[str | None] = mapped_column(Text)
    failures: Mapped[int]
    began_at: Mapped[datetime | None] = moment_or_never()
    last_failed_at: Mapped[datetime] = moment()
    locked_until: Mapped[datetime | None] = moment_or_never()
