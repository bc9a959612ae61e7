"""Two processes of the service are one: a camera is seen at either, wherever its bridge is connected."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from fluxprint_local.ports import free_port
from fluxprint_local.postgres import Cluster
from fluxprint_local.redis import Redis
from support import servers
from support.bell import Bell, bell_of
from support.camera import jpeg, number_of
from support.camera_service import AT_ONCE_S, NOT_ASKED, Organisation, Service, replicas
from support.queue import eventually
from support.tokens import Issuer, bearer
from support.uplink import Bridge, Pictures, stream, uplink
from support.watched import watched

WITHIN_S = 30.0
SETTINGS = {
    "CAMERA_REPLICA_BEAT_S": "0.2",
    "CAMERA_LINGER_S": "0.2",
    "CAMERA_IDLE_INTERVAL_S": "30",
    "CAMERA_OFFLINE_GRACE_S": "0.5",
    "CAMERA_MAX_FPS": "60",
    **NOT_ASKED,
}


class Meeting:
    """The Redis in which replicas meet, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._redis = Redis(folder=folder, port=free_port(), password="of-the-tests-alone-5b1e")
        self.url = self._redis.url()
        self._log = folder / "redis.log"
        self._running: Any = None

    async def start(self) -> None:
        self._running = servers.started(self._redis.process(), self._log)
        await self._running.__aenter__()

    async def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.__aexit__(None, None, None)


@dataclass
class Pair:
    """Two replicas, and an organisation that is at both."""

    meeting: Meeting
    here: Organisation
    there: Organisation

    async def published(self) -> int:
        """How many frames the first replica has sent through Redis."""
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"{self.here.service.url}/metrics")).text
        found = re.search(r"^camera_frames_to_replicas_total (\S+)$", text, re.MULTILINE)
        assert found is not None
        return int(float(found[1]))


@pytest.fixture(scope="module")
async def services(
    migrated_cluster: Cluster, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Meeting, list[Service]]]:
    folder = tmp_path_factory.mktemp("replicas")
    meeting = Meeting(folder / "redis")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(meeting.stop)
        (folder / "redis").mkdir()
        await meeting.start()
        trouble = ("Exception in ASGI application", "unhandled_error", "replica_task_failed", "never awaited")
        pair = replicas(
            migrated_cluster, folder, issuer, meeting.url, SETTINGS, count=2, trouble=trouble
        )  # a loop that hangs on Redis fails without it
        yield meeting, await stack.enter_async_context(pair)


@pytest.fixture
def pair(services: tuple[Meeting, list[Service]], issuer: Issuer) -> Pair:
    meeting, (first, second) = services
    here, there = Organisation(first, issuer), Organisation(second, issuer)
    there.id, there.bridge_id = here.id, here.bridge_id
    return Pair(meeting, here, there)


async def until_known(client: httpx.AsyncClient, camera_id: str, status: str = "online") -> None:
    """Wait until a replica says that a camera is online, or offline."""

    async def says_so() -> bool:
        return bool((await client.get(f"/api/v1/cameras/{camera_id}")).json()["status"] == status)

    await eventually(says_so, within_s=WITHIN_S)


async def until_wanted(bridge: Bridge, fps: float) -> None:
    async with asyncio.timeout(WITHIN_S):
        while (await bridge.want())["fps"] != fps:
            pass


async def until_shown(pictures: Pictures, number: int) -> list[int]:
    """The numbers of what is shown until that one comes."""
    seen: list[int] = []
    async with asyncio.timeout(WITHIN_S):
        while not seen or seen[-1] != number:
            picture = await pictures.next()
            if b"picture " in picture[:20]:  # and not one that says why there is none
                seen.append(number_of(picture))
    return seen


