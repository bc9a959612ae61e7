"""The handshake of viewers' WebSockets."""

from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, WebSocket
from fastapi.security import SecurityScopes
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fluxprint_camera.cameras import service as cameras
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.settings import CameraSettings
from fluxprint_camera.viewers import access
from fluxprint_camera.viewers.messages import SUBPROTOCOL
from fluxprint_camera.viewers.places import Places
from fluxprint_camera.viewers.sockets import ViewerSocket
from fluxprint_camera.viewers.tokens import MAX_CHARS
from fluxprint_camera.viewers.transport import Connection
from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_common.database import Database
from fluxprint_common.logs import get_logger
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import authorise, has_credentials
from fluxprint_common.problems import (
    BadRequest,
    Forbidden,
    NotFound,
    ServiceError,
    Unauthenticated,
    from_database,
    render,
)

log = get_logger(__name__)

router = APIRouter()

_DATABASE_ERRORS = (DBAPIError, PoolTimeout, ConnectionError, TimeoutError)


async def watch_cameras(websocket: WebSocket) -> None:
    """Several cameras over one connection; docs/camera-viewers.md has its messages."""
    state = websocket.app.state
    places: Places = state.places
    try:
        _check_origin(websocket, state.settings)
        if SUBPROTOCOL not in websocket.scope["subprotocols"]:
            raise BadRequest(f"Ask for the subprotocol {SUBPROTOCOL}.")
        opener = await _opener(websocket)
        place = places.take(opener)
    except ServiceError as error:
        log.info("watching_refused", code=error.code)
        await websocket.send_denial_response(render(error))
        return
    with place:
        await _serve(websocket, opener)


# Not by FastAPI's decorator, whose dependencies nothing here has: they would be kept ready for as long as somebody
# watches, 4 KB of 53.
router.add_websocket_route("/cameras/watch", watch_cameras)


async def _serve(websocket: WebSocket, opener: Watcher) -> None:
    state = websocket.app.state
    settings: CameraSettings = state.settings

    async def admit(token: str | None, camera_id: UUID) -> Watcher:
        watcher = opener if token is None else await access.of_token(websocket, token)
        if watcher.expires_in_s <= 0 or state.grants.refuse(watcher):
            raise Unauthenticated
        await _check_sight(state.database, state.hub, watcher, camera_id)
        return watcher

    await websocket.accept(subprotocol=SUBPROTOCOL)
    await ViewerSocket(
        websocket,
        hub=state.hub,
        connection=Connection(websocket.scope, fast=settings.fast_path == "auto"),
        grants=state.grants,
        admit=admit,
        max_cameras=settings.max_cameras_per_socket,
        acks=state.acks,
    ).run()


def _check_origin(websocket: WebSocket, settings: CameraSettings) -> None:
    """Pages of other origins stay out, as they do by CORS, which browsers do not ask about WebSockets."""
    origin = websocket.headers.get("Origin")
    if origin is None or origin in settings.cors_origins:
        return
    if urlsplit(origin).netloc != websocket.headers.get("Host"):
        raise Forbidden("Pages of this origin may not watch; FLUXPRINT_CORS_ORIGINS names those that may.")


async def _opener(websocket: WebSocket) -> Watcher:
    """Whoever opens the connection, by header or by `?token=`."""
    token = websocket.query_params.get("token")
    if token is None or has_credentials(websocket):
        principal = await authorise(websocket, SecurityScopes([str(Permission.CAMERAS_VIEW)]))
        return access.watching(principal)
    if len(token) > MAX_CHARS:
        raise Unauthenticated
    return await access.of_token(websocket, token)


async def _check_sight(database: Database, hub: Hub, watcher: Watcher, camera_id: UUID) -> None:
    """That a camera is one that the watcher may see; the database is asked as little as by the other routes.

    Raises:
        NotFound: it is not. DatabaseUnavailable.
    """
    if not watcher.may_see(camera_id):
        raise NotFound
    live = hub.look(camera_id=camera_id, organisation_id=watcher.organisation_id)
    if live is not None and watcher.printers is None:
        return
    try:
        async with database.reading() as session:
            await cameras.get(session, watcher.sight, camera_id)
    except _DATABASE_ERRORS as error:
        translated = from_database(error, {})
        if translated is None:
            raise
        raise translated from error
