"""Starts and ends recordings as prints come and go. One replica records for all, whichever has the duty."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from fluxprint_camera.cameras.models import RecordingMode
from fluxprint_camera.prints.feed import PrintFeed
from fluxprint_camera.recording import repository
from fluxprint_camera.recording.models import TimelapseRow, TimelapseState
from fluxprint_camera.recording.recording import DATABASE_AWAY, Place, Recording
from fluxprint_camera.recording.rhythm import as_set
from fluxprint_camera.recording.settings import MAX_RECORDINGS
from fluxprint_common.database import Database
from fluxprint_common.ids import new_id, show
from fluxprint_common.logs import get_logger
from fluxprint_common.prints import Print

log = get_logger(__name__)

DUTY = "recording"
#: Without a word for so many polls, and no less than `DUTY_S`, another replica takes over.
DUTY_POLLS = 4
DUTY_S = 8.0

_Key = tuple[UUID, UUID]
"""An attempt, and a camera."""


class Recorder:
    """Run `run` under a supervisor, within `working`."""

    def __init__(self, place: Place, feed: PrintFeed) -> None:
        self.on_duty = False
        #: Set when a recording has ended: there is something to render.
        self.ended = asyncio.Event()
        self._place = place
        self._feed = feed
        self._holder = new_id()
        self._running: dict[_Key, tuple[Recording, asyncio.Task[None]]] = {}
        #: Of prints that go on: timelapses that are over all the same.
        self._over: set[_Key] = set()
        #: Those that are too many, this time and the time before.
        self._refused: set[_Key] = set()
        self._refused_before: set[_Key] = set()
        place.metrics.running.set_function(lambda: len(self._running))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Ends the recordings with the service; their frames are on disk, and the next process goes on with them."""
        try:
            yield
        finally:
            await self._stop()
            if self.on_duty:
                await _give_up_duty(self._place.database, self._holder)

    async def run(self) -> None:
        """Follow the prints, for ever."""
        poll_s = self._place.settings.prints_poll_s
        while True:
            answered = self._feed.answered
            await self._look_after_duty(max(DUTY_S, DUTY_POLLS * poll_s))
            if self.on_duty:
                await self._follow()
            try:
                async with asyncio.timeout(poll_s):
                    await answered.wait()
            except TimeoutError:
                pass

    async def _look_after_duty(self, for_s: float) -> None:
        had, database = self.on_duty, self._place.database
        async with database.unit_of_work() as session:
            self.on_duty = await repository.take_duty(session, DUTY, self._holder, for_s=for_s)
        if had and not self.on_duty:
            log.warning("recording_taken_over")
            await self._stop()
        elif self.on_duty and not had:
            log.info("recording_on_duty")
            self.ended.set()  # what another one left is rendered here from now on

    async def _follow(self) -> None:
        self._reap()
        self._refused_before, self._refused = self._refused, set()
        prints = self._feed.prints
        for recording, _task in self._running.values():
            attempt_id = recording.timelapse.attempt_id
            if attempt_id in self._feed.known:
                recording.tell(prints.get(attempt_id))
        await self._start_new([print_ for print_ in prints.values() if print_.state.runs])
        await self._take_up_left()

    async def _start_new(self, prints: list[Print]) -> None:
        going_on = {print_.attempt_id for print_ in prints}
        self._over = {key for key in self._over if key[0] in going_on}
        if not prints:
            return
        by_printer = {(print_.organisation_id, print_.printer_id): print_ for print_ in prints}
        async with self._place.database.reading() as session:
            cameras = await repository.cameras_of(session, by_printer.keys())
        for camera in cameras:
            if camera.recording == RecordingMode.OFF:
                continue
            print_ = by_printer[camera.organisation_id, camera.printer_id]
            key = print_.attempt_id, camera.id
            if key in self._running or key in self._over or not self._has_room(key, camera.organisation_id):
                continue
            how = as_set(self._place.settings, camera)
            async with self._place.database.unit_of_work() as session:
                timelapse = await repository.begin(session, print_, camera.id, how)
            if timelapse.state == TimelapseState.RECORDING:
                self._start(timelapse, print_)
            else:
                self._over.add(key)

    async def _take_up_left(self) -> None:
        """What a process before this one recorded of prints that are over."""
        async with self._place.database.reading() as session:
            rows = await repository.in_state(session, TimelapseState.RECORDING, limit=MAX_RECORDINGS)
        left = [row for row in rows if (row.attempt_id, row.camera_id) not in self._running]
        self._feed.ask_about({row.attempt_id for row in left})
        for row in left:
            key = row.attempt_id, row.camera_id
            if row.attempt_id in self._feed.known and self._has_room(key, row.organisation_id):
                self._start(row, self._feed.prints.get(row.attempt_id))

    def _has_room(self, key: _Key, organisation_id: UUID) -> bool:
        """Whether one more may run, of all and of its organisation; it gets its turn when another one ends."""
        of = sum(one.timelapse.organisation_id == organisation_id for one, _task in self._running.values())
        if len(self._running) < MAX_RECORDINGS and of < self._place.settings.max_recordings_per_organisation:
            return True
        self._refused.add(key)
        if key not in self._refused_before:
            log.warning("too_many_recordings", organisation=show("org", organisation_id), camera=show("camera", key[1]))
        return False

    def _start(self, timelapse: TimelapseRow, print_: Print | None) -> None:
        recording = Recording(self._place, timelapse, print_)
        task = asyncio.create_task(recording.run(), name="recording")
        self._running[timelapse.attempt_id, timelapse.camera_id] = recording, task

    def _reap(self) -> None:
        for key, (recording, task) in list(self._running.items()):
            if task.done():
                del self._running[key]
                self.ended.set()
                if not task.cancelled() and (error := task.exception()) is not None:
                    log.error("recording_failed", timelapse=str(recording.timelapse.id), error=repr(error))

    async def _stop(self) -> None:
        tasks = [task for _recording, task in self._running.values()]
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _give_up_duty(database: Database, holder: UUID) -> None:
    """Another replica, or the next process, need not wait until it ends by itself."""
    try:
        async with asyncio.timeout(2), database.unit_of_work() as session:
            await repository.drop_duty(session, DUTY, holder)
    except DATABASE_AWAY as error:
        log.warning("duty_not_given_up", error=repr(error))