async def until_shown_past(pictures: Pictures, number: int) -> list[int]:
    """The numbers of what is shown until one comes that is at least that."""
    seen: list[int] = []
    async with asyncio.timeout(WITHIN_S):
        while not seen or seen[-1] < number:
            picture = await pictures.next()
            if b"picture " in picture[:20]:
                seen.append(number_of(picture))
    return seen


@asynccontextmanager
async def sending(bridge: Bridge, *, first: int) -> AsyncIterator[None]:
    """A camera that goes on and on, from a number."""

    async def send() -> None:
        number = first
        while True:
            await bridge.send(number)
            number += 1
            await asyncio.sleep(0.05)

    task = asyncio.create_task(send())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def placard_or(pictures: Pictures) -> bytes:
    async with asyncio.timeout(WITHIN_S):
        return await pictures.next()


class TestViewerElsewhere:
    async def test_sees_the_newest_at_once_and_then_each_in_order(self, pair: Pair) -> None:
        async with pair.here.camera() as bridge, pair.there.client() as client:
            path = f"/api/v1/cameras/{bridge.camera_id}"
            await bridge.send(1)
            await bridge.send(2, size=50_000)
            await until_known(client, bridge.camera_id)
            before = await pair.published()
            async with stream(client, f"{path}/stream") as pictures:
                assert await until_shown(pictures, 2) == [2]
                for number in range(3, 13):
                    await bridge.send(number, size=50_000)
                    assert await pictures.next() == jpeg(number, size=50_000)
                async with stream(client, f"{path}/stream") as late:
                    assert await until_shown(late, 12) == [12]
            assert before < await pair.published() <= before + 12

    async def test_costs_nothing_before_and_after(self, pair: Pair) -> None:
        async with pair.here.camera() as bridge, pair.there.client() as client:
            before = await pair.published()
            await bridge.send(1)
            await until_known(client, bridge.camera_id)
            async with pair.here.client() as local, stream(local, f"/api/v1/cameras/{bridge.camera_id}/stream") as own:
                assert await own.next() == jpeg(1)
                await bridge.send(2)
                assert await own.next() == jpeg(2)
            assert await pair.published() == before
            await until_wanted(bridge, 60)
            await until_wanted(bridge, 0)
            async with stream(client, f"/api/v1/cameras/{bridge.camera_id}/stream") as pictures:
                await until_shown(pictures, 2)
                await until_wanted(bridge, 60)
            await until_wanted(bridge, 0)
            after = await pair.published()
            await bridge.send(3)
            await bridge.send(4)
            assert await pair.published() == after

    async def test_asks_the_bridge_for_its_rate(self, pair: Pair) -> None:
        async with pair.here.camera() as bridge, pair.there.client() as client:
            await bridge.send(1)
            await until_known(client, bridge.camera_id)
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            async with stream(client, path, params={"max_fps": 5}):
                await until_wanted(bridge, 5)
                async with stream(client, path):
                    await until_wanted(bridge, 60)
                await until_wanted(bridge, 5)
            await until_wanted(bridge, 0)

    async def test_is_counted_where_the_camera_is(self, pair: Pair) -> None:
        async with pair.here.camera() as bridge, pair.here.client() as local, pair.there.client() as client:
            await bridge.send(1)
            await until_known(client, bridge.camera_id)
            path = f"/api/v1/cameras/{bridge.camera_id}"
            async with stream(client, f"{path}/stream"), stream(local, f"{path}/stream"):
                for asked in (local, client):

                    async def counts_both(asked: httpx.AsyncClient = asked) -> bool:
                        return bool((await asked.get(path)).json()["viewers"] == 2)

                    await eventually(counts_both, within_s=WITHIN_S)

    async def test_has_snapshots_too(self, pair: Pair) -> None:
        async with pair.here.camera() as bridge, pair.there.client() as client:
            await bridge.send(1)
            await until_known(client, bridge.camera_id)
            answer = await client.get(f"/api/v1/cameras/{bridge.camera_id}/snapshot")
            assert (answer.status_code, answer.content) == (200, jpeg(1))

    async def test_has_the_same_snapshot_as_at_home_however_often_it_asks(self, pair: Pair) -> None:
        async with pair.here.camera() as bridge, pair.here.client() as home, pair.there.client() as client:
            path = f"/api/v1/cameras/{bridge.camera_id}/snapshot"
            await bridge.send(1)
            await until_known(client, bridge.camera_id)
            for number in range(2, 5):
                assert number_of((await client.get(path)).content) == number - 1
                await until_wanted(bridge, 1)
                await until_wanted(bridge, 0)
                await bridge.send(number)

                async def is_at_home(number: int = number) -> bool:
                    return number_of((await home.get(path)).content) == number

                await eventually(is_at_home, within_s=WITHIN_S)

    async def test_has_no_snapshot_of_a_camera_that_shows_nothing(self, pair: Pair) -> None:
        async with pair.here.camera() as bridge, pair.there.client() as client:
            path = f"/api/v1/cameras/{bridge.camera_id}/snapshot"
            await bridge.send(1)
            await until_known(client, bridge.camera_id)
            assert (await client.get(path)).status_code == 200
            await until_wanted(bridge, 1)
            await until_wanted(bridge, 0)
            await bridge.tell("state", channel=0, state="failed", reason="frozen", detail=None)

            async def says_so() -> bool:
                return bool((await client.get(path)).status_code == 503)

            await eventually(says_so, within_s=WITHIN_S)
            answer = await client.get(path, params={"fallback": "picture"})
            assert answer.headers["X-Camera-Offline"] == "frozen"

    async def test_of_another_organisation_finds_nothing(self, pair: Pair, issuer: Issuer) -> None:
        stranger = Organisation(pair.there.service, issuer)
        async with pair.here.camera() as bridge, pair.there.client() as client, stranger.client(Role.OWNER) as other:
            await bridge.send(1)
            await until_known(client, bridge.camera_id)
            path = f"/api/v1/cameras/{bridge.camera_id}"
            assert {(await other.get(path + kind)).status_code for kind in ("", "/snapshot", "/stream")} == {404}


