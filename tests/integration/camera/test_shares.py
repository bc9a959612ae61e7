"""Links for people without an account: what they open, and when they end."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from fluxprint_camera.shares.tokens import new_token
from fluxprint_common.ids import new_id
from fluxprint_common.permissions import ROLE_PERMISSIONS, Role
from support import servers
from support.bell import Bell
from support.camera import jpeg
from support.camera_service import AT_ONCE_S, Organisation
from support.queue import eventually
from support.tokens import bearer
from support.uplink import stream
from support.view import view
from support.watched import watched

WITHIN_S = 30.0
BODY: dict[str, object] = {"label": "Customer", "expires_in_s": 600, "max_viewers": 2}


@pytest.fixture
async def stranger(organisation: Organisation) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without an account."""
    async with httpx.AsyncClient(base_url=organisation.service.url, timeout=30) as client:
        yield client


def headers_of(organisation: Organisation, *, user: UUID | None = None, role: Role = Role.MANAGER) -> dict[str, str]:
    return bearer(organisation.issuer.user_token(organisation=organisation.id, user=user, role=role))


async def shared(client: httpx.AsyncClient, camera_id: str, headers: dict[str, str], **changed: object) -> Any:
    """A new share as the answer shows it."""
    answer = await client.post(f"/api/v1/cameras/{camera_id}/shares", json={**BODY, **changed}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def snapshot(client: httpx.AsyncClient, camera_id: str, token: str, **more: Any) -> httpx.Response:
    return await client.get(f"/api/v1/cameras/{camera_id}/snapshot", params={"token": token}, **more)


class TestLink:
    async def test_opens_its_camera_and_nothing_else(
        self, organisation: Organisation, stranger: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as mine, organisation.camera() as other:
            await mine.send(1)
            await other.send(1)
            made = await shared(stranger, mine.camera_id, headers_of(organisation))
            token, path = made["token"], f"/api/v1/cameras/{mine.camera_id}"
            assert (await snapshot(stranger, mine.camera_id, token)).content == jpeg(1)
            async with stream(stranger, made["url"].partition("8080")[2]) as pictures:
                assert await pictures.next() == jpeg(1)
            async with view(organisation.service.url, None, query=f"?token={token}") as viewer:
                await viewer.watch(mine.camera_id)
                assert (await viewer.frame()).picture == jpeg(1)
                await viewer.send("watch", other.camera_id)
                assert (await viewer.word())["reason"] == "not_found"
            assert (await snapshot(stranger, other.camera_id, token)).status_code == 404
            query = {"token": token}
            refused = [
                await stranger.get("/api/v1/cameras", params=query),
                await stranger.get(path, params=query),
                await stranger.get(f"{path}/shares", params=query),
                await stranger.post(f"{path}/view-tokens", params=query),
                await stranger.post("/api/v1/cameras/view-tokens/renew", json=query),
                await stranger.get("/api/v1/cameras", headers=bearer(token)),
            ]
            assert [answer.status_code for answer in refused] == [401] * len(refused)

    async def test_is_shown_once_and_kept_as_a_hash_and_logged_nowhere(
        self, organisation: Organisation, stranger: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            await bridge.send(1)
            headers = headers_of(organisation)
            made = await shared(stranger, bridge.camera_id, headers)
            assert (await snapshot(stranger, bridge.camera_id, made["token"])).status_code == 200
            async with watched("socket", organisation.service.url, bridge.camera_id, made["token"]):
                pass
            listed = await stranger.get(f"/api/v1/cameras/{bridge.camera_id}/shares", headers=headers)
            assert [item["id"] for item in listed.json()["items"]] == [made["share"]["id"]]
            assert made["token"] not in listed.text
        assert made["token"].removeprefix("fxs_") not in organisation.service.log.read_text()

    async def test_has_room_for_so_many(self, organisation: Organisation, stranger: httpx.AsyncClient) -> None:
        async with organisation.camera() as bridge:
            await bridge.send(1)
            made = await shared(stranger, bridge.camera_id, headers_of(organisation), max_viewers=1)
            url = organisation.service.url
            async with watched("stream", url, bridge.camera_id, made["token"]):
                path = f"/api/v1/cameras/{bridge.camera_id}/stream"
                refused = await stranger.get(path, params={"token": made["token"]})
                assert (refused.status_code, refused.json()["code"]) == (429, "too_many_viewers")

    async def test_opens_nothing_after_its_time(self, organisation: Organisation, stranger: httpx.AsyncClient) -> None:
        async with organisation.camera() as bridge:
            await bridge.send(1)
            made = await shared(stranger, bridge.camera_id, headers_of(organisation))
            # The database of this test's service, and of the tests that run in turn with it.
            await servers.execute(organisation.service.database.url, "UPDATE camera.share SET expires_at = now()")
            assert (await snapshot(stranger, bridge.camera_id, made["token"])).status_code == 401

    async def test_is_one_of_a_few(self, organisation: Organisation, stranger: httpx.AsyncClient) -> None:
        async with organisation.camera() as bridge:
            headers, path = headers_of(organisation), f"/api/v1/cameras/{bridge.camera_id}/shares"
            first = await shared(stranger, bridge.camera_id, headers)
            await shared(stranger, bridge.camera_id, headers)
            refused = await stranger.post(path, json=BODY, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (409, "too_many_shares")
            assert (await stranger.delete(f"{path}/{first['share']['id']}", headers=headers)).status_code == 204
            assert (await stranger.delete(f"{path}/{first['share']['id']}", headers=headers)).status_code == 404
            await shared(stranger, bridge.camera_id, headers)

    async def test_is_hard_to_guess(self, organisation: Organisation, stranger: httpx.AsyncClient) -> None:
        async with organisation.camera() as bridge:
            await bridge.send(1)
            made = await shared(stranger, bridge.camera_id, headers_of(organisation))
            guesser = {"X-Forwarded-For": "192.0.2.1"}
            answers = [await snapshot(stranger, bridge.camera_id, new_token(), headers=guesser) for _ in range(21)]
            assert [answer.status_code for answer in answers] == [401] * 20 + [429]
            known = await snapshot(stranger, bridge.camera_id, made["token"], headers=guesser)
            assert known.status_code == 200  # a colleague behind the same address

    async def test_of_a_maker_whom_nobody_can_ask_about_waits(
        self, organisation: Organisation, stranger: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            await bridge.send(1)
            made = await shared(stranger, bridge.camera_id, headers_of(organisation))
            with organisation.issuer.away():
                assert (await snapshot(stranger, bridge.camera_id, made["token"])).status_code == 503
            assert (await snapshot(stranger, bridge.camera_id, made["token"])).status_code == 200


@pytest.mark.parametrize("outlet", ["stream", "socket"])
class TestEnd:
    @pytest.fixture
    def organisation(self, on_both_paths: Organisation) -> Organisation:
        return on_both_paths

    async def test_comes_when_it_is_taken_back(
        self, organisation: Organisation, stranger: httpx.AsyncClient, outlet: str
    ) -> None:
        async with organisation.camera() as bridge:
            await bridge.send(1)
            for _ in range(2):  # NOT_ASKED says why
                made = await shared(stranger, bridge.camera_id, headers_of(organisation))
                async with watched(outlet, organisation.service.url, bridge.camera_id, made["token"]) as ended:
                    path = f"/api/v1/cameras/{bridge.camera_id}/shares/{made['share']['id']}"
                    # Somebody else who may change the printer.
                    assert (await stranger.delete(path, headers=headers_of(organisation))).status_code == 204
                    async with asyncio.timeout(AT_ONCE_S):
                        await ended()
                assert (await snapshot(stranger, bridge.camera_id, made["token"])).status_code == 401

    async def test_comes_with_the_makers_right(
        self, organisation: Organisation, stranger: httpx.AsyncClient, bell: Bell, outlet: str
    ) -> None:
        maker = new_id()
        async with organisation.camera() as bridge:
            await bridge.send(1)
            made = await shared(stranger, bridge.camera_id, headers_of(organisation, user=maker))
            async with watched(outlet, organisation.service.url, bridge.camera_id, made["token"]) as ended:
                organisation.issuer.standings[maker] = ROLE_PERMISSIONS[Role.EDITOR]
                await bell.revoke(maker, datetime.now(UTC))
                async with asyncio.timeout(AT_ONCE_S):
                    await ended()
            assert (await snapshot(stranger, bridge.camera_id, made["token"])).status_code == 401

    async def test_comes_with_the_key_that_it_was_made_with(
        self, organisation: Organisation, stranger: httpx.AsyncClient, bell: Bell, outlet: str
    ) -> None:
        key, printer = new_id(), new_id()
        token = organisation.issuer.key_token(organisation=organisation.id, printers=[printer], key=key)
        async with organisation.camera(printer) as bridge, organisation.camera() as other:
            await bridge.send(1)
            path = f"/api/v1/cameras/{other.camera_id}/shares"
            assert (await stranger.post(path, json=BODY, headers=bearer(token))).status_code == 404
            made = await shared(stranger, bridge.camera_id, bearer(token))
            async with watched(outlet, organisation.service.url, bridge.camera_id, made["token"]) as ended:
                organisation.issuer.standings[key] = None
                await bell.revoke(key)
                async with asyncio.timeout(AT_ONCE_S):
                    await ended()

    async def test_comes_with_the_camera(
        self, organisation: Organisation, stranger: httpx.AsyncClient, outlet: str
    ) -> None:
        headers = headers_of(organisation)
        async with organisation.camera() as bridge:
            await bridge.send(1)
            made = await shared(stranger, bridge.camera_id, headers)
            camera = f"/api/v1/cameras/{bridge.camera_id}"
            async with watched(outlet, organisation.service.url, bridge.camera_id, made["token"]) as ended:
                await bridge.connection.close()

                async def forgotten() -> bool:
                    return (await stranger.delete(camera, headers=headers)).status_code == 204

                await eventually(forgotten, within_s=WITHIN_S)
                async with asyncio.timeout(AT_ONCE_S):
                    await ended()
        assert (await snapshot(stranger, bridge.camera_id, made["token"])).status_code == 401


@pytest.mark.parametrize("outlet", ["stream", "socket"])
class TestEndByTheMinute:
    @pytest.fixture
    def organisation(self, asked_about: Organisation) -> Organisation:
        return asked_about

    async def test_comes_where_nothing_was_heard(
        self, organisation: Organisation, stranger: httpx.AsyncClient, outlet: str
    ) -> None:
        maker = new_id()
        async with organisation.camera() as bridge:
            await bridge.send(1)
            made = await shared(stranger, bridge.camera_id, headers_of(organisation, user=maker))
            async with watched(outlet, organisation.service.url, bridge.camera_id, made["token"]) as ended:
                with organisation.issuer.away():
                    await asyncio.sleep(0.5)  # nothing says that it may not
                    await bridge.send(2)
                organisation.issuer.standings[maker] = None
                async with asyncio.timeout(WITHIN_S):
                    await ended()
