"""Delivers one printer's reports from the journal to the queue: in order, until each is acknowledged or refused.

A stale fence refuses the messenger and not the message: such a report is kept until a new claim says whose it is.
"""

import asyncio
from dataclasses import replace

from fluxprint_bridge.cloud.api import CloudApi
from fluxprint_bridge.cloud.errors import CloudRefused, CloudUnavailable
from fluxprint_bridge.foreign_print import OVER, ForeignPrints
from fluxprint_bridge.journal import Journal, Report
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

MAX_BACKOFF_S = 30.0
CONTENT_REFUSED = frozenset({413, 422})
FENCE_STALE = "fence_stale"
ATTEMPT_ENDED = "attempt_ended"


class Outbox:
    """Run `run()` under a supervisor."""

    def __init__(self, journal: Journal, api: CloudApi, printer_id: str) -> None:
        self._journal = journal
        self._api = api
        self._printer_id = printer_id
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        #: The last refusal since the last claim: an attempt's id and the queue's code.
        self.refused: tuple[str, str] | None = None

    def post(self) -> None:
        """Something was written into the journal."""
        self._empty.clear()
        self._filled.set()

    @property
    def stale(self) -> bool:
        """Whether what is left to deliver waits for a new fence."""
        return self.refused is not None and self.refused[1] == FENCE_STALE

    def claimed(self) -> None:
        """The queue was asked whose the printer is: what it refused before counts no more."""
        self.refused = None
        self.post()

    async def emptied(self) -> None:
        """Wait until nothing is left to deliver, so that the queue knows all that this bridge knows, or it is stale."""
        await self._empty.wait()

    async def _deliver(self, report: Report) -> None:
        try:
            await self._api.report(report)
        except CloudRefused as error:
            if error.status not in CONTENT_REFUSED:
                raise
            log.error("report_not_understood", kind=report.kind, attempt=report.attempt_id, error=str(error)[:300])
            # What became of a print must not be lost for words.
            await self._api.report(replace(report, detail=None, evidence={}))

    async def run(self) -> None:
        """Deliver for ever."""
        failures = 0
        while True:
            self._filled.clear()
            report = await self._journal.next_report(self._printer_id)
            if report is None:
                self._empty.set()
                await self._filled.wait()
                continue
            code = None
            try:
                await self._deliver(report)
            except CloudUnavailable as error:
                failures += 1
                log.warning("report_waits", kind=report.kind, attempt=report.attempt_id, error=str(error)[:300])
                await asyncio.sleep(backoff_s(failures, cap_s=MAX_BACKOFF_S))
                continue
            except CloudRefused as error:
                code = error.code
                self.refused = (report.attempt_id, code)
                log.error("report_refused", kind=report.kind, attempt=report.attempt_id, code=code)
                if code == FENCE_STALE:
                    self._empty.set()
                    await self._filled.wait()
                    continue
                if code == ATTEMPT_ENDED and report.kind != "released":
                    # A person decided before it ended: since then its part may lie on a bed that was confirmed clear.
                    await ForeignPrints(self._journal, self._printer_id).saw(file_name=report.attempt_id, run=OVER)
            failures = 0
            await self._journal.delivered(report.id, refused=code)
