"""Frames for parts of the service itself: the newest, at a rate, with and without an uplink."""

import asyncio

import pytest

from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.relay.tap import Tap
from fluxprint_common.ids import new_id
from support.camera import Clock, Connection, frame, settings_of

ORGANISATION, CAMERA = new_id(), new_id()
AT_ONCE = 0.01
SOON_S = 30.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(clock: Clock) -> Hub:
    return Hub(settings_of(max_viewers_per_camera=1, max_fps=15, linger_s=3), clock=clock)


async def had(tap: Tap, timeout_s: float = AT_ONCE) -> int | None:
    """The number of the tap's next frame."""
    newest = await tap.next(timeout_s=timeout_s)
    return newest.sequence if newest else None


class TestTap:
    async def test_gives_each_frame_once_and_the_newest_of_those_it_missed(self, hub: Hub) -> None:
        with (
            hub.publishing(camera_id=CAMERA, organisation_id=ORGANISATION, expires_in_s=900) as publication,
            hub.tapping(camera_id=CAMERA, organisation_id=ORGANISATION, max_fps=float("inf")) as tap,
        ):
            assert await had(tap) is None
            publication.publish(frame(1))
            assert [await had(tap), await had(tap)] == [1, None]
            for number in (2, 3, 4):
                publication.publish(frame(number))
            assert [await had(tap), await had(tap)] == [4, None]
            assert tap.dropped == 2

    async def test_waits_for_a_frame(self, hub: Hub) -> None:
        with (
            hub.publishing(camera_id=CAMERA, organisation_id=ORGANISATION, expires_in_s=900) as publication,
            hub.tapping(camera_id=CAMERA, organisation_id=ORGANISATION, max_fps=15) as tap,
        ):
            waiting = asyncio.create_task(had(tap, SOON_S))
            await asyncio.sleep(0)
            publication.publish(frame(5))
            assert await waiting == 5

    async def test_starts_with_the_last_frame_and_keeps_its_rate(self, hub: Hub, clock: Clock) -> None:
        with hub.publishing(camera_id=CAMERA, organisation_id=ORGANISATION, expires_in_s=900) as publication:
            publication.publish(frame(1))
            with hub.tapping(camera_id=CAMERA, organisation_id=ORGANISATION, max_fps=2) as tap:
                seen = [await had(tap)]
                for number in range(2, 22):
                    clock.now += 0.1
                    publication.publish(frame(number))
                    if tap.is_filled:
                        seen.append(await had(tap))
        assert seen == [1, 6, 11, 16, 21]

    async def test_comes_before_its_uplink_and_outlives_it(self, hub: Hub, clock: Clock) -> None:
        with hub.tapping(camera_id=CAMERA, organisation_id=ORGANISATION, max_fps=4) as tap:
            hub.sweep()
            for number in (1, 2):
                with hub.publishing(camera_id=CAMERA, organisation_id=ORGANISATION, expires_in_s=900) as publication:
                    assert publication.wanted_fps == 4
                    publication.publish(frame(number))
                    assert await had(tap) == number
                clock.now += 3600
                hub.sweep()
            assert await had(tap) is None
        clock.now += 3600
        hub.sweep()
        assert hub.look(camera_id=CAMERA, organisation_id=ORGANISATION) is None

    def test_is_asked_for_like_a_viewer(self, hub: Hub, clock: Clock) -> None:
        with hub.publishing(camera_id=CAMERA, organisation_id=ORGANISATION, expires_in_s=900) as publication:
            with hub.tapping(camera_id=CAMERA, organisation_id=ORGANISATION, max_fps=2):
                assert publication.wanted_fps == 2
            for _ in range(2):
                clock.now += 3
                hub.sweep()
            assert publication.wanted_fps == 0

    def test_takes_nobodys_place(self, hub: Hub) -> None:
        with (
            hub.publishing(camera_id=CAMERA, organisation_id=ORGANISATION, expires_in_s=900),
            hub.tapping(camera_id=CAMERA, organisation_id=ORGANISATION, max_fps=2),
            hub.tapping(camera_id=CAMERA, organisation_id=ORGANISATION, max_fps=2),
            hub.watching(
                camera_id=CAMERA,
                organisation_id=ORGANISATION,
                person_id=new_id(),
                outlet=Connection(),
                expires_in_s=900,
            ),
        ):
            assert hub.count() == (0, 1)
