"""The newest telemetry of every printer, in memory; the database gets a copy now and then.

Messages come over a bridge's link or through Redis. A printer's telemetry is believed only from the bridge that the
database says it belongs to.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from sqlalchemy.exc import DBAPIError

from fluxprint_common import doorbell
from fluxprint_common.database import Database
from fluxprint_common.doorbell import Message, Publisher
from fluxprint_common.ids import BridgeId, show
from fluxprint_common.logs import get_logger
from fluxprint_common.problems import from_database
from fluxprint_queue.events.feed import Feed
from fluxprint_queue.printers import repository as printers
from fluxprint_queue.printers import service as printer_rules
from fluxprint_queue.telemetry.schemas import Telemetry, TelemetryMessage

log = get_logger(__name__)

CHANNEL = "fluxprint:telemetry:"
SAVE_EVERY_S = 5.0
CLOCK_JUMP = timedelta(seconds=10)
OWNERS_KEPT = 10_000
_BRIDGE: TypeAdapter[UUID] = TypeAdapter(BridgeId)


class TelemetryHub:
    """One per process."""

    def __init__(self, database: Database, publisher: Publisher, feed: Feed) -> None:
        self._database = database
        self._publisher = publisher
        self._feed = feed
        self._newest: dict[UUID, Telemetry] = {}
        self._owners: dict[UUID, tuple[UUID, UUID] | None] = {}
        self._unsaved: set[UUID] = set()
        self._urgent = asyncio.Event()

    def newest(self, printer_id: UUID) -> Telemetry | None:
        return self._newest.get(printer_id)

    def forget_owners(self) -> None:
        """Printers were added, moved or removed: ask the database again."""
        self._owners.clear()

    async def take(self, bridge_id: UUID, message: Message, *, from_redis: bool = False) -> None:
        """Take a telemetry message of a bridge; a malformed or foreign one is dropped and logged."""
        try:
            parsed = TelemetryMessage.model_validate(message)
        except ValidationError as error:
            log.warning("telemetry_refused", bridge_id=str(bridge_id), errors=error.error_count())
            return
        owner = await self._owner(parsed.printer_id)
        if owner is None or owner[0] != bridge_id:
            log.warning("telemetry_of_foreign_printer", bridge_id=str(bridge_id), printer_id=str(parsed.printer_id))
            return
        before = self._newest.get(parsed.printer_id)
        if before is not None and timedelta(0) <= before.at - parsed.data.at < CLOCK_JUMP:
            return  # late or repeated; one that is much older is a clock that was set right
        self._newest[parsed.printer_id] = parsed.data
        self._unsaved.add(parsed.printer_id)
        if before is None or (before.connection, before.state) != (parsed.data.connection, parsed.data.state):
            self._urgent.set()
        self._feed.hand_on_telemetry(owner[1], parsed.printer_id, parsed.data.model_dump(mode="json"))
        if not from_redis:
            self._publisher.publish(f"{CHANNEL}{show('bridge', bridge_id)}", dict(message))

    async def run_redis(self, redis: Redis) -> None:
        """Take telemetry that bridges, and other replicas, publish in Redis; until Redis goes away."""

        async def handle(channel: str, message: Message) -> None:
            try:
                bridge_id = _BRIDGE.validate_python(channel.removeprefix(CHANNEL))
            except ValidationError:
                return
            await self.take(bridge_id, message, from_redis=True)

        await doorbell.listen(redis, [f"{CHANNEL}*"], handle)

    async def run_saving(self) -> None:
        """Copy to the database: at once where a state changed, else every few seconds; for ever."""
        while True:
            try:
                async with asyncio.timeout(SAVE_EVERY_S):
                    await self._urgent.wait()
            except TimeoutError:
                pass
            self._urgent.clear()
            waiting, self._unsaved = self._unsaved, set()
            try:
                await self._save(waiting)
            except BaseException:
                self._unsaved |= waiting
                raise

    async def _save(self, printer_ids: Iterable[UUID]) -> None:
        for printer_id in sorted(printer_ids):
            try:
                await self._save_one(printer_id, self._newest[printer_id])
            except DBAPIError as error:
                if from_database(error, {}) is not None:
                    raise  # the database is away: all of them wait
                log.exception("telemetry_not_saved", printer_id=show("printer", printer_id))

    async def _save_one(self, printer_id: UUID, telemetry: Telemetry) -> None:
        async with self._database.unit_of_work() as session:
            data = telemetry.model_dump(mode="json")
            changed = await printers.save_telemetry(session, printer_id, telemetry.connection, data)
            if changed is not None:
                printer_rules.note(session, changed, "connection_changed", connection=telemetry.connection)

    async def _owner(self, printer_id: UUID) -> tuple[UUID, UUID] | None:
        if printer_id not in self._owners:
            async with self._database.reading() as session:
                found = await printers.owners(session, [printer_id])
            if len(self._owners) >= OWNERS_KEPT:
                self._owners.clear()
            self._owners[printer_id] = found.get(printer_id)
        return self._owners[printer_id]
