"""WebSockets as the server speaks them, with bounds on what somebody may send and on what they may leave unread."""

from collections.abc import Mapping

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

#: Of one message, at paths that name no other limit; until it is whole it lies in memory.
DEFAULT_MESSAGE_LIMIT = 256 * 1024
#: Answers to pings wait for whoever reads nothing; beyond so many bytes that is not somebody to answer.
MAX_UNREAD = 1024 * 1024


def bounded(by_path: Mapping[str, int], *, default: int = DEFAULT_MESSAGE_LIMIT) -> type[WebSocketsSansIOProtocol]:
    """The server's side of a WebSocket.

    Args:
        by_path: bytes that a message may have, for exact paths where that is not the `default`.
    """

    class Bounded(WebSocketsSansIOProtocol):
        def handle_connect(self, event: Request) -> None:
            self.conn.max_message_size = by_path.get(event.path.partition("?")[0], default)
            super().handle_connect(event)

        def handle_ping(self) -> None:
            if self.transport.get_write_buffer_size() > MAX_UNREAD:
                self.transport.abort()
                return
            super().handle_ping()

        def keepalive_timeout(self) -> None:
            super().keepalive_timeout()
            if self.transport.get_write_buffer_size():
                self.transport.abort()  # closing alone would wait for who is gone, or reads nothing, to read

    return Bounded
