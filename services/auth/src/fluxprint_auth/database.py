"""The base of the auth service's tables, in the schema `auth`."""

from datetime import datetime

from sqlalchemy import DateTime, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fluxprint_common.database import metadata_for

SCHEMA = "auth"


class Base(DeclarativeBase):
    metadata = metadata_for(SCHEMA)


def created_at() -> Mapped[datetime]:
    """A moment that the database's clock gives at insertion."""
    return mapped_column(DateTime(timezone=True), server_default=func.now())


def moment() -> Mapped[datetime]:
    """A moment that somebody gives."""
    return mapped_column(DateTime(timezone=True))


def moment_or_never() -> Mapped[datetime | None]:
    """A moment that may not have come yet."""
    return mapped_column(DateTime(timezone=True))
