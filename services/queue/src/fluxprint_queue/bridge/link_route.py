"""The WebSocket of bridges."""

from fastapi import APIRouter, WebSocket

from fluxprint_common.permissions import Permission
from fluxprint_common.principal import authenticate
from fluxprint_common.problems import ServiceError
from fluxprint_queue.bridge.links import SUBPROTOCOL, LinkHub

router = APIRouter(prefix="/bridge")

_REFUSED = 1008  # RFC 6455: policy violation; before the handshake ends it becomes HTTP 403


@router.websocket("/link")
async def bridge_link(socket: WebSocket) -> None:
    """A bridge's link; docs/protocol.md has its messages. No database session lives as long as it does."""
    scheme, _, token = socket.headers.get("authorization", "").partition(" ")
    try:
        principal = await authenticate(socket, token) if scheme.lower() == "bearer" else None
    except ServiceError:
        principal = None
    allowed = principal is not None and Permission.BRIDGE_WORK in principal.permissions
    if principal is None or not allowed or SUBPROTOCOL not in socket.scope["subprotocols"]:
        await socket.close(_REFUSED)
        return
    hub: LinkHub = socket.app.state.links
    await hub.serve(socket, principal)
