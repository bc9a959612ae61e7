"""Removes old files of ours from OctoPrint, a few at a time: it slows down with the number of files in a folder.

Nothing is kept in memory that a crash could lose: what OctoPrint lists and what the journal knows decide each time.
"""

import re
import time
from collections import deque
from datetime import UTC, datetime
from uuid import UUID

from fluxprint_bridge import clock
from fluxprint_bridge.journal import KEPT_DAYS
from fluxprint_bridge.octoprint.errors import Conflict
from fluxprint_bridge.octoprint.state import Entry
from fluxprint_bridge.printer.desk import Desk
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

FOLDER = "fluxprint"
AGAIN_S = 3600.0
PORTION = 3  #: files in a row; a Raspberry Pi rewrites the folder's metadata for each
MAX_PER_FOLDER = 200  #: newest; what is needed is kept beyond that
DAY_S = 86_400.0

_MONTH = re.compile(r"\d{4}-\d{2}")
_FILE = re.compile(r"(attempt_[0-9a-f]{32})\.(gcode|gco|g)")


class Pruner:
    """Call `step()` while nothing is disturbed by it."""

    def __init__(self, desk: Desk, *, keep_days: float) -> None:
        self._desk = desk
        self._keep_s = keep_days * DAY_S
        self._again_at = 0.0
        self._folders: deque[str] = deque()
        self._doomed: deque[str] = deque()

    async def step(self) -> None:
        """List one folder, or remove a few files. Raises `OctoPrintError`; then it goes on the next time."""
        if not self._desk.may_delete or not self._desk.asked:
            return
        if self._doomed:
            await self._remove_some()
        elif self._folders:
            await self._choose(self._folders.popleft())
        elif clock.now() >= self._again_at:
            self._again_at = clock.now() + AGAIN_S
            months = await self._desk.octoprint.folder(FOLDER) or []
            names = sorted(entry.name for entry in months if entry.type == "folder" and _MONTH.fullmatch(entry.name))
            self._folders.extend(names)

    async def _choose(self, month: str) -> None:
        """Note the files of a month that may go; an old month without any goes at once, if nothing is in hand."""
        desk, folder = self._desk, f"{FOLDER}/{month}"
        files = await desk.octoprint.folder(folder) or []
        if not files and month < _month_of(time.time() - self._keep_s):
            async with desk.storing:  # so that none of ours gets in
                # Not beside a print: OctoPrint goes on with its analysis of files after it.
                if desk.work is None and await desk.octoprint.folder(folder) == []:
                    await desk.octoprint.remove(folder)
                    log.info("month_removed", folder=folder)
            return
        newest_first = sorted(files, key=lambda entry: entry.name, reverse=True)
        for place, entry in enumerate(newest_first):
            if await self._may_go(entry, beyond=place >= MAX_PER_FOLDER):
                self._doomed.appendleft(f"{folder}/{entry.name}")

    async def _may_go(self, entry: Entry, *, beyond: bool) -> bool:
        """Whether a file is ours, and old or beyond what a folder should hold, and no attempt needs it.

        One that the journal does not know is of an attempt that has ended: the only live one was asked for.
        """
        name = _FILE.fullmatch(entry.name)
        if name is None or entry.type != "machinecode":
            return False
        past = await self._desk.shelf.past(name[1])
        minted_at = (UUID(hex=name[1][-32:]).int >> 80) / 1000  # UUIDv7: RFC 9562, 5.7
        # The newest of all clocks: OctoPrint's may be wrong until it has found the time.
        touched_at = max(minted_at, entry.uploaded_at, past.at if past is not None else 0.0)
        is_old = time.time() - touched_at >= self._keep_s
        return is_old if past is None else past.is_over and (is_old or beyond)

    async def _remove_some(self) -> None:
        desk = self._desk
        async with desk.storing:
            selected = (await desk.monitor.look()).path
            for _ in range(min(PORTION, len(self._doomed))):
                path = self._doomed.popleft()
                past = await desk.shelf.past(path.rpartition("/")[2].partition(".")[0])
                if path == selected or (past is not None and not past.is_over):
                    continue
                if past is None and await self._has_fresh_print(path):
                    continue
                try:
                    await desk.octoprint.remove(path)
                except Conflict:
                    continue  # in use
                log.info("file_removed", path=path)

    async def _has_fresh_print(self, path: str) -> bool:
        """Whether a file has a print that no attempt known here explains, and that may still be asked about.

        It is kept for as long as the journal keeps its own, and until it was noticed. By OctoPrint's clock.
        """
        found = await self._desk.octoprint.file(path)
        if found is None or not found.prints.any:
            return False
        noticed_until = await self._desk.foreign.looked_until()
        ended_at = found.prints.last.ended_at if found.prints.last is not None else None
        if noticed_until is None or ended_at is None:
            return True
        return ended_at > noticed_until - KEPT_DAYS * DAY_S


def _month_of(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m")
