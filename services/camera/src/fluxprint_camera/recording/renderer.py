"""Makes videos of what was recorded, one at a time."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from uuid import UUID

from fluxprint_camera.recording import ffmpeg, repository
from fluxprint_camera.recording.ffmpeg import Film, Mounting, RenderFailed
from fluxprint_camera.recording.models import TimelapseRow, TimelapseState
from fluxprint_camera.recording.problems import StoreFailed, Trouble
from fluxprint_camera.recording.recorder import Recorder
from fluxprint_camera.recording.recording import DATABASE_AWAY, Place
from fluxprint_common.ids import show
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

LOOK_S = 10.0
#: After the disk was full or broken, it is tried again: the frames are there.
DISK_REST_S = 60.0
#: After ffmpeg was killed: by whoever needed its memory, perhaps.
KILLED_REST_S = 60.0
#: So often a rendering is begun; that of a timelapse that takes its process with it comes to an end so.
TRIES = 3
PROGRESS_S = 1.0
STOPS_WITHIN_S = 2.0
REMEMBERED = 1000
_PASSES = {Trouble.DISK_FULL, Trouble.DISK_FAILED}


@dataclass(frozen=True)
class _Video:
    """One that was made.

    Attributes:
        is_cut: it ends before its print does.
    """

    frames: int
    size_bytes: int
    is_cut: bool


class Renderer:
    """Run `run` under a supervisor."""

    def __init__(self, place: Place, recorder: Recorder) -> None:
        self._place = place
        self._recorder = recorder
        #: Organisations that had their turn, the last one last.
        self._served: OrderedDict[UUID, None] = OrderedDict()

    async def run(self) -> None:
        """Render whatever waits while this replica records, for ever: organisations in turn, the oldest of each."""
        while True:
            self._recorder.ended.clear()
            waiting = await self._next() if self._recorder.on_duty else None
            rest_s = LOOK_S if waiting is None else await self._render(waiting)
            if not rest_s:
                continue
            try:
                async with asyncio.timeout(rest_s):
                    await self._recorder.ended.wait()
            except TimeoutError:
                pass

    async def _next(self) -> TimelapseRow | None:
        async with self._place.database.reading() as session:
            waiting = await repository.oldest_of_each(session, TimelapseState.RENDERING)
        if not waiting:
            return None
        turns = {organisation_id: turn for turn, organisation_id in enumerate(self._served)}
        chosen = min(waiting, key=lambda row: turns.get(row.organisation_id, -1))
        self._served[chosen.organisation_id] = None
        self._served.move_to_end(chosen.organisation_id)
        if len(self._served) > REMEMBERED:
            self._served.popitem(last=False)
        return chosen

    async def _render(self, row: TimelapseRow) -> float:
        """Nothing, or after so many seconds it is to be tried again."""
        name = show("timelapse", row.id)
        try:
            video = await self._make(row)
        except asyncio.CancelledError:  # the service stops, which says nothing of this timelapse
            await self._take_back(row)
            raise
        except (RenderFailed, StoreFailed) as error:
            self._place.metrics.troubles.labels(error.trouble).inc()
            log.warning("timelapse_not_rendered", timelapse=name, why=error.trouble, error=str(error))
            if error.trouble in _PASSES:
                await self._write_down(row, problem=error.trouble, renders=row.renders)
                return DISK_REST_S
            if isinstance(error, RenderFailed) and error.killed and row.renders + 1 < TRIES:
                return KILLED_REST_S
            await self._write_down(row, state=TimelapseState.FAILED, problem=error.trouble)
            self._place.metrics.timelapses.labels(TimelapseState.FAILED).inc()
            return 0
        if video.is_cut:
            self._place.metrics.troubles.labels(Trouble.VIDEO_CUT).inc()
            log.warning("timelapse_cut_short", timelapse=name, frames=video.frames, of=row.frames)
        there = await self._write_down(
            row,
            problem=Trouble.VIDEO_CUT if video.is_cut else row.problem,
            state=TimelapseState.READY,
            frames=video.frames,
            progress=1.0,
            size_bytes=video.size_bytes,
            duration_s=round(video.frames / self._place.settings.timelapse_fps, 3),
            ready_at=datetime.now(UTC),
        )
        self._place.metrics.timelapses.labels(TimelapseState.READY).inc()
        log.info("timelapse_ready", timelapse=name, frames=video.frames, size_bytes=video.size_bytes, kept=there)
        return 0

    async def _take_back(self, row: TimelapseRow) -> None:
        try:
            async with asyncio.timeout(STOPS_WITHIN_S):
                await self._change(row, renders=row.renders)
        except DATABASE_AWAY as error:
            log.debug("try_not_taken_back", error=repr(error))

    async def _make(self, row: TimelapseRow) -> _Video:
        """A process that was ended in between finds the frames, or the video itself."""
        store, max_bytes = self._place.store, self._place.settings.render_max_bytes
        if size_bytes := await store.size(store.video(row.id)):  # how many frames it has was not written down
            return _Video(row.frames, size_bytes, is_cut=size_bytes >= max_bytes)
        if row.renders >= TRIES:
            raise RenderFailed(Trouble.RENDER_FAILED, f"begun {row.renders} times, and never came to an end")
        # Before it begins: what ends this process, too, was a try.
        await self._write_down(row, renders=row.renders + 1)
        film, made = await self._film(row), await store.unfinished_video(row.id)
        frames = await self._run(row, film, made)
        if await store.size(made) >= max_bytes:  # it ends before the print does
            frames, made = await self._squeeze(row, film, frames, made)
        size_bytes = await store.keep_video(row.id, made)
        return _Video(frames, size_bytes, is_cut=frames < row.frames and size_bytes >= max_bytes)

    async def _squeeze(self, row: TimelapseRow, film: Film, frames: int, made: Path) -> tuple[int, Path]:
        """Frames and file of the video at the quality at which it fits, beside the one that is made; of that one where
        it comes to nothing: a video that is cut is more than none."""
        squeezed = made.with_stem(f"{made.stem}-squeezed")
        try:
            return await self._run(row, film.squeezed(row.frames), squeezed), squeezed
        except RenderFailed as error:
            self._place.metrics.troubles.labels(error.trouble).inc()
            name = show("timelapse", row.id)
            log.warning("timelapse_not_squeezed", timelapse=name, why=error.trouble, error=str(error))
            return frames, made

    async def _run(self, row: TimelapseRow, film: Film, made: Path) -> int:
        """Run ffmpeg and show how far it is; how many frames the video has."""
        place, settings = self._place, self._place.settings
        done = 0

        def progress(frames: int) -> None:
            nonlocal done
            done = frames

        async def show_progress() -> None:
            while True:
                await asyncio.sleep(PROGRESS_S)
                try:
                    await self._change(row, progress=min(done / max(row.frames, 1), 0.99))
                except DATABASE_AWAY as error:
                    log.debug("progress_not_noted", error=repr(error))

        showing = asyncio.create_task(show_progress(), name="timelapse:progress")
        try:
            return await ffmpeg.render(
                settings.ffmpeg,
                place.store.frames_folder(row.id),
                film,
                made,
                timeout_s=settings.render_timeout_s,
                on_progress=progress,
            )
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    async def _film(self, row: TimelapseRow) -> Film:
        settings = self._place.settings
        first = await self._place.store.first_frame(row.id)
        size = await asyncio.to_thread(_size_of, first) if first is not None else None
        if size is None:
            raise RenderFailed(Trouble.RENDER_FAILED, "no frame, or the first one is no picture")
        async with self._place.database.reading() as session:
            camera = await repository.camera(session, row.camera_id)
        mounting = Mounting(camera.rotate, camera.flip_h, camera.flip_v) if camera is not None else Mounting()
        width_px, height_px = ffmpeg.fitting(*size, max_width_px=settings.timelapse_width_px)
        return Film(settings.timelapse_fps, width_px, height_px, settings.render_max_bytes, mounting)

    async def _write_down(self, row: TimelapseRow, **values: object) -> bool:
        """Until it is written: a result that is lost would be worked for again."""
        while True:
            try:
                return await self._change(row, **values)
            except DATABASE_AWAY as error:
                log.warning("timelapse_not_noted", timelapse=show("timelapse", row.id), error=repr(error))
                await asyncio.sleep(LOOK_S)

    async def _change(self, row: TimelapseRow, **values: object) -> bool:
        async with self._place.database.unit_of_work() as session:
            return await repository.change(session, row.id, **values)


def _size_of(picture: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, by the header alone; None where it is no picture."""
    from PIL import Image  # noqa: PLC0415  (a tenth of the service's start)

    try:
        with Image.open(BytesIO(picture), formats=["JPEG"]) as opened:
            return opened.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
