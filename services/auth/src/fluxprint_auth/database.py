"""The base of the auth service's tables, in the schema `auth`."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, LargeBinary, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedColumn, mapped_column

from fluxprint_auth.keyring import Purpose
from fluxprint_common.database import metadata_for

SCHEMA = "auth"
ENCRYPTED_FOR = "encrypted_for"


class Base(DeclarativeBase):
    metadata = metadata_for(SCHEMA)


def moment_of_insertion() -> Mapped[datetime]:
    """A moment that the database's clock gives at insertion, where nobody gives another."""
    return mapped_column(DateTime(timezone=True), server_default=func.now())


created_at = moment_of_insertion


def moment() -> Mapped[datetime]:
    """A moment that somebody gives."""
    return mapped_column(DateTime(timezone=True))


def moment_or_never() -> Mapped[datetime | None]:
    """A moment that may not have come yet."""
    return mapped_column(DateTime(timezone=True))


def encrypted(purpose: Purpose) -> MappedColumn[Any]:
    """What the keyring encrypted for that purpose: `tokens: Mapped[bytes | None] = encrypted(Purpose.PROVIDER_TOKENS)`.

    The column says so, so that `renew-secrets` finds every one of them.
    """
    return mapped_column(LargeBinary, info={ENCRYPTED_FOR: purpose})


async def transaction_time(session: AsyncSession) -> datetime:
    """The moment at which this transaction began, by the database's clock, which decides what has expired."""
    return (await session.execute(select(func.now()))).scalar_one()
