"""What viewers see: pictures in order, the newest when they are slow, an end that is one, and nothing of others."""

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest

from fluxprint_common.ids import new_id, show
from fluxprint_common.tokens import SharedSecret
from fluxprint_local.postgres import Cluster
from support.camera import VIEW_TOKEN_SECRET, jpeg, number_of
from support.camera_service import Organisation, ports_of, running
from support.pictures import PLACARD, size_of
from support.tokens import Issuer, bearer
from support.uplink import Bridge, sleeper, stream, until_viewers, viewers_of


def _events(log: Path, request_id: str) -> list[str]:
    return [json.loads(line)["event"] for line in log.read_text().splitlines() if request_id in line]


async def _goes_after_asking_twice(organisation: Organisation, bridge: Bridge, viewer: httpx.AsyncClient) -> None:
    """Somebody sends two requests for a stream at once, sees it and goes.

    The server reads no more of a connection until its first request is answered.
    """
    address = httpx.URL(organisation.service.url)
    request = (
        f"GET /api/v1/cameras/{bridge.camera_id}/stream HTTP/1.1\r\nHost: {address.netloc.decode()}\r\n"
        f"Authorization: Bearer {organisation.user_token()}\r\n\r\n"
    )
    _reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(2 * request.encode())
    await until_viewers(viewer, bridge.camera_id, 1)
    writer.close()


