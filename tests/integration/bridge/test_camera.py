"""Pictures on their way from a camera to the camera service: as many as wanted, the newest, one at a time."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from fluxprint_bridge.camera import source
from fluxprint_bridge.camera.config import Address, CameraConfig
from fluxprint_bridge.camera.roster import Roster
from fluxprint_bridge.camera.uplink import CameraUplink
from fluxprint_bridge.cloud.api import CloudApi
from fluxprint_local import camera_source
from fluxprint_local.jpeg import frame_number
from fluxprint_local.ports import free_port
from support.fake_cloud import BRIDGE_TOKEN, FakeCloud


@pytest.fixture
async def camera() -> AsyncIterator[camera_source.CameraSource]:
    async with camera_source.CameraSource(fps=20) as camera:
        yield camera


@asynccontextmanager
async def uplink_of(cloud: FakeCloud, *urls: str) -> AsyncIterator[Roster]:
    """A bridge's uplink with a camera for each address: the first is `default`, then `camera-1` and so on."""
    async with CloudApi(f"{cloud.url}/api/v1", SecretStr(BRIDGE_TOKEN)) as api:
        roster = Roster()
        roster.set(cloud.printer_id, [camera_at(url, number) for number, url in enumerate(urls)])
        running = asyncio.create_task(CameraUplink(api.url, api.token, roster).run())
        try:
            yield roster
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def camera_at(url: str, number: int = 0, **more: Any) -> CameraConfig:
    key = f"camera-{number}" if number else "default"
    return CameraConfig(key=key, name="Camera", stream=Address.of(url, base="http://octoprint"), **more)


async def until(condition: Callable[[], bool], *, timeout_s: float = 30) -> None:
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
    return numbers_of(cloud, 0)


def numbers_of(cloud: FakeCloud, channel: int) -> list[int]:
    """The numbers of one camera's pictures, in the order in which they came."""
    found = [frame_number(picture) for header, picture in cloud.frames if header["channel"] == channel]
    assert None not in found
    return [number for number in found if number is not None]


