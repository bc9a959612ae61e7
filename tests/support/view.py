"""A viewer's WebSocket, as a page holds it."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

SUBPROTOCOL = Subprotocol("fluxprint.view.v1")
HEADER = struct.Struct("!BBHIQQ")
TIMEOUT_S = 30


@dataclass(frozen=True)
class Shown:
    """A frame as it came."""

    index: int
    sequence: int
    captured_ms: int
    picture: bytes


class View:
    """Reads what comes; acknowledges only when it is told to."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, kind: str, camera_id: str, **fields: object) -> None:
        await self.connection.send(json.dumps({"type": kind, "camera_id": camera_id, **fields}))

    async def watch(self, camera_id: str, **fields: object) -> int:
        """Watch a camera; its index."""
        await self.send("watch", camera_id, **fields)
        answer = await self.word()
        assert (answer["type"], answer["camera_id"]) == ("watching", camera_id), answer
        return int(answer["index"])

    async def ack(self, camera_id: str, sequence: int) -> None:
        await self.send("ack", camera_id, sequence=sequence)

    async def next(self) -> Shown | dict[str, Any]:
        """The next message, whatever it is."""
        async with asyncio.timeout(TIMEOUT_S):
            message = await self.connection.recv()
        if isinstance(message, str):
            word: dict[str, Any] = json.loads(message)
            return word
        version, kind, index, flags, sequence, captured_ms = HEADER.unpack_from(message)
        assert (version, kind, flags) == (1, 1, 0)
        return Shown(index, sequence, captured_ms, message[HEADER.size :])

    async def word(self) -> dict[str, Any]:
        """The next message, which is text."""
        message = await self.next()
        assert isinstance(message, dict), message
        return message

    async def frame(self) -> Shown:
        """The next message, which is a frame."""
        message = await self.next()
        assert isinstance(message, Shown), message
        return message

    async def is_silent(self) -> bool:
        """Whether nothing more comes before the answer to a ping. (Frames pass by nothing of the server's.)"""
        pong = await self.connection.ping()
        async with asyncio.timeout(TIMEOUT_S):
            await pong
        try:
            async with asyncio.timeout(0.05):
                await self.connection.recv()
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def view(url: str, token: str | None, *, query: str = "", origin: str | None = None) -> AsyncIterator[View]:
    """A viewer's connection."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with websockets.connect(
        f"{url.replace('http', 'ws', 1)}/api/v1/cameras/watch{query}",
        subprotocols=[SUBPROTOCOL],
        additional_headers={**headers, **({"Origin": origin} if origin else {})},
        max_size=8 * 1024 * 1024,
    ) as connection:
        yield View(connection)
