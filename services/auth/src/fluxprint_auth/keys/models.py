"""The table of signing keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import Base, created_at, encrypted, moment, moment_or_never
from fluxprint_auth.keyring import Purpose


class SigningKeyRow(Base):
    """A key that signs access tokens, from when it is the newest whose time has come.

    Attributes:
        private_key: PEM, encrypted.
        signs_from: it is published before that, so that verifiers know it when its first token comes.
        published_until: when the last token that it may have signed is over; None: no other key follows it yet.
    """

    __tablename__ = "signing_key"
    __table_args__ = (UniqueConstraint("kid"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kid: Mapped[str] = mapped_column(Text)
    private_key: Mapped[bytes] = encrypted(Purpose.SIGNING_KEY)
    created_at: Mapped[datetime] = created_at()
    signs_from: Mapped[datetime] = moment()
    published_until: Mapped[datetime | None] = moment_or_never()
