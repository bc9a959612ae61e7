"""A viewer who reads ten bytes a second: too few for its kernel to open the window, and its service to notice."""

import asyncio
import base64
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx

from support.view import SUBPROTOCOL

EVERY_S = 0.1
_WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
    "Sec-WebSocket-Protocol": SUBPROTOCOL,
}


class Trickle:
    """Has read the head of an answer."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.count = 0

    @property
    def port(self) -> int:
        return int(self._sock.getsockname()[1])

    async def watch(self, camera_id: str) -> None:
        """Ask for a camera over a WebSocket (RFC 6455, 5.2, with a mask of zeros)."""
        text = json.dumps({"type": "watch", "camera_id": camera_id}).encode()
        await asyncio.get_running_loop().sock_sendall(self._sock, struct.pack("!BB4x", 0x81, 0x80 | len(text)) + text)

    async def read(self) -> None:
        """A byte at a time, to the end, which may be a reset."""
        with suppress(ConnectionError):
            while data := await asyncio.get_running_loop().sock_recv(self._sock, 1):
                self.count += len(data)
                await asyncio.sleep(EVERY_S)


@asynccontextmanager
async def trickle(url: str, path: str, token: str, *, websocket: bool = False) -> AsyncIterator[Trickle]:
    """Somebody who has asked for something, and reads it so until the block ends."""
    address, loop = httpx.URL(url), asyncio.get_running_loop()
    fields = {"Host": address.netloc.decode(), "Authorization": f"Bearer {token}", **(_WEBSOCKET if websocket else {})}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before connecting, or the window is large already
        sock.setblocking(False)
        await loop.sock_connect(sock, (address.host, address.port))
        await loop.sock_sendall(sock, "\r\n".join(lines).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await loop.sock_recv(sock, 1)
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")), head
        viewer = Trickle(sock)
        reading = asyncio.create_task(viewer.read())
        try:
            yield viewer
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
