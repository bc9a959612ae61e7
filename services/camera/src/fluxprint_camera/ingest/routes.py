"""The uplink's handshake."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, WebSocket
from fastapi.security.utils import get_authorization_scheme_param
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fluxprint_camera.cameras import service as cameras
from fluxprint_camera.ingest.messages import SUBPROTOCOL
from fluxprint_camera.ingest.uplink import Uplink
from fluxprint_camera.relay.channel import Ended
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.database import Database
from fluxprint_common.ids import PrinterId, show
from fluxprint_common.logs import get_logger
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, authenticate
from fluxprint_common.problems import (
    BadRequest,
    Forbidden,
    ServiceError,
    Unauthenticated,
    Unavailable,
    from_database,
    render,
)
from fluxprint_common.revocations import Revocations

log = get_logger(__name__)

router = APIRouter()

_DATABASE_ERRORS = (DBAPIError, PoolTimeout, ConnectionError, TimeoutError)


@router.websocket("/cameras/ingest")
async def ingest_camera(websocket: WebSocket, printer_id: Annotated[PrinterId, Query()]) -> None:
    """A bridge's frames of one camera."""
    state = websocket.app.state
    hub: Hub = state.hub
    settings: CameraSettings = state.settings
    database: Database = state.database
    try:
        bridge = await _bridge(websocket)
        try:
            await state.printers.check(printer_id, websocket.headers["Authorization"])
        except Unavailable:
            if not await _is_its_camera(database, bridge, printer_id):
                raise
        camera_id = await _camera_of(database, bridge, printer_id, limit=settings.max_cameras_per_organisation)
    except ServiceError as error:
        await _refuse(websocket, error)
        return
    await websocket.accept(subprotocol=SUBPROTOCOL)
    log.info("uplink_opened", camera=show("camera", camera_id), bridge=show("bridge", bridge.subject))
    revocations: Revocations = state.revocations
    with (
        hub.publishing(
            camera_id=camera_id,
            organisation_id=bridge.organisation_id,
            expires_in_s=(bridge.expires_at - datetime.now(UTC)).total_seconds(),
        ) as publication,
        revocations.watching(bridge.session_id, bridge.issued_at, lambda: publication.end(Ended.EXPIRED)),
    ):
        uplink = Uplink(websocket, camera_id=camera_id, publication=publication, settings=settings)
        close = await uplink.run()
    why = close.name.lower() if close else "left"
    log.info("uplink_closed", camera=show("camera", camera_id), why=why, frames=uplink.received)
    if uplink.last_frame_at is not None:
        await _remember(database, camera_id, uplink.last_frame_at)


async def _bridge(websocket: WebSocket) -> Principal:
    """The bridge behind a handshake. (FastAPI's security classes take requests only.)"""
    if SUBPROTOCOL not in websocket.scope["subprotocols"]:
        raise BadRequest(f"Ask for the subprotocol {SUBPROTOCOL}.")
    scheme, token = get_authorization_scheme_param(websocket.headers.get("Authorization"))
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send an access token: Authorization: Bearer <token>.")
    principal = await authenticate(websocket, token)
    if Permission.BRIDGE_WORK not in principal.permissions:
        raise Forbidden("Only a bridge sends pictures.")
    return principal


async def _is_its_camera(database: Database, bridge: Principal, printer_id: UUID) -> bool:
    """Whether this bridge was the last that the printer's camera belonged to: enough while nobody can be asked."""
    with _translated():
        async with database.reading() as session:
            return await cameras.is_of_bridge(
                session, organisation_id=bridge.organisation_id, bridge_id=bridge.subject, printer_id=printer_id
            )


async def _camera_of(database: Database, bridge: Principal, printer_id: UUID, *, limit: int) -> UUID:
    with _translated():
        async with database.unit_of_work() as session:
            return await cameras.ensure(
                session,
                organisation_id=bridge.organisation_id,
                bridge_id=bridge.subject,
                printer_id=printer_id,
                limit=limit,
            )


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the database as problems. (FastAPI's error handlers answer requests only.)"""
    try:
        yield
    except _DATABASE_ERRORS as error:
        translated = from_database(error, {})
        if translated is None:
            raise
        raise translated from error


async def _remember(database: Database, camera_id: UUID, last_frame_at: datetime) -> None:
    """Keep when the last picture came. Without the database it is forgotten: nothing depends on it."""
    try:
        async with database.unit_of_work() as session:
            await cameras.remember(session, camera_id, last_frame_at=last_frame_at)
    except _DATABASE_ERRORS as error:
        log.warning("last_frame_not_kept", camera=show("camera", camera_id), error=repr(error))


async def _refuse(websocket: WebSocket, error: ServiceError) -> None:
    """Before the handshake is accepted: 403 for what a bridge must change, the problem itself for what passes."""
    log.info("uplink_refused", code=error.code, detail=error.detail)
    if error.status >= 500:
        await websocket.send_denial_response(render(error))
    else:
        await websocket.close()
