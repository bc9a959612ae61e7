"""Viewers' WebSockets: several cameras over one connection, acknowledged, and nothing that may not be seen."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from itertools import count

import httpx
import pytest
import websockets

from fluxprint_common.ids import new_id, show
from support.camera import TAKEN_AT, jpeg
from support.camera_service import Organisation
from support.queue import eventually
from support.uplink import Bridge
from support.view import Shown, view

SOME_CAMERA = "camera_0193a5c8f2d07c4e8b1f6a2d3c4b5a69"
CAPTURED_MS = int(TAKEN_AT.timestamp() * 1000)


@pytest.fixture
def organisation(on_both_paths: Organisation) -> Organisation:
    return on_both_paths


@pytest.fixture
def hasty(hasty_on_both_paths: Organisation) -> Organisation:
    return hasty_on_both_paths


async def ended(camera_id: str, **watching: object) -> str:
    """How a watch is answered that is refused."""
    url, token = watching.pop("url"), watching.pop("token")
    async with view(str(url), str(token)) as viewer:
        await viewer.send("watch", camera_id, **watching)
        answer = await viewer.word()
        assert (answer["type"], answer["camera_id"]) == ("ended", camera_id)
        return str(answer["reason"])


class TestFrames:
    async def test_come_once_in_order_and_say_whose_they_are(self, organisation: Organisation) -> None:
        async with (
            organisation.camera() as first,
            organisation.camera() as second,
            view(organisation.service.url, organisation.user_token()) as viewer,
        ):
            assert viewer.connection.protocol.extensions == []  # deflate costs a hundred times the sending
            indices = {await viewer.watch(bridge.camera_id): bridge for bridge in (first, second)}
            assert len(indices) == 2
            for number in range(1, 21):
                for index, bridge in indices.items():
                    size = (60, 50_000, 70_000)[number % 3]  # each has its own kind of length on the wire
                    await bridge.send(number, size=size)
                    assert await viewer.frame() == Shown(index, number, CAPTURED_MS, jpeg(number, size=size))
                    await viewer.ack(bridge.camera_id, number)

    async def test_the_last_one_comes_at_once(self, organisation: Organisation) -> None:
        async with organisation.camera() as bridge:
            await bridge.send(7)
            async with view(organisation.service.url, organisation.user_token()) as viewer:
                await viewer.watch(bridge.camera_id)
                assert (await viewer.frame()).sequence == 7

    @pytest.mark.parametrize(("window", "under_way"), [(1, [1]), (2, [1, 2])])
    async def test_wait_for_acknowledgements_and_then_are_the_newest(
        self, organisation: Organisation, window: int, under_way: list[int]
    ) -> None:
        async with (
            organisation.camera() as bridge,
            view(organisation.service.url, organisation.user_token()) as viewer,
        ):
            await viewer.watch(bridge.camera_id, window=window)
            for number in range(1, 11):
                await bridge.send(number, size=40_000)
            assert [(await viewer.frame()).sequence for _ in under_way] == under_way
            assert await viewer.is_silent()
            await viewer.ack(bridge.camera_id, under_way[-1])
            assert (await viewer.frame()).sequence == 10
            assert await viewer.is_silent()

    async def test_are_so_many_a_second_for_who_asks_for_few_and_all_for_another(
        self, organisation: Organisation
    ) -> None:
        url, token, fps = organisation.service.url, organisation.user_token(), 5
        async with organisation.camera() as bridge, view(url, token) as few, view(url, token) as all_of_them:
            await few.watch(bridge.camera_id, max_fps=fps)
            await all_of_them.watch(bridge.camera_id)
            seen, began = [], time.monotonic()

            async def look() -> None:
                while True:
                    shown = await few.frame()
                    seen.append(shown.sequence)
                    await few.ack(bridge.camera_id, shown.sequence)

            looking = asyncio.create_task(look())
            for number in range(1, 61):
                await bridge.send(number)
                assert (await all_of_them.frame()).sequence == number
                await all_of_them.ack(bridge.camera_id, number)
                await asyncio.sleep(1 / 60)
            took_s = time.monotonic() - began
            looking.cancel()
        assert 3 <= len(seen) <= 2 + fps * took_s
        assert seen == sorted(set(seen))

    async def test_go_one_by_one_while_acknowledgements_are_late(self, organisation: Organisation) -> None:
        async with (
            organisation.camera() as bridge,
            view(organisation.service.url, organisation.user_token()) as viewer,
        ):
            await viewer.watch(bridge.camera_id, window=2)
            await bridge.send(1)
            await viewer.frame()
            await asyncio.sleep(0.3)
            await viewer.ack(bridge.camera_id, 1)
            assert await viewer.is_silent()  # it has arrived
            for number in range(2, 5):
                await bridge.send(number)
            assert (await viewer.frame()).sequence == 2
            assert await viewer.is_silent()
            await viewer.ack(bridge.camera_id, 2)
            assert (await viewer.frame()).sequence == 4

    async def test_of_a_camera_that_is_not_acknowledged_hold_up_no_other(self, organisation: Organisation) -> None:
        async with (
            organisation.camera() as stuck,
            organisation.camera() as lively,
            view(organisation.service.url, organisation.user_token()) as viewer,
        ):
            await viewer.watch(stuck.camera_id, window=1)
            index = await viewer.watch(lively.camera_id, window=1)
            await stuck.send(1)
            await viewer.frame()
            for number in range(1, 11):
                await stuck.send(number + 1)
                await lively.send(number)
                shown = await viewer.frame()
                assert (shown.index, shown.sequence) == (index, number)
                await viewer.ack(lively.camera_id, number)

    async def test_are_not_asked_for_while_nothing_is_acknowledged(self, hasty: Organisation) -> None:
        numbers = count(1)

        async def wanted(bridge: Bridge, fps: float) -> None:
            async with asyncio.timeout(20):
                while bridge.wants.empty() or (await bridge.want())["fps"] != fps:
                    await bridge.send(next(numbers))
                    await asyncio.sleep(0.1)

        async with hasty.camera() as bridge, view(hasty.service.url, hasty.user_token()) as viewer:
            await viewer.watch(bridge.camera_id)
            await wanted(bridge, 15)
            await wanted(bridge, 0)
            _first, second = await viewer.frame(), await viewer.frame()
            await viewer.ack(bridge.camera_id, second.sequence)
            await wanted(bridge, 15)

    async def test_end_when_they_are_not_wanted(self, organisation: Organisation) -> None:
        async with (
            organisation.camera() as bridge,
            view(organisation.service.url, organisation.user_token()) as viewer,
        ):
            await viewer.watch(bridge.camera_id)
            await bridge.send(1)
            await viewer.frame()
            await viewer.send("stop", bridge.camera_id)
            assert (await viewer.word())["reason"] == "stopped"
            await bridge.send(2)
            assert await viewer.is_silent()
            await viewer.watch(bridge.camera_id)
            assert (await viewer.frame()).sequence == 2


class TestStatus:
    async def test_tells_when_a_camera_goes_and_is_back(self, hasty: Organisation) -> None:
        printer = new_id()
        async with hasty.camera(printer) as bridge:
            await bridge.send(1)
        async with view(hasty.service.url, hasty.user_token()) as viewer:
            await viewer.watch(bridge.camera_id)
            while isinstance(word := await viewer.next(), Shown):  # it was there a moment ago
                await viewer.ack(bridge.camera_id, word.sequence)
            assert (word["type"], word["status"], word["reason"]) == ("status", "offline", "bridge_offline")
            async with hasty.camera(printer) as bridge:
                await bridge.send(2)
                while (word := await viewer.word())["status"] == "offline":
                    pass  # said again and again
                assert (word["status"], word["reason"]) == ("online", None)
                assert (await viewer.frame()).picture == jpeg(2)


class TestWhoMayWatch:
    async def test_nobody_without_a_token_or_from_a_strange_page(self, organisation: Organisation) -> None:
        url, token = organisation.service.url, organisation.user_token()
        for asked, status, code in (
            ({"token": None}, 401, "unauthenticated"),
            ({"token": "nonsense"}, 401, "unauthenticated"),
            ({"token": None, "query": "?token=nonsense"}, 401, "unauthenticated"),
            ({"token": None, "query": f"?token={token}"}, 401, "unauthenticated"),
            ({"token": organisation.bridge_token}, 403, "forbidden"),
            ({"token": token, "origin": "https://elsewhere.example"}, 403, "forbidden"),
        ):
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with view(url, **asked):
                    pass
            response = refused.value.response
            assert (response.status_code, json.loads(response.body or b"")["code"]) == (status, code)

    async def test_a_page_of_the_same_origin(self, organisation: Organisation) -> None:
        async with view(organisation.service.url, organisation.user_token(), origin=organisation.service.url):
            pass

    async def test_others_find_nothing(self, organisation: Organisation, other: Organisation) -> None:
        url, stranger = organisation.service.url, other.user_token()
        async with organisation.camera() as bridge:
            await bridge.send(1)
            assert await ended(bridge.camera_id, url=url, token=stranger) == "not_found"
            assert await ended(show("camera", new_id()), url=url, token=organisation.user_token()) == "not_found"

    async def test_a_view_token_opens_its_camera_alone_and_is_not_logged(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as mine, organisation.camera() as other:
            await mine.send(1)
            await other.send(1)
            made = await viewer.post(f"/api/v1/cameras/{mine.camera_id}/view-tokens")
            token = made.json()["token"]
            async with view(organisation.service.url, None, query=f"?token={token}") as watching:
                await watching.watch(mine.camera_id)
                await watching.frame()
                await watching.send("watch", other.camera_id)
                assert (await watching.word())["reason"] == "not_found"
                another = (await viewer.post(f"/api/v1/cameras/{other.camera_id}/view-tokens")).json()["token"]
                await watching.watch(other.camera_id, token=another)
                await watching.frame()
        log = organisation.service.log.read_text()
        assert token.split(".")[1] not in log

    async def test_not_longer_than_the_token(self, organisation: Organisation) -> None:
        token = organisation.user_token(lifetime_s=3)
        async with organisation.camera() as bridge, view(organisation.service.url, token) as viewer:
            await viewer.watch(bridge.camera_id)
            assert (await viewer.word())["reason"] == "expired"
            await viewer.send("watch", bridge.camera_id)
            assert (await viewer.word())["reason"] == "unauthenticated"

    async def test_longer_with_a_newer_token(self, organisation: Organisation, viewer: httpx.AsyncClient) -> None:
        short = organisation.user_token(lifetime_s=3)
        async with organisation.camera() as bridge, view(organisation.service.url, short) as watching:
            index = await watching.watch(bridge.camera_id)
            made = await viewer.post(f"/api/v1/cameras/{bridge.camera_id}/view-tokens")
            assert await watching.watch(bridge.camera_id, token=made.json()["token"]) == index
            await asyncio.sleep(3.2)  # past the end of the first
            await bridge.send(1)
            assert (await watching.frame()).sequence == 1


class TestBounds:
    async def test_each_camera_counts_as_a_viewer(self, organisation: Organisation, viewer: httpx.AsyncClient) -> None:
        async def count(bridge: Bridge) -> int:
            return int((await viewer.get(f"/api/v1/cameras/{bridge.camera_id}")).json()["viewers"])

        url, token = organisation.service.url, organisation.user_token()
        async with organisation.camera() as first, organisation.camera() as second:
            async with view(url, token) as one, view(url, token) as two:
                for socket in (one, two):
                    for bridge in (first, second):
                        await socket.watch(bridge.camera_id)
                assert [await count(first), await count(second)] == [2, 2]
                assert await ended(first.camera_id, url=url, token=token) == "too_many_viewers"

            async def gone() -> bool:
                return await count(first) == await count(second) == 0

            await eventually(gone)

    async def test_connections_have_places_whether_they_watch_or_not(
        self, organisation: Organisation, other: Organisation
    ) -> None:
        url, token = organisation.service.url, organisation.user_token()

        async def opens(token: str) -> bool:
            try:
                async with view(url, token):
                    return True
            except websockets.InvalidStatus as refused:
                return refused.response.status_code != 429

        async with AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(view(url, token))
            assert not await opens(organisation.user_token())
            assert await opens(other.user_token())

        async def again() -> bool:
            return await opens(token)

        await eventually(again)

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            ("nonsense", 4400),
            ('{"type":"watch"}', 4400),
            ('{"type":"other"}', 4400),
            (f'{{"type":"watch","camera_id":"{SOME_CAMERA}","max_fps":0}}', 4400),
            (f'{{"type":"watch","camera_id":"{SOME_CAMERA}","max_fps":61}}', 4400),
            (f'{{"type":"watch","camera_id":"{SOME_CAMERA}","window":3}}', 4400),
            ("x" * 10_000, 4400),
            (b"\x00", 4400),
            ("x" * 40_000, 1009),
        ],
    )
    async def test_what_is_not_the_protocol_ends_it(
        self, organisation: Organisation, message: str | bytes, code: int
    ) -> None:
        async with view(organisation.service.url, organisation.user_token()) as viewer:
            await viewer.connection.send(message)
            async with asyncio.timeout(10):
                await viewer.connection.wait_closed()
            assert viewer.connection.close_code == code
