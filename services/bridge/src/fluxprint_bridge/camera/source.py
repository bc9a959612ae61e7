"""Reads pictures from a camera on the local network: an MJPEG stream, or an address that gives one JPEG at a time.

Whatever goes wrong is noticed within 5 seconds: connecting, the head of an answer, and each whole picture have so long,
and where a second address is tried after the first, what was wrong with that is told meanwhile.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from fluxprint_bridge.camera import jpeg as jpeg_file
from fluxprint_bridge.camera.config import Address, CameraConfig
from fluxprint_bridge.camera.faults import Reason, SourceFailed
from fluxprint_bridge.camera.multipart import MAX_PICTURE_BYTES, PictureCutter
from fluxprint_bridge.camera.patience import Patience, Tell
from fluxprint_common.background import backoff_s

CONNECT_TIMEOUT_S = 4.0
#: A camera that gives no whole picture for so long hangs, however busily it sends.
FROZEN_AFTER_S = 4.5
SNAPSHOT_EVERY_S = 0.5
#: While single pictures stand in for a stream that does not work, the stream is tried again after at most so long.
MAX_STREAM_REST_S = 120.0
MAX_REDIRECTS = 3
UNAUTHORIZED = 401


@dataclass(frozen=True)
class Picture:
    jpeg: bytes
    captured_at: datetime


class CameraSource:
    """One camera. It has no connection while nobody reads."""

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self._stream_failures = 0
        self._stream_again_at = 0.0
        self._stream_error: SourceFailed | None = None
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(FROZEN_AFTER_S, connect=CONNECT_TIMEOUT_S),
            headers={"Accept-Encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none: they would be kept for ever
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def picture(self, tell: Tell | None = None) -> Picture:
        """One picture.

        Args:
            tell: called in time when none has come from one address, while the other is still tried.

        Raises:
            SourceFailed: none comes, from either.
        """
        config = self._config
        failed: SourceFailed | None = None
        with Patience(tell) as patience:
            for address in (config.snapshot, config.stream, None if config.snapshot else config.snapshot_beside):
                if address is not None:
                    try:
                        async with aclosing(self._read(address)) as pictures:
                            return await anext(pictures)
                    except SourceFailed as error:
                        failed = failed if failed is not None and address is not config.stream else error
                        patience.failed(failed)
        raise failed or SourceFailed(Reason.NOT_A_CAMERA, "it has no address")

    async def pictures(self, tell: Tell | None = None) -> AsyncGenerator[Picture, None]:
        """Pictures as they come, for ever: of the stream, or single ones while that does not work.

        Args:
            tell: called in time when the stream gives none any more, while single ones are still tried.

        Raises:
            SourceFailed: none comes any more, from either.
        """
        with Patience(tell) as patience:
            async with aclosing(self._of_either(patience)) as pictures:
                async for picture in pictures:
                    patience.renew()
                    yield picture

    async def _of_either(self, patience: Patience) -> AsyncGenerator[Picture, None]:
        clock = asyncio.get_running_loop().time
        stream, single = self._config.stream, self._config.snapshot or self._config.snapshot_beside
        while True:
            if stream is not None and clock() >= self._stream_again_at:
                try:
                    async with aclosing(self._read(stream)) as pictures:
                        async for picture in pictures:
                            self._stream_works()
                            yield picture
                except SourceFailed as error:
                    self._stream_failed(error, clock())
                    if single is None:
                        raise
                    patience.failed(error)
            if single is None:
                raise SourceFailed(Reason.NOT_A_CAMERA, "it has no address")
            try:
                async with aclosing(self._read(single)) as pictures:
                    async for picture in pictures:
                        yield picture
                        if stream is not None and clock() >= self._stream_again_at:
                            break
            except SourceFailed as error:
                self._stream_again_at = 0.0
                raise self._stream_error or error from None

    def _stream_works(self) -> None:
        self._stream_failures, self._stream_again_at, self._stream_error = 0, 0.0, None

    def _stream_failed(self, error: SourceFailed, now: float) -> None:
        self._stream_error = error
        self._stream_failures += 1
        if self._config.snapshot or self._config.snapshot_beside:
            self._stream_again_at = now + backoff_s(self._stream_failures + 2, cap_s=MAX_STREAM_REST_S)

    @property
    def remark(self) -> str | None:
        """What a person should know although pictures come."""
        if self._stream_error is None:
            return None
        return f"single pictures, because the stream does not work ({self._stream_error})"[:300]

    async def _read(self, address: Address) -> AsyncGenerator[Picture, None]:
        """Pictures from one address, for ever. Raises `SourceFailed`."""
        with _translated():
            deadline = _deadline()
            while True:
                async with self._answer(address, deadline) as response:
                    if not response.is_success:
                        raise SourceFailed(Reason.REFUSED, _refusal(response.status_code))
                    if response.headers.get("Content-Type", "").lower().startswith("multipart/"):
                        async with aclosing(_cut(response, deadline)) as pictures:
                            async for picture in pictures:
                                yield picture
                    yield _picture(await _whole(response, deadline))
                deadline = _deadline()  # before the pause: it counts from the last picture
                await asyncio.sleep(SNAPSHOT_EVERY_S)

    @asynccontextmanager
    async def _answer(self, address: Address, deadline: float) -> AsyncIterator[httpx.Response]:
        """The head of the camera's answer. It may send us on, but only to itself: not to others in its network."""
        auth = httpx.BasicAuth(address.user, address.password) if address.user or address.password else None
        request = self._http.build_request("GET", address.url)
        for _ in range(1 + MAX_REDIRECTS):
            async with asyncio.timeout_at(deadline):
                response = await self._http.send(request, stream=True, auth=auth)
            async with aclosing(response):
                if response.next_request is None:
                    yield response
                    return
                if _origin(response.next_request.url) != _origin(request.url):
                    raise SourceFailed(
                        Reason.REFUSED, "the camera sends us on to another address: set CAMERA_URL to that one"
                    )
                request = response.next_request
        raise SourceFailed(Reason.REFUSED, "the camera sends us in circles")


