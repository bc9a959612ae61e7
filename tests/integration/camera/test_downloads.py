"""Files on a disk that hangs: whoever wants one is told or cut off, and nobody else notices."""

import asyncio
import threading

import anyio
import httpx
import pytest

from fluxprint_camera import disk
from fluxprint_camera.disk import FilePieces
from fluxprint_camera.recording import files
from fluxprint_common.ids import show
from fluxprint_common.prints import PrintState
from support.queue import eventually
from support.studio import WITHIN_S, Json, Studio
from support.uplink import stream

#: More than there are threads that everything in a process shares.
MANY = 45


async def kept_picture(studio: Studio) -> str:
    """The path of a picture of a print that is over."""
    print_ = studio.starts()

    async def pictures() -> list[Json]:
        return await studio.pictures(print_)

    [start] = await eventually(pictures, within_s=WITHIN_S)
    studio.ends(print_, PrintState.FAILED)
    return str(start["image_path"])


def asking(studio: Studio) -> httpx.AsyncClient:
    """A client of somebody who may see everything."""
    client = studio.client()
    client.base_url, client.timeout = httpx.URL(studio.url), httpx.Timeout(WITHIN_S)
    return client


async def works(studio: Studio) -> None:
    """Everything but files does."""
    camera = f"/api/v1/cameras/{show('camera', studio.camera)}"
    async with asking(studio) as client, asyncio.timeout(WITHIN_S):
        async with stream(client, f"{camera}/stream") as pictures:
            for _ in range(2):
                await pictures.next()
        for path in (camera, f"{camera}/snapshot", "/api/v1/cameras", "/api/v1/cameras/timelapses"):
            assert (await client.get(path)).status_code == 200


class TestDiskThatHangs:
    async def test_in_the_middle_of_many_downloads_stops_these_and_nothing_else(
        self, filmed: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hanging, released, piece = threading.Event(), threading.Event(), FilePieces._piece

        def hang(pieces: FilePieces, at: int, size: int) -> bytes:
            hanging.set()
            assert released.wait(WITHIN_S)
            return piece(pieces, at, size)

        path = await kept_picture(filmed)
        async with asking(filmed) as client:
            whole = await client.get(path)
            with monkeypatch.context() as patch:
                patch.setattr(disk, "FILE_S", 1.0)
                patch.setattr(files, "LOOK_S", 1.0)
                patch.setattr(FilePieces, "_piece", hang)
                try:
                    asked = [asyncio.create_task(client.get(path)) for _ in range(MANY)]
                    assert await asyncio.to_thread(hanging.wait, WITHIN_S)
                    await works(filmed)
                    for one in await asyncio.gather(*asked, return_exceptions=True):
                        if isinstance(one, httpx.Response):
                            assert (one.status_code, one.json()["code"]) == (503, "files_away")
                        else:
                            assert isinstance(one, httpx.RemoteProtocolError)
                finally:
                    released.set()
            assert (await client.get(path)).content == whole.content

    async def test_before_a_download_begins_is_said(self, filmed: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
        path = await kept_picture(filmed)
        async with asking(filmed) as client:
            assert (await client.get(path)).status_code == 200
            monkeypatch.setattr(filmed.app.state.disk_of_downloads, "_waiting", disk.MAX_WAITING)
            refused = await client.get(path)
            assert (refused.status_code, refused.json()["code"]) == (503, "files_away")
            metrics = (await client.get("/metrics")).text
            assert 'camera_disk_refused_total{files="downloads"}' in metrics


class TestFileThatIsGone:
    async def test_is_not_found(self, filmed: Studio) -> None:
        path = await kept_picture(filmed)
        [file] = filmed.folder.rglob(f"{path.split('/')[-2].removeprefix('picture_')}.jpg")
        file.unlink()
        async with asking(filmed) as client:
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert not filmed.app.state.downloads._taken


class TestThreads:
    async def test_that_everything_shares_are_needed_for_nothing_here(self, filmed: Studio) -> None:
        path = await kept_picture(filmed)
        shared = anyio.to_thread.current_default_thread_limiter()
        borrowers = [object() for _ in range(int(shared.available_tokens))]
        for borrower in borrowers:
            shared.acquire_on_behalf_of_nowait(borrower)
        try:
            await works(filmed)
            async with asking(filmed) as client, asyncio.timeout(WITHIN_S):
                assert (await client.get(path)).status_code == 200
        finally:
            for borrower in borrowers:
                shared.release_on_behalf_of(borrower)
