"""Finds prints by hand of a time in which this bridge did not look, in OctoPrint's own history of each file.

What was cancelled, or is not selected any more, leaves no other trace. OctoPrint forgets a print that a crash of its
own interrupted, and keeps no history of its SD card; docs/bridge.md says so.
"""

from fluxprint_bridge import clock
from fluxprint_bridge.printer.desk import Desk

KEPT_EVERY_S = 30.0
#: OctoPrint writes and dates the history a moment after the end that it showed.
HISTORY_LATE_S = 3.0


class Unseen:
    """Of one printer. Everything up to a moment, by OctoPrint's clock, has been noticed; the journal keeps it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._gaps = -1  #: were looked into
        self._until: float | None = None
        self._keep_at = 0.0

    async def open(self) -> None:
        """Go on where the process before this one was."""
        self._until = await self._desk.foreign.looked_until()

    @property
    def since(self) -> float | None:
        """Where a gap begins that was not looked into yet; None where there is none, or nobody knows."""
        return self._until if self._gaps != self._desk.monitor.gaps else None

    def looked(self, gaps: int) -> None:
        """So many gaps were looked into, and the printer is idle: what ended just now is known."""
        self._gaps = gaps
        self._keep_at = clock.now()

    async def go_on(self) -> None:
        """Nothing until now is unnoticed, unless there is another gap."""
        if self._gaps != self._desk.monitor.gaps:
            return
        self._until = self._desk.monitor.seen_at + HISTORY_LATE_S
        if clock.now() >= self._keep_at:
            self._keep_at = clock.now() + KEPT_EVERY_S
            await self._desk.foreign.looked(self._until)
