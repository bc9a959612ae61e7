"""The uplink's handshake."""

from fastapi import APIRouter, WebSocket
from fastapi.security.utils import get_authorization_scheme_param

from fluxprint_camera.ingest.messages import SUBPROTOCOL
from fluxprint_camera.ingest.owners import Owners
from fluxprint_camera.ingest.register import Register
from fluxprint_camera.ingest.uplink import Uplink
from fluxprint_camera.ingest.uplinks import Uplinks
from fluxprint_camera.viewers.transport import transport_of
from fluxprint_common.ids import show
from fluxprint_common.logs import get_logger
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, authenticate
from fluxprint_common.problems import BadRequest, Forbidden, ServiceError, Unauthenticated, render
from fluxprint_common.revocations import Revocations

log = get_logger(__name__)

router = APIRouter()


@router.websocket("/cameras/ingest")
async def ingest_cameras(websocket: WebSocket) -> None:
    """The frames of a bridge's cameras."""
    state = websocket.app.state
    try:
        bridge = await _bridge(websocket)
    except ServiceError as error:
        await _refuse(websocket, error)
        return
    await websocket.accept(subprotocol=SUBPROTOCOL)
    log.info("uplink_opened", bridge=show("bridge", bridge.subject))
    register = Register(
        state.database,
        state.printers,
        state.settings,
        bridge=bridge,
        authorization=websocket.headers["Authorization"],
    )
    uplink = Uplink(websocket, state.hub, register, state.database, state.settings, bridge=bridge)
    revocations: Revocations = state.revocations
    uplinks: Uplinks = state.uplinks
    owners: Owners = state.owners
    with (
        uplinks.joined(bridge.subject, transport_of(websocket.scope).abort),
        revocations.watching(bridge.session_id, bridge.issued_at, uplink.expire),
        owners.watching(uplink),
    ):
        close = await uplink.run()
    why = close.name.lower() if close else "left"
    log.info("uplink_closed", bridge=show("bridge", bridge.subject), why=why, frames=uplink.received)


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


async def _refuse(websocket: WebSocket, error: ServiceError) -> None:
    """Before the handshake is accepted: 403 for what a bridge must change, the problem itself for what passes."""
    log.info("uplink_refused", code=error.code, detail=error.detail)
    if error.status >= 500:
        await websocket.send_denial_response(render(error))
    else:
        await websocket.close()
