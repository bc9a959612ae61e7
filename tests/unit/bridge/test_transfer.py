"""A transfer that is broken off leaves a part that can be gone on with, one that fails can be called off, and a copy
that OctoPrint has no hash of is stored again."""

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
from fluxprint_bridge.printer import transfer
from fluxprint_bridge.printer.transfer import LocalFile, TransferFailed, fetch, store
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


class ForgetfulOctoPrint:
    """Answers uploads as OctoPrint does, and forgets the hashes of the first `losses` copies."""

    def __init__(self, content: bytes, *, losses: int, may_delete: bool = True, fails_once: bool = False) -> None:
        self.app = FastAPI()
        self._fails = fails_once
        self.uploads = 0
        self._stored = False
        sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()

        @self.app.post("/api/files/local", status_code=201)
        async def upload() -> object:
            if self._stored:
                return Response("{}", 409, media_type="application/json")
            self._stored = True
            self.uploads += 1
            return {"files": {"local": {"path": "fluxprint/x.gcode"}}}

        @self.app.get("/api/files/local/fluxprint/x.gcode")
        async def describe() -> object:
            return {
                "path": "fluxprint/x.gcode", "name": "x.gcode", "type": "machinecode", "size": len(content), "date": 1,
                **({"hash": sha1} if self.uploads > losses else {}),
            }  # fmt: skip

        @self.app.delete("/api/files/local/fluxprint/x.gcode")
        async def remove() -> Response:
            if self._fails:
                self._fails = False
                return Response("{}", 500, media_type="application/json")
            if not may_delete:
                return Response("{}", 403, media_type="application/json")
            self._stored = False
            return Response(status_code=204)


class TestLostHash:
    CONTENT = b"G28\n"

    @pytest.fixture
    def local(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalFile:
        monkeypatch.setattr(transfer, "HASH_LOST_S", 0.1)
        monkeypatch.setattr(transfer, "READ_BACK_S", 1.0)
        source = tmp_path / "x.gcode"
        source.write_bytes(self.CONTENT)
        sha1 = hashlib.sha1(self.CONTENT, usedforsecurity=False).hexdigest()
        return LocalFile(source, len(self.CONTENT), sha1)

    async def test_its_copy_is_in_nobodys_way_who_goes_on(self, local: LocalFile) -> None:
        printer = ForgetfulOctoPrint(self.CONTENT, losses=1)
        async with serving(printer.app, lifespan=False) as url, OctoPrintClient(url, SecretStr("any")) as octoprint:
            with pytest.raises(Unavailable):
                await store(octoprint, local, "fluxprint/x.gcode", called_off=lambda: True)
            await store(octoprint, local, "fluxprint/x.gcode")
        assert printer.uploads == 2

    async def test_its_copy_is_stored_again(self, local: LocalFile) -> None:
        printer = ForgetfulOctoPrint(self.CONTENT, losses=2)
        async with serving(printer.app, lifespan=False) as url, OctoPrintClient(url, SecretStr("any")) as octoprint:
            await store(octoprint, local, "fluxprint/x.gcode")
        assert printer.uploads == 3

    @pytest.mark.parametrize(("may_delete", "uploads"), [(True, 3), (False, 1)])
    async def test_one_that_never_has_one_is_given_up(self, local: LocalFile, may_delete: bool, uploads: int) -> None:
        printer = ForgetfulOctoPrint(self.CONTENT, losses=99, may_delete=may_delete)
        async with serving(printer.app, lifespan=False) as url, OctoPrintClient(url, SecretStr("any")) as octoprint:
            with pytest.raises(TransferFailed, match="is not what was sent"):
                await store(octoprint, local, "fluxprint/x.gcode")
        assert printer.uploads == uploads

    async def test_it_is_removed_although_the_first_try_fails(self, local: LocalFile) -> None:
        printer = ForgetfulOctoPrint(self.CONTENT, losses=1, fails_once=True)
        async with serving(printer.app, lifespan=False) as url, OctoPrintClient(url, SecretStr("any")) as octoprint:
            await store(octoprint, local, "fluxprint/x.gcode")
        assert printer.uploads == 2

    async def test_it_is_left_where_it_is_not_wanted_any_more(self, local: LocalFile) -> None:
        printer = ForgetfulOctoPrint(self.CONTENT, losses=99)
        async with serving(printer.app, lifespan=False) as url, OctoPrintClient(url, SecretStr("any")) as octoprint:
            with pytest.raises(Unavailable):
                await store(octoprint, local, "fluxprint/x.gcode", called_off=lambda: True)
        assert printer.uploads == 1
