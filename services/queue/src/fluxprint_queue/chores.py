"""The queue's background chores: one small function each, run by the supervisor."""

from fluxprint_common.database import Database
from fluxprint_queue.attempts import repository as attempts
from fluxprint_queue.attempts import service as attempt_rules
from fluxprint_queue.commands import service as commands
from fluxprint_queue.events import repository as events
from fluxprint_queue.files.storage import LocalStorage
from fluxprint_queue.idempotency import repository as idempotency
from fluxprint_queue.idempotency.service import KEEP_HOURS
from fluxprint_queue.printers import repository as printers
from fluxprint_queue.printers import service as printer_rules
from fluxprint_queue.printers.states import Connection
from fluxprint_queue.settings import QueueSettings

BATCH = 100
KEEP_EVENTS_DAYS = 90
PRUNE_BATCH = 1_000


class Chores:
    """What has to happen now and then, whoever does it first: several replicas may do it at once."""

    def __init__(self, database: Database, storage: LocalStorage, settings: QueueSettings) -> None:
        self._database = database
        self._storage = storage
        self._settings = settings

    async def release_expired_leases(self) -> None:
        """Give back the jobs of bridges that went silent before the permit."""
        async with self._database.reading() as session:
            expired = await attempts.expired_leases(session, limit=BATCH)
        for attempt_id, job_id in expired:
            async with self._database.unit_of_work() as session:
                await attempt_rules.release_expired(session, self._settings, attempt_id, job_id)

    async def expire_commands(self) -> None:
        """End commands that nobody carried out in time."""
        async with self._database.unit_of_work() as session:
            await commands.expire(session)

    async def mark_silent_printers(self) -> None:
        """Show printers offline from which nothing is heard."""
        async with self._database.unit_of_work() as session:
            for printer in await printers.mark_silent_offline(session, after_s=self._settings.offline_after_s):
                printer_rules.note(session, printer, "connection_changed", connection=Connection.OFFLINE)

    async def tidy(self) -> None:
        """Forget what is older than its retention."""
        async with self._database.unit_of_work() as session:
            await idempotency.prune(session, keep_hours=KEEP_HOURS)
        deleted = PRUNE_BATCH
        while deleted == PRUNE_BATCH:
            async with self._database.unit_of_work() as session:
                deleted = await events.prune(session, keep_days=KEEP_EVENTS_DAYS, limit=PRUNE_BATCH)
        await self._storage.sweep()
