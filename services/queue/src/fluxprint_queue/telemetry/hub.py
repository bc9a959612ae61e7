"""The newest telemetry of every printer, in memory; the database gets a copy now and then.

Messages come over a bridge's link or through Redis. A printer's telemetry is believed only from the bridge that the
database says it belongs to.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter
from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from sqlalchemy.exc import DBAPIError

from fluxprint_common import doorbell
from fluxprint_common.database import Database
from fluxprint_common.doorbell import Publisher
from fluxprint_common.ids import BridgeId, show
from fluxprint_common.logs import get_logger
from fluxprint_common.messages import Message
from fluxprint_common.problems import from_database
from fluxprint_queue.events.feed import Feed
from fluxprint_queue.printers import repository as printers
from fluxprint_queue.printers import service as printer_rules
from fluxprint_queue.telemetry.schemas import Telemetry, TelemetryMessage

log = get_logger(__name__)

CHANNEL = "fluxprint:telemetry:"
SAVE_EVERY_S = 5.0
SAVE_APART_S = 0.25
SAVE_BATCH = 50
TRY_EVERY_S = 2.0
CLOCK_JUMP = timedelta(seconds=10)
OWNERS_KEPT = 10_000
_BRIDGE: TypeAdapter[UUID] = TypeAdapter(BridgeId)


class TelemetryHub:
    """One per process."""

    def __init__(self, database: Database, publisher: Publisher, feed: Feed, registry: CollectorRegistry) -> None:
        self._database = database
        self._publisher = publisher
        self._feed = feed
        self._newest: dict[UUID, Telemetry] = {}
        self._owners: dict[UUID, tuple[UUID, UUID] | None] = {}
        self._unsaved: set[UUID] = set()
        self._told_at: dict[str, float] = {}
        self._changed: set[UUID] = set()  # those whose state changed
        self._urgent = asyncio.Event()
        self._taken = Counter("telemetry_messages_total", "Taken in, of this process's printers", registry=registry)

    def newest(self, printer_id: UUID) -> Telemetry | None:
        return self._newest.get(printer_id)

    def forget_owners(self) -> None:
        """Printers were added, moved or removed: ask the database again."""
        self._owners.clear()
        self._told_at.clear()

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
        self._taken.inc()
        self._newest[parsed.printer_id] = parsed.data
        self._unsaved.add(parsed.printer_id)
        if before is None or (before.connection, before.state) != (parsed.data.connection, parsed.data.state):
            self._changed.add(parsed.printer_id)
            self._urgent.set()
        self._feed.hand_on_telemetry(owner[1], parsed.printer_id, parsed.data)
        if not from_redis:
            self._tell_others(f"{CHANNEL}{show('bridge', bridge_id)}", message)

    def _tell_others(self, channel: str, message: Message) -> None:
        """Pass on what came over a link to the other replicas; where there are none, only try now and then."""
        now = asyncio.get_running_loop().time()
        alone = self._publisher.heard_by.get(channel, 0) <= 1  # that is this process itself
        if not alone or now - self._told_at.get(channel, -TRY_EVERY_S) >= TRY_EVERY_S:
            self._told_at[channel] = now
            self._publisher.publish(channel, dict(message))

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
        """Copy to the database: at once where a state changed, all of it every few seconds; for ever.

        Between two times lies a pause: a bridge whose printers change all the time costs no more than others.
        """
        clock = asyncio.get_running_loop().time
        all_at = clock() + SAVE_EVERY_S
        while True:
            try:
                async with asyncio.timeout_at(all_at):
                    await self._urgent.wait()
            except TimeoutError:
                pass
            self._urgent.clear()
            changed, self._changed = self._changed, set()
            if clock() >= all_at:
                changed, all_at = set(self._unsaved), clock() + SAVE_EVERY_S
            waiting = sorted(changed)
            self._unsaved -= changed
            try:
                while waiting:
                    await self._save(waiting[:SAVE_BATCH])
                    del waiting[:SAVE_BATCH]
            except BaseException:
                self._unsaved.update(waiting)
                raise
            await asyncio.sleep(SAVE_APART_S)

    async def _save(self, printer_ids: Sequence[UUID]) -> None:
        try:
            async with self._database.unit_of_work() as session:
                newest = {printer_id: self._newest[printer_id] for printer_id in printer_ids}
                rows = {key: (value.connection, value.model_dump(mode="json")) for key, value in newest.items()}
                for printer in await printers.save_telemetry(session, rows):
                    printer_rules.note(session, printer, "connection_changed", connection=newest[printer.id].connection)
        except DBAPIError as error:
            if from_database(error, {}) is not None:
                raise  # the database is away: all of them wait
            if len(printer_ids) == 1:
                log.exception("telemetry_not_saved", printer_id=show("printer", printer_ids[0]))
            else:  # one of them must not keep the others from being saved
                for printer_id in printer_ids:
                    await self._save([printer_id])

    async def _owner(self, printer_id: UUID) -> tuple[UUID, UUID] | None:
        if printer_id not in self._owners:
            async with self._database.reading() as session:
                found = await printers.owners(session, [printer_id])
            if len(self._owners) >= OWNERS_KEPT:
                self._owners.clear()
            self._owners[printer_id] = found.get(printer_id)
        return self._owners[printer_id]
