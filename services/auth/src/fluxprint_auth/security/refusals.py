"""Records what rate limits refuse: once until the limit begins anew, or the record would do what the limit prevents."""

import asyncio
import time

from fluxprint_auth.security.service import record_refusal
from fluxprint_common.database import Database
from fluxprint_common.ratelimit import Refusal

WAITING = 100
REMEMBERED = 10_000


class Refusals:
    """Hears of refused requests and writes them from a loop of its own: the request neither waits for it nor fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: asyncio.Queue[Refusal] = asyncio.Queue(WAITING)
        self._again_at: dict[tuple[str, str], float] = {}

    def hear(self, refusal: Refusal) -> None:
        """A request was refused. While many wait to be written, or very many were, it is only in the log."""
        now, what = time.monotonic(), (refusal.scope, refusal.key)
        if self._again_at.get(what, 0.0) > now or self._waiting.full():
            return
        if len(self._again_at) >= REMEMBERED:
            self._again_at = {known: at for known, at in self._again_at.items() if at > now}
        if len(self._again_at) < REMEMBERED:
            self._again_at[what] = now + refusal.reset_s
            self._waiting.put_nowait(refusal)

    async def run(self) -> None:
        """Write what comes, for ever. What can't be written is only in the log."""
        while True:
            refusal = await self._waiting.get()
            try:
                async with self._database.unit_of_work() as session:
                    record_refusal(session, refusal)
            finally:
                self._waiting.task_done()

    async def written(self) -> None:
        """Wait until everything that was heard of is written."""
        await self._waiting.join()
