"""The journal's page of files that stand in OctoPrint, or are on their way there, before an attempt has claimed them.

A row is written before the first byte goes out, so that what a killed process left is known to the next one.
"""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

SCHEMA = """
CREATE TABLE IF NOT EXISTS staged (
    attempt_id TEXT PRIMARY KEY, printer_id TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL, sha1 TEXT, unwanted INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_staged ON staged (printer_id) WHERE unwanted = 0;
"""
_COLUMNS = "attempt_id, path, sha256, size_bytes, sha1, unwanted"
#: An attempt that has claimed it owns it.
_UNCLAIMED = "attempt_id NOT IN (SELECT id FROM attempt)"

T = TypeVar("T")


class Pages(Protocol):
    """The part of the journal that this needs."""

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T: ...
    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T: ...


@dataclass(frozen=True)
class StagedFile:
    """A file under the id that an attempt may get. `sha1` is None until OctoPrint was seen to hold all of it."""

    attempt_id: str
    path: str
    sha256: str
    size_bytes: int
    sha1: str | None = None
    unwanted: bool = False  #: it is being removed


@dataclass(frozen=True)
class Past:
    """What the journal knows of an attempt's file: whether nobody needs it any more, and since when."""

    is_over: bool
    at: float  #: seconds since 1970


class Shelf:
    """The staged files of one printer: at most one that is wanted, and those that are to be removed."""

    def __init__(self, journal: Pages, printer_id: str) -> None:
        self._journal = journal
        self._printer_id = printer_id

    async def file(self) -> StagedFile | None:
        """The file that waits for its claim, whole or not."""
        found = await self._select(f"unwanted = 0 AND printer_id = ? AND {_UNCLAIMED}", self._printer_id)
        return found[0] if found else None

    async def of_attempt(self, attempt_id: str) -> StagedFile | None:
        """What was staged for an attempt that has claimed it since."""
        found = await self._select("attempt_id = ?", attempt_id)
        return found[0] if found else None

    async def unclaimed(self) -> list[StagedFile]:
        """All files, wanted or not, that no attempt has: whoever printed one of them did it by hand."""
        return await self._select(f"printer_id = ? AND {_UNCLAIMED}", self._printer_id)

    async def unwanted(self) -> list[StagedFile]:
        """What is to be removed from OctoPrint."""
        return await self._select("unwanted = 1 AND printer_id = ?", self._printer_id)

    async def put(self, file: StagedFile) -> None:
        """Note a file before its first byte goes out; what was claimed meanwhile is none of the shelf's any more."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(f"DELETE FROM staged WHERE printer_id = ? AND NOT {_UNCLAIMED}", (self._printer_id,))  # noqa: S608
            db.execute(
                "INSERT INTO staged (attempt_id, printer_id, path, sha256, size_bytes, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (file.attempt_id, self._printer_id, file.path, file.sha256, file.size_bytes, time.time()),
            )

        await self._journal.write(work)

    async def whole(self, attempt_id: str, *, sha1: str) -> None:
        """Note that OctoPrint holds all of it."""
        await self._journal.write(
            lambda db: db.execute("UPDATE staged SET sha1 = ? WHERE attempt_id = ?", (sha1, attempt_id))
        )

    async def discard(self, attempt_id: str) -> None:
        """Note that a file is to be removed."""
        await self._journal.write(
            lambda db: db.execute("UPDATE staged SET unwanted = 1 WHERE attempt_id = ?", (attempt_id,))
        )

    async def discard_cut(self) -> None:
        """Note that what another process had not finished is to be removed: it may be half of a file."""
        await self._journal.write(
            lambda db: db.execute("UPDATE staged SET unwanted = 1 WHERE printer_id = ? AND sha1 IS NULL",
                                  (self._printer_id,))
        )  # fmt: skip

    async def forget(self, attempt_id: str) -> None:
        """A file is removed, or somebody else's business."""
        await self._journal.write(lambda db: db.execute("DELETE FROM staged WHERE attempt_id = ?", (attempt_id,)))

    async def past(self, attempt_id: str) -> Past | None:
        """Whether the file of an attempt may go: it has ended, and the queue knows. None where the journal is empty."""

        def query(db: sqlite3.Connection) -> Past | None:
            row = db.execute(
                "SELECT state = 'ended' AND NOT EXISTS (SELECT 1 FROM report r WHERE r.attempt_id = a.id AND"
                " r.delivered = 0), updated_at FROM attempt a WHERE id = ?"
                " UNION ALL SELECT 0, created_at FROM staged WHERE attempt_id = ? LIMIT 1",
                (attempt_id, attempt_id),
            ).fetchone()
            return Past(bool(row[0]), row[1]) if row else None

        return await self._journal.read(query)

    async def _select(self, where: str, value: str) -> list[StagedFile]:
        query = f"SELECT {_COLUMNS} FROM staged WHERE {where} ORDER BY created_at"  # noqa: S608

        def rows(db: sqlite3.Connection) -> list[StagedFile]:
            return [
                StagedFile(attempt_id, path, sha256, size_bytes, sha1, bool(unwanted))
                for attempt_id, path, sha256, size_bytes, sha1, unwanted in db.execute(query, (value,))
            ]

        return await self._journal.read(rows)
