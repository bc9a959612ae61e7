"""A headless Chromium with one page, which says what it sees; and cameras whose pictures a page can read."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from fluxprint_local.camera_source import CameraSource
from fluxprint_local.jpeg import encode
from support.serving import serving

#: Where the page seems to come from: another origin than the API's, as pages of front ends do.
ORIGIN = "http://page.example"
TIMEOUT_S = 60
ENDS_WITHIN_S = 10
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PAGE = Path(__file__).with_name("browser.html")
_NUMBER_BITS, _CAMERA_BITS = 16, 4

Json = dict[str, Any]


def chromium() -> str | None:
    """The browser that is installed here."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


needs_chromium = pytest.mark.skipif(
    chromium() is None, reason="no Chromium here; Debian: apt-get install chromium-headless-shell"
)


class ReadableCamera(CameraSource):
    """A real MJPEG source. Black and white squares in the first row of a picture say which camera's it is and which."""

    def __init__(self, camera: int) -> None:
        self._camera = camera
        super().__init__()

    def make_picture(self, number: int) -> bytes:
        value = self._camera << _NUMBER_BITS | number % 2**_NUMBER_BITS
        squares = [255 * (value >> bit & 1) for bit in range(_NUMBER_BITS + _CAMERA_BITS)]
        squares.append(255)  # the row is there
        grey = [128] * 40
        return encode([squares + grey[len(squares) :], *[grey] * 29])


@asynccontextmanager
async def page(folder: Path, plan: Json) -> AsyncIterator[asyncio.Queue[Json]]:
    """Open `browser.html` in Chromium; what it sees comes out of the queue.

    Args:
        folder: for the browser's profile and log.
        plan: what the page is to show; see there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen: asyncio.Queue[Json] = asyncio.Queue()
    app = FastAPI()

    @app.get("/")
    async def _page() -> Response:
        return Response(_PAGE.read_text().replace("PLAN", json.dumps(plan)), media_type="text/html")

    @app.post("/seen")
    async def _seen(request: Request) -> None:
        seen.put_nowait(await request.json())

    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(app))
        await stack.enter_async_context(_running(url, folder))
        yield seen


async def next_of(seen: asyncio.Queue[Json]) -> Json:
    """What the page says next, which must not be an error."""
    async with asyncio.timeout(TIMEOUT_S):
        said = await seen.get()
    assert "error" not in said, said["error"]
    return said


@asynccontextmanager
async def _running(url: str, folder: Path) -> AsyncIterator[None]:
    """The browser, with this page. It ends with its input at the latest, and so with this Python."""
    program = chromium()
    assert program is not None
    command = [
        program,
        "--headless",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-proxy-server",
        "--no-first-run",
        "--autoplay-policy=no-user-gesture-required",
        "--remote-debugging-pipe",  # descriptors 3 and 4; without it the page would be closed when it has loaded
        f"--user-data-dir={folder / 'chromium'}",
        f"--host-resolver-rules=MAP {ORIGIN.removeprefix('http://')} {url.removeprefix('http://')}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # it refuses to run as root with one
        ORIGIN,
    ]
    with (folder / "chromium.log").open("wb") as log:
        browser = await asyncio.create_subprocess_exec(
            "sh", "-c", 'exec "$@" 3<&0 4>/dev/null', "sh", *command,
            stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    assert browser.stdin is not None
    try:
        yield
    finally:
        browser.stdin.close()
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                await browser.wait()
        except TimeoutError:
            os.killpg(browser.pid, signal.SIGKILL)
            await browser.wait()
