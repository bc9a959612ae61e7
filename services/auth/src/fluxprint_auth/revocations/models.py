"""The table of revocations."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import Base, created_at, moment, moment_or_never


class RevocationRow(Base):
    """Access tokens that are refused although they are genuine and young enough.

    Attributes:
        id: in the order of insertion, by the database; services ask for what came after the last one that they saw.
        sid: of the tokens: the id of a session, an API key or a bridge; or of a person, for what they shared.
        made_before: tokens made until then are refused; null: all of them, for this will never get another one.
        expires_at: when the last token that this refuses has ended by itself.
    """

    __tablename__ = "revocation"
    __table_args__ = (Index(None, "sid"), Index(None, "expires_at"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    sid: Mapped[UUID]
    made_before: Mapped[datetime | None] = moment_or_never()
    created_at: Mapped[datetime] = created_at()
    expires_at: Mapped[datetime] = moment()
