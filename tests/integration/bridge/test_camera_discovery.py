"""Cameras that a real OctoPrint knows."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from fluxprint_bridge.camera.discovery import cameras_of
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_bridge.octoprint.errors import KeyRefused
from fluxprint_local.camera_source import CameraSource
from fluxprint_local.jpeg import frame_number
from fluxprint_local.octoprint import BRIDGE_PERMISSIONS, OctoPrint
from support.bridge import running_bridge
from support.fake_cloud import FakeCloud

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


async def set_permissions(octoprint: OctoPrint, *more: str) -> None:
    """What the bridge's user may."""
    wanted = {"active": True, "groups": [], "permissions": [*BRIDGE_PERMISSIONS, *more]}
    answer = await octoprint.call("PUT", "/api/access/users/bridge", json_body=wanted)
    answer.raise_for_status()


@pytest.fixture
async def permitted(octoprint: OctoPrint) -> AsyncIterator[None]:
    """The bridge may look for cameras."""
    await set_permissions(octoprint, "SETTINGS_READ", "WEBCAM")
    yield
    await set_permissions(octoprint)


class TestOctoPrint:
    async def test_tells_what_it_has(self, octoprint: OctoPrint, webcam: None, permitted: None) -> None:
        async with OctoPrintClient(octoprint.url, SecretStr(octoprint.keys.bridge)) as client:
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


class TestBridge:
    async def test_finds_and_sends_what_octoprint_has(
        self, octoprint: OctoPrint, permitted: None, webcam: None, own_cloud: FakeCloud, tmp_path: Path
    ) -> None:
        async with CameraSource(fps=10) as camera:
            await set_webcam(octoprint, stream=camera.url)
            async with running_bridge(tmp_path, cloud_url=own_cloud.url, octoprint=octoprint):
                await own_cloud.until(lambda: own_cloud.frames)
        [found] = own_cloud.cameras
        assert (found["printer_id"], found["key"], found["rotate"], found["flip_h"]) == (
            own_cloud.printer_id,
            "default",
            270,
            True,
        )
        assert frame_number(own_cloud.frames[0][1]) is not None

    @pytest.mark.parametrize("said", ["another camera", "none"])
    async def test_takes_what_its_settings_say_instead(
        self, octoprint: OctoPrint, permitted: None, webcam: None, own_cloud: FakeCloud, tmp_path: Path, said: str
    ) -> None:
        own_cloud.wanted_fps = 10
        async with CameraSource(fps=10) as announced, CameraSource(fps=10) as ours:
            await set_webcam(octoprint, stream=announced.url, snapshot=announced.snapshot_url)
            settings = {"CAMERA_URL": "none" if said == "none" else ours.url}
            async with running_bridge(tmp_path, cloud_url=own_cloud.url, octoprint=octoprint, settings=settings):
                if said == "none":
                    await own_cloud.until_claims(3)
                else:
                    await own_cloud.until(lambda: len(own_cloud.frames) >= 20)
            assert announced.asked == 0
            assert bool(ours.asked) == (said != "none")
        assert [camera["rotate"] for camera in own_cloud.cameras] == ([] if said == "none" else [0])
