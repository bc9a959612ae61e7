"""The feed: one reader of the event table per process, for streams and doorbells.

It is woken by this process's own commits, by other processes through Redis, and by a clock: with no Redis at all an
event is found within a poll interval.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

from redis.asyncio import Redis

from fluxprint_common import doorbell
from fluxprint_common.database import Database
from fluxprint_common.doorbell import Publisher
from fluxprint_common.events import WAKE_CHANNEL, Event
from fluxprint_common.messages import Message
from fluxprint_common.principal import Principal
from fluxprint_common.problems import RateLimited
from fluxprint_queue.events import repository
from fluxprint_queue.events.repository import FeedEvent
from fluxprint_queue.telemetry.schemas import Telemetry

BATCH = 500
SUBSCRIBER_BUFFER = 1000
CLOSE_WITHIN_S = 5.0

OnEvents = Callable[[Sequence[FeedEvent]], Awaitable[None]]


class TooManyStreams(RateLimited):
    """Too many streams are open; close one first"""

    code = "too_many_streams"


@dataclass(frozen=True)
class Room:
    """How many streams may be open at once in this process, in one organisation and of one person in it.

    A person's newest stream takes the place of the oldest: a phone that changes its network leaves connections behind
    that nobody hears ending, and would wait for minutes. Past the organisation's places a stream is refused: the others
    are colleagues'.
    """

    per_organisation: int
    per_person: int


class Subscriber:
    """One stream's buffer of events (all of them, or the stream must read the table again) and newest telemetry."""

    def __init__(self, principal: Principal, *, with_telemetry: bool) -> None:
        self.person_id = principal.credential_id
        self._printers = principal.printers
        self.with_telemetry = with_telemetry
        self._events: deque[Event] = deque()
        self._telemetry: dict[UUID, Telemetry] = {}
        self._wake = asyncio.Event()
        self.overflowed = False
        self.closing = False
        self.displaced = False
        self.deadline = asyncio.timeout(None)  # around the whole stream

    def close(self) -> None:
        """End the stream, by force where its client takes nothing."""
        if not self.closing:
            self.closing = True
            self._wake.set()
            self.deadline.reschedule(asyncio.get_running_loop().time() + CLOSE_WITHIN_S)

    def displace(self) -> None:
        """The same person opened another stream, which gets this one's place."""
        self.displaced = True
        self.close()

    def offer(self, event: Event, printer_id: UUID | None) -> None:
        """Take an event of the organisation, where it concerns a printer that may be seen."""
        if self._printers is not None and printer_id not in self._printers:
            return
        if len(self._events) >= SUBSCRIBER_BUFFER:
            self.overflowed = True
            self._events.clear()
        self._events.append(event)
        self._wake.set()

    def offer_telemetry(self, printer_id: UUID, data: Telemetry) -> None:
        """Take a printer's telemetry, where the printer may be seen."""
        if self._printers is not None and printer_id not in self._printers:
            return
        self._telemetry[printer_id] = data  # one slot a printer, the newest wins
        self._wake.set()

    async def wait(self, timeout_s: float) -> None:
        """Return when there is something to take, or after the time-out."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    def take(self) -> tuple[list[Event], dict[UUID, Telemetry]]:
        """Everything that waits."""
        if not self.closing:
            self._wake.clear()
        events, telemetry = list(self._events), self._telemetry
        self._events.clear()
        self._telemetry = {}
        return events, telemetry


class Feed:
    """Reads new events and hands them to this process's streams and to `on_events`."""

    def __init__(self, database: Database, publisher: Publisher, *, poll_s: float, room: Room) -> None:
        self._database = database
        self._publisher = publisher
        self._poll_s = poll_s
        self._room = room
        self._subscribers: dict[UUID, dict[Subscriber, None]] = {}  # of an organisation, oldest first
        self._wake = asyncio.Event()
        self._last: int | None = None
        self._name = str(uuid4())  # so that this process is not woken a second time by its own ring
        self.on_events: list[OnEvents] = []

    def ring(self) -> None:
        """Look now; and tell the other processes."""
        self._wake.set()
        self._publisher.publish(WAKE_CHANNEL, {"by": self._name})

    async def run(self) -> None:
        """Read and hand on, for ever."""
        while True:
            async with self._database.reading() as session:
                if self._last is None:
                    self._last = await repository.newest_sequence(session)
                events = await repository.after(session, self._last, limit=BATCH)
            if events:
                for callback in self.on_events:
                    await callback(events)
                self._hand_on(events)
                self._last = events[-1].event.sequence
            if len(events) < BATCH:
                await self._pause()

    async def run_wake(self, redis: Redis) -> None:
        """Be woken by other processes through Redis, until Redis goes away."""

        async def wake(_channel: str, message: Message) -> None:
            if message.get("by") != self._name:
                self._wake.set()

        async def catch_up() -> None:
            self._wake.set()

        await doorbell.listen(redis, [WAKE_CHANNEL], wake, on_connect=catch_up)

    @contextmanager
    def subscribe(self, principal: Principal, *, with_telemetry: bool) -> Iterator[Subscriber]:
        """A stream's place in the feed. Raises: TooManyStreams"""
        organisation_id = principal.organisation_id
        subscribers = self._subscribers.setdefault(organisation_id, {})
        # Nothing is awaited before the place is taken: of two who come at once one may be too many.
        own = [subscriber for subscriber in subscribers if subscriber.person_id == principal.credential_id]
        if len(own) >= self._room.per_person:
            subscribers.pop(own[0])
            own[0].displace()
        elif len(subscribers) >= self._room.per_organisation:
            raise TooManyStreams(
                f"At most {self._room.per_organisation} streams may be open for your organisation; close one first.",
                headers={"Retry-After": "30"},
            )
        subscriber = Subscriber(principal, with_telemetry=with_telemetry)
        subscribers[subscriber] = None
        try:
            yield subscriber
        finally:
            left = self._subscribers.get(organisation_id, {})  # one that was displaced may outlive those it knew
            left.pop(subscriber, None)
            if not left:
                self._subscribers.pop(organisation_id, None)

    def stop(self) -> None:
        """End every stream; its client connects again, to another replica or to the next process."""
        for subscribers in self._subscribers.values():
            for subscriber in subscribers:
                subscriber.close()

    def hand_on_telemetry(self, organisation_id: UUID, printer_id: UUID, data: Telemetry) -> None:
        """Give a printer's telemetry to the streams that want it."""
        for subscriber in self._subscribers.get(organisation_id, ()):
            if subscriber.with_telemetry:
                subscriber.offer_telemetry(printer_id, data)

    def _hand_on(self, events: Sequence[FeedEvent]) -> None:
        for item in events:
            for subscriber in self._subscribers.get(item.event.organisation_id, ()):
                subscriber.offer(item.event, item.printer_id)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
