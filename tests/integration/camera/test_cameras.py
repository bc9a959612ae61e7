"""Cameras as rows: their names are people's, the rest is their bridge's."""

import asyncio

import httpx
import pytest

from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from support.camera_service import Organisation
from support.uplink import connected, described, stream

MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
async def manager(organisation: Organisation) -> httpx.AsyncClient:
    return organisation.client(Role.MANAGER)


async def until_gone(client: httpx.AsyncClient, path: str) -> None:
    """Forget a camera as soon as its bridge has gone."""
    async with asyncio.timeout(30):
        while (answer := await client.delete(path)).status_code == 409:
            assert answer.json()["code"] == "camera_online"
            await asyncio.sleep(0.05)
    assert answer.status_code == 204


class TestShown:
    async def test_are_listed_in_pages(self, organisation: Organisation, viewer: httpx.AsyncClient) -> None:
        async with organisation.camera() as first, organisation.camera() as second:
            page = (await viewer.get("/api/v1/cameras", params={"limit": 1})).json()
            assert [item["id"] for item in page["items"]] == [first.camera_id]
            rest = (await viewer.get("/api/v1/cameras", params={"cursor": page["next_cursor"]})).json()
            assert [item["id"] for item in rest["items"]] == [second.camera_id]
            assert rest["next_cursor"] is None

    async def test_say_how_they_are(self, organisation: Organisation, viewer: httpx.AsyncClient) -> None:
        async with organisation.camera() as bridge:
            for number in range(1, 5):
                await bridge.send(number)
            async with stream(viewer, f"/api/v1/cameras/{bridge.camera_id}/stream"):
                camera = (await viewer.get(f"/api/v1/cameras/{bridge.camera_id}")).json()
        assert camera["id"] == bridge.camera_id
        assert camera["bridge_id"] == show("bridge", organisation.bridge_id)
        assert (camera["name"], camera["status"], camera["viewers"]) == ("Camera", "online", 1)
        assert camera["fps"] > 0


class TestRename:
    async def test_stays_whatever_the_bridge_calls_it(
        self, organisation: Organisation, manager: httpx.AsyncClient
    ) -> None:
        printer = show("printer", new_id())
        organisation.service.printers.add(organisation.bridge_token, printer)
        async with manager, connected(organisation.service.url, organisation.bridge_token) as bridge:
            await bridge.announce(described(printer, name="Classic Webcam"))
            path = f"/api/v1/cameras/{bridge.camera_id}"
            assert (await manager.get(path)).json()["name"] == "Classic Webcam"
            renamed = await manager.patch(path, json={"name": "Nozzle"}, headers=MERGE)
            assert (renamed.status_code, renamed.json()["name"]) == (200, "Nozzle")
            await bridge.announce(described(printer, name="Another", flip_h=True))
            camera = (await manager.get(path)).json()
        assert (camera["name"], camera["flip_h"]) == ("Nozzle", True)

    @pytest.mark.parametrize(
        "body",
        [
            {"name": ""},
            {"name": None},
            {"name": "a\nb"},
            {"name": "n" * 101},
            {"name": "a", "key": "b"},
            {"recording": "sometimes"},
            {"recording_interval_s": 0.5},
            {"recording_interval_s": 3601},
        ],
    )
    async def test_refuses_what_is_no_name_and_no_recording(
        self, organisation: Organisation, manager: httpx.AsyncClient, body: dict[str, object]
    ) -> None:
        async with manager:
            path = f"/api/v1/cameras/{show('camera', new_id())}"
            assert (await manager.patch(path, json=body, headers=MERGE)).status_code == 422

    async def test_says_how_prints_are_recorded(self, organisation: Organisation, manager: httpx.AsyncClient) -> None:
        async with manager, organisation.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}"
            name = (await manager.get(path)).json()["name"]
            for body, expected in (
                ({}, ("default", None)),
                ({"recording": "interval", "recording_interval_s": 30}, ("interval", 30)),
                ({"recording": "off"}, ("off", 30)),
                ({"recording": None}, ("default", 30)),
                ({"recording": "layer", "recording_interval_s": None}, ("layer", None)),
            ):
                changed = (await manager.patch(path, json=body, headers=MERGE)).json()
                assert (changed["recording"], changed["recording_interval_s"]) == expected
                assert changed == {**(await manager.get(path)).json(), "fps": changed["fps"]}
                assert changed["name"] == name

    async def test_is_for_who_may_change_the_printer(self, organisation: Organisation, other: Organisation) -> None:
        async with organisation.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}"
            for client, status in (
                (organisation.client(Role.VIEWER), 403),
                (organisation.client(Role.EDITOR), 403),
                (other.client(Role.OWNER), 404),
            ):
                async with client:
                    assert (await client.patch(path, json={"name": "Mine"}, headers=MERGE)).status_code == status
                    assert (await client.delete(path)).status_code == status


class TestForget:
    async def test_only_what_is_offline_and_it_comes_back_as_a_new_one(
        self, organisation: Organisation, manager: httpx.AsyncClient
    ) -> None:
        printer = new_id()
        async with manager:
            async with organisation.camera(printer) as bridge:
                await bridge.send(1)
                path = f"/api/v1/cameras/{bridge.camera_id}"
                answer = await manager.delete(path)
                assert (answer.status_code, answer.json()["code"]) == (409, "camera_online")
                async with stream(manager, f"{path}/stream") as pictures:
                    await pictures.next()
            await until_gone(manager, path)
            assert (await manager.get(path)).status_code == 404
            async with organisation.camera(printer) as bridge:
                assert not path.endswith(bridge.camera_id)
