"""The event stream as Server-Sent Events (WHATWG HTML, section 9.2): resumable, bounded, and ended with its token."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from fluxprint_common.database import Database
from fluxprint_common.events import Event
from fluxprint_common.ids import show
from fluxprint_common.logs import get_logger
from fluxprint_common.principal import Principal
from fluxprint_common.revocations import Revocations
from fluxprint_queue.events import repository
from fluxprint_queue.events.feed import Feed, Subscriber
from fluxprint_queue.telemetry.schemas import Telemetry

log = get_logger(__name__)

HEARTBEAT_S = 15.0
RETRY_MS = 2000
#: A browser whose newer stream took the place: at once it would take it back, and so on for ever.
DISPLACED_RETRY_MS = 60_000
CATCH_UP = 500


@dataclass(frozen=True)
class StreamRequest:
    """What a client wants to hear.

    Attributes:
        after: the last event that it has seen; None for only new ones.
        types: only these types of events; all where empty.
    """

    after: int | None
    types: Sequence[str]
    with_telemetry: bool


class EventStream(StreamingResponse):
    """Has its place in the feed for exactly as long as it is sent.

    Raises:
        TooManyStreams: when called, before anything is sent.
    """

    def __init__(
        self,
        database: Database,
        feed: Feed,
        principal: Principal,
        wanted: StreamRequest,
        *,
        revocations: Revocations,
    ) -> None:
        super().__init__((), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._database = database
        self._feed = feed
        self._principal = principal
        self._wanted = wanted
        self._revocations = revocations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._feed.subscribe(self._principal, with_telemetry=self._wanted.with_telemetry) as subscriber:
            self.body_iterator = _stream(self._database, self._principal, self._wanted, subscriber)
            try:
                async with subscriber.deadline:
                    with self._revocations.watching(
                        self._principal.session_id, self._principal.issued_at, subscriber.close
                    ):
                        await super().__call__(scope, receive, send)
            except TimeoutError:
                if not subscriber.deadline.expired():
                    raise
                log.info("stream_cut_off")  # its client takes nothing, not even the end


async def _stream(
    database: Database, principal: Principal, wanted: StreamRequest, subscriber: Subscriber
) -> AsyncIterator[str]:
    """Events as they happen, until the token ends; no database connection is held while nothing happens."""
    yield f"retry: {RETRY_MS}\n\n"
    async with database.reading() as session:
        newest = await repository.newest_sequence(session)
        oldest = await repository.oldest_sequence(session)
    last = newest if wanted.after is None else wanted.after
    if wanted.after is not None and (last > newest or last < oldest - 1):
        # Older than what is kept, or of another database: the client must read the resources anew.
        yield _reset(newest)
        last = newest
    async for event in _catch_up(database, principal, wanted, last):
        last = event.sequence
        yield _event(event)
    async for text, sequence in _live(database, principal, wanted, subscriber, last):
        last = sequence
        yield text


async def _catch_up(database: Database, principal: Principal, wanted: StreamRequest, last: int) -> AsyncIterator[Event]:
    while True:
        async with database.reading() as session:
            batch = await repository.visible(session, principal, after=last, types=wanted.types, limit=CATCH_UP)
        for event in batch:
            last = event.sequence
            yield event
        if len(batch) < CATCH_UP:
            return


async def _live(
    database: Database, principal: Principal, wanted: StreamRequest, subscriber: Subscriber, last: int
) -> AsyncIterator[tuple[str, int]]:
    while (left_s := (principal.expires_at - datetime.now(UTC)).total_seconds()) > 0:
        await subscriber.wait(min(HEARTBEAT_S, left_s))
        if subscriber.displaced:
            yield f"retry: {DISPLACED_RETRY_MS}\n\n", last
        if subscriber.closing:
            return
        if subscriber.overflowed:
            subscriber.overflowed = False
            subscriber.take()
            async for event in _catch_up(database, principal, wanted, last):
                last = event.sequence
                yield _event(event), last
        events, telemetry = subscriber.take()
        if not events and not telemetry:
            yield ": still here\n\n", last
        for event in events:
            if event.sequence > last:
                last = event.sequence
                if not wanted.types or event.type in wanted.types:
                    yield _event(event), last
        for printer_id, data in telemetry.items():
            yield _telemetry(printer_id, data), last


def _event(event: Event) -> str:
    return f"id: {event.sequence}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"


def _telemetry(printer_id: UUID, data: Telemetry) -> str:
    """Telemetry has no id: a stream that resumes gets the newest, not what it missed."""
    shown = {"printer_id": show("printer", printer_id), "data": data.model_dump(mode="json")}
    return f"event: telemetry\ndata: {json.dumps(shown)}\n\n"


def _reset(newest: int) -> str:
    return f"id: {newest}\nevent: stream.reset\ndata: {json.dumps({'sequence': newest})}\n\n"
