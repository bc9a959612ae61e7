"""Deletes recordings that were kept long enough, whose camera was forgotten, or that an organisation has too many of,
and files of nobody."""

from collections.abc import Collection
from uuid import UUID

from fluxprint_camera.recording import repository
from fluxprint_camera.recording.models import PictureRow, TimelapseRow
from fluxprint_camera.recording.recording import Place
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

EVERY_S = 600.0
BATCH = 200


class Retention:
    """Several replicas may do it at once."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def tidy(self) -> None:
        """Delete what is too old or of no camera, then the oldest of who has too much, then what has no row."""
        settings, database = self._place.settings, self._place.database
        days = settings.recordings_kept_days
        while True:
            async with database.reading() as session:
                timelapses = await repository.done_with(session, TimelapseRow, days=days, limit=BATCH)
                pictures = await repository.done_with(session, PictureRow, days=days, limit=BATCH)
                if not timelapses and not pictures:
                    max_bytes, of_pictures = settings.recordings_bytes, settings.recording_pictures_bytes
                    timelapses = await repository.timelapses_beyond(session, max_bytes=max_bytes, limit=BATCH)
                    pictures = await repository.pictures_beyond(session, max_bytes=of_pictures, limit=BATCH)
            if not timelapses and not pictures:
                break
            await self._delete(timelapses, pictures)
        await self._sweep()

    async def _delete(self, timelapses: Collection[UUID], pictures: Collection[UUID]) -> None:
        """The rows first: what is shown is there. A file that stays behind is swept later."""
        async with self._place.database.unit_of_work() as session:
            await repository.remove(session, TimelapseRow, timelapses)
            await repository.remove(session, PictureRow, pictures)
        await self._place.store.delete(list(timelapses), list(pictures))
        log.info("recordings_deleted", timelapses=len(timelapses), pictures=len(pictures))

    async def _sweep(self) -> None:
        if swept := await self._place.store.sweep():
            log.info("half_written_files_deleted", files=swept)
        timelapses, pictures = await self._place.store.old()
        for start in range(0, max(len(timelapses), len(pictures)), BATCH):
            some, others = timelapses[start : start + BATCH], pictures[start : start + BATCH]
            async with self._place.database.reading() as session:
                known = await repository.existing(session, TimelapseRow, some)
                known |= await repository.existing(session, PictureRow, others)
            await self._place.store.delete(
                [found for found in some if found not in known], [found for found in others if found not in known]
            )
