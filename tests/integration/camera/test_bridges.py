"""Real bridges' ends at the real service: numbered pictures from cameras to viewers, whatever is killed between."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import httpx
import pytest

from fluxprint_common.ids import new_id, show
from fluxprint_local.camera_source import CameraSource
from fluxprint_local.jpeg import frame_number
from fluxprint_local.postgres import Cluster
from support import servers
from support.bridge_camera import sending, sending_process
from support.camera_service import Organisation, running
from support.tokens import Issuer
from support.uplink import Pictures, stream
from tools.bench.line import slow_line

FPS = 20
#: The largest picture that the service takes, as `conftest.py` sets it.
TAKEN_BYTES = 300_000


@pytest.fixture
async def source() -> AsyncIterator[CameraSource]:
    async with CameraSource(fps=FPS) as source:
        yield source


def printer_of(organisation: Organisation) -> str:
    printer = show("printer", new_id())
    organisation.service.printers.add(organisation.bridge_token, printer)
    return printer


async def cameras_of(client: httpx.AsyncClient, *, online: int) -> list[str]:
    """The ids of the organisation's cameras by key, once so many send pictures."""
    async with asyncio.timeout(30):
        while True:
            items = (await client.get("/api/v1/cameras")).json()["items"]
            if sum(camera["status"] == "online" for camera in items) == online:
                return [camera["id"] for camera in sorted(items, key=lambda camera: camera["key"] != "default")]
            await asyncio.sleep(0.05)


async def next_number(pictures: Pictures) -> int:
    number = None
    while number is None:  # what is shown while a camera is offline has none
        number = frame_number(await pictures.next())
    return number


async def sees_new_ones(viewer: httpx.AsyncClient, camera: str, source: CameraSource) -> None:
    """Somebody who asks now is shown one picture after the other that is taken from now on."""
    newest = source.frame
    async with asyncio.timeout(30), stream(viewer, f"/api/v1/cameras/{camera}/stream") as pictures:
        seen = list[int]()
        while len(seen) < 5:
            if (number := await next_number(pictures)) > newest:
                seen.append(number)
    assert seen == sorted(set(seen))


class TestPictures:
    async def test_come_in_order_and_each_once(
        self, organisation: Organisation, viewer: httpx.AsyncClient, source: CameraSource
    ) -> None:
        async with sending(organisation.service.url, organisation.bridge_token, printer_of(organisation), source.url):
            [camera] = await cameras_of(viewer, online=1)
            async with stream(viewer, f"/api/v1/cameras/{camera}/stream") as pictures:
                seen = [await next_number(pictures) for _ in range(20)]
        assert all(before < after for before, after in itertools.pairwise(seen))

    async def test_are_not_old_where_the_line_is_slow(
        self, organisation: Organisation, viewer: httpx.AsyncClient, source: CameraSource
    ) -> None:
        """Of 20 pictures a second the line carries four of each camera. If they queued up anywhere, the 16th would be
        more than 60 pictures old."""
        size = len(source.picture)
        async with (
            CameraSource(fps=FPS) as second,
            slow_line(organisation.service.url, bytes_per_s=8 * size) as url,
            sending(url, organisation.bridge_token, printer_of(organisation), source.url, second.url),
        ):
            cameras = await cameras_of(viewer, online=2)

            async def ages(camera: str, source: CameraSource) -> list[int]:
                async with stream(viewer, f"/api/v1/cameras/{camera}/stream") as pictures:
                    await next_number(pictures)  # it was there already
                    return [source.frame - await next_number(pictures) for _ in range(16)]

            found = await asyncio.gather(ages(cameras[0], source), ages(cameras[1], second))
        for of_camera in found:
            assert max(of_camera[8:]) <= 2 * FPS


class Large(CameraSource):
    """Pictures of more bytes than the service takes."""

    def make_picture(self, number: int) -> bytes:
        return super().make_picture(number).ljust(TAKEN_BYTES + 1, b"\0")


class TestLimits:
    async def test_pictures_larger_than_the_service_takes_are_named_and_cost_no_other_camera(
        self, organisation: Organisation, viewer: httpx.AsyncClient, source: CameraSource
    ) -> None:
        service = organisation.service
        async with (
            Large(fps=FPS) as large,
            sending(service.url, organisation.bridge_token, printer_of(organisation), source.url, large.url),
        ):
            async with asyncio.timeout(30):
                while True:
                    items = (await viewer.get("/api/v1/cameras")).json()["items"]
                    found = {camera["key"]: camera for camera in items}
                    if len(found) == 2 and found["camera-1"]["source_state"] == "failed":
                        break
                    await asyncio.sleep(0.05)
            assert found["camera-1"]["source_reason"] == "too_large"
            assert str(TAKEN_BYTES) in found["camera-1"]["source_detail"]
            await sees_new_ones(viewer, found["default"]["id"], source)


class TestKilled:
    async def test_a_bridge_comes_back(
        self, organisation: Organisation, viewer: httpx.AsyncClient, source: CameraSource
    ) -> None:
        service, token, printer = organisation.service, organisation.bridge_token, printer_of(organisation)
        async with sending_process(service.url, token, printer, source.url) as bridge:
            [camera] = await cameras_of(viewer, online=1)
            watching = stream(viewer, f"/api/v1/cameras/{camera}/stream")
            pictures = await watching.__aenter__()
            last = await next_number(pictures)
            bridge.kill()
            await bridge.wait()
        async with sending_process(service.url, token, printer, source.url):
            newest = source.frame
            async with asyncio.timeout(30):
                while (number := await next_number(pictures)) <= newest:
                    assert number >= last  # the last one again, at most
            await watching.__aexit__(None, None, None)
            async with asyncio.timeout(30):
                while source.watching:  # until the bridge has heard that nobody looks any more
                    await asyncio.sleep(0.02)
            await sees_new_ones(viewer, camera, source)

    async def test_a_relay_comes_back(
        self,
        migrated_cluster: Cluster,
        issuer: Issuer,
        redis_url: str,
        source: CameraSource,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        folder = tmp_path_factory.mktemp("killed")
        async with running(migrated_cluster, folder, issuer, redis_url, {}) as service:
            organisation = Organisation(service, issuer)
            token, printer = organisation.bridge_token, printer_of(organisation)
            async with organisation.client() as viewer, sending(service.url, token, printer, source.url):
                before = await cameras_of(viewer, online=1)
                service.process.kill()
                service.process.wait()
                async with servers.started(service.again, folder / "again.log"):
                    assert await cameras_of(viewer, online=1) == before
                    await sees_new_ones(viewer, before[0], source)
