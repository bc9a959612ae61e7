"""Pictures on their way from a camera to the camera service: as many as wanted, the newest, one at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from fluxprint_bridge.camera.source import CameraSource
from fluxprint_bridge.camera.uplink import CameraUplink
from fluxprint_bridge.cloud.api import CloudApi
from fluxprint_local import camera_source
from fluxprint_local.jpeg import frame_number
from support.fake_cloud import BRIDGE_TOKEN, FakeCloud


@pytest.fixture
async def camera() -> AsyncIterator[camera_source.CameraSource]:
    async with camera_source.CameraSource(fps=20) as camera:
        yield camera


@asynccontextmanager
async def uplink_of(cloud: FakeCloud, url: str) -> AsyncIterator[None]:
    async with CloudApi(f"{cloud.url}/api/v1", SecretStr(BRIDGE_TOKEN)) as api:
        source = CameraSource(url)
        uplink = CameraUplink(api.url, api.token, printer_id=cloud.printer_id, source=source)
        running = asyncio.create_task(uplink.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await source.close()


async def until(condition: Callable[[], bool], *, timeout_s: float = 15) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


async def until_pictures(cloud: FakeCloud, count: int) -> None:
    """Until so many have come."""
    await cloud.until(lambda: len(cloud.frames) >= count)


async def until_more(cloud: FakeCloud) -> None:
    """Until some more have come than by now."""
    await until_pictures(cloud, len(cloud.frames) + 3)


def numbers(cloud: FakeCloud) -> list[int]:
    found = [frame_number(picture) for _header, picture in cloud.frames]
    assert None not in found
    return [number for number in found if number is not None]


class TestUplink:
    async def test_pictures_as_wanted_then_one_now_and_then(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        own_cloud.wanted_fps = 20
        async with uplink_of(own_cloud, camera.url):
            await until_pictures(own_cloud, 5)
            assert camera.watching == 1
            await own_cloud.want(0)
            await until(lambda: camera.watching == 0)
        assert numbers(own_cloud) == sorted(set(numbers(own_cloud)))
        assert [header["sequence"] for header, _ in own_cloud.frames] == list(range(1, len(own_cloud.frames) + 1))
        assert all(header["size_bytes"] == len(picture) for header, picture in own_cloud.frames)

    async def test_a_first_picture_although_nobody_watches(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        async with uplink_of(own_cloud, camera.url):
            await until_pictures(own_cloud, 1)
            await until(lambda: camera.watching == 0)
            await own_cloud.want(10)
            await until_pictures(own_cloud, 3)

    async def test_one_picture_travels_at_a_time_and_the_newest_follows(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        acknowledge = asyncio.Event()
        own_cloud.before_answer["frame"] = acknowledge.wait
        own_cloud.wanted_fps = 20
        async with uplink_of(own_cloud, camera.url):
            await until(lambda: bool(own_cloud.frames))
            first = numbers(own_cloud)[0]
            await until(lambda: camera.frame >= first + 8)
            assert len(own_cloud.frames) == 1
            acknowledge.set()
            await until_pictures(own_cloud, 2)
        assert numbers(own_cloud)[1] >= first + 7

    async def test_a_camera_that_gives_single_pictures(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        own_cloud.wanted_fps = 5
        async with uplink_of(own_cloud, camera.snapshot_url):
            await until_pictures(own_cloud, 3)

    async def test_a_camera_that_leaves_out_lengths_and_quotes_its_boundary(self, own_cloud: FakeCloud) -> None:
        boundary = f'"--{camera_source.BOUNDARY}"'
        async with camera_source.CameraSource(fps=20, announced_boundary=boundary, with_length=False) as camera:
            own_cloud.wanted_fps = 20
            async with uplink_of(own_cloud, camera.url):
                await until_pictures(own_cloud, 3)


class TestTrouble:
    async def test_a_camera_that_hangs_is_asked_again(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        own_cloud.wanted_fps = 20
        async with uplink_of(own_cloud, camera.url):
            await until_pictures(own_cloud, 2)
            camera.frozen = True
            streams = camera.streams
            await until(lambda: camera.streams > streams)
            camera.frozen = False
            await until_more(own_cloud)

    async def test_a_camera_that_drops_the_connection_is_asked_again(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        own_cloud.wanted_fps = 20
        async with uplink_of(own_cloud, camera.url):
            await until_pictures(own_cloud, 2)
            camera.drop()
            await until_more(own_cloud)
        assert camera.streams == 2

    async def test_an_uplink_that_is_cut_comes_back(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        own_cloud.wanted_fps = 20
        async with uplink_of(own_cloud, camera.url):
            await until_pictures(own_cloud, 1)
            await own_cloud.uplinks[0].close(4401)
            await until_more(own_cloud)
