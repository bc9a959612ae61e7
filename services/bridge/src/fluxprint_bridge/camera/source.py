"""Reads pictures from a camera on the local network: an MJPEG stream, or a URL that gives one JPEG at a time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from fluxprint_bridge.camera.multipart import MAX_PICTURE_BYTES, BrokenStream, PictureCutter

CONNECT_TIMEOUT_S = 4.0
#: A camera that sends nothing for so long hangs.
FROZEN_AFTER_S = 4.0
SNAPSHOT_EVERY_S = 0.5
CHUNK_BYTES = 64 * 1024
JPEG_START = b"\xff\xd8\xff"


class SourceFailed(Exception):
    """The camera gives no pictures; the message says why."""


@dataclass(frozen=True)
class Picture:
    jpeg: bytes
    captured_at: datetime


class CameraSource:
    """One camera. Several readers may read at a time; each opens a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(FROZEN_AFTER_S, connect=CONNECT_TIMEOUT_S), trust_env=False, follow_redirects=True
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def picture(self) -> Picture:
        """One picture. Raises `SourceFailed`."""
        async with aclosing(self.pictures()) as pictures:
            return await anext(pictures)

    async def pictures(self) -> AsyncGenerator[Picture, None]:
        """Pictures as they come, for ever. Raises `SourceFailed` within 5 s of the last one."""
        try:
            while True:
                async with self._http.stream("GET", self._url) as response:
                    if not response.is_success:
                        raise SourceFailed(f"the camera answered with {response.status_code}")
                    if response.headers.get("Content-Type", "").startswith("multipart/"):
                        async with aclosing(_cut(response)) as jpegs:
                            async for jpeg in jpegs:
                                yield _picture(jpeg)
                        raise SourceFailed("the camera closed its stream")
                    yield _picture(await _whole(response))
                await asyncio.sleep(SNAPSHOT_EVERY_S)
        except BrokenStream as error:
            raise SourceFailed(f"the camera's stream is not understood: {error}") from None
        except TimeoutError:
            raise SourceFailed(f"the camera sent no picture for {FROZEN_AFTER_S:g} s") from None
        except httpx.HTTPError as error:
            raise SourceFailed(f"the camera does not answer: {type(error).__name__}") from None


async def _cut(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    cutter = PictureCutter()
    chunks = response.aiter_raw()  # as they arrive: a chunk size would wait until so much has come
    while True:
        pictures: list[bytes] = []
        async with asyncio.timeout(FROZEN_AFTER_S):
            while not pictures:
                chunk = await anext(chunks, None)
                if chunk is None:
                    return
                pictures = cutter.feed(chunk)
        yield pictures[-1]  # the newest; older ones of the same chunk are stale already


async def _whole(response: httpx.Response) -> bytes:
    jpeg = bytearray()
    async for chunk in response.aiter_bytes(CHUNK_BYTES):
        jpeg += chunk
        if len(jpeg) > MAX_PICTURE_BYTES:
            raise BrokenStream(f"a picture of more than {MAX_PICTURE_BYTES} bytes")
    return bytes(jpeg)


def _picture(jpeg: bytes) -> Picture:
    if not jpeg.startswith(JPEG_START):
        raise BrokenStream("what it sends is no JPEG")
    return Picture(jpeg, datetime.now(UTC))