class TestBridge:
    async def test_that_goes_to_the_other_replica_is_not_shown_as_it_was(self, pair: Pair) -> None:
        printer, token = show("printer", new_id()), pair.here.bridge_token
        pair.here.service.printers.add(token, printer)
        async with pair.here.client() as client:
            async with uplink(pair.here.service.url, token, printer) as old:
                path = f"/api/v1/cameras/{old.camera_id}"
                await old.send(1)
                await until_known(client, old.camera_id)
            await until_known(client, old.camera_id, "offline")
            async with uplink(pair.there.service.url, token, printer) as new:
                await new.send(2)
                await until_known(client, old.camera_id)
                assert number_of((await client.get(f"{path}/snapshot")).content) == 2

    async def test_that_goes_to_the_other_replica_takes_its_viewers_along(self, pair: Pair) -> None:
        printer = show("printer", new_id())
        token = pair.here.bridge_token
        pair.here.service.printers.add(token, printer)
        async with uplink(pair.here.service.url, token, printer) as old, pair.here.client() as client:
            await old.send(1)
            path = f"/api/v1/cameras/{old.camera_id}/stream"
            async with stream(client, path) as pictures:
                await until_shown(pictures, 1)
                async with uplink(pair.there.service.url, token, printer) as new:
                    assert new.camera_id == old.camera_id
                    async with sending(new, first=100):
                        seen = await until_shown_past(pictures, 100)
                        assert 1 not in seen


