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


def give_up(scope: Scope) -> None:
    """Drop the connection of a response whose client has gone or reads nothing, and let it end before it is complete.

    One that was closed from the other side would wait for what is in its buffer to be read.
    """
    transport_of(scope).abort()
    scope["extensions"][EXTENSION].disconnected = True  # of several requests the server only tells the last


class _HandedOver(Exception):
    """Not an error: the server closes a connection that it lost without one."""


class Connection:
    """What a stream needs of the connection it is sent on.

    Args:
        fast: whether frames may go past the server's own way of sending where that is possible.

    Raises:
        RuntimeError: the server is not uvicorn.
    """

    # Not the server's side of it, which keeps the whole request.
    __slots__ = ("_shared", "_writable", "transport")

    def __init__(self, scope: Scope, *, fast: bool) -> None:
        self.transport = transport = transport_of(scope)
        #: Of WebSockets, which ASGI gives no way to wait without sending something.
        self._writable: asyncio.Event | None = getattr(scope["extensions"][EXTENSION], "writable", None)
        self._shared: SharedWriter | None = None
        if transport.is_closing():
            return
        transport.set_write_buffer_limits(high=0)  # what waits is to be known to the byte
        sock = transport.get_extra_info("socket")
        if sys.platform == "linux" and sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)
        possible = fast and scope["http_version"] == "1.1" and SharedWriter.is_possible(transport)
        if possible:
            self._shared = SharedWriter(transport)

    @property
    def is_free(self) -> bool:
        """Whether the server can be done without from now on: the fast path is possible, and the client is there."""
        return self._shared is not None and not self.transport.is_closing()

    def hand_over(self, scope: Scope, successor: asyncio.Protocol) -> None:
        """Have the connection of a response that has begun be somebody else's. To the server it is lost, so that it
        forgets all it keeps of it, and lets the response end before it is complete."""
        server = self.transport.get_protocol()
        self.transport.set_protocol(successor)
        server.connection_lost(_HandedOver())
        scope["extensions"][EXTENSION].disconnected = True  # of several requests the server only tells the last
        self.transport.resume_reading()  # the server may not have wanted more: without it, nobody sees the client go

    def push(self, _frame: Frame) -> bool:
        """Of streams that the server sends: nothing goes past it."""
        return False

    def asks(self) -> bool:
        return False

    def push_message(self, pieces: Pieces) -> bool:
        """Send a message of a WebSocket at once, if the connection takes any of it now."""
        return self._shared is not None and self._shared.push_message(pieces)

    def shortcut(self, take: Take, reader: AckReader) -> None:
        """Hand acknowledgements of a WebSocket to `take` as they come, where the fast path is taken."""
        server = self.transport.get_protocol()
        if self._shared is not None and isinstance(server, asyncio.Protocol):
            self.transport.set_protocol(AckShortcut(server, take, self.transport, reader))

    async def drained(self) -> None:
        """Wait until the connection of a WebSocket has taken what it was given."""
        if self._writable is not None:
            await self._writable.wait()

    def backlog(self) -> int:
        """Bytes that wait in this process."""
        return self.transport.get_write_buffer_size()

    def awaits(self) -> bool:
        return False

    def cut(self) -> None:
        """Drop the connection and what waits in it."""
        self.transport.abort()