async def until_state(cloud: FakeCloud, state: str, reason: str | None = None, *, channel: int = 0) -> None:
    """Until a camera says so last."""

    def last() -> tuple[object, object]:
        said = [one for one in cloud.camera_states if one["channel"] == channel]
        return (said[-1]["state"], said[-1]["reason"]) if said else (None, None)

    await cloud.until(lambda: last() == (state, reason))


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
        assert [(state["state"], state["reason"]) for state in own_cloud.camera_states] == [("ok", None)]

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

    async def test_no_more_come_than_the_relay_asked_for(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        own_cloud.wanted_fps = 20
        clock = asyncio.get_running_loop().time
        async with uplink_of(own_cloud, camera.url):
            await until_more(own_cloud)
            for fps in (2, 8):
                await own_cloud.want(fps)
                await until_more(own_cloud)  # those of the rate before may still come
                taken, came, since = camera.frame, len(own_cloud.frames), clock()
                await until(lambda taken=taken: camera.frame >= taken + 40)  # type: ignore[misc]
                # A picture that was late makes room for the next, so that the average is kept: one more, then.
                assert len(own_cloud.frames) - came <= fps * (clock() - since) + 2

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


class TestSeveral:
    async def test_share_one_connection(self, own_cloud: FakeCloud, camera: camera_source.CameraSource) -> None:
        own_cloud.wanted_fps = 20
        async with camera_source.CameraSource(fps=20) as second, uplink_of(own_cloud, camera.url, second.url):
            await own_cloud.until(lambda: len(numbers_of(own_cloud, 0)) >= 5 and len(numbers_of(own_cloud, 1)) >= 5)
            assert len(own_cloud.uplinks) == 1
            await own_cloud.want(0, channel=1)
            await until(lambda: second.watching == 0)
            assert camera.watching == 1
        for channel in (0, 1):
            assert numbers_of(own_cloud, channel) == sorted(set(numbers_of(own_cloud, channel)))

    async def test_two_pictures_travel_at_a_time_of_three_cameras_and_each_has_its_turn(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        """The relay takes one picture after the other: a line that is too slow for all of them."""
        own_cloud.wanted_fps = 20
        gate = asyncio.Semaphore(0)

        async def until_taken(count: int) -> None:
            await until(lambda: len(own_cloud.frames) >= count)
            newest = camera.frame
            await until(lambda: camera.frame >= newest + 3)

        async with (
            camera_source.CameraSource(fps=20) as second,
            camera_source.CameraSource(fps=20) as third,
            uplink_of(own_cloud, camera.url, second.url, third.url),
        ):
            await own_cloud.until(lambda: {header["channel"] for header, _ in own_cloud.frames} == {0, 1, 2})
            own_cloud.before_answer["frame"] = gate.acquire
            begun = len(own_cloud.frames)
            for taken in range(1, 13):
                await until_taken(begun + taken)
                gate.release()
            del own_cloud.before_answer["frame"]
            for _ in range(50):
                gate.release()
            turns = [header["channel"] for header, _ in own_cloud.frames[begun + 2 : begun + 12]]
            ages = [number - before for before, number in itertools.pairwise(numbers_of(own_cloud, 0)[-4:-1])]
        assert min(turns.count(channel) for channel in (0, 1, 2)) >= 3
        assert min(ages) >= 3  # what came meanwhile is left out, and not kept for later

    async def test_come_and_go_without_a_new_connection(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        own_cloud.wanted_fps = 20
        async with camera_source.CameraSource(fps=20) as second, uplink_of(own_cloud, camera.url) as roster:
            await until_more(own_cloud)
            first = camera_at(camera.url)
            roster.set(own_cloud.printer_id, [first, camera_at(second.url, 1, rotate=90, flip_v=True)])
            await own_cloud.until(lambda: len(numbers_of(own_cloud, 1)) >= 2)
            told = {
                camera["key"]: (camera["rotate"], camera["flip_h"], camera["flip_v"]) for camera in own_cloud.cameras
            }
            assert told == {"default": (0, False, False), "camera-1": (90, False, True)}
            roster.set(own_cloud.printer_id, [first])
            await until(lambda: second.watching == 0)
            await until_more(own_cloud)
            assert (camera.streams, own_cloud.calls.count("cameras")) == (1, 3)

    async def test_one_that_is_refused_leaves_the_others_and_is_named_again(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        own_cloud.wanted_fps = 20
        own_cloud.refused_cameras = {"default"}
        async with camera_source.CameraSource(fps=20) as second, uplink_of(own_cloud, camera.url, second.url):
            await own_cloud.until(lambda: len(numbers_of(own_cloud, 1)) >= 2)
            assert numbers_of(own_cloud, 0) == []
            own_cloud.refused_cameras = set()
            await own_cloud.until(lambda: len(numbers_of(own_cloud, 0)) >= 2)

    async def test_one_that_another_bridge_takes_over_is_named_again(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        own_cloud.wanted_fps = 20
        async with uplink_of(own_cloud, camera.url):
            await until_more(own_cloud)
            refused = [{"channel": 0, "code": "taken_over", "detail": "."}]
            answer = {"type": "accepted", "cameras": [], "refused": refused}
            await own_cloud.uplinks[0].send_text(json.dumps(answer))
            await until(lambda: camera.watching == 0)
            await own_cloud.until(lambda: own_cloud.calls.count("cameras") == 2)
            await until_more(own_cloud)

    async def test_none_needs_no_connection(self, own_cloud: FakeCloud, camera: camera_source.CameraSource) -> None:
        async with uplink_of(own_cloud) as roster:
            roster.set(own_cloud.printer_id, [camera_at(camera.url)])
            await until_pictures(own_cloud, 1)
            roster.set(own_cloud.printer_id, [])
            await until(lambda: not own_cloud.uplinks)


class TestTrouble:
    async def test_a_camera_that_hangs_is_asked_again(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(source, "FROZEN_AFTER_S", 1.0)
        own_cloud.wanted_fps = 20
        async with uplink_of(own_cloud, camera.url):
            await until_pictures(own_cloud, 2)
            camera.frozen = True
            await until_state(own_cloud, "failed", "frozen")
            camera.frozen = False
            await until_more(own_cloud)
            await until_state(own_cloud, "ok")

    async def test_a_camera_that_drops_the_connection_is_asked_again(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        own_cloud.wanted_fps = 20
        async with uplink_of(own_cloud, camera.url):
            await until_pictures(own_cloud, 2)
            camera.drop()
            await until(lambda: camera.streams == 2)
            await until_more(own_cloud)
            await until_state(own_cloud, "ok")
        assert [state["state"] for state in own_cloud.camera_states] == ["ok"] * len(own_cloud.camera_states)

    async def test_a_camera_that_is_away_says_so_again_and_again(self, own_cloud: FakeCloud) -> None:
        own_cloud.idle_interval_s = 1
        async with uplink_of(own_cloud, f"http://127.0.0.1:{free_port()}/"):
            await own_cloud.until(lambda: len(own_cloud.camera_states) >= 3)
        assert {(state["state"], state["reason"]) for state in own_cloud.camera_states} == {("failed", "unreachable")}

    @pytest.mark.parametrize(("limit", "value"), [("max_frame_bytes", 100), ("max_width", 319)])
    async def test_pictures_that_are_too_large_for_the_relay_are_not_sent_and_named(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource, limit: str, value: int
    ) -> None:
        setattr(own_cloud, limit, value)
        own_cloud.wanted_fps = 20
        async with uplink_of(own_cloud, camera.url):
            await until_state(own_cloud, "failed", "too_large")
        assert own_cloud.frames == []
        assert str(value) in own_cloud.camera_states[-1]["detail"]

    async def test_an_uplink_that_is_cut_comes_back(
        self, own_cloud: FakeCloud, camera: camera_source.CameraSource
    ) -> None:
        own_cloud.wanted_fps = 20
        async with uplink_of(own_cloud, camera.url):
            await until_pictures(own_cloud, 1)
            await own_cloud.uplinks[0].close(4401)
            await until_more(own_cloud)
