"""The queue service, put together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

from fastapi import FastAPI

from fluxprint_common.background import every
from fluxprint_common.service import ServiceSpec, create_service
from fluxprint_queue.attempts.routes import router as attempts
from fluxprint_queue.bridge.link_route import router as bridge_link
from fluxprint_queue.bridge.links import LinkHub
from fluxprint_queue.bridge.routes import router as bridge
from fluxprint_queue.bridge.waiters import Waiters
from fluxprint_queue.chores import Chores
from fluxprint_queue.commands.routes import router as commands
from fluxprint_queue.docs.routes import router as docs
from fluxprint_queue.events.feed import Feed, Room
from fluxprint_queue.events.repository import RING
from fluxprint_queue.events.routes import router as events
from fluxprint_queue.files.routes import router as files
from fluxprint_queue.files.storage import LocalStorage
from fluxprint_queue.files.upload import FRAME_BYTES
from fluxprint_queue.jobs.routes import router as jobs
from fluxprint_queue.observations.routes import router as observations
from fluxprint_queue.printers.bridges import BridgeDirectory
from fluxprint_queue.printers.routes import router as printers
from fluxprint_queue.printers.service import PrinterNameTaken
from fluxprint_queue.prints.routes import router as prints
from fluxprint_queue.settings import QueueSettings
from fluxprint_queue.telemetry.hub import TelemetryHub

TAGS = {
    "files": "G-code files: uploaded, checked, analysed, downloaded.",
    "jobs": "What is to be printed, and how far it is.",
    "attempts": "Single tries of a copy on a printer.",
    "commands": "Orders for prints that run, and their results.",
    "printers": "Printers with their state, and their beds.",
    "events": "What happened, as a list and as a stream.",
    "bridge": "The calls of bridges; people do not need them.",
}


def create_app(settings: QueueSettings) -> FastAPI:
    """The ASGI application."""
    return create_service(
        ServiceSpec(
            name="queue",
            description="Files, printers, jobs and events.",
            tags=TAGS,
            # A request tries them in this order, and most requests ask for jobs.
            routers=[jobs, files, attempts, commands, printers, events, bridge, bridge_link, docs],
            internal_routers=[prints, observations],
            constraint_errors={"uq_printer_name": PrinterNameTaken},
            body_limits={"/api/v1/files": settings.max_file_bytes + FRAME_BYTES},
            start=_start,
        ),
        settings,
    )


@asynccontextmanager
async def _start(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    settings: QueueSettings = state.settings
    state.storage = LocalStorage(settings.storage_dir, reserve_bytes=settings.storage_reserve_bytes)
    state.bridge_directory = BridgeDirectory(state.http, settings.auth_url)
    state.feed = Feed(
        state.database,
        state.publisher,
        poll_s=settings.poll_s,
        room=Room(per_organisation=settings.streams_per_organisation, per_person=settings.streams_per_person),
    )
    state.waiters = Waiters()

    def ring(events: Sequence[tuple[str, UUID, UUID | None]]) -> None:
        state.waiters.on_commit(events)  # first: who waits for work here needs no feed
        state.feed.ring()

    state.database.sessions.configure(info={RING: ring})
    state.telemetry = TelemetryHub(state.database, state.publisher, state.feed, state.metrics.registry)
    state.links = LinkHub(state.database, state.publisher, state.telemetry, state.revocations, state.waiters)
    state.feed.on_events.append(state.links.on_events)
    state.before_stop += [state.feed.stop, state.links.stop, state.waiters.stop]
    state.loops.start("events", state.feed.run)
    state.loops.start("telemetry", state.telemetry.run_saving)
    if state.redis is not None:
        state.loops.start("redis-events", partial(state.feed.run_wake, state.redis), critical=False)
        state.loops.start("redis-telemetry", partial(state.telemetry.run_redis, state.redis), critical=False)
    chores = Chores(state.database, state.storage, settings)
    for name, interval_s, chore, first_after_s in (
        ("leases", 2.0, chores.release_expired_leases, 0.0),
        ("commands", 5.0, chores.expire_commands, 0.0),
        ("silent-printers", 5.0, chores.mark_silent_printers, 0.0),
        ("tidy", 3600.0, chores.tidy, 60.0),  # who starts has other things to do
    ):
        state.loops.start(name, partial(every, interval_s, chore, first_after_s=first_after_s))
    yield
