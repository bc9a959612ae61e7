"""The camera service, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from fluxprint_camera import disk
from fluxprint_camera.cameras.routes import router as cameras
from fluxprint_camera.disk import Disk
from fluxprint_camera.ingest.owners import Owners
from fluxprint_camera.ingest.printers import PrinterDirectory
from fluxprint_camera.ingest.routes import router as ingest
from fluxprint_camera.ingest.uplinks import Uplinks
from fluxprint_camera.recording.routes import router as recordings
from fluxprint_camera.recording.start import recording
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.relay.metrics import RelayCollector
from fluxprint_camera.replicas.exchange import Replicas
from fluxprint_camera.settings import CameraSettings
from fluxprint_camera.shares import upkeep
from fluxprint_camera.shares.routes import router as shares
from fluxprint_camera.viewers.acks import AckReader
from fluxprint_camera.viewers.grants import Grants
from fluxprint_camera.viewers.messages import MAX_MESSAGE_BYTES
from fluxprint_camera.viewers.pictures import Pictures
from fluxprint_camera.viewers.places import Places
from fluxprint_camera.viewers.routes import router as viewers
from fluxprint_camera.viewers.socket_route import router as viewer_sockets
from fluxprint_camera.viewers.token_routes import router as view_tokens
from fluxprint_camera.viewers.tokens import ViewTokens
from fluxprint_camera.viewers.transport import TransportInScope
from fluxprint_camera.watching.loops import watching
from fluxprint_camera.watching.routes import router as decisions
from fluxprint_camera.watching.storage import DecisionPictures
from fluxprint_common import standing
from fluxprint_common.service import ServiceSpec, create_service

#: Of an uplink's other messages.
TEXT_LIMIT = 1024 * 1024
#: Apart from those that write what is recorded, so that neither waits for the other.
DOWNLOAD_THREADS = 4


def create_app(settings: CameraSettings) -> FastAPI:
    """The ASGI application of the camera service."""
    spec = ServiceSpec(
        name="camera",
        description="Live pictures of printers.",
        tags={
            "cameras": "Live pictures: snapshots, MJPEG streams, and tokens for `<img>` elements.",
            "recordings": "Timelapses of prints, and pictures of their starts, ends and failures.",
        },
        message_limits={
            # Twice the largest picture: what is a little too large is refused with a word about it.
            "/api/v1/cameras/ingest": 2 * settings.max_frame_bytes + TEXT_LIMIT,
            "/api/v1/cameras/watch": MAX_MESSAGE_BYTES,
        },
        routers=[ingest, decisions, recordings, cameras, view_tokens, viewers, viewer_sockets, shares],
        start=_start,
    )
    app = create_service(spec, settings)
    app.add_middleware(TransportInScope)  # the last one added is the outermost
    return app


@asynccontextmanager
async def _start(app: FastAPI) -> AsyncIterator[None]:
    settings: CameraSettings = app.state.settings
    hub = Hub(settings)
    app.state.hub = hub
    app.state.uplinks = Uplinks()
    app.state.printers = PrinterDirectory(app.state.http, settings.queue_url)
    app.state.view_tokens = ViewTokens(
        settings.view_token_secret.get_secret_value(),
        issuer=settings.token_issuer,
        lifetime_s=settings.view_token_s,
        renewable_s=settings.view_renewable_s,
    )
    _watch_over(app, settings)
    _join_replicas(app, settings)
    app.state.decision_pictures = DecisionPictures(settings.data_dir, reserve_bytes=settings.data_reserve_bytes)
    app.state.pictures = Pictures()
    places = partial(
        Places, of_person=settings.max_viewers_per_person, of_organisation=settings.max_viewers_per_organisation
    )
    app.state.places, app.state.downloads = places(), places()
    app.state.disk_of_downloads = Disk("downloads", threads=DOWNLOAD_THREADS)
    app.state.acks = AckReader()
    app.state.metrics.registry.register(RelayCollector(hub))
    app.state.metrics.registry.register(disk.REFUSED)
    app.state.loops.start("relay", hub.run)
    app.state.before_stop.append(hub.stop)
    try:
        async with recording(app), watching(app, hub, app.state.prints):
            app.state.prints.tell_of_printers(app.state.owners)
            yield
    finally:
        app.state.acks.close()
        app.state.pictures.close()
        app.state.decision_pictures.close()
        app.state.disk_of_downloads.close()


def _watch_over(app: FastAPI, settings: CameraSettings) -> None:
    """See to it that what is open ends with what it was opened by."""
    state = app.state
    ask = standing.over_http(state.http, settings.jwks_url)
    grants = state.grants = Grants(state.revocations, state.publisher, ask)
    state.owners = Owners(grants.end)
    state.loops.start("grants", lambda: grants.run(settings.grant_check_s), critical=False)
    state.loops.start(
        "shares ended",
        lambda: upkeep.hear_of_ended(state.database, grants, settings.revocation_poll_s),
        critical=False,
    )
    state.loops.start("shares over", lambda: upkeep.tidy(state.database), critical=False)


def _join_replicas(app: FastAPI, settings: CameraSettings) -> None:
    """Share cameras with the other processes of this service, where there is a Redis to meet in."""
    state = app.state
    if state.redis is None:
        return
    replicas = Replicas(state.hub, state.redis, state.publisher, state.metrics.registry, settings)
    state.loops.start("replicas", replicas.run, critical=False)
    state.loops.start("redis-replicas", replicas.hear, critical=False)
    state.loops.start("redis-frames", replicas.take_frames, critical=False)
