"""The bridge's own durable memory: which attempts it holds, how far each got, and which reports are not delivered.

SQLite with a write-ahead log that is synced at every commit, in a thread of its own. One process per folder.
A row that says `starting` was on the disk before start was pressed: see docs/adr/0005-bridge-journal-and-start.md.
"""

import asyncio
import fcntl
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self, TypeVar

from fluxprint_bridge import foreign_print, staged
from fluxprint_bridge.octoprint.outcome import Sightings
from fluxprint_bridge.plain import plain, plain_text

KEPT_DAYS = 30
DAY_S = 86_400
MAX_EVIDENCE_BYTES = 12 * 1024  # the queue takes 16 kB, in its own way of counting
MAX_DETAIL_CHARS = 900  #: the queue takes 1000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS attempt (
    id TEXT PRIMARY KEY, printer_id TEXT NOT NULL, fence INTEGER NOT NULL, path TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('claimed', 'permitted', 'starting', 'printing', 'unknown', 'ended')),
    shown TEXT NOT NULL, cancel_asked INTEGER NOT NULL DEFAULT 0, seen TEXT NOT NULL DEFAULT '{}',
    updated_at REAL NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_open_attempt ON attempt (printer_id) WHERE state <> 'ended';
CREATE TABLE IF NOT EXISTS report (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, attempt_id TEXT NOT NULL REFERENCES attempt (id),
    kind TEXT NOT NULL, reason TEXT, detail TEXT, evidence TEXT NOT NULL, refused TEXT,
    delivered INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS undelivered ON report (seq) WHERE delivered = 0;
"""

T = TypeVar("T")


class JournalInUse(Exception):
    """Another bridge process works with this folder."""


class Step(StrEnum):
    """How far an attempt got."""

    CLAIMED = "claimed"
    PERMITTED = "permitted"  #: a permit was given, and start was certainly not pressed
    STARTING = "starting"  #: start may have been pressed
    PRINTING = "printing"  #: OctoPrint was seen printing it
    UNKNOWN = "unknown"  #: reported so; proof may still turn up
    ENDED = "ended"


#: What a report means: the state that the queue then shows, and ours.
_MEANING = {
    "started": ("printing", Step.PRINTING),
    "paused": ("paused", Step.PRINTING),
    "resumed": ("printing", Step.PRINTING),
    "unknown": ("unknown", Step.UNKNOWN),
    "released": ("released", Step.ENDED),
    "completed": ("completed", Step.ENDED),
    "failed": ("failed", Step.ENDED),
    "cancelled": ("cancelled", Step.ENDED),
}


@dataclass(frozen=True)
class Attempt:
    """An attempt as the bridge knows it. `shown` is the state that the queue has, or will have, by our reports."""

    id: str
    printer_id: str
    fence: int
    path: str
    state: Step
    shown: str
    cancel_asked: bool
    seen: Sightings
    noted_at: float = 0.0  #: when its state was written, seconds since 1970


@dataclass(frozen=True)
class Report:
    """One report on its way to the queue; `fence` is the attempt's newest."""

    id: str
    attempt_id: str
    fence: int
    kind: str
    reason: str | None
    detail: str | None
    evidence: dict[str, object]


class Journal:
    """Open it with `async with Journal(folder)`. Every method returns when its change is on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    async def __aenter__(self) -> Self:
        try:
            self.journal_id = await self._in_thread(self._open)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._in_thread(self._close)
        self._thread.shutdown()

    # -- attempts --------------------------------------------------------------------------------------------------

    async def attempt(self, attempt_id: str) -> Attempt | None:
        return await self._in_thread(lambda: self._attempt("id = ?", attempt_id))

    async def open_attempt(self, printer_id: str) -> Attempt | None:
        """The attempt of a printer that has not ended."""
        return await self._in_thread(lambda: self._attempt("printer_id = ? AND state <> 'ended'", printer_id))

    async def hold(
        self, *, attempt_id: str, printer_id: str, fence: int, path: str, state: Step, shown: str
    ) -> Attempt:
        """Note an assignment: a new attempt in `state`, or the newest fence of a known one, which keeps its state.

        Any other open attempt of this printer has ended: the queue holds one live attempt per printer.
        """

        def work(db: sqlite3.Connection) -> Attempt:
            now = time.time()
            if abs(now - self._forgot_at) > DAY_S:
                self._forget(db)
            db.execute(
                "UPDATE attempt SET state = 'ended', updated_at = ?"
                " WHERE printer_id = ? AND id <> ? AND state <> 'ended'",
                (now, printer_id, attempt_id),
            )
            db.execute(
                "INSERT INTO attempt (id, printer_id, fence, path, state, shown, updated_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET fence = excluded.fence, shown = excluded.shown,"
                " state = CASE attempt.state WHEN 'ended' THEN excluded.state ELSE attempt.state END,"
                " updated_at = excluded.updated_at",
                (attempt_id, printer_id, fence, path, state, shown, now),
            )
            return self._need(attempt_id)

        return await self.write(work)

    async def refence(self, attempt_id: str, fence: int) -> bool:
        """Give an attempt's undelivered reports a new fence. Returns whether there are any."""

        def work(db: sqlite3.Connection) -> bool:
            changed = db.execute(
                "UPDATE attempt SET fence = ?"
                " WHERE id = ? AND id IN (SELECT attempt_id FROM report WHERE delivered = 0)",
                (fence, attempt_id),
            )
            return changed.rowcount > 0

        return await self.write(work)

    async def intend(self, attempt_id: str) -> Attempt:
        """Note that start will be pressed. Only after this may it be."""
        return await self._move(attempt_id, Step.STARTING, shown="starting")

    async def withdraw(self, attempt_id: str) -> Attempt:
        """Note that start was certainly not pressed, although that was intended."""
        return await self._move(attempt_id, Step.PERMITTED, shown="starting")

    async def end(self, attempt_id: str) -> Attempt:
        """Note that an attempt is none of ours any more."""
        return await self._move(attempt_id, Step.ENDED, shown="ended")

    async def _move(self, attempt_id: str, state: Step, *, shown: str) -> Attempt:
        def work(db: sqlite3.Connection) -> Attempt:
            db.execute(
                "UPDATE attempt SET state = ?, shown = ?, updated_at = ? WHERE id = ?",
                (state, shown, time.time(), attempt_id),
            )
            return self._need(attempt_id)

        return await self.write(work)

    async def saw(self, attempt_id: str, seen: Sightings) -> Attempt:
        """Keep what push events told: OctoPrint itself may forget it in a crash."""

        def work(db: sqlite3.Connection) -> Attempt:
            db.execute("UPDATE attempt SET seen = ? WHERE id = ?", (json.dumps(seen.as_json()), attempt_id))
            return self._need(attempt_id)

        return await self.write(work)

    async def cancel_asked(self, attempt_id: str) -> Attempt:
        """Remember who wanted it before OctoPrint is told to cancel."""

        def work(db: sqlite3.Connection) -> Attempt:
            db.execute("UPDATE attempt SET cancel_asked = 1 WHERE id = ?", (attempt_id,))
            return self._need(attempt_id)

        return await self.write(work)

    # -- reports ---------------------------------------------------------------------------------------------------

    async def report(
        self,
        attempt_id: str,
        kind: str,
        *,
        reason: str | None = None,
        detail: str | None = None,
        evidence: Mapping[str, object] | None = None,
    ) -> Attempt:
        """Write a report and, in the same transaction, what it means for the attempt here."""
        text = _bounded(evidence or {})
        detail = plain_text(detail)[:MAX_DETAIL_CHARS] if detail else None
        shown, then = _MEANING[kind]

        def work(db: sqlite3.Connection) -> Attempt:
            now = time.time()
            db.execute(
                "INSERT INTO report (id, attempt_id, kind, reason, detail, evidence, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (str(uuid.uuid4()), attempt_id, kind, reason, detail, text, now),
            )
            db.execute(
                "UPDATE attempt SET state = ?, shown = ?, updated_at = ? WHERE id = ?", (then, shown, now, attempt_id)
            )
            return self._need(attempt_id)

        return await self.write(work)

    async def next_report(self, printer_id: str) -> Report | None:
        """The oldest report of a printer that was neither acknowledged nor refused."""

        def work() -> Report | None:
            row = self._db.execute(
                "SELECT r.id, r.attempt_id, a.fence, r.kind, r.reason, r.detail, r.evidence FROM report r"
                " JOIN attempt a ON a.id = r.attempt_id WHERE r.delivered = 0 AND a.printer_id = ?"
                " ORDER BY r.seq LIMIT 1",
                (printer_id,),
            ).fetchone()
            if row is None:
                return None
            report_id, attempt_id, fence, kind, reason, detail, evidence = row
            return Report(report_id, attempt_id, fence, kind, reason, detail, json.loads(evidence))

        return await self._in_thread(work)

    async def delivered(self, report_id: str, *, refused: str | None = None) -> None:
        """End a report's journey: acknowledged, or refused by a queue that knows better."""
        await self.write(
            lambda db: db.execute("UPDATE report SET delivered = 1, refused = ? WHERE id = ?", (refused, report_id))
        )

    async def drop_reports(self, printer_id: str, *, but_of: str | None) -> None:
        """End the journey of a printer's reports, but of one attempt: the queue says that all others have ended."""
        await self.write(
            lambda db: db.execute(
                "UPDATE report SET delivered = 1, refused = 'attempt_ended' WHERE delivered = 0 AND attempt_id IN"
                " (SELECT id FROM attempt WHERE printer_id = ? AND id IS NOT ?)",
                (printer_id, but_of),
            )
        )

    async def drop_releases(self, attempt_id: str) -> None:
        """End the journey of the word that nothing was started: it is another journal's to say now."""
        sql = "UPDATE report SET delivered = 1, refused = 'journal_mismatch' WHERE delivered = 0 AND kind = 'released'"
        await self.write(lambda db: db.execute(sql + " AND attempt_id = ?", (attempt_id,)))

    # -- in the thread -----------------------------------------------------------------------------------------------

    def _open(self) -> str:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise JournalInUse(f"another bridge works in {self._folder}: stop it, or set BRIDGE_DATA_DIR") from None
        self._db = db = sqlite3.connect(self._folder / "journal.sqlite3", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.executescript(_SCHEMA + staged.SCHEMA + foreign_print.SCHEMA)
        db.execute("INSERT OR IGNORE INTO meta VALUES ('journal_id', ?)", (str(uuid.uuid4()),))
        self._forget(db)
        row = db.execute("SELECT value FROM meta WHERE key = 'journal_id'").fetchone()
        return str(row[0])

    def _close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def _forget(self, db: sqlite3.Connection) -> None:
        self._forgot_at = time.time()
        before = self._forgot_at - KEPT_DAYS * DAY_S
        old = (
            "(SELECT id FROM attempt WHERE state = 'ended' AND updated_at < ?"
            " AND id NOT IN (SELECT attempt_id FROM report WHERE delivered = 0))"
        )
        # What was staged for one would look as if nobody had claimed it, so as if somebody printed it by hand.
        for where in ("staged WHERE attempt_id", "report WHERE attempt_id", "attempt WHERE id"):
            db.execute(f"DELETE FROM {where} IN {old}", (before,))  # noqa: S608  (constants)

    def _attempt(self, where: str, value: str) -> Attempt | None:
        row = self._db.execute(
            "SELECT id, printer_id, fence, path, state, shown, cancel_asked, seen, updated_at FROM attempt WHERE "  # noqa: S608
            + where,
            (value,),
        ).fetchone()
        if row is None:
            return None
        attempt_id, printer_id, fence, path, state, shown, cancel_asked, seen, noted_at = row
        sightings = Sightings(**json.loads(seen))
        return Attempt(attempt_id, printer_id, fence, path, Step(state), shown, bool(cancel_asked), sightings, noted_at)

    def _need(self, attempt_id: str) -> Attempt:
        found = self._attempt("id = ?", attempt_id)
        if found is None:
            raise LookupError(f"the journal holds no {attempt_id}")
        return found

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Change something, in one transaction."""

        def transaction() -> T:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._db)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            return result

        return await self._in_thread(transaction)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Look something up."""
        return await self._in_thread(lambda: query(self._db))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Shielded: a cancelled caller must not leave a half-awaited write whose outcome nobody learns.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))


def _bounded(evidence: Mapping[str, object]) -> str:
    text = json.dumps(plain(evidence))
    if len(text) <= MAX_EVIDENCE_BYTES:
        return text
    return json.dumps({"cut": True, "beginning": text[: MAX_EVIDENCE_BYTES // 2]})
