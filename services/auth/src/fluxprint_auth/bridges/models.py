"""Tables of bridge identities."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import SCHEMA, Base, created_at, moment, moment_or_never


class BridgeRow(Base):
    """A bridge that may work for an organisation until it is revoked. Its token is known by its hash only.

    Attributes:
        token_hash: None for one that was approved and has not fetched its token yet.
        instance: the process that exchanged the token last, as it named itself; empty where it does not.
        used_twice_at: when it was last noticed that two processes use the token.
    """

    __tablename__ = "bridge"
    __table_args__ = (
        UniqueConstraint("token_hash"),
        Index(None, "organisation_id", "id"),
        Index(
            "uq_bridge_name",
            "organisation_id",
            text("lower(name)"),
            unique=True,
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.organisation.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_by: Mapped[UUID]
    created_at: Mapped[datetime] = created_at()
    last_used_at: Mapped[datetime | None] = moment_or_never()
    last_used_address: Mapped[str | None] = mapped_column(Text)
    instance: Mapped[str | None] = mapped_column(Text)
    used_twice_at: Mapped[datetime | None] = moment_or_never()
    revoked_at: Mapped[datetime | None] = moment_or_never()


class BridgeInstanceRow(Base):
    """A process that used a bridge's token. One that comes back after another one took over runs beside it."""

    __tablename__ = "bridge_instance"

    bridge_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.bridge.id", ondelete="CASCADE"), primary_key=True)
    instance: Mapped[str] = mapped_column(Text, primary_key=True)
    last_used_at: Mapped[datetime] = moment()
