"""Reads what OctoPrint wrote down and what the queue holds."""

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import asyncpg
import httpx

from fluxprint_local.octoprint import OctoPrint
from tools.chaos.facts import Attempt, Event, Facts, Job, LogLine

DATABASE_TIMEOUT_S = 10
OCTOPRINT_TIMEOUT_S = 60
_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) - (\S+) - \w+ - (.*)")
_PRINT = re.compile(r"Print job (started|done|cancelled|paused|resumed) - origin: local, path: ([^,]+),")
_STATE = re.compile(r'Changing monitoring state from "([^"]*)" to "([^"]*)"')
_NO_PRINT = ("Operational", "Offline", "Error")


class OctoPrintLog:
    """The log of one OctoPrint, read on from where it was read to."""

    def __init__(self, printer: int, folder: Path) -> None:
        self._printer = printer
        self._folder = folder
        self._read: dict[int, int] = {}  # bytes, by inode: at midnight the file gets another name

    def news(self) -> list[LogLine]:
        """What was written since the last time."""
        found: list[LogLine] = []
        for path in sorted(self._folder.glob("octoprint.log*"), key=lambda path: path.stat().st_mtime):
            with path.open("rb") as file:
                inode = path.stat().st_ino
                file.seek(self._read.get(inode, 0))
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read[inode] = self._read.get(inode, 0) + len(whole)
            for line in whole.decode(errors="replace").splitlines():
                found += self._parsed(line)
        return found

    def _parsed(self, line: str) -> Iterator[LogLine]:
        match = _LINE.match(line)
        if match is None:
            return
        second, millisecond, logger, text = match.groups()
        at = time.mktime(time.strptime(second, "%Y-%m-%d %H:%M:%S")) + int(millisecond) / 1000
        kind, path = None, None
        if logger == "octoprint.startup" and text.startswith("Starting OctoPrint"):
            kind = "boot"
        elif told := _PRINT.match(text):
            kind, path = told.groups()
        elif (state := _STATE.match(text)) and state[2].startswith(_NO_PRINT):
            kind = "ended"
        if kind is not None:
            yield LogLine(at, self._printer, kind, path, text)


async def read_queue(facts: Facts, url: str, run: str, printers: dict[str, int]) -> None:
    """Add what the queue holds of a run: jobs by their names, their attempts, and the events of both."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=DATABASE_TIMEOUT_S)
    try:
        jobs = await connection.fetch("SELECT * FROM queue.job WHERE name LIKE $1 ORDER BY id", f"{run}-%")
        ids = [job["id"] for job in jobs]
        attempts = await connection.fetch("SELECT * FROM queue.attempt WHERE job_id = ANY($1) ORDER BY id", ids)
        subjects = [f"job_{job['id'].hex}" for job in jobs] + [f"attempt_{a['id'].hex}" for a in attempts]
        events = await connection.fetch("SELECT * FROM queue.event WHERE subject = ANY($1) ORDER BY sequence", subjects)
    finally:
        await connection.close()
    facts.jobs = [
        Job(
            id=f"job_{row['id'].hex}",
            name=row["name"],
            copies=row["copies"],
            state=row["state"],
            reason=row["reason"],
            ended_at=_unix(row["ended_at"]),
        )
        for row in jobs
    ]
    facts.attempts = [
        Attempt(
            id=f"attempt_{row['id'].hex}",
            job=f"job_{row['job_id'].hex}",
            printer=printers[f"printer_{row['printer_id'].hex}"],
            copy=row["copy_number"],
            state=row["state"],
            reason=row["reason"],
            permitted_at=_unix(row["permitted_at"]),
            ended_at=_unix(row["ended_at"]),
            resolved=row["resolved_by"] is not None,
        )
        for row in attempts
    ]
    facts.events = [
        Event(row["created_at"].timestamp(), row["type"], row["subject"], str(row["data"])) for row in events
    ]


async def read_history(facts: Facts, octoprints: list[OctoPrint]) -> None:
    """Add what OctoPrint's own history counts, and delete the files, as somebody does who tidies up now and then."""
    for number, attempt in enumerate(facts.attempts):
        octoprint = octoprints[attempt.printer]
        for line in facts.lines(attempt, "started")[:1]:
            assert line.path is not None
            successes, failures = await _history(octoprint, line.path)
            facts.attempts[number] = replace(attempt, successes=successes, failures=failures)


async def _history(octoprint: OctoPrint, path: str) -> tuple[int, int]:
    async with asyncio.timeout(OCTOPRINT_TIMEOUT_S):
        while True:
            with contextlib.suppress(httpx.TransportError):
                history = await octoprint.successes_and_failures(path)
                await octoprint.call("DELETE", f"/api/files/local/{path}")
                return history


def _unix(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None