class TestRedis:
    async def test_that_dies_takes_nothing_from_local_viewers_and_remote_ones_come_back_by_themselves(
        self, pair: Pair
    ) -> None:
        async with pair.here.camera() as bridge, pair.here.client() as local, pair.there.client() as client:
            path = f"/api/v1/cameras/{bridge.camera_id}"
            await bridge.send(1)
            await until_known(client, bridge.camera_id)
            async with stream(local, f"{path}/stream") as near, stream(client, f"{path}/stream") as far:
                assert await until_shown(near, 1) == [1]
                assert await until_shown(far, 1) == [1]
                await pair.meeting.stop()
                try:
                    await bridge.send(2)
                    assert await near.next() == jpeg(2)
                    assert b"picture " not in (await placard_or(far))[:20]  # one that says that there is none
                finally:
                    await pair.meeting.start()
                await bridge.send(3)
                assert await near.next() == jpeg(3)
                assert await until_shown(far, 3) == [3]


class TestReplica:
    async def test_that_stands_still_holds_up_nobody_and_then_shows_the_newest(self, pair: Pair) -> None:
        async with pair.here.camera() as bridge, pair.here.client() as local, pair.there.client() as client:
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            await bridge.send(1)
            await until_known(client, bridge.camera_id)
            async with stream(local, path) as near, stream(client, path) as far:
                await until_shown(near, 1)
                await until_shown(far, 1)
                pair.there.service.process.send_signal(signal.SIGSTOP)
                try:
                    number = 1
                    async with asyncio.timeout(WITHIN_S):
                        while True:  # until nobody publishes for a replica that says nothing any more
                            published = await pair.published()
                            for _ in range(10):
                                number += 1
                                await bridge.send(number, size=100_000)
                                assert number_of(await near.next()) == number
                            if await pair.published() == published:
                                break
                finally:
                    pair.there.service.process.send_signal(signal.SIGCONT)
                seen = await until_shown(far, number)
                assert len(seen) <= number - 10


@pytest.mark.parametrize("outlet", ["stream", "socket"])
class TestRevocation:
    @pytest.fixture
    async def bell(self, pair: Pair) -> AsyncIterator[Bell]:
        """What both replicas hear."""
        async with bell_of(pair.meeting.url, hearers=2) as bell:
            await bell.revoke(new_id())  # they may be about to connect
            yield bell

    @pytest.mark.usefixtures("bell")
    async def test_of_a_share_at_one_replica_ends_what_is_open_at_the_other(self, pair: Pair, outlet: str) -> None:
        headers = bearer(pair.here.user_token(Role.MANAGER))
        async with pair.here.camera() as bridge, httpx.AsyncClient(base_url=pair.here.service.url) as http:
            await bridge.send(1)
            shares = f"/api/v1/cameras/{bridge.camera_id}/shares"
            for _ in range(2):  # NOT_ASKED says why
                body = {"label": "Customer", "expires_in_s": 600}
                made = (await http.post(shares, json=body, headers=headers)).json()
                async with watched(outlet, pair.there.service.url, bridge.camera_id, made["token"]) as ended:
                    taken = await http.delete(f"{shares}/{made['share']['id']}", headers=headers)
                    assert taken.status_code == 204
                    async with asyncio.timeout(AT_ONCE_S):
                        await ended()

    async def test_of_a_session_ends_what_is_open_at_both(self, pair: Pair, bell: Bell, outlet: str) -> None:
        session = new_id()
        token = pair.here.issuer.user_token(organisation=pair.here.id, role=Role.VIEWER, session=session)
        async with (
            pair.here.camera() as bridge,
            httpx.AsyncClient(base_url=pair.here.service.url, headers=bearer(token)) as http,
        ):
            await bridge.send(1)
            made = (await http.post(f"/api/v1/cameras/{bridge.camera_id}/view-tokens")).json()["token"]
            async with (
                watched(outlet, pair.here.service.url, bridge.camera_id, made) as ended_here,
                watched(outlet, pair.there.service.url, bridge.camera_id, made) as ended_there,
            ):
                await bell.revoke(session)
                async with asyncio.timeout(AT_ONCE_S):
                    await asyncio.gather(ended_here(), ended_there())
