"""What recording runs while the service does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from fluxprint_camera.prints.feed import PrintFeed
from fluxprint_camera.recording.metrics import RecordingMetrics
from fluxprint_camera.recording.recorder import Recorder
from fluxprint_camera.recording.recording import Place
from fluxprint_camera.recording.renderer import Renderer
from fluxprint_camera.recording.retention import EVERY_S, Retention
from fluxprint_camera.recording.store import Store
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.background import every
from fluxprint_common.health import FAILING


@asynccontextmanager
async def recording(app: FastAPI) -> AsyncIterator[None]:
    """Follow the prints; where there is a folder for it, record them."""
    state = app.state
    settings: CameraSettings = state.settings
    feed = state.prints = PrintFeed(state.http, settings.queue_url, poll_s=settings.prints_poll_s)
    # None of these loops is critical: live pictures go on without them.
    state.loops.start("prints", feed.run, critical=False)
    if state.redis is not None:
        state.loops.start("redis-prints", partial(feed.run_wake, state.redis), critical=False)
    state.recordings = None
    if settings.data_dir is None:
        yield
        return
    store = state.recordings = Store(settings.data_dir, reserve_bytes=settings.data_reserve_bytes)
    state.health_parts["recordings"] = lambda: FAILING if store.trouble is not None else "ready"
    place = Place(state.hub, store, state.database, settings, metrics=RecordingMetrics(state.metrics.registry))
    recorder = state.recorder = Recorder(place, feed)
    async with recorder.working():
        state.loops.start("recorder", recorder.run, critical=False)
        state.loops.start("renderer", Renderer(place, recorder).run, critical=False)
        state.loops.start("recordings-kept", partial(every, EVERY_S, Retention(place).tidy), critical=False)
        try:
            yield
        finally:
            # Before the recordings end, so that none is begun again.
            await state.loops.stop("recorder")
            await state.loops.stop("renderer")
            store.close()
