"""Reads pictures from a camera on the local network: an MJPEG stream, or a URL that gives one JPEG at a time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from fluxprint_bridge.camera.multipart import MAX_PICTURE_BYTES, BrokenStream, PictureCutter

CONNECT_TIMEOUT_S = 4.0
#: A camera that sends nothing for so long hangs.
FROZEN_AFTER_S = 4.0
SNAPSHOT_EVERY_S = 0.5
SNAPSHOT_WITHIN_S = 10.0
MAX_REDIRECTS = 3
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
            timeout=httpx.Timeout(FROZEN_AFTER_S, connect=CONNECT_TIMEOUT_S),
            headers={"Accept-Encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none: they would be kept for ever
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def picture(self) -> Picture:
        """One picture. Raises `SourceFailed`."""
        async with aclosing(self.pictures()) as pictures:
            return await anext(pictures)

    async def pictures(self) -> AsyncGenerator[Picture, None]:
        """Pictures as they come, for ever. Raises `SourceFailed` when none comes any more."""
        try:
            while True:
                async with self._answer() as response:
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
            raise SourceFailed("the camera sends no pictures, or too slowly") from None
        except httpx.HTTPError as error:
            raise SourceFailed(f"the camera does not answer: {type(error).__name__}") from None

    @asynccontextmanager
    async def _answer(self) -> AsyncIterator[httpx.Response]:
        """The head of the camera's answer. It may send us on, but only to itself: not to others in its network."""
        request = self._http.build_request("GET", self._url)
        for _ in range(1 + MAX_REDIRECTS):
            async with asyncio.timeout(SNAPSHOT_WITHIN_S):
                response = await self._http.send(request, stream=True)
            async with aclosing(response):
                if response.next_request is None:
                    yield response
                    return
                if _origin(response.next_request.url) != _origin(request.url):
                    raise SourceFailed("the camera sends us on to another address: set CAMERA_URL to that one")
                request = response.next_request
        raise SourceFailed("the camera sends us in circles")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


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
    async with asyncio.timeout(SNAPSHOT_WITHIN_S):
        async for chunk in response.aiter_raw():
            jpeg += chunk
            if len(jpeg) > MAX_PICTURE_BYTES:
                raise BrokenStream(f"a picture of more than {MAX_PICTURE_BYTES} bytes")
    return bytes(jpeg)


def _picture(jpeg: bytes) -> Picture:
    if not jpeg.startswith(JPEG_START):
        raise BrokenStream("what it sends is no JPEG")
    return Picture(jpeg, datetime.now(UTC))
