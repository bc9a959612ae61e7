"""The base of the queue's tables, in the schema `queue`."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fluxprint_common.database import metadata_for

SCHEMA = "queue"


class Base(DeclarativeBase):
    # What the database fills in comes back with the statement itself: nothing is loaded later, behind an attribute.
    __mapper_args__ = {"eager_defaults": True}
    metadata = metadata_for(SCHEMA)


def created_at() -> Mapped[datetime]:
    """A moment that the database's clock gives at insertion."""
    return mapped_column(DateTime(timezone=True), server_default=func.now())


def utc_now() -> datetime:
    """Now, for what people read. Leases and deadlines are decided by the database's clock, in SQL."""
    return datetime.now(UTC)


def moment() -> Mapped[datetime | None]:
    """A moment that may not have come yet."""
    return mapped_column(DateTime(timezone=True))
