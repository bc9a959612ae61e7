"""Watching, put together: its loops and the detector's process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial

from fastapi import FastAPI

from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.settings import CameraSettings
from fluxprint_camera.watching.detection import Detection
from fluxprint_camera.watching.metrics import WatchMetrics
from fluxprint_camera.watching.process import DetectorProcess
from fluxprint_camera.watching.records import Records
from fluxprint_camera.watching.telling import Teller
from fluxprint_camera.watching.watcher import PrintSource, Watcher
from fluxprint_common.background import every

TIDY_S = 600.0
#: How often it is asked for what is to be told, where nothing rang: another replica may have ended with it untold.
TELL_S = 5.0
#: Pictures are looked at when they are due; this is how often it is asked which are.
LOOK_S = 1.0


@asynccontextmanager
async def watching(app: FastAPI, hub: Hub, prints: PrintSource) -> AsyncIterator[None]:
    """Watch for trouble for as long as the block runs.

    None of its loops is critical: whatever becomes of them, pictures are shown.

    Raises:
        DetectorRefused: the detector of the settings can't be used. DetectorFailed: it does not start.
    """
    state = app.state
    settings: CameraSettings = state.settings
    records = Records(state.database, state.decision_pictures, settings, WatchMetrics(state.metrics.registry))
    # Also where nothing is watched any more: what was found before is not kept for ever.
    state.loops.start("watch-tidy", partial(every, TIDY_S, records.tidy), critical=False)
    try:
        async with _looking(app, hub, prints, records) if settings.watch_enabled else nullcontext():
            yield
    finally:
        await state.loops.stop("watch-tidy")


@asynccontextmanager
async def _looking(app: FastAPI, hub: Hub, prints: PrintSource, records: Records) -> AsyncIterator[None]:
    state = app.state
    settings: CameraSettings = state.settings
    watcher = Watcher(hub, state.database, records, prints, settings)
    teller = Teller(state.database, state.http, settings.queue_url, pause_within_s=settings.watch_pause_within_s)
    start = partial(state.loops.start, critical=False)
    process: DetectorProcess | None = None
    try:
        if settings.detector:
            process = DetectorProcess(
                settings.detector,
                settings.detector_options,
                start_s=settings.detector_start_s,
                timeout_s=settings.detector_timeout_s,
                memory_bytes=settings.detector_memory_bytes,
            )
            await process.start()
            state.health_parts["detector"] = process.health
            detection = Detection(watcher.watched, process, records, settings)
            start("watch-detection", partial(every, min(LOOK_S, settings.detector_interval_s), detection.step))
        start("watch-survey", partial(every, settings.watch_poll_s, watcher.survey))
        start("watch-look", partial(every, min(LOOK_S, settings.watch_interval_s), watcher.look))
        start("watch-tell", partial(_tell, teller, records.changed))
        yield
    finally:
        for name in ("watch-detection", "watch-survey", "watch-look", "watch-tell"):
            await state.loops.stop(name)
        watcher.close()
        if process is not None:
            await process.stop()


async def _tell(teller: Teller, changed: asyncio.Event) -> None:
    while True:
        changed.clear()
        await teller.tell()
        try:
            async with asyncio.timeout(TELL_S):
                await changed.wait()
        except TimeoutError:
            continue
