"""Cameras that a real OctoPrint knows."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from fluxprint_bridge.camera.discovery import cameras_of
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_bridge.octoprint.errors import KeyRefused
from fluxprint_local.octoprint import OctoPrint

STREAM = "/webcam/?action=stream"
SNAPSHOT = "http://127.0.0.1:8080/?action=snapshot"


async def set_webcam(octoprint: OctoPrint, **settings: object) -> None:
    answer = await octoprint.call("POST", "/api/settings", json_body={"plugins": {"classicwebcam": settings}})
    answer.raise_for_status()


@pytest.fixture
async def webcam(octoprint: OctoPrint) -> AsyncIterator[None]:
    """The classic webcam, as OctoPi sets it up, mounted on its side."""
    await set_webcam(octoprint, stream=STREAM, snapshot=SNAPSHOT, rotate90=True, flipH=True)
    yield
    await set_webcam(octoprint, stream="", snapshot="", rotate90=False, flipH=False)


class TestOctoPrint:
    async def test_tells_what_it_has(self, octoprint: OctoPrint, webcam: None) -> None:
        async with OctoPrintClient(octoprint.url, SecretStr(octoprint.keys.admin)) as client:
            [camera] = cameras_of(await client.settings(), octoprint.url)
        assert camera.key == "default"
        assert camera.stream is not None
        assert camera.snapshot is not None
        assert (camera.stream.url, camera.snapshot.url) == (octoprint.url + STREAM, SNAPSHOT)
        assert (camera.rotate, camera.flip_h, camera.flip_v) == (270, True, False)

    async def test_tells_that_it_has_none(self, octoprint: OctoPrint) -> None:
        async with OctoPrintClient(octoprint.url, SecretStr(octoprint.keys.admin)) as client:
            assert cameras_of(await client.settings(), octoprint.url) == []

    async def test_tells_nobody_who_may_not_know(self, octoprint: OctoPrint) -> None:
        async with OctoPrintClient(octoprint.url, SecretStr(octoprint.keys.bridge)) as client:
            with pytest.raises(KeyRefused):
                await client.settings()
