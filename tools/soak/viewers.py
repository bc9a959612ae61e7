"""Viewers of every kind, each for seconds: those that read, crawl, are stuck, vanish, or talk nonsense."""

import asyncio
import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

SUBPROTOCOL = Subprotocol("fluxprint.view.v1")
_HEADER = struct.Struct("!BBHIQQ")
SHORTEST_S, LONGEST_S = 0.2, 20.0
PAUSE_S = 1.0  #: at most, before somebody else comes
CRAWLING_BYTES, CRAWLING_S = 512, 0.25
CONNECT_S = 10.0
WIDTHS = (160, 320, 640)
_TROUBLE = (OSError, EOFError, TimeoutError, websockets.exceptions.WebSocketException)


@dataclass
class Crowd:
    """So many places; whoever leaves one makes room for somebody of another kind.

    Attributes:
        port: where Traefik listens.
        token: a view token of all `cameras`; renewed by whoever runs this.
        came: how many of each kind came.
        pictures: how many they saw.
        trouble: what ended a visit early, by its name; a service that answers nobody shows here.
    """

    port: int
    cameras: Sequence[str]
    token: str
    random: random.Random
    came: Counter[str] = field(default_factory=Counter)
    trouble: Counter[str] = field(default_factory=Counter)
    pictures: int = 0

    async def fill(self, places: int, seconds: float) -> None:
        """Keep all places taken for so long."""
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(places):
                group.create_task(self._place(until))

    async def _place(self, until: float) -> None:
        kinds: dict[str, Callable[[float], Awaitable[None]]] = {
            "reads": self._reads, "crawls": self._crawls, "stuck": self._is_stuck, "looks once": self._looks,
            "socket": self._watches, "socket without acks": self._never_acknowledges, "nonsense": self._talks_nonsense,
        }  # fmt: skip
        while (left_s := until - time.monotonic()) > 0:
            name = self.random.choice(list(kinds))
            self.came[name] += 1
            stays_s = min(left_s, self.random.uniform(SHORTEST_S, LONGEST_S))
            try:
                await kinds[name](stays_s)
            except _TROUBLE as error:
                self.trouble[f"{name}: {type(error).__name__}"] += 1
            await asyncio.sleep(self.random.uniform(0, PAUSE_S))

    # -- over HTTP -------------------------------------------------------------------------------------------------

    async def _reads(self, stays_s: float) -> None:
        async with self._asked("stream") as reader:
            with suppress(TimeoutError):
                async with asyncio.timeout(stays_s):
                    while data := await reader.read(65536):
                        self.pictures += data.count(b"\xff\xd8\xff")

    async def _crawls(self, stays_s: float) -> None:
        async with self._asked("stream", buffer_bytes=4096) as reader:
            with suppress(TimeoutError):
                async with asyncio.timeout(stays_s):
                    while await reader.read(CRAWLING_BYTES):
                        await asyncio.sleep(CRAWLING_S)

    async def _is_stuck(self, stays_s: float) -> None:
        async with self._asked("stream", buffer_bytes=4096):
            await asyncio.sleep(stays_s)

    async def _looks(self, _stays_s: float) -> None:
        async with self._asked("snapshot", query=f"&fallback=picture&width={self.random.choice(WIDTHS)}") as reader:
            async with asyncio.timeout(CONNECT_S):
                answer = await reader.read()
            self.pictures += answer.startswith(b"HTTP/1.1 200")

    @asynccontextmanager
    async def _asked(
        self, what: str, *, query: str = "", buffer_bytes: int | None = None
    ) -> AsyncIterator[asyncio.StreamReader]:
        """A request under way; at the end the viewer vanishes without a word."""
        sock = socket.socket()
        if buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        except BaseException:
            sock.close()
            raise
        reader, writer = await asyncio.open_connection(sock=sock, limit=buffer_bytes or 65536)
        try:
            path = f"/api/v1/cameras/{self.random.choice(self.cameras)}/{what}?token={self.token}{query}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n".encode())
            yield reader
        finally:
            writer.transport.abort()

    # -- over a WebSocket ------------------------------------------------------------------------------------------

    async def _watches(self, stays_s: float) -> None:
        async with self._connected() as connection:
            shown: dict[int, str] = {}
            with suppress(TimeoutError):
                async with asyncio.timeout(stays_s):
                    async for message in connection:
                        if isinstance(message, str):
                            word = json.loads(message)
                            if word["type"] == "watching":
                                shown[word["index"]] = word["camera_id"]
                            continue
                        index, sequence = _HEADER.unpack_from(message)[2], _HEADER.unpack_from(message)[4]
                        self.pictures += 1
                        acknowledged = {"type": "ack", "camera_id": shown[index], "sequence": sequence}
                        await connection.send(json.dumps(acknowledged))

    async def _never_acknowledges(self, stays_s: float) -> None:
        async with self._connected() as connection:
            await asyncio.sleep(stays_s)
            connection.transport.abort()

    async def _talks_nonsense(self, _stays_s: float) -> None:
        async with self._connected() as connection:
            await connection.send(self.random.choice(["{}", "[", '{"type":"ack"}', "x" * 2000]))
            async with asyncio.timeout(CONNECT_S):
                await connection.wait_closed()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[ClientConnection]:
        """A connection that watches all cameras."""
        url = f"ws://127.0.0.1:{self.port}/api/v1/cameras/watch?token={self.token}"
        async with websockets.connect(
            url, subprotocols=[SUBPROTOCOL], max_size=2**23, open_timeout=CONNECT_S, close_timeout=1
        ) as connection:
            for camera in self.cameras:
                watch = {"type": "watch", "camera_id": camera, "window": self.random.choice([1, 2])}
                await connection.send(json.dumps(watch))
            yield connection
