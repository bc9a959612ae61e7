"""Decisions on their way into the database, with their pictures."""

import asyncio
from collections.abc import Collection
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fluxprint_camera.watching import repository, service
from fluxprint_camera.watching.kinds import EndReason, Kind
from fluxprint_camera.watching.metrics import WatchMetrics
from fluxprint_camera.watching.policy import Policy
from fluxprint_camera.watching.service import Found, Picture
from fluxprint_camera.watching.settings import WatchSettings
from fluxprint_camera.watching.storage import DecisionPictures
from fluxprint_common.database import Database
from fluxprint_common.ids import new_id, show
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

BATCH = 1000
#: The database is away, or does not take it now.
DATABASE_ERRORS = (DBAPIError, PoolTimeout, ConnectionError, TimeoutError)


class Records:
    """Keeps decisions and ends them.

    Attributes:
        changed: set when there is something to tell.
        metrics: counts what was seen.
    """

    def __init__(
        self, database: Database, pictures: DecisionPictures, settings: WatchSettings, metrics: WatchMetrics
    ) -> None:
        self.changed = asyncio.Event()
        self.metrics = metrics
        self._database = database
        self._pictures = pictures
        self._settings = settings

    async def keep(self, found: Found, policy: Policy, jpeg: bytes | None) -> bool:
        """Keep a decision; False where that was not possible now, and it should be tried again."""
        decision_id = new_id()
        picture = await self._save(decision_id, jpeg) if jpeg is not None else None
        kept = False
        try:
            async with self._database.unit_of_work() as session:
                kept = await service.decide(
                    session,
                    found,
                    policy,
                    decision_id=decision_id,
                    picture=picture,
                    max_per_hour=self._settings.watch_max_per_hour,
                )
        except DATABASE_ERRORS as error:
            log.warning("decision_not_kept", camera=show("camera", found.camera_id), error=repr(error))
            return False
        finally:
            if picture is not None and not kept:
                await self._pictures.remove(picture.name)
        if kept:
            log.info("decision", camera=show("camera", found.camera_id), kind=found.kind, value=found.value)
            self.metrics.decisions.labels(found.kind).inc()
            self.changed.set()
            if picture is not None:
                await self._make_room(found.organisation_id)
        return True

    async def _save(self, decision_id: UUID, jpeg: bytes) -> Picture | None:
        name = await self._pictures.save(decision_id, jpeg)
        return Picture(name, len(jpeg)) if name is not None else None

    async def _make_room(self, organisation_id: UUID) -> None:
        """Delete an organisation's oldest pictures where they take more than they may; what fails is done next time."""
        max_bytes = self._settings.watch_pictures_bytes
        try:
            async with self._database.unit_of_work() as session:
                gone = await repository.drop_pictures_beyond(session, organisation_id, max_bytes=max_bytes, limit=BATCH)
        except DATABASE_ERRORS as error:
            log.warning("decision_pictures_not_counted", error=repr(error))
            return
        if gone:
            await self._pictures.remove(*gone)

    async def end(self, camera_id: UUID, kind: Kind) -> bool:
        """The trouble is over; False where that could not be kept now."""
        try:
            async with self._database.unit_of_work() as session:
                ended = await repository.end_of_camera(session, camera_id, kind, reason=EndReason.CLEARED)
        except DATABASE_ERRORS as error:
            log.warning("end_not_kept", camera=show("camera", camera_id), error=repr(error))
            return False
        if ended:
            self.changed.set()
        return True

    async def end_all(self, decision_ids: Collection[UUID], reason: EndReason) -> None:
        """End some decisions."""
        if decision_ids:
            async with self._database.unit_of_work() as session:
                await repository.end(session, decision_ids, reason=reason)
            self.changed.set()

    async def tidy(self) -> None:
        """Forget what is older than its retention, and pictures of what was forgotten with its camera."""
        days = self._settings.watch_keep_days
        deleted = BATCH
        while deleted == BATCH:
            async with self._database.unit_of_work() as session:
                deleted = await repository.forget(session, keep_days=days, limit=BATCH)
        async with self._database.unit_of_work() as session:
            await repository.forget_policies(session, keep_days=days)
        await self._pictures.forget(keep_days=days)
        for day in await self._pictures.days():
            await self._sweep(day)

    async def _sweep(self, day: str) -> None:
        """Delete the pictures of a day that belong to no decision."""
        settled = await self._pictures.settled(day)
        for start in range(0, len(settled), BATCH):
            some = settled[start : start + BATCH]
            async with self._database.reading() as session:
                known = await repository.illustrated(session, some)
            if gone := [decision_id for decision_id in some if decision_id not in known]:
                await self._pictures.remove_all(day, gone)
                log.info("decision_pictures_deleted", pictures=len(gone))
