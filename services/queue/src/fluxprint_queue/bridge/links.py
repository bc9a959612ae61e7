"""The bridges' links: doorbells down, telemetry up. A link may be cut at any moment and nothing is lost by it."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from starlette.websockets import WebSocket, WebSocketDisconnect

from fluxprint_common.database import Database
from fluxprint_common.doorbell import Publisher
from fluxprint_common.ids import show
from fluxprint_common.logs import get_logger
from fluxprint_common.messages import parse
from fluxprint_common.principal import Principal
from fluxprint_common.revocations import Revocations
from fluxprint_queue.bridge import repository, uploads
from fluxprint_queue.bridge.waiters import Waiters
from fluxprint_queue.events.repository import FeedEvent
from fluxprint_queue.telemetry.hub import TelemetryHub

log = get_logger(__name__)

SUBPROTOCOL = "fluxprint.bridge.v1"
PING_S = 20
TOKEN_ENDED = 4401
TAKEN_OVER = 4409
STOPPING = 1012  # RFC 6455's registry: service restart
SEND_TIMEOUT_S = 10.0
CHANNEL = "fluxprint:bridge:"

#: Something else may be brought to the printer ahead of time; there is nothing to claim.
STAGE = "stage"

_REASONS = {
    "job.created": "work",
    "job.queued": "work",
    "attempt.released": "work",
    "attempt.completed": "work",
    "attempt.failed": "work",
    "attempt.cancelled": "attempt",
    "printer.bed_cleared": "work",
    "printer.updated": "work",
    "printer.created": "printers",
    "printer.deleted": "printers",
    "command.created": "command",
    "file.created": STAGE,
    "file.deleted": STAGE,
}

#: After these a printer may be another bridge's.
_OF_OWNERS = frozenset({"printer.created", "printer.updated", "printer.deleted"})

Ring = tuple[UUID, str]


class Link:
    """One bridge's connection: what is to be rung, each only once."""

    def __init__(self, socket: WebSocket, principal: Principal) -> None:
        self.socket = socket
        self.principal = principal
        self._rings: set[Ring] = set()
        self._wake = asyncio.Event()
        self.stopping = asyncio.Event()
        self.revoked = asyncio.Event()

    def ring(self, printer_id: UUID, reason: str) -> None:
        self._rings.add((printer_id, reason))
        self._wake.set()

    async def send(self) -> None:
        """Ring what is to be rung, for ever; ends when the bridge does not take it."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            rings, self._rings = self._rings, set()
            for printer_id, reason in rings:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self.socket.send_text(json.dumps(doorbell_message(printer_id, reason)))


def doorbell_message(printer_id: UUID, reason: str) -> dict[str, object]:
    """A doorbell as docs/protocol.md gives it."""
    return {"type": "doorbell", "reason": reason, "printer_id": show("printer", printer_id)}


class LinkHub:
    """All links of this process, and the doorbells of bridges that listen on Redis."""

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        telemetry: TelemetryHub,
        revocations: Revocations,
        waiters: Waiters,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._telemetry = telemetry
        self._revocations = revocations
        self._waiters = waiters
        self._links: dict[UUID, Link] = {}

    async def serve(self, socket: WebSocket, principal: Principal) -> None:
        """Hold a link until it ends: cut, taken over, or its token ended or was revoked."""
        await socket.accept(subprotocol=SUBPROTOCOL)
        link = Link(socket, principal)
        before, self._links[principal.subject] = self._links.get(principal.subject), link
        if before is not None:
            await _close(before.socket, TAKEN_OVER, "another connection took over")
        log.info("bridge_linked", bridge_id=show("bridge", principal.subject))
        try:
            hello = {"type": "hello", "bridge_id": show("bridge", principal.subject), "ping_s": PING_S}
            await socket.send_text(json.dumps(hello))
            with self._revocations.watching(principal.session_id, principal.issued_at, link.revoked.set):
                await self._run(link)
        finally:
            if self._links.get(principal.subject) is link:
                del self._links[principal.subject]
            log.info("bridge_unlinked", bridge_id=show("bridge", principal.subject))

    async def _run(self, link: Link) -> None:
        left_s = (link.principal.expires_at - datetime.now(UTC)).total_seconds()
        stopping = asyncio.create_task(link.stopping.wait())
        revoked = asyncio.create_task(link.revoked.wait())
        tasks = [asyncio.create_task(link.send()), asyncio.create_task(self._receive(link)), stopping, revoked]
        try:
            done, _pending = await asyncio.wait(tasks, timeout=max(0, left_s), return_when=asyncio.FIRST_COMPLETED)
            if not done or revoked in done:
                await _close(link.socket, TOKEN_ENDED, "the token has ended")
            elif stopping in done:
                await _close(link.socket, STOPPING, "the service stops")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, link: Link) -> None:
        while True:
            try:
                message = parse(await link.socket.receive_text())
            except (WebSocketDisconnect, KeyError, RuntimeError):
                return  # gone, or it sent bytes
            if message is not None and message.get("type") == "telemetry":
                await self._telemetry.take(link.principal.subject, message)

    def stop(self) -> None:
        """End every link; its bridge connects again."""
        for link in self._links.values():
            link.stopping.set()

    async def on_events(self, events: Sequence[FeedEvent]) -> None:
        """Ring the bridges that events concern."""
        rings = [(item, _REASONS[item.event.type]) for item in events if item.event.type in _REASONS]
        if not rings:
            return
        if any(item.event.type in _OF_OWNERS for item, _reason in rings):
            self._telemetry.forget_owners()
        named = {(item.printer_id, reason) for item, reason in rings if item.printer_id is not None}
        async with self._database.reading() as session:
            bridges = await repository.bridges_of(session, {printer_id for printer_id, _reason in named})
            # A job for any printer does not wake them all: hundreds would ask at once for what one of them gets.
            any_printer = [(item.event, reason) for item, reason in rings if item.printer_id is None]
            lots = {event.organisation_id: event.sequence for event, reason in any_printer if reason != STAGE}
            for organisation_id, lot in lots.items():
                for printer_id, bridge_id in await repository.printers_for_work(session, organisation_id, lot=lot):
                    self._ring(bridge_id, printer_id, "work")
            for organisation_id in {event.organisation_id for event, reason in any_printer if reason == STAGE}:
                for printer_id, bridge_id in await uploads.printers_for(session, organisation_id):
                    self._ring(bridge_id, printer_id, STAGE)
        for printer_id, reason in named:
            if printer_id in bridges:
                self._ring(bridges[printer_id], printer_id, reason)

    def _ring(self, bridge_id: UUID, printer_id: UUID, reason: str) -> None:
        if reason not in {"command", STAGE}:
            self._waiters.ring(printer_id)
        link = self._links.get(bridge_id)
        if link is not None:
            link.ring(printer_id, reason)
        self._publisher.publish(f"{CHANNEL}{show('bridge', bridge_id)}", doorbell_message(printer_id, reason))


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await socket.close(code, reason)
    except (RuntimeError, TimeoutError, OSError, WebSocketDisconnect):
        pass  # it is gone already