@contextmanager
def _translated() -> Iterator[None]:
    """What connections do, in the words of a camera."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
        raise SourceFailed(Reason.UNREACHABLE, f"no connection ({type(error).__name__})") from None
    except (httpx.InvalidURL, UnicodeError):  # of its own, or of where it sends us: neither is a bridge's fault
        raise SourceFailed(Reason.UNREACHABLE, "its address, or the one that it sends us to, is none") from None
    except (TimeoutError, httpx.TimeoutException):
        raise SourceFailed(Reason.FROZEN, f"no whole picture within {FROZEN_AFTER_S:g} s") from None
    except httpx.HTTPError as error:
        raise SourceFailed(Reason.CLOSED, f"it closed the connection ({type(error).__name__})") from None


def _deadline() -> float:
    return asyncio.get_running_loop().time() + FROZEN_AFTER_S


def _refusal(status: int) -> str:
    if status == UNAUTHORIZED:
        return "it answers with 401: it wants another user and password"
    return f"it answers with {status}"


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


async def _cut(response: httpx.Response, deadline: float) -> AsyncGenerator[Picture, None]:
    """The whole pictures of a stream, until it ends: always by `SourceFailed`, or what httpx raises."""
    _, _, boundary = response.headers["Content-Type"].partition("boundary=")
    cutter = PictureCutter(boundary.partition(";")[0])
    chunks = response.aiter_raw()  # as they arrive: a chunk size would wait until so much has come
    while True:
        broken: SourceFailed | None = None
        picture: Picture | None = None
        try:
            async with asyncio.timeout_at(deadline):
                while picture is None:
                    chunk = await _next(chunks, cutter)
                    pictures = cutter.feed(chunk)
                    if pictures:  # the newest; older ones of the same chunk are stale already
                        try:
                            picture = _picture(pictures[-1])
                        except SourceFailed as error:
                            broken = error  # one may be broken, as long as there are others
        except TimeoutError:
            raise broken or TimeoutError from None
        yield picture
        deadline = _deadline()


async def _next(chunks: AsyncIterator[bytes], cutter: PictureCutter) -> bytes:
    try:
        chunk = await anext(chunks, None)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        chunk = None
    if chunk is None:
        if cutter.in_picture:
            raise SourceFailed(Reason.TRUNCATED, "its stream ended in the middle of a picture")
        raise SourceFailed(Reason.CLOSED, "it closed its stream")
    return chunk


async def _whole(response: httpx.Response, deadline: float) -> bytes:
    jpeg = bytearray()
    try:
        async with asyncio.timeout_at(deadline):
            async for chunk in response.aiter_raw():
                jpeg += chunk
                if len(jpeg) > MAX_PICTURE_BYTES:
                    raise SourceFailed(Reason.TOO_LARGE, f"a picture of more than {MAX_PICTURE_BYTES} bytes")
    except (httpx.RemoteProtocolError, httpx.ReadError):
        raise SourceFailed(Reason.TRUNCATED, "it ended in the middle of a picture") from None
    return bytes(jpeg)


def _picture(jpeg: bytes) -> Picture:
    if not jpeg.startswith(jpeg_file.START):
        raise SourceFailed(Reason.NOT_A_CAMERA, "what it sends is no JPEG")
    if not jpeg_file.is_whole(jpeg):
        raise SourceFailed(Reason.TRUNCATED, "its pictures have no end")
    return Picture(jpeg, datetime.now(UTC))
