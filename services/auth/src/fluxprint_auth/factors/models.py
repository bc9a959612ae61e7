"""Tables of second factors."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import SCHEMA, Base, created_at, encrypted, moment, moment_or_never
from fluxprint_auth.keyring import Purpose


class SecondFactorRow(Base):
    """A person's authenticator app: one, and none before it showed a first code.

    Attributes:
        secret: base32, encrypted.
        last_used_step: the period of 30 s whose code was taken last; that one and older ones are refused.
        failures: wrong codes in a row, wherever they were sent.
    """

    __tablename__ = "second_factor"

    user_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.user.id", ondelete="CASCADE"), primary_key=True)
    secret: Mapped[bytes] = encrypted(Purpose.SECOND_FACTOR)
    created_at: Mapped[datetime] = created_at()
    confirmed_at: Mapped[datetime | None] = moment_or_never()
    last_used_step: Mapped[int | None] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(server_default="0")
    last_failed_at: Mapped[datetime | None] = moment_or_never()
    locked_until: Mapped[datetime | None] = moment_or_never()


class RecoveryCodeRow(Base):
    """A code for when the app is lost; good once."""

    __tablename__ = "recovery_code"
    __table_args__ = (UniqueConstraint("user_id", "code_hash", name="uq_recovery_code_code"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.second_factor.user_id", ondelete="CASCADE"))
    code_hash: Mapped[bytes] = mapped_column(LargeBinary)
    used_at: Mapped[datetime | None] = moment_or_never()


class SignInChallengeRow(Base):
    """Somebody's first factor was right; the second is awaited. Deleted when it came, or after too many tries."""

    __tablename__ = "sign_in_challenge"
    __table_args__ = (UniqueConstraint("token_hash"), Index(None, "user_id"), Index(None, "expires_at"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.second_factor.user_id", ondelete="CASCADE"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = moment()
    tries: Mapped[int] = mapped_column(server_default="0")
