"""Tables of identities that a trusted outside issuer vouches for."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import SCHEMA, Base, created_at, moment, moment_of_insertion


class OutsideIdentityRow(Base):
    """Somebody whom a trusted outside issuer knows, and who they are here. Only issuer and subject link them.

    Attributes:
        newest_issued_at: when the youngest of their tokens that was seen was made: what an older one says of their role
            is not true any more.
    """

    __tablename__ = "outside_identity"
    __table_args__ = (UniqueConstraint("issuer", "subject", name="uq_outside_identity_subject"), Index(None, "user_id"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    issuer: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.user.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = created_at()
    newest_issued_at: Mapped[datetime] = moment()
    last_seen_at: Mapped[datetime] = moment_of_insertion()
