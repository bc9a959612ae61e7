"""A camera for the demo and for tests: an MJPEG stream and snapshots, in the wire format of mjpg-streamer.

`python -m fluxprint_local.camera_source --port 8099`, or `async with CameraSource() as camera`.
"""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Self

from fluxprint_local.jpeg import numbered_picture

BOUNDARY = "boundarydonotcross"
REQUEST_TIMEOUT_S = 5


class CameraSource:
    """Serves `/?action=stream` and `/?action=snapshot`.

    `announced_boundary` and `with_length` imitate cameras that quote their boundary or leave out `Content-Length`.
    `frozen` keeps streams open without another frame, as a hung camera does.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        fps: float = 10,
        announced_boundary: str = BOUNDARY,
        with_length: bool = True,
    ) -> None:
        self.host = host
        self.port = port
        self.fps = fps
        self.frozen = False
        self.asked = 0  #: so often, for whatever
        self.streams = 0  #: opened so far
        self._announced = announced_boundary
        self._with_length = with_length
        self.frame = 0  #: the number of the newest picture
        self.picture = numbered_picture(0)
        self._fresh = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._viewers: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/?action=stream"

    @property
    def snapshot_url(self) -> str:
        return f"http://{self.host}:{self.port}/?action=snapshot"

    @property
    def watching(self) -> int:
        """How many connections are open."""
        return len(self._viewers)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._clock = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._clock.cancel()
        self._server.close()
        self.drop()
        self._fresh.set()  # whoever waits for a frame finds its connection cut
        await asyncio.gather(*self._viewers)

    def drop(self) -> None:
        """Cut every open connection."""
        for writer in self._writers:
            writer.transport.abort()

    def make_picture(self, number: int) -> bytes:
        """The picture that is taken now."""
        return numbered_picture(number)

    async def _tick(self) -> None:
        while True:
            if not self.frozen:
                self.frame += 1
                self.picture = self.make_picture(self.frame)
                fresh, self._fresh = self._fresh, asyncio.Event()
                fresh.set()
            await asyncio.sleep(1 / self.fps)

    async def _frames(self) -> AsyncIterator[bytes]:
        while True:
            await self._fresh.wait()
            yield self.picture

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        viewer = asyncio.create_task(self._serve(reader, writer))
        self._viewers.add(viewer)
        viewer.add_done_callback(self._viewers.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                request = await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            if b"snapshot" in request.split(b"\r\n", 1)[0]:
                await self._snapshot(writer)
            else:
                await self._stream(writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a viewer that went away, or one that never asked
        finally:
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _snapshot(self, writer: asyncio.StreamWriter) -> None:
        picture = await anext(self._frames())
        head = f"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
        writer.write(head.encode() + picture)
        await writer.drain()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        self.streams += 1
        kind = f"multipart/x-mixed-replace;boundary={self._announced}"
        writer.write(f"HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n--{BOUNDARY}\r\n".encode())
        async for picture in self._frames():
            length = f"Content-Length: {len(picture)}\r\n" if self._with_length else ""
            head = f"Content-Type: image/jpeg\r\n{length}\r\n".encode()
            writer.write(head + picture + f"\r\n--{BOUNDARY}\r\n".encode())
            await writer.drain()


async def _run(host: str, port: int, fps: float) -> None:
    async with CameraSource(host=host, port=port, fps=fps) as camera:
        print(f"camera at {camera.url}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--fps", type=float, default=10)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(given.host, given.port, given.fps))


if __name__ == "__main__":
    main()
