"""What stands on both sides of the camera service: a bridge that sends pictures, and readers of MJPEG."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

from support.camera import jpeg

SUBPROTOCOL = Subprotocol("fluxprint.camera.v2")
CAPTURED_AT = "2026-11-21T10:00:00.123Z"
CAPTURED_MS = 1_795_255_200_123
TIMEOUT_S = 10


class Bridge:
    """The sending end of an uplink, as a bridge holds it. What names no channel means channel 0."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.cameras: dict[int, str] = {}  #: accepted, by channel
        self.wants: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.acks: asyncio.Queue[tuple[int, int]] = asyncio.Queue()

    @property
    def camera_id(self) -> str:
        return self.cameras[0]

    async def listen(self) -> None:
        """Sort what comes, until the connection ends."""
        async for text in self.connection:
            message = json.loads(text)
            match message.pop("type"):
                case "accepted":
                    self.cameras = {camera["channel"]: camera["camera_id"] for camera in message["cameras"]}
                    self.answers.put_nowait(message)
                case "want":
                    self.wants.put_nowait(message)
                case "ack":
                    self.acks.put_nowait((message["channel"], message["sequence"]))

    async def announce(self, *cameras: dict[str, Any]) -> dict[str, Any]:
        """Name all cameras; the answer."""
        await self.tell("cameras", cameras=cameras)
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """The next answer to a list."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self.answers.get()

    async def refusals(self) -> dict[int, str]:
        """The codes that the next answer refuses with, by channel."""
        return {one["channel"]: one["code"] for one in (await self.answer())["refused"]}

    async def tell(self, kind: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **fields}))

    async def send(self, number: int, *, size: int = 200, channel: int = 0) -> None:
        """One picture, acknowledged."""
        await self.send_raw(number, jpeg(number, size=size), channel=channel)
        await self.acknowledged(number, channel=channel)

    async def acknowledged(self, number: int, *, channel: int = 0) -> None:
        """Wait until the service has taken a picture."""
        async with asyncio.timeout(TIMEOUT_S):
            assert await self.acks.get() == (channel, number)

    async def send_raw(self, number: int, picture: bytes, *, channel: int = 0) -> None:
        """A header and a picture, whatever they are."""
        await self.connection.send(header(number, channel=channel) + picture)

    async def want(self) -> dict[str, Any]:
        """The next thing that is wanted."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self.wants.get()

    async def closed(self) -> int | None:
        """The code that the service closes with."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.connection.wait_closed()
        return self.connection.close_code


def header(number: int, *, channel: int = 0, version: int = 2, flags: int = 0, captured_ms: int = CAPTURED_MS) -> bytes:
    """What stands before a picture."""
    return struct.pack("!BBHQQ", version, flags, channel, number, captured_ms)


def described(printer: str, *, channel: int = 0, key: str = "default", **fields: Any) -> dict[str, Any]:
    """A camera in a bridge's list."""
    return {"channel": channel, "printer_id": printer, "key": key, "name": "Camera", **fields}


@asynccontextmanager
async def connected(url: str, token: str | None, *, protocol: bool = True) -> AsyncIterator[Bridge]:
    """A bridge's connection, before it says anything."""
    async with websockets.connect(
        f"{url.replace('http', 'ws', 1)}/api/v1/cameras/ingest",
        subprotocols=[SUBPROTOCOL] if protocol else None,
        additional_headers={"Authorization": f"Bearer {token}"} if token else {},
        compression=None,
    ) as connection:
        bridge = Bridge(connection)
        listening = asyncio.create_task(bridge.listen())
        try:
            yield bridge
        finally:
            await connection.close()
            await asyncio.gather(listening, return_exceptions=True)


@asynccontextmanager
async def uplink(url: str, token: str, *printers: str) -> AsyncIterator[Bridge]:
    """A bridge whose cameras, one a printer, are accepted, and that has heard the wants (which stay in the queue)."""
    async with connected(url, token) as bridge:
        answer = await bridge.announce(*(described(printer, channel=n) for n, printer in enumerate(printers)))
        assert answer["refused"] == []
        wants = [await bridge.want() for _ in printers]
        for want in wants:
            bridge.wants.put_nowait(want)
        yield bridge


