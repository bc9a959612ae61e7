"""API keys for named printers: cameras of other printers do not exist for them."""

from uuid import UUID

import httpx
import pytest

from fluxprint_common.ids import new_id
from fluxprint_common.permissions import Role
from support.camera_service import Organisation
from support.tokens import bearer
from support.uplink import Bridge, stream


def client_with_key(organisation: Organisation, *printers: UUID) -> httpx.AsyncClient:
    token = organisation.issuer.key_token(organisation=organisation.id, printers=printers, role=Role.MANAGER)
    return httpx.AsyncClient(base_url=organisation.service.url, headers=bearer(token), timeout=10)


#: Every route of a camera that people use.
ROUTES = ["GET ", "GET /snapshot", "GET /stream", "POST /view-tokens"]


class TestEveryRoute:
    async def test_knows_the_cameras_of_the_keys_printers_only(self, organisation: Organisation) -> None:
        own, other = new_id(), new_id()
        async with (
            organisation.camera(own) as mine,
            organisation.camera(other) as theirs,
            client_with_key(organisation, own) as client,
        ):
            await mine.send(1)
            await theirs.send(1)
            listed = (await client.get("/api/v1/cameras")).json()["items"]
            assert [item["id"] for item in listed] == [mine.camera_id]
            for route in ROUTES:
                method, _, rest = route.partition(" ")
                answer = await client.request(method, f"/api/v1/cameras/{theirs.camera_id}{rest}")
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), route
            await self.watches(client, mine)

    async def watches(self, client: httpx.AsyncClient, camera: Bridge) -> None:
        path = f"/api/v1/cameras/{camera.camera_id}"
        assert (await client.get(path)).status_code == 200
        assert (await client.get(f"{path}/snapshot")).status_code == 200
        async with stream(client, f"{path}/stream") as pictures:
            assert await pictures.next()
        made = await client.post(f"{path}/view-tokens")
        assert made.status_code == 201
        async with httpx.AsyncClient(base_url=client.base_url) as nobody:
            shown = await nobody.get(f"{path}/snapshot", params={"token": made.json()["token"]})
        assert shown.status_code == 200

    async def test_knows_nothing_of_a_camera_that_is_away_either(self, organisation: Organisation) -> None:
        printer = new_id()
        async with organisation.camera(printer) as camera:
            path = f"/api/v1/cameras/{camera.camera_id}"
        async with client_with_key(organisation, new_id()) as client:
            assert {(await client.get(path + rest)).status_code for rest in ("", "/snapshot", "/stream")} == {404}
        async with client_with_key(organisation, printer) as client:
            assert (await client.get(path)).status_code == 200

    async def test_of_another_organisation_stays_hidden_whatever_the_key_names(
        self, organisation: Organisation, other: Organisation
    ) -> None:
        printer = new_id()
        async with organisation.camera(printer) as camera, client_with_key(other, printer) as client:
            await camera.send(1)
            assert (await client.get("/api/v1/cameras")).json()["items"] == []
            assert (await client.get(f"/api/v1/cameras/{camera.camera_id}/snapshot")).status_code == 404


class TestTwoCredentials:
    @pytest.mark.parametrize("query", ["", "?token=x"])
    async def test_are_refused(self, organisation: Organisation, query: str) -> None:
        headers = {**bearer(organisation.user_token()), "X-API-Key": "fxk_x"}
        async with httpx.AsyncClient(base_url=organisation.service.url) as client:
            path = f"/api/v1/cameras/camera_{new_id().hex}/snapshot{query}"
            answer = await client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "two_credentials")
