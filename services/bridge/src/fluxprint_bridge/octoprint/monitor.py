"""What one OctoPrint says right now, from its push socket and from REST together.

Push messages are quick but may be older than an answer that REST just gave. So they wake whoever waits and feed the
display; a decision is only made on `look()`.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fluxprint_bridge import clock
from fluxprint_bridge.octoprint import push
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_bridge.octoprint.errors import OctoPrintError
from fluxprint_bridge.octoprint.state import Job, Temperature, read_clock, read_current, read_temperatures
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

POLL_S = 5.0  # while the push socket is open, to notice what it kept back
POLL_WITHOUT_PUSH_S = 1.0
MAX_SILENCE_S = 5.0  #: between questions to an OctoPrint that does not answer; one bridge may have dozens of them
BURST_S = 0.1  # events come in bursts, and just when OctoPrint is busiest: one look after them
MAX_RECONNECT_S = 10.0
KEPT_EVENTS = 200
#: Without an answer for longer than that, something may have been printed that no event and no look tells of.
BLIND_S = 15.0


@dataclass(frozen=True)
class Snapshot:
    """The newest word. `job` is None while OctoPrint does not answer; `problem` then says why."""

    job: Job | None = None
    problem: str | None = "not asked yet"
    temperatures: Mapping[str, Temperature] = field(default_factory=dict)


class Monitor:
    """Run `poll` and `hear` under a supervisor."""

    def __init__(self, client: OctoPrintClient) -> None:
        self._client = client
        self._events: deque[tuple[int, push.Event]] = deque(maxlen=KEPT_EVENTS)
        self._heard = 0
        self._hearing = False
        self._poll_now = asyncio.Event()
        self._asking = asyncio.Lock()
        self._next_answer: asyncio.Task[Job] | None = None
        self._answered_at = -math.inf
        #: How often OctoPrint was not seen for a while, the time before the first answer included.
        self.gaps = 0
        #: Its last answer by its own clock, which dates its histories; seconds since 1970.
        self.seen_at = 0.0
        self._ahead_s = 0.0  #: OctoPrint's clock, of ours; what it answers by REST bears no time
        self.snapshot = Snapshot()
        #: Set, and replaced by a new one, at each change: take it before you look, then wait for it.
        self.changed = asyncio.Event()

    # -- for whoever waits -------------------------------------------------------------------------------------------

    @property
    def mark(self) -> int:
        """The number of the newest event."""
        return self._heard

    def events_since(self, mark: int) -> list[push.Event]:
        """The events after `mark`, oldest first; only the last 200 are kept."""
        return [event for number, event in self._events if number > mark]

    async def wait(self, changed: asyncio.Event, timeout_s: float) -> None:
        """Wait until `changed` is set, or no longer than `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await changed.wait()
        except TimeoutError:
            pass

    async def answering(self) -> None:
        """Wait until OctoPrint answers."""
        while self.snapshot.job is None:
            await self.changed.wait()

    async def look(self) -> Job:
        """Ask OctoPrint now. Raises `Unavailable` or `Refused`, and then the snapshot says so.

        One question is on its way at a time; all who ask meanwhile share the next one, whose answer is newer than
        their asking.
        """
        if self._next_answer is None:
            self._next_answer = asyncio.create_task(self._ask())
            self._next_answer.add_done_callback(_forget_error)
        return await asyncio.shield(self._next_answer)

    async def _ask(self) -> Job:
        async with self._asking:
            self._next_answer = None
            try:
                job = await self._client.job()
            except OctoPrintError as error:
                self._show(Snapshot(problem=str(error)))
                raise
            now = clock.now()
            if now - self._answered_at > BLIND_S:
                self.gaps += 1
            self._answered_at, self.seen_at = now, time.time() + self._ahead_s
            # REST tells neither temperatures nor the height; those of a socket that closed are old.
            before = self.snapshot if self._hearing else Snapshot()
            height_mm = before.job.height_mm if before.job is not None else None
            self._show(Snapshot(replace(job, height_mm=height_mm), None, before.temperatures))
            return job

    # -- loops -----------------------------------------------------------------------------------------------------

    async def poll(self) -> None:
        """Look every few seconds, and at once when something happened."""
        failures = 0
        while True:
            self._poll_now.clear()
            pause_s = 0.0
            try:
                await self.look()
                failures = 0
            except OctoPrintError as error:
                log.debug("octoprint_does_not_answer", error=str(error))
                failures += 1
                pause_s = backoff_s(failures, cap_s=MAX_SILENCE_S)
            await self.wait(self._poll_now, max(pause_s, POLL_S if self._hearing else POLL_WITHOUT_PUSH_S))
            await asyncio.sleep(BURST_S)

    async def hear(self) -> None:
        """Keep the push socket open, while OctoPrint answers at all."""
        failures = 0
        while True:
            await self.answering()
            try:
                async for message in push.listen(self._client):
                    failures = 0
                    self._take(message)
            except OctoPrintError as error:
                log.debug("push_socket_closed", error=str(error))
            finally:
                self._hearing = False
                self._poll_now.set()
            failures += 1
            await asyncio.sleep(backoff_s(failures, cap_s=MAX_RECONNECT_S))

    def _take(self, message: push.Message) -> None:
        match message:
            case push.Connected():
                self._hearing = True
                self._poll_now.set()
            case push.Event():
                self._heard += 1
                self._events.append((self._heard, message))
                self._poll_now.set()
                self._wake()
            case push.Current(body):
                try:
                    job = read_current(body)
                    temperatures = read_temperatures(body)
                    if (octoprints_s := read_clock(body)) is not None:
                        self._ahead_s = octoprints_s - time.time()
                except ValueError as error:
                    log.warning("push_message_not_understood", error=str(error)[:300])
                    return
                self._show(Snapshot(job, None, temperatures or self.snapshot.temperatures))

    def _show(self, snapshot: Snapshot) -> None:
        before, self.snapshot = self.snapshot, snapshot
        if (before.job is None) != (snapshot.job is None):
            log.info("octoprint_answers" if snapshot.job else "octoprint_offline", problem=snapshot.problem)
        if before != snapshot:
            self._wake()

    def _wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


def _forget_error(answer: asyncio.Task[Job]) -> None:
    """Whoever asked may be gone; an error that nobody fetches would be logged as one of the loop's."""
    if not answer.cancelled():
        answer.exception()
