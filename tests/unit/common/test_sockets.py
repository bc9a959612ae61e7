"""WebSockets within bounds: who sends too much, and who reads nothing of what they ask for."""

import asyncio
import struct

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from fluxprint_common.sockets import MAX_UNREAD, bounded

UPGRADE = (
    b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PING = b"\x89\x80" + bytes(4)


def text(size: int) -> bytes:
    """A client's message of so many bytes."""
    return b"\x81\xff" + struct.pack("!Q", size) + bytes(4) + b"x" * size


class Unread(asyncio.Transport):
    """A connection from which nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.aborted = self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def is_closing(self) -> bool:
        return self.aborted or self.closed

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass


async def accepts(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await asyncio.Event().wait()


@pytest.fixture
async def unread() -> Unread:
    return Unread()


async def opened(transport: Unread, path: bytes) -> asyncio.Protocol:
    """The server's side of a connection whose handshake is done."""
    config = uvicorn.Config(accepts, lifespan="off", log_config=None)
    config.load()
    kind = bounded({"/large": 2000}, default=1000)
    protocol = kind(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(transport)
    protocol.data_received(UPGRADE % path)
    async with asyncio.timeout(30):
        while not protocol.handshake_complete:
            await asyncio.sleep(0)
    return protocol


class TestBounded:
    async def test_pings_are_answered_for_whoever_reads(self, unread: Unread) -> None:
        protocol = await opened(unread, b"/")
        for _ in range(3):
            unread.written.clear()
            protocol.data_received(PING)
            assert unread.written == b"\x8a\x00"

    async def test_pings_of_who_reads_nothing_end_the_connection(self, unread: Unread) -> None:
        protocol = await opened(unread, b"/")
        unread.write(bytes(MAX_UNREAD + 1))
        protocol.data_received(PING)
        assert unread.aborted

    async def test_who_answers_no_ping_is_not_waited_for(self, unread: Unread) -> None:
        protocol = await opened(unread, b"/")
        unread.write(b"a picture")
        protocol.keepalive_timeout()  # type: ignore[attr-defined]
        assert unread.aborted

    @pytest.mark.parametrize(("path", "limit"), [(b"/?token=large", 1000), (b"/large?a=b", 2000)])
    async def test_a_message_has_the_size_of_its_path(self, unread: Unread, path: bytes, limit: int) -> None:
        protocol = await opened(unread, path)
        protocol.data_received(text(limit))
        assert not unread.is_closing()
        protocol.data_received(text(limit + 1)[:20])  # before it is there
        assert unread.is_closing()
