"""The connection below a stream. ASGI has no word for "how much waits" or for "drop it", and both are needed to
tell a slow viewer from a stuck one and to let go of the latter: a close would wait for it to read on."""

import asyncio
import socket
import sys

from starlette.types import ASGIApp, Receive, Scope, Send

from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.viewers.acks import AckReader, AckShortcut, Take
from fluxprint_camera.viewers.shared import Pieces, SharedWriter

EXTENSION = "fluxprint.transport"

# Bytes that the kernel may hold beyond what is on its way. Without a bound, a slow viewer's picture is 14 s old
# although nothing is "dropped"; with it 1 to 1.5 s.
NOTSENT_LOWAT = 16 * 1024


class TransportInScope:
    """Middleware, the outermost: puts uvicorn's side of a connection where a response finds it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            # uvicorn's request or WebSocket, of which `receive` is a method
            scope.setdefault("extensions", {})[EXTENSION] = getattr(receive, "__self__", None)
        await self.app(scope, receive, send)


def transport_of(scope: Scope) -> asyncio.Transport:
    """What the server sends an answer on.

    Raises:
        RuntimeError: the server is not uvicorn.
    """
    server = scope.get("extensions", {}).get(EXTENSION)
    transport: asyncio.Transport | None = getattr(server, "transport", None)
    if transport is None:
        raise RuntimeError("streams need uvicorn's transport, and this server shows none")
    return transport


class Connection:
    """What a stream needs of the connection it is sent on.

    Args:
        fast: whether frames may go past the server's own way of sending where that is possible.

    Raises:
        RuntimeError: the server is not uvicorn.
    """

    __slots__ = ("_server", "_shared", "_transport", "_writable")

    def __init__(self, scope: Scope, *, fast: bool) -> None:
        self._transport = transport = transport_of(scope)
        self._server = server = scope["extensions"][EXTENSION]
        #: Of WebSockets, which ASGI gives no way to wait without sending something.
        self._writable: asyncio.Event | None = getattr(server, "writable", None)
        transport.set_write_buffer_limits(high=0)  # what waits is to be known to the byte
        sock = transport.get_extra_info("socket")
        if sys.platform == "linux" and sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)
        possible = fast and scope["http_version"] == "1.1" and SharedWriter.is_possible(transport)
        self._shared = SharedWriter(transport) if possible else None

    def push(self, frame: Frame) -> bool:
        """Send a frame of a chunked body at once, if the connection takes any of it now."""
        return self._shared is not None and self._shared.push_chunk(frame)

    def asks(self) -> bool:
        return False

    def write(self, frame: Frame) -> bool:
        """Leave a frame of a chunked body to the transport; false where that is the server's to do."""
        if self._shared is not None:
            self._shared.write_chunk(frame)
        return self._shared is not None

    def push_message(self, pieces: Pieces) -> bool:
        """Send a message of a WebSocket at once, if the connection takes any of it now."""
        return self._shared is not None and self._shared.push_message(pieces)

    def shortcut(self, take: Take, reader: AckReader) -> None:
        """Hand acknowledgements of a WebSocket to `take` as they come, where the fast path is taken."""
        if self._shared is not None and isinstance(self._server, asyncio.Protocol):
            self._transport.set_protocol(AckShortcut(self._server, take, self._transport, reader))

    async def drained(self) -> None:
        """Wait until the connection of a WebSocket has taken what it was given."""
        if self._writable is not None:
            await self._writable.wait()

    def backlog(self) -> int:
        """Bytes that wait in this process."""
        return self._transport.get_write_buffer_size()

    def cut(self) -> None:
        """Drop the connection and what waits in it."""
        self._transport.abort()
