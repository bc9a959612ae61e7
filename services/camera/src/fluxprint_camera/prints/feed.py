"""Follows what prints: asked of the queue every few seconds, and at once when a doorbell rings."""

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Protocol
from uuid import UUID

import httpx
from pydantic import ValidationError
from redis.asyncio import Redis

from fluxprint_common import doorbell
from fluxprint_common.events import WAKE_CHANNEL
from fluxprint_common.logs import get_logger
from fluxprint_common.messages import Message
from fluxprint_common.prints import MAX_PRINTS, PATH, Print, Prints, PrintsQuery

log = get_logger(__name__)

TIMEOUT_S = 5.0
#: Events come in bursts: one question after them.
BURST_S = 0.25
#: What has ended is shown so long, for whoever looks now and then.
ENDED_SHOWN_S = 600.0


class QueueSilent(Exception):
    """The queue service did not say what prints."""


class Holder(Protocol):
    """Whoever holds something of printers, and wants to know whose these are."""

    def held(self) -> list[UUID]:
        """The printers to ask for next, at most `MAX_PRINTERS`."""

    def told(self, bridges: Mapping[UUID, UUID]) -> None:
        """The bridges of the printers that were last asked for; one that is missing was deleted."""


class PrintFeed:
    """The prints of all organisations that go on, and those that ended lately.

    Attributes:
        prints: by the attempt, as of the last answer.
        answered: set, and replaced by a new one, with each answer: take it before you look, then wait for it.
        known: the attempts that the last answer was about; one that is not among `prints` does not exist.
    """

    def __init__(self, http: httpx.AsyncClient, queue_url: str, *, poll_s: float) -> None:
        self.prints: Mapping[UUID, Print] = {}
        self.answered = asyncio.Event()
        self.known: frozenset[UUID] = frozenset()
        self._http = http
        self._url = f"{queue_url}{PATH}"
        self._poll_s = poll_s
        self._wake = asyncio.Event()
        self._asking: set[UUID] = set()
        self._ended_at: dict[UUID, float] = {}
        self._holder: Holder | None = None

    def tell_of_printers(self, holder: Holder) -> None:
        """Ask for these printers too, each time."""
        self._holder = holder

    def ask_about(self, attempt_ids: Collection[UUID]) -> None:
        """Have the next answer tell of these, whatever became of them."""
        new = set(attempt_ids) - self.known
        if new - self._asking:
            self._asking |= new
            self._wake.set()

    async def run(self) -> None:
        """Ask for ever. While the queue is silent, what was last said stays, and prints are taken to go on."""
        silent = False
        while True:
            self._wake.clear()
            try:
                await self._ask()
                silent = False
            except QueueSilent as error:
                if not silent:
                    log.warning("queue_says_no_prints", error=str(error))
                silent = True
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(BURST_S)

    async def run_wake(self, redis: Redis) -> None:
        """Be woken by the queue's events through Redis, until Redis goes away."""

        async def wake(_channel: str, _message: Message) -> None:
            self._wake.set()

        await doorbell.listen(redis, [WAKE_CHANNEL], wake)

    async def _ask(self) -> None:
        wanted = {attempt for attempt, found in self.prints.items() if attempt not in self._ended_at} | self._asking
        held = self._holder.held() if self._holder is not None else []
        query = PrintsQuery(attempt_ids=list(wanted)[:MAX_PRINTS], printer_ids=held)
        try:
            answer = await self._http.post(self._url, content=query.model_dump_json(), headers=_JSON, timeout=TIMEOUT_S)
            answer.raise_for_status()
            told = Prints.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise QueueSilent(repr(error)) from None
        self._asking -= set(query.attempt_ids)
        self._take(told.prints, set(query.attempt_ids))
        if self._holder is not None and told.bridges is not None:
            self._holder.told(told.bridges)

    def _take(self, found: Collection[Print], asked: set[UUID]) -> None:
        now = time.monotonic()
        told = {print_.attempt_id: print_ for print_ in found}
        for attempt_id, print_ in told.items():
            if print_.ended_at is not None:
                self._ended_at.setdefault(attempt_id, now)
        self._ended_at = {key: at for key, at in self._ended_at.items() if now - at < ENDED_SHOWN_S or key in told}
        kept = {key: print_ for key, print_ in self.prints.items() if key in self._ended_at}
        self.prints = {**kept, **told}
        self.known = frozenset(self.prints) | asked
        answered, self.answered = self.answered, asyncio.Event()
        answered.set()


_JSON = {"Content-Type": "application/json"}