class Pictures:
    """Reads a multipart/x-mixed-replace body (RFC 2046) by its lengths, and refuses what is not exactly that."""

    def __init__(self, chunks: AsyncIterator[bytes], content_type: str) -> None:
        media_type, _, boundary = content_type.partition("; boundary=")
        assert media_type == "multipart/x-mixed-replace"
        self.ended = False
        self._delimiter = b"--" + boundary.encode()
        self._chunks = chunks
        self._buffer = b""

    async def next(self) -> bytes:
        """The next picture.

        Raises:
            EOFError: the stream has ended, as it should where `ended` is true.
        """
        async with asyncio.timeout(TIMEOUT_S):
            first = await self._until(b"\r\n")
            while first == b"":  # the line end that belongs to the delimiter
                first = await self._until(b"\r\n")
            if first == self._delimiter + b"--":
                self.ended = True
                raise EOFError
            assert first == self._delimiter
            headers = (await self._until(b"\r\n\r\n")).decode().lower().split("\r\n")
            fields = dict(line.split(": ", 1) for line in headers)
            assert fields["content-type"] == "image/jpeg"
            return await self._exactly(int(fields["content-length"]))

    async def rest(self) -> list[bytes]:
        """All pictures up to the proper end."""
        pictures = []
        try:
            while True:
                pictures.append(await self.next())
        except EOFError:
            assert self.ended, "the stream was cut off"
        return pictures

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            await self._more()
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    async def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    async def _more(self) -> None:
        try:
            self._buffer += await anext(self._chunks)
        except StopAsyncIteration:
            raise EOFError from None


@asynccontextmanager
async def stream(client: httpx.AsyncClient, path: str, **request: Any) -> AsyncIterator[Pictures]:
    """The pictures of a stream that opens."""
    async with client.stream("GET", path, **request) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield Pictures(aiter(answer.aiter_raw()), answer.headers["Content-Type"])


class Sleeper:
    """A viewer on a real connection with small buffers that reads only when it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def pictures(self) -> Pictures:
        """Begin to read."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 200")
        content_type = next(line for line in head.split("\r\n") if line.startswith("content-type: "))
        return Pictures(self._dechunked(), content_type.removeprefix("content-type: "))

    async def reads_to_the_end(self) -> int:
        """Read all that is left; how many bytes that was. The end may be a reset."""
        count = 0
        async with asyncio.timeout(TIMEOUT_S):
            try:
                while data := await self._reader.read(65536):
                    count += len(data)
            except ConnectionError:
                pass
        return count

    async def _dechunked(self) -> AsyncIterator[bytes]:
        while size := int(await self._reader.readline(), 16):
            yield (await self._reader.readexactly(size + 2))[:-2]

    def half_close(self) -> None:
        """Say that no more will be asked for."""
        self._writer.write_eof()

    @property
    def port(self) -> int:
        return int(self._writer.get_extra_info("sockname")[1])

    def close(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def sleeper(url: str, path: str, token: str, *, http: str = "1.1") -> AsyncIterator[Sleeper]:
    """A viewer that has asked for a stream and does not read it. HTTP 1.0 never takes the fast path."""
    address = httpx.URL(url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before connecting, or the window is large already
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (address.host, address.port))
    # The reader's own buffer is small too: what it holds is read already.
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    writer.write(
        f"GET {path} HTTP/{http}\r\nHost: {address.netloc.decode()}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    viewer = Sleeper(reader, writer)
    try:
        yield viewer
    finally:
        viewer.close()


async def viewers_of(client: httpx.AsyncClient, camera_id: str) -> int:
    return int((await client.get(f"/api/v1/cameras/{camera_id}")).json()["viewers"])


async def until_viewers(client: httpx.AsyncClient, camera_id: str, count: int, *, timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while await viewers_of(client, camera_id) != count:
            await asyncio.sleep(0.02)
