"""Who may see a camera: whom its organisation lets in, and who has a token for it; to others it does not exist."""

import httpx
import pytest

from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from support.camera import jpeg
from support.camera_service import Organisation
from support.uplink import Bridge, stream, until_viewers


async def view_token(client: httpx.AsyncClient, camera_id: str) -> str:
    answer = await client.post(f"/api/v1/cameras/{camera_id}/view-tokens")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def routes_of(camera_id: str) -> list[tuple[str, str]]:
    """Every route about one camera."""
    path = f"/api/v1/cameras/{camera_id}"
    return [("GET", path), ("GET", f"{path}/snapshot"), ("GET", f"{path}/stream"), ("POST", f"{path}/view-tokens")]


async def statuses(client: httpx.AsyncClient, camera_id: str, **request: object) -> set[int]:
    found = set()
    for method, path in routes_of(camera_id):
        async with client.stream(method, path, **request) as answer:  # type: ignore[arg-type]
            found.add(answer.status_code)
    return found


async def bright(organisation: Organisation, bridge: Bridge) -> None:
    """A camera with a picture, so that a route that let somebody in would show it."""
    await bridge.send(1)
    async with organisation.client() as client:
        assert await statuses(client, bridge.camera_id) == {200, 201}


class TestWhoMaySee:
    async def test_another_organisation_finds_nothing(self, organisation: Organisation, other: Organisation) -> None:
        async with organisation.camera() as bridge, other.client(Role.OWNER) as stranger:
            await bright(organisation, bridge)
            assert await statuses(stranger, bridge.camera_id) == {404}
            assert (await stranger.get("/api/v1/cameras")).json()["items"] == []
        async with other.client(Role.OWNER) as stranger:  # nor when it is offline
            assert await statuses(stranger, bridge.camera_id) == {404}

    async def test_what_does_not_exist_looks_the_same(self, organisation: Organisation, other: Organisation) -> None:
        async with organisation.camera() as bridge, other.client() as stranger:
            await bright(organisation, bridge)
            for camera in (bridge.camera_id, show("camera", new_id()), "camera_1", show("job", new_id())):
                answers = [await stranger.request(*route) for route in routes_of(camera)]
                assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "not_found")}

    async def test_a_client_may_not_watch(self, organisation: Organisation) -> None:
        async with organisation.camera() as bridge, organisation.client(Role.CLIENT) as client:
            await bright(organisation, bridge)
            assert await statuses(client, bridge.camera_id) == {403}
            assert (await client.get("/api/v1/cameras")).status_code == 403

    async def test_a_bridge_may_not_watch(self, organisation: Organisation) -> None:
        async with organisation.camera() as bridge, httpx.AsyncClient(base_url=organisation.service.url) as client:
            await bright(organisation, bridge)
            headers = {"Authorization": f"Bearer {organisation.bridge_token}"}
            assert await statuses(client, bridge.camera_id, headers=headers) == {403}

    async def test_nobody_watches_without_a_token(self, organisation: Organisation) -> None:
        async with organisation.camera() as bridge, httpx.AsyncClient(base_url=organisation.service.url) as client:
            await bright(organisation, bridge)
            assert await statuses(client, bridge.camera_id) == {401}
            ended = {"Authorization": f"Bearer {organisation.user_token(lifetime_s=-60)}"}
            assert await statuses(client, bridge.camera_id, headers=ended) == {401}


class TestViewToken:
    async def test_opens_stream_and_snapshot_and_nothing_else(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge, httpx.AsyncClient(base_url=organisation.service.url) as browser:
            await bright(organisation, bridge)
            token = await view_token(viewer, bridge.camera_id)
            path, query = f"/api/v1/cameras/{bridge.camera_id}", {"token": token}
            assert (await browser.get(f"{path}/snapshot", params=query)).content == jpeg(1)
            async with stream(browser, f"{path}/stream", params=query) as pictures:
                assert await pictures.next() == jpeg(1)
            assert (await browser.get(path, params=query)).status_code == 401
            assert (await browser.get("/api/v1/cameras", params=query)).status_code == 401
            assert (await browser.post(f"{path}/view-tokens", params=query)).status_code == 401
            header = {"Authorization": f"Bearer {token}"}
            assert await statuses(browser, bridge.camera_id, headers=header) == {401}

    async def test_opens_no_other_camera(self, organisation: Organisation, other: Organisation) -> None:
        async with (
            organisation.camera() as bridge,
            organisation.camera() as neighbour,
            other.camera() as foreign,
            httpx.AsyncClient(base_url=organisation.service.url) as browser,
            organisation.client() as viewer,
            other.client() as stranger,
        ):
            for each, whose in ((bridge, organisation), (neighbour, organisation), (foreign, other)):
                await bright(whose, each)
            own = {"token": await view_token(viewer, bridge.camera_id)}
            strange = {"token": await view_token(stranger, foreign.camera_id)}
            for camera, query in ((neighbour, own), (foreign, own), (bridge, strange)):
                for kind in ("stream", "snapshot"):
                    answer = await browser.get(f"/api/v1/cameras/{camera.camera_id}/{kind}", params=query)
                    assert answer.status_code == 404

    @pytest.mark.parametrize("kind", ["stream", "snapshot"])
    async def test_is_not_an_access_token_and_must_be_genuine(
        self, organisation: Organisation, viewer: httpx.AsyncClient, kind: str
    ) -> None:
        async with organisation.camera() as bridge, httpx.AsyncClient(base_url=organisation.service.url) as browser:
            await bright(organisation, bridge)
            token = await view_token(viewer, bridge.camera_id)
            middle = len(token) // 2
            changed = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
            for wrong in (organisation.user_token(Role.OWNER), changed, ""):
                answer = await browser.get(f"/api/v1/cameras/{bridge.camera_id}/{kind}", params={"token": wrong})
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    async def test_is_in_no_log(self, organisation: Organisation, viewer: httpx.AsyncClient) -> None:
        async with organisation.camera() as bridge, httpx.AsyncClient(base_url=organisation.service.url) as browser:
            await bright(organisation, bridge)
            token = await view_token(viewer, bridge.camera_id)
            path = f"/api/v1/cameras/{bridge.camera_id}"
            for kind in ("snapshot", "stream"):
                async with browser.stream("GET", f"{path}/{kind}", params={"token": token}) as answer:
                    assert answer.status_code == 200
            assert (await browser.get(f"{path}/snapshot", params={"token": f"{token}x"})).status_code == 401
            await until_viewers(viewer, bridge.camera_id, 0)
        log = organisation.service.log.read_text()
        assert f"{path}/snapshot" in log
        for part in token.split("."):
            assert part not in log
