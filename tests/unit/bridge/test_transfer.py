"""A transfer that is broken off leaves a part that can be gone on with, and one that fails can be called off."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Response
from pydantic import SecretStr

from fluxprint_bridge.cloud.schemas import AssignedFile
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_bridge.octoprint.errors import Unavailable
from fluxprint_bridge.printer.transfer import LocalFile, fetch, store
from support.serving import serving


class Body(httpx.AsyncByteStream):
    """Bytes in one piece; while its receiver writes them, `task` is cancelled."""

    def __init__(self, content: bytes, task: asyncio.Task[LocalFile] | None) -> None:
        self._content = content
        self._task = task

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._task is not None:
            asyncio.get_running_loop().call_later(0.01, self._task.cancel)
        yield self._content
        if self._task is not None:
            await asyncio.Event().wait()


class TestBrokenOff:
    async def test_while_its_bytes_are_written_each_is_written_once(self, tmp_path: Path) -> None:
        content, part = os.urandom(48 * 1024 * 1024), tmp_path / "attempt_1.part"
        half = len(content) // 2
        wanted = AssignedFile(
            sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content), name="x.gcode", extension="gcode"
        )

        @asynccontextmanager
        async def first_half(offset: int) -> AsyncIterator[httpx.Response]:
            assert offset == 0
            yield httpx.Response(200, stream=Body(content[:half], asyncio.current_task()))

        @asynccontextmanager
        async def rest(offset: int) -> AsyncIterator[httpx.Response]:
            yield httpx.Response(206 if offset else 200, stream=Body(content[offset:], None))

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(fetch(first_half, wanted, part))
        assert part.stat().st_size == half
        local = await fetch(rest, wanted, part)
        assert local.size_bytes == len(content)


class TestCalledOff:
    async def test_a_failing_upload_ends_with_the_try_in_hand(self, tmp_path: Path) -> None:
        tries = []
        app = FastAPI()

        @app.post("/api/files/local")
        async def upload() -> Response:
            tries.append(1)
            return Response("{}", 503, media_type="application/json")

        source = tmp_path / "x.gcode"
        source.write_bytes(b"G28\n")
        local = LocalFile(source, 4, hashlib.sha1(b"G28\n", usedforsecurity=False).hexdigest())
        async with serving(app, lifespan=False) as url, OctoPrintClient(url, SecretStr("any")) as octoprint:
            with pytest.raises(Unavailable):
                await store(octoprint, local, "fluxprint/x.gcode", called_off=lambda: len(tries) == 2)
        assert len(tries) == 2
