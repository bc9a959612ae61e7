"""What octoprint.log tells of one print: the only trace of it that survives a crash of OctoPrint.

A line proves. A missing line proves nothing: OctoPrint writes them by a thread of its own, so that a kill takes the
last ones along; a power cut takes more; and it gives out only the file of today, which is almost empty after midnight.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from fluxprint_bridge.plain import plain_text

MAX_LOG_BYTES = 16 * 1024 * 1024  # more than OctoPrint writes in a day
MAX_LINE_BYTES = 4096  # its own are a tenth of that
MIN_LINE_BYTES = 50  # of those that are looked at; a log may be all line ends
MAX_LINES = 20
MAX_LINE_CHARS = 300

_AT = r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ - "
_JOB = re.compile(
    _AT + r"octoprint\.printer\.standard\.job - INFO - "
    r"Print job (?P<what>[a-z]+) - origin: local, path: (?P<path>[^,]+), owner: [^,]+(, user: (?P<user>[^,]+))?"
)
_START_OF_OCTOPRINT = re.compile(_AT + r"octoprint\.startup - INFO - Starting ")
_STATE = re.compile(
    _AT + r'octoprint\.util\.comm - INFO - Changing monitoring state from "(?P<old>[^"]*)" to "(?P<new>[^"]*)"'
)
_NOBODY = frozenset({"None", "n/a"})


class LogTooLong(Exception):
    """More than `MAX_LOG_BYTES`: the newest lines, which decide, were not seen, so nothing is proven."""


@dataclass(frozen=True)
class LogTrace:
    """One print in the log. Times are as the log writes them, in the local time of OctoPrint's machine."""

    begins_at: str | None = None  #: the log's first line
    started_at: str | None = None
    end: Literal["done", "cancelled"] | None = None
    stood_still: bool = False  #: after "done", which only says that the last line was sent, the printer was operational
    cancelled_by: str | None = None  #: the OctoPrint user
    octoprint_started_at: str | None = None  #: the last start of OctoPrint itself since the last line about the print
    lines: tuple[str, ...] = ()  #: the last 20 about it

    def as_sentence(self) -> str:
        """For a person who has to decide."""
        if self.started_at is None and self.end is None:
            return (
                f"octoprint.log, from {self.begins_at} on, has no start of it, so it was probably never started."
                if self.begins_at
                else "octoprint.log is empty."
            )
        end = "the whole file was sent, and no word of how it ended" if self.end == "done" else "no end of it"
        anew = self.octoprint_started_at
        then = f"; OctoPrint itself was started anew at {anew}" if anew else ""
        return f"octoprint.log: started at {self.started_at or 'an earlier day'}, and {end}{then}."


async def trace_of(path: str, chunks: AsyncIterator[bytes]) -> LogTrace:
    """Find one print in the log, which may be anything. Raises `LogTooLong`."""
    reader = _Reader(path)
    beginning, size = b"", 0
    async for chunk in chunks:
        size += len(chunk)
        if size > MAX_LOG_BYTES:
            raise LogTooLong
        *lines, beginning = (beginning + chunk).split(b"\n")
        reader.read(lines)
        beginning = beginning[:MAX_LINE_BYTES]
        await asyncio.sleep(0)  # what has arrived already is read without waiting
    reader.read([beginning])
    return reader.trace()


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path
        self._mark = path.encode()
        self._begins_at: str | None = None
        self._started_at: str | None = None
        self._end: Literal["done", "cancelled"] | None = None
        self._next_state: str | None = None  #: the first one since the end
        self._cancelled_by: str | None = None
        self._octoprint_started_at: str | None = None
        self._about: list[str] = []

    def read(self, lines: list[bytes]) -> None:
        for line in lines:
            if len(line) < MIN_LINE_BYTES:
                continue
            if self._begins_at is None and line[:4].isdigit():
                self._begins_at = _text(line)[:19]
            if self._mark in line or b"octoprint.startup" in line or b"Changing monitoring state" in line:
                self._read(_text(line))

    def _read(self, line: str) -> None:
        if (job := _JOB.match(line)) is not None and job["path"] == self._path:
            self._about = [*self._about, line[:MAX_LINE_CHARS]][-MAX_LINES:]
            self._octoprint_started_at = None
            match job["what"]:
                case "started":
                    self._started_at, self._end = job["at"], None
                case "done":
                    self._end, self._next_state = "done", None
                case "cancelled":
                    self._end, self._cancelled_by = "cancelled", None if job["user"] in _NOBODY else job["user"]
        elif not self._about:
            return
        elif (banner := _START_OF_OCTOPRINT.match(line)) is not None:
            self._octoprint_started_at = banner["at"]
            self._next_state = self._next_state or "OctoPrint was started anew"
        elif (state := _STATE.match(line)) is not None:
            self._next_state = self._next_state or state["new"]

    def trace(self) -> LogTrace:
        return LogTrace(
            begins_at=self._begins_at,
            started_at=self._started_at,
            end=self._end,
            stood_still=self._end == "done" and self._next_state == "Operational",
            cancelled_by=self._cancelled_by,
            octoprint_started_at=self._octoprint_started_at,
            lines=tuple(self._about),
        )


def _text(line: bytes) -> str:
    return plain_text(line[:MAX_LINE_BYTES].decode(errors="replace"))
