"""Keeps the lease of a claimed attempt, and knows when to take the hands off."""

import asyncio
import random
from typing import NoReturn

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.api import CloudApi
from fluxprint_bridge.cloud.errors import CloudRefused, CloudUnavailable
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

RENEW_AT = 0.75  # of what is left
MARGIN = 0.1  # of a lease, at its end: clocks and requests are not perfect
MAX_BACKOFF_S = 5.0


class LeaseLost(Exception):
    """The attempt is not ours any more; nothing was started. `code` is the queue's, if it said so."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class Lease:
    """A lease that lasts `lasts_s` seconds from `asked_at`, the moment before it was asked for (`clock.now`)."""

    def __init__(self, api: CloudApi, attempt_id: str, *, fence: int, asked_at: float, lasts_s: float) -> None:
        self._api = api
        self._attempt_id = attempt_id
        self._fence = fence
        self._renew_now = asyncio.Event()
        self._hold(asked_at, lasts_s)

    def _hold(self, asked_at: float, lasts_s: float) -> None:
        self._ends_at = asked_at + lasts_s * (1 - MARGIN)
        self._renew_at = asked_at + lasts_s * RENEW_AT * random.uniform(0.9, 1.0)  # noqa: S311  (spreads load)

    def check_soon(self) -> None:
        """Something happened to the attempt: renew at once and so learn what."""
        self._renew_now.set()

    async def keep(self) -> NoReturn:
        """Renew for ever. Raises `LeaseLost` when it is refused, or when it could not be renewed in time."""
        failures = 0
        while True:
            await self._until(self._renew_at)
            asked_at = clock.now()
            if asked_at >= self._ends_at:
                raise LeaseLost("the lease ran out before it could be renewed")
            try:
                async with asyncio.timeout(self._ends_at - asked_at):
                    lasts_s = await self._api.renew(self._attempt_id, fence=self._fence)
            except CloudRefused as refused:
                raise LeaseLost(str(refused), refused.code) from None
            except (CloudUnavailable, TimeoutError) as error:
                failures += 1
                log.warning("lease_not_renewed", attempt=self._attempt_id, error=str(error)[:300])
                self._renew_at = min(clock.now() + backoff_s(failures, cap_s=MAX_BACKOFF_S), self._ends_at)
            else:
                failures = 0
                self._hold(asked_at, lasts_s)

    async def _until(self, moment: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, moment - clock.now())):
                await self._renew_now.wait()
        except TimeoutError:
            pass
        self._renew_now.clear()
