"""What stands on both sides of the camera service: a bridge that sends pictures, and readers of MJPEG."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

from support.camera import jpeg

SUBPROTOCOL = Subprotocol("fluxprint.camera.v1")
CAPTURED_AT = "2026-11-21T10:00:00.123Z"
TIMEOUT_S = 10


class Bridge:
    """The sending end of an uplink, as a bridge holds it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.camera_id = ""
        self.wants: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._acks: asyncio.Queue[int] = asyncio.Queue()

    async def listen(self) -> None:
        """Sort what comes, until the connection ends."""
        async for text in self.connection:
            message = json.loads(text)
            match message["type"]:
                case "hello":
                    self.camera_id = message["camera_id"]
                case "want":
                    self.wants.put_nowait(message)
                case "ack":
                    self._acks.put_nowait(message["sequence"])

    async def send(self, number: int, *, size: int = 200) -> None:
        """One picture, acknowledged."""
        await self.send_raw(number, jpeg(number, size=size))
        await self.acknowledged(number)

    async def acknowledged(self, number: int) -> None:
        """Wait until the service has taken a picture."""
        async with asyncio.timeout(TIMEOUT_S):
            assert await self._acks.get() == number

    async def send_raw(self, number: int, picture: bytes, *, size_bytes: int | None = None) -> None:
        """A header and a picture, whatever they are."""
        size_bytes = len(picture) if size_bytes is None else size_bytes
        header = {"type": "frame", "sequence": number, "captured_at": CAPTURED_AT, "size_bytes": size_bytes}
        await self.connection.send(json.dumps(header))
        await self.connection.send(picture)

    async def want(self) -> dict[str, Any]:
        """The next thing that is wanted."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self.wants.get()

    async def closed(self) -> int | None:
        """The code that the service closes with."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.connection.wait_closed()
        return self.connection.close_code


@asynccontextmanager
async def uplink(url: str, token: str, printer: str) -> AsyncIterator[Bridge]:
    """A bridge's connection that is greeted and has heard the first want (which stays in the queue)."""
    address = f"{url.replace('http', 'ws', 1)}/api/v1/cameras/ingest?printer_id={printer}"
    async with websockets.connect(
        address, subprotocols=[SUBPROTOCOL], additional_headers={"Authorization": f"Bearer {token}"}, compression=None
    ) as connection:
        bridge = Bridge(connection)
        listening = asyncio.create_task(bridge.listen())
        try:
            first = await bridge.want()
            bridge.wants.put_nowait(first)
            yield bridge
        finally:
            await connection.close()
            await asyncio.gather(listening, return_exceptions=True)


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

    def close(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def sleeper(url: str, path: str, token: str) -> AsyncIterator[Sleeper]:
    """A viewer that has asked for a stream and does not read it."""
    address = httpx.URL(url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before connecting, or the window is large already
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (address.host, address.port))
    # The reader's own buffer is small too: what it holds is read already.
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {address.netloc.decode()}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    viewer = Sleeper(reader, writer)
    try:
        yield viewer
    finally:
        viewer.close()