class TestStream:
    @pytest.fixture
    def organisation(self, on_both_paths: Organisation) -> Organisation:
        return on_both_paths

    @pytest.fixture
    def hasty(self, hasty_on_both_paths: Organisation) -> Organisation:
        return hasty_on_both_paths

    async def test_shows_every_picture_once_and_in_order(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            await bridge.send(1, size=50_000)
            async with stream(viewer, path) as first, stream(viewer, path) as second:
                for number in range(1, 41):
                    if number > 1:
                        await bridge.send(number, size=50_000)
                    assert await first.next() == await second.next() == jpeg(number, size=50_000)

    async def test_shows_the_last_picture_to_who_comes_late(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            for number in range(1, 4):
                await bridge.send(number)
            async with stream(viewer, f"/api/v1/cameras/{bridge.camera_id}/stream") as pictures:
                assert await pictures.next() == jpeg(3)

    async def test_shows_the_newest_to_who_is_slow_and_every_one_to_who_is_not(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        count = 80
        async with organisation.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            async with (
                sleeper(organisation.service.url, path, organisation.user_token()) as slow,
                stream(viewer, path) as fast,
            ):
                await until_viewers(viewer, bridge.camera_id, 2)
                for number in range(1, count + 1):
                    await bridge.send(number, size=40_000)
                    assert number_of(await fast.next()) == number
                pictures = await slow.pictures()
                seen = [number_of(await pictures.next())]
                while seen[-1] != count:
                    seen.append(number_of(await pictures.next()))
        # What was under way when it stopped reading, then the newest: nothing between was kept for it anywhere.
        assert seen == [1, count]

    async def test_drops_who_is_stuck(self, hasty: Organisation) -> None:
        async with hasty.client() as client, hasty.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            async with sleeper(hasty.service.url, path, hasty.user_token()) as stuck:
                await until_viewers(client, bridge.camera_id, 1)
                sent = 0
                async with asyncio.timeout(15):
                    while await viewers_of(client, bridge.camera_id):
                        sent += 1
                        await bridge.send(sent, size=100_000)
                assert await stuck.reads_to_the_end() < sent * 100_000

    @pytest.mark.parametrize("http", ["1.0", "1.1"])
    async def test_drops_who_says_goodbye_and_reads_nothing(self, hasty: Organisation, http: str) -> None:
        async with hasty.client() as client, hasty.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            async with sleeper(hasty.service.url, path, hasty.user_token(), http=http) as stuck:
                await until_viewers(client, bridge.camera_id, 1)
                assert stuck.port in ports_of(hasty.service.process.pid)
                await bridge.send(1, size=300_000)
                await asyncio.sleep(0.2)  # it waits for the client to read, and the stream for the next one
                stuck.half_close()
                await asyncio.sleep(0.2)
                sent = 1
                async with asyncio.timeout(15):
                    while await viewers_of(client, bridge.camera_id) or stuck.port in ports_of(
                        hasty.service.process.pid
                    ):
                        sent += 1
                        await bridge.send(sent, size=100_000)

    async def test_says_that_the_camera_is_gone_and_goes_on_when_it_is_back(self, hasty: Organisation) -> None:
        printer = new_id()
        async with hasty.client() as client:
            async with hasty.camera(printer) as bridge:
                await bridge.send(1)
                path = f"/api/v1/cameras/{bridge.camera_id}/stream"
                watching = stream(client, path)
                pictures = await watching.__aenter__()
                assert await pictures.next() == jpeg(1)
            assert size_of(await pictures.next()) == PLACARD
            async with stream(client, path) as late:
                assert size_of(await late.next()) == PLACARD
            async with hasty.camera(printer) as bridge:
                await bridge.send(2)
                while (picture := await pictures.next()) != jpeg(2):
                    assert size_of(picture) == PLACARD
            await watching.__aexit__(None, None, None)

    async def test_ends_properly_with_the_access_token(self, organisation: Organisation) -> None:
        token = organisation.user_token(lifetime_s=3)
        headers = {"Authorization": f"Bearer {token}"}
        async with organisation.camera() as bridge, httpx.AsyncClient(base_url=organisation.service.url) as client:
            await bridge.send(1)
            async with stream(client, f"/api/v1/cameras/{bridge.camera_id}/stream", headers=headers) as pictures:
                assert await pictures.rest() == [jpeg(1)]

    async def test_ends_properly_with_the_line_of_its_view_token(self, organisation: Organisation) -> None:
        async with organisation.camera() as bridge, httpx.AsyncClient(base_url=organisation.service.url) as client:
            await bridge.send(1)
            now = int(time.time())
            token = SharedSecret(VIEW_TOKEN_SECRET, kid="view-1").sign(
                {
                    "iss": "fluxprint", "aud": "fluxprint-camera-view", "sub": show("user", new_id()), "jti": "1",
                    "iat": now, "exp": now + 3, "sid": show("session", new_id()),
                    "org": show("org", organisation.id), "cameras": [bridge.camera_id], "via": "session",
                    "token_iat": now, "until": now + 3,
                }
            )  # fmt: skip
            async with stream(
                client, f"/api/v1/cameras/{bridge.camera_id}/stream", params={"token": token}
            ) as pictures:
                assert await pictures.rest() == [jpeg(1)]

    async def test_is_the_last_answer_on_its_connection_and_is_logged_under_its_request(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        request_id = f"req-of-a-stream-{new_id().hex}"
        async with organisation.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            headers = {**bearer(organisation.user_token(lifetime_s=3)), "X-Request-ID": request_id}
            async with viewer.stream("GET", path, headers=headers) as answer:
                assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
                assert b"".join([part async for part in answer.aiter_raw()]).endswith(b"--\r\n")
        async with asyncio.timeout(10):
            while sorted(_events(organisation.service.log, request_id)) != ["request", "viewer_left"]:
                await asyncio.sleep(0.02)

    async def test_forgets_who_goes(self, organisation: Organisation, viewer: httpx.AsyncClient) -> None:
        async with organisation.camera() as bridge:
            async with stream(viewer, f"/api/v1/cameras/{bridge.camera_id}/stream"):
                await until_viewers(viewer, bridge.camera_id, 1)
            await until_viewers(viewer, bridge.camera_id, 0)

    async def test_forgets_who_goes_after_asking_twice_at_once(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            await _goes_after_asking_twice(organisation, bridge, viewer)
            sent = 0
            async with asyncio.timeout(10):
                while await viewers_of(viewer, bridge.camera_id):
                    sent += 1
                    await bridge.send(sent)

    async def test_forgets_who_vanishes_with_pictures_under_way(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            sent = 0
            for _ in range(5):
                async with (
                    sleeper(organisation.service.url, path, organisation.user_token()),
                    sleeper(organisation.service.url, path, organisation.user_token()),
                ):
                    await until_viewers(viewer, bridge.camera_id, 2)
                    for _ in range(3):
                        sent += 1
                        await bridge.send(sent, size=100_000)
                for _ in range(3):
                    sent += 1
                    await bridge.send(sent, size=100_000)
                await until_viewers(viewer, bridge.camera_id, 0)

    @pytest.mark.parametrize("max_fps", ["0", "61", "nan", "fast"])
    async def test_has_no_rate_that_is_none(
        self, organisation: Organisation, viewer: httpx.AsyncClient, max_fps: str
    ) -> None:
        async with organisation.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            refused = await viewer.get(path, params={"max_fps": max_fps})
            assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")

    async def test_has_room_for_so_many(self, organisation: Organisation, viewer: httpx.AsyncClient) -> None:
        async with organisation.camera() as bridge, organisation.camera() as second:
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            async with stream(viewer, path), stream(viewer, path), stream(viewer, path):
                assert (await viewer.get(path)).json()["code"] == "too_many_viewers"
                elsewhere = f"/api/v1/cameras/{second.camera_id}/stream"
                async with stream(viewer, elsewhere):
                    refused = await viewer.get(elsewhere)
                    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_viewers")

    async def test_costs_no_database_connection(
        self, organisation: Organisation, other: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        # The service has one connection.
        async with organisation.camera() as bridge, other.camera(), other.camera():
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            async with stream(viewer, path), stream(viewer, path):
                assert (await viewer.get("/api/v1/cameras")).status_code == 200


class TestStreamWithoutTheServer:
    async def test_sees_at_once_who_goes_after_asking_twice(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            await _goes_after_asking_twice(organisation, bridge, viewer)
            await until_viewers(viewer, bridge.camera_id, 0)


class TestStop:
    @pytest.mark.parametrize("fast_path", ["auto", "off"])
    async def test_ends_streams_and_uplinks_at_once(
        self, migrated_cluster: Cluster, issuer: Issuer, redis_url: str, tmp_path: Path, fast_path: str
    ) -> None:
        settings = {"CAMERA_FAST_PATH": fast_path}
        async with running(migrated_cluster, tmp_path, issuer, redis_url, settings) as service:
            organisation = Organisation(service, issuer)
            async with organisation.client() as viewer, organisation.camera() as bridge:
                path = f"/api/v1/cameras/{bridge.camera_id}/stream"
                async with (
                    sleeper(service.url, path, organisation.user_token()) as slow,
                    stream(viewer, path) as pictures,
                ):
                    await until_viewers(viewer, bridge.camera_id, 2)
                    for number in range(1, 11):
                        await bridge.send(number, size=100_000)
                    while number_of(await pictures.next()) < 10:
                        pass
                    service.process.terminate()
                    assert await pictures.rest() == []
                    assert await slow.reads_to_the_end() < 1_000_000
                    assert await bridge.closed() == 1012
                    await asyncio.to_thread(service.process.wait, 10)
        assert "Cancel" not in service.log.read_text()  # what uvicorn does to answers that do not end
