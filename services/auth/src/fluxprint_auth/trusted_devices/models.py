"""The table of trusted devices."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import SCHEMA, Base, created_at, moment


class TrustedDeviceRow(Base):
    """A device that somebody signed in with: strangers who guess at the account don't lock it out.

    Attributes:
        token_hash: of the `fxd_` token that the device keeps.
        network: the address range that it last signed in from.
    """

    __tablename__ = "trusted_device"
    __table_args__ = (UniqueConstraint("token_hash"), Index(None, "user_id"), Index(None, "expires_at"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.user.id", ondelete="CASCADE"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    network: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = created_at()
    last_used_at: Mapped[datetime] = moment()
    expires_at: Mapped[datetime] = moment()
