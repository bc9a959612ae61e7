"""Everything that the keyring encrypted, encrypted anew with the current secret."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column, LargeBinary, Table, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.database import ENCRYPTED_FOR
from fluxprint_auth.keyring import Keyring, Purpose, Unreadable
from fluxprint_auth.models import metadata
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_common.database import Database

BATCH = 200


@dataclass(frozen=True)
class Counts:
    """How many values were what."""

    renewed: int = 0
    current: int = 0
    unreadable: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts(self.renewed + other.renewed, self.current + other.current, self.unreadable + other.unreadable)


def encrypted_columns() -> Iterator[tuple[Column[Any], Purpose]]:
    """Every column whose content the keyring encrypted: the tables say so themselves."""
    for table in metadata.sorted_tables:
        for column in table.columns:
            if ENCRYPTED_FOR in column.info:
                assert isinstance(column.type, LargeBinary)  # noqa: S101  (`database.encrypted` made it)
                yield column, column.info[ENCRYPTED_FOR]


async def renew(database: Database, keyring: Keyring) -> Counts:
    """Encrypt anew what the current secret did not encrypt. It may be run again at any time, and while people work.

    In batches, each a short transaction of its own; what can't be read is counted and left as it is.
    """
    counts = Counts()
    for column, purpose in encrypted_columns():
        last: Sequence[Any] | None = None
        while True:
            async with database.unit_of_work() as session:
                done, last = await _renew_batch(session, keyring, column, purpose, after=last)
            counts = counts.plus(done)
            if last is None:
                break
    async with database.unit_of_work() as session:
        event = SecurityEvent.SECRETS_RENEWED
        record(session, event, client=None, renewed=counts.renewed, unreadable=counts.unreadable)
    return counts


async def _renew_batch(
    session: AsyncSession, keyring: Keyring, column: Column[Any], purpose: Purpose, *, after: Sequence[Any] | None
) -> tuple[Counts, Sequence[Any] | None]:
    """One batch, and the primary key of its last row; None where it was the last batch."""
    table = column.table
    assert isinstance(table, Table)  # noqa: S101  (of our own metadata)
    key = list(table.primary_key.columns)
    statement = select(*key, column).where(column.is_not(None)).order_by(*key).limit(BATCH).with_for_update()
    if after is not None:
        statement = statement.where(tuple_(*key) > tuple_(*after))
    counts = Counts()
    rows = (await session.execute(statement)).all()
    for *identity, encrypted in rows:
        if keyring.is_current(purpose, encrypted):
            counts = replace(counts, current=counts.current + 1)
            continue
        try:
            renewed = keyring.renew(purpose, encrypted)
        except Unreadable:
            counts = replace(counts, unreadable=counts.unreadable + 1)
            continue
        where = [part == value for part, value in zip(key, identity, strict=True)]
        await session.execute(update(table).where(*where).values({column: renewed}))
        counts = replace(counts, renewed=counts.renewed + 1)
    return counts, rows[-1][:-1] if len(rows) == BATCH else None
