"""The table of pairings: bridges that ask to be let in."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import SCHEMA, Base, created_at, moment, moment_or_never


class PairingState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"  # the bridge has not fetched its token yet
    DENIED = "denied"
    CONNECTED = "connected"


class PairingRow(Base):
    """A bridge that waits for a person to confirm its code.

    Attributes:
        device_hash: of the secret that only the bridge has.
        user_code: what the person types, without the hyphen.
        expires_at: when the device code is worth nothing any more; moves on when it is approved, and when it is used.
        address, agent: where the request came from, for the person to recognise their own bridge.
        interval_s: how long the bridge has to wait between two polls.
        token_nonce: with the device code it gives the bridge token; neither the one nor the other is of use alone.
    """

    __tablename__ = "bridge_pairing"
    __table_args__ = (
        UniqueConstraint("device_hash"),
        UniqueConstraint("user_code"),
        CheckConstraint("state IN ('pending', 'approved', 'denied', 'connected')", name="state"),
        CheckConstraint("(state IN ('approved', 'connected')) = (bridge_id IS NOT NULL)", name="bridge"),
        CheckConstraint("(state = 'connected') = (token_nonce IS NOT NULL)", name="nonce"),
        Index(None, "organisation_id"),
        Index(None, "bridge_id"),
        Index(None, "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    device_hash: Mapped[bytes] = mapped_column(LargeBinary)
    user_code: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = created_at()
    expires_at: Mapped[datetime] = moment()
    address: Mapped[str] = mapped_column(Text)
    agent: Mapped[str] = mapped_column(Text)
    interval_s: Mapped[int]
    polled_at: Mapped[datetime | None] = moment_or_never()
    organisation_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{SCHEMA}.organisation.id", ondelete="CASCADE"))
    bridge_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{SCHEMA}.bridge.id", ondelete="CASCADE"))
    token_nonce: Mapped[bytes | None] = mapped_column(LargeBinary)
