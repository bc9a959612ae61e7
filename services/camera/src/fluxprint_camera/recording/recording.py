"""One camera's recording of one print, from its start to its end: frames for the timelapse, pictures as evidence."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fluxprint_camera.recording import repository
from fluxprint_camera.recording.evidence import Evidence
from fluxprint_camera.recording.metrics import RecordingMetrics
from fluxprint_camera.recording.models import Moment, TimelapseRow, TimelapseState
from fluxprint_camera.recording.problems import StoreFailed, Trouble
from fluxprint_camera.recording.rhythm import Rhythm, as_begun
from fluxprint_camera.recording.store import Frames, Store
from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.relay.tap import Tap
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.database import Database
from fluxprint_common.ids import show
from fluxprint_common.logs import get_logger
from fluxprint_common.prints import Print, PrintState

log = get_logger(__name__)

#: So often it is looked whether the print has ended, where no picture comes.
LOOK_S = 1.0
#: For a picture of after the end; the printer has just stopped, and the newest one may be from before.
END_WAIT_S = 5.0
#: So long after its end a print is taken to be still on the bed; a restart of this service or of the queue's takes
#: less. Each picture says when it was taken. One of later may show anything, and is no evidence.
END_SHOWN = timedelta(minutes=10)
#: After the disk failed, nothing is tried for so long.
DISK_REST_S = 30.0
#: So often the pictures of the print's end are tried.
END_TRIES = 3
NOTE_EVERY_S = 10.0
TRY_AGAIN_S = 2.0
#: Memory for the pictures before a failure, at least one of which is kept.
RING_BYTES = 4 * 1024 * 1024

DATABASE_AWAY = (DBAPIError, PoolTimeout, ConnectionError, TimeoutError)


@dataclass(frozen=True)
class Place:
    """Where a recording gets its frames from and brings them to."""

    hub: Hub
    store: Store
    database: Database
    settings: CameraSettings
    clock: Callable[[], float] = time.monotonic
    metrics: RecordingMetrics = field(default_factory=RecordingMetrics)


class Recording:
    """Takes frames as a tap of the hub does, at a low rate of its own; nobody waits for it.

    Args:
        timelapse: its row, in the state `recording`.
        print_: what is known of the print, None where the queue knows of none; `tell` brings what becomes known.
    """

    def __init__(self, place: Place, timelapse: TimelapseRow, print_: Print | None) -> None:
        self.timelapse = timelapse
        self._place = place
        self._print = print_
        self._settings = place.settings
        self._frames = Frames()
        self._rhythm = Rhythm(place.settings, now=place.clock())
        self._ring: deque[Frame] = deque(maxlen=max(place.settings.failure_pictures, 1))
        self._evidence = Evidence(place.store, place.metrics)
        self._began_at = datetime.now(UTC)
        self._rests_until = 0.0
        self._noted_at = place.clock() - TRY_AGAIN_S  # the picture of the start is noted at once
        self._trouble: Trouble | None = None
        self._noted_trouble: Trouble | None = None

    def tell(self, print_: Print | None) -> None:
        """What has become of the print; None where the queue knows of none."""
        before, self._print = self._print, print_
        if print_ is not None and (before is None or print_.told_at != before.told_at):
            self._rhythm.tell(print_.height_mm)

    @property
    def is_over(self) -> bool:
        """Whether the print has ended, or nobody knows of it any more."""
        return self._print is None or not self._print.state.runs

    async def run(self) -> None:
        """Record until the print ends, and hand over to the renderer. Cancelled, it can be run again by another."""
        await self._resume()
        timelapse, settings = self.timelapse, self._settings
        with self._place.hub.tapping(
            camera_id=timelapse.camera_id, organisation_id=timelapse.organisation_id, max_fps=settings.recording_fps
        ) as tap:
            while not self.is_over:
                if (frame := await tap.next(timeout_s=LOOK_S)) is not None:
                    await self._take(frame)
                await self._note()
            last = await self._keep_end(tap)
        await self._finish(last)

    async def _resume(self) -> None:
        """Go on where a process before this one stopped, as it was begun."""
        timelapse = self.timelapse
        while True:
            try:
                async with self._place.database.reading() as session:
                    camera = await repository.camera(session, timelapse.camera_id)
                    moments = await repository.moments_of(session, timelapse.attempt_id, timelapse.camera_id)
                self._frames = await self._place.store.frames(timelapse.id)
                break
            except (StoreFailed, *DATABASE_AWAY) as error:
                log.warning("recording_waits", timelapse=self._name, error=repr(error))
                await asyncio.sleep(TRY_AGAIN_S)
        self._evidence.resume(moments)
        settings = as_begun(self._settings, timelapse, camera)
        self._rhythm = Rhythm(settings, now=self._place.clock(), step=self._frames.step)

    def _is_online(self) -> bool:
        timelapse = self.timelapse
        live = self._place.hub.look(camera_id=timelapse.camera_id, organisation_id=timelapse.organisation_id)
        return live is not None and live.online

    @property
    def _name(self) -> str:
        return show("timelapse", self.timelapse.id)

    # -- while it prints -------------------------------------------------------------------------------------------

    async def _take(self, frame: Frame) -> None:
        self._ring.append(frame)
        while len(self._ring) > 1 and sum(len(kept.jpeg) for kept in self._ring) > RING_BYTES:
            self._ring.popleft()
        now = self._place.clock()
        # The newest picture of a camera that nobody watched is from before the print.
        if now < self._rests_until or frame.received_at < self._began_at:
            return
        try:
            self._evidence.keep(Moment.START, [frame])
            await self._evidence.write()
            if self._moves() and self._rhythm.is_due(now):
                await self._add(frame, now)
        except StoreFailed as error:
            self._failed(error)

    def _moves(self) -> bool:
        """Whether there is something to film: a pause of a night would be most of the video."""
        return self._print is not None and self._print.state is PrintState.PRINTING

    async def _add(self, frame: Frame, now: float) -> None:
        """Raises: StoreFailed"""
        before, settings = self._frames, self._settings
        number, data = before.last + self._rhythm.step, bytes(frame.jpeg)
        await self._place.store.add_frame(self.timelapse.id, number, data)
        self._place.metrics.frames.inc()
        self._rhythm.took(now)
        self._frames = Frames(before.count + 1, before.size_bytes + len(data), number, before.step)
        many = self._frames.count > settings.timelapse_max_frames
        if many or self._frames.size_bytes > settings.timelapse_max_bytes:
            self._frames = await self._place.store.thin(self.timelapse.id)
            self._rhythm.slow_down()

    def _failed(self, error: StoreFailed) -> None:
        """The disk is full or broken: a recording rests, and nothing else notices."""
        if self._trouble != error.trouble:
            log.warning("recording_stopped", timelapse=self._name, why=error.trouble, error=str(error))
        self._trouble = error.trouble
        self._place.metrics.troubles.labels(error.trouble).inc()
        self._rests_until = self._place.clock() + DISK_REST_S

    async def _note(self) -> None:
        """Write down how far it is, now and then; what could not be written waits for the next time."""
        now = self._place.clock()
        news = self._evidence.written or self._trouble is not self._noted_trouble
        if now - self._noted_at < (TRY_AGAIN_S if news else NOTE_EVERY_S):
            return
        self._noted_at = now
        try:
            await self._write_down(frames=self._frames.count, size_bytes=self._frames.size_bytes, problem=self._trouble)
            self._noted_trouble = self._trouble
        except DATABASE_AWAY as error:
            log.warning("recording_not_noted", timelapse=self._name, error=repr(error))

    async def _write_down(self, **values: object) -> None:
        waiting = list(self._evidence.written)
        async with self._place.database.unit_of_work() as session:
            for kept in waiting:
                await repository.add_picture(
                    session,
                    self.timelapse,
                    id_=kept.id,
                    moment=kept.moment,
                    captured_at=kept.frame.captured_at,
                    size_bytes=len(kept.frame.jpeg),
                )
            await repository.change(session, self.timelapse.id, **values)
        del self._evidence.written[: len(waiting)]

    # -- when it has ended -----------------------------------------------------------------------------------------

    async def _keep_end(self, tap: Tap) -> Frame | None:
        """Owe the pictures of the end; the one that came after it, where one did."""
        print_, count = self._print, self._settings.failure_pictures
        if print_ is None or _is_long_over(print_):
            return None
        last = await tap.next(timeout_s=END_WAIT_S if self._is_online() else 0)
        before = list(self._ring)
        after = [last] if last is not None else before[-1:]
        if print_.state.is_failure:
            before = before if last is not None else before[:-1]
            self._evidence.keep(Moment.BEFORE_FAILURE, before[-count:] if count else [])
            self._evidence.keep(Moment.FAILURE, after)
        else:
            self._evidence.keep(Moment.END, after)
        return last

    async def _finish(self, last: Frame | None) -> None:
        print_ = self._print
        await self._write_last(last)
        state = TimelapseState.RENDERING if self._frames.count else TimelapseState.EMPTY
        while True:
            try:
                await self._write_down(
                    state=state,
                    outcome=print_.state if print_ is not None else None,
                    ended_at=(print_.ended_at if print_ is not None else None) or datetime.now(UTC),
                    frames=self._frames.count,
                    size_bytes=self._frames.size_bytes,
                    problem=self._trouble,
                )
                break
            except DATABASE_AWAY as error:
                log.warning("recording_not_noted", timelapse=self._name, error=repr(error))
                await asyncio.sleep(TRY_AGAIN_S)
        if state is TimelapseState.EMPTY:
            self._place.metrics.timelapses.labels(state).inc()
        log.info("recording_ended", timelapse=self._name, frames=self._frames.count, outcome=print_ and print_.state)

    async def _write_last(self, last: Frame | None) -> None:
        """The pictures of the end, for which the disk is tried some times, and the last frame."""
        try:
            for tried in range(END_TRIES):
                if tried:
                    await self._note()
                    await asyncio.sleep(DISK_REST_S)
                try:
                    await self._evidence.write()
                    if last is not None:
                        await self._add(last, self._place.clock())
                    return
                except StoreFailed as error:
                    self._failed(error)
                    if not self._evidence.owes:
                        return
        finally:  # also where the service stops: nobody else has them
            if lost := self._evidence.give_up():
                log.error("pictures_lost", timelapse=self._name, why=self._trouble, moments=lost)


def _is_long_over(print_: Print) -> bool:
    """Whether a print may be off the bed by now."""
    return print_.ended_at is not None and datetime.now(UTC) - print_.ended_at > END_SHOWN
