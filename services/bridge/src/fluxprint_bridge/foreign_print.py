"""The journal's page of the last print of each printer that was not ours: whether the queue knows of it, and until when
all such prints were noticed."""

import sqlite3
from dataclasses import dataclass

from fluxprint_bridge.staged import Pages

SCHEMA = """
CREATE TABLE IF NOT EXISTS foreign_print (
    printer_id TEXT PRIMARY KEY, file_name TEXT NOT NULL, run TEXT NOT NULL, delivered INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS looked (printer_id TEXT PRIMARY KEY, until REAL NOT NULL) STRICT;
"""
RUNNING, OVER = "running", "over"  #: runs of which no more is known


@dataclass(frozen=True)
class ForeignPrint:
    """A print that is not ours. `run` tells one run of a file from the next."""

    file_name: str
    run: str
    delivered: bool


class ForeignPrints:
    """Those of one printer."""

    def __init__(self, journal: Pages, printer_id: str) -> None:
        self._journal = journal
        self._printer_id = printer_id

    async def last(self) -> ForeignPrint | None:
        def query(db: sqlite3.Connection) -> ForeignPrint | None:
            row = db.execute(
                "SELECT file_name, run, delivered FROM foreign_print WHERE printer_id = ?", (self._printer_id,)
            ).fetchone()
            return ForeignPrint(row[0], row[1], bool(row[2])) if row else None

        return await self._journal.read(query)

    async def saw(self, *, file_name: str, run: str, delivered: bool = False) -> None:
        """Remember one: the queue has to hear of it before anything else starts on this printer."""
        await self._journal.write(
            lambda db: db.execute(
                "INSERT INTO foreign_print VALUES (?, ?, ?, ?) ON CONFLICT (printer_id) DO UPDATE SET"
                " file_name = excluded.file_name, run = excluded.run, delivered = excluded.delivered",
                (self._printer_id, file_name, run, int(delivered)),
            )
        )

    async def told(self, note: ForeignPrint) -> None:
        """The queue knows of this one; another may have been seen meanwhile."""
        await self._journal.write(
            lambda db: db.execute(
                "UPDATE foreign_print SET delivered = 1 WHERE printer_id = ? AND file_name = ? AND run = ?",
                (self._printer_id, note.file_name, note.run),
            )
        )

    async def looked_until(self) -> float | None:
        """The moment by OctoPrint's clock up to which nothing was missed; None where nobody ever looked."""

        def query(db: sqlite3.Connection) -> float | None:
            row = db.execute("SELECT until FROM looked WHERE printer_id = ?", (self._printer_id,)).fetchone()
            return float(row[0]) if row else None

        return await self._journal.read(query)

    async def looked(self, until: float) -> None:
        await self._journal.write(
            lambda db: db.execute(
                "INSERT INTO looked VALUES (?, ?) ON CONFLICT (printer_id) DO UPDATE SET until = excluded.until",
                (self._printer_id, until),
            )
        )
