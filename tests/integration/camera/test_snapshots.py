"""The current picture by itself: whole or smaller, with its ETag, and what comes where there is none."""

import asyncio

import httpx

from fluxprint_camera.app import create_app
from fluxprint_camera.viewers.pictures import Width
from fluxprint_common.ids import new_id, show
from support.camera import frame, jpeg, settings_of
from support.camera_service import Organisation
from support.pictures import PLACARD, photograph, size_of
from support.serving import serving
from support.tokens import Issuer, bearer


class TestSnapshot:
    async def test_is_the_newest_picture(self, organisation: Organisation, viewer: httpx.AsyncClient) -> None:
        async with organisation.camera() as bridge:
            await bridge.send(1)
            await bridge.send(2)
            answer = await viewer.get(f"/api/v1/cameras/{bridge.camera_id}/snapshot")
        assert answer.content == jpeg(2)
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert answer.headers["X-Captured-At"] == "2026-11-21T10:00:00.123Z"

    async def test_is_sent_again_only_when_it_is_another(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}/snapshot"
            await bridge.send(1)
            tag = (await viewer.get(path)).headers["ETag"]
            same = await viewer.get(path, headers={"If-None-Match": f'"other", {tag}'})
            assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
            await bridge.send(2)
            newer = await viewer.get(path, headers={"If-None-Match": tag})
            assert (newer.status_code, newer.content) == (200, jpeg(2))

    async def test_needs_no_database(self, issuer: Issuer) -> None:
        app = create_app(settings_of(jwks_url=issuer.jwks_url))  # without one
        camera, organisation = new_id(), new_id()
        async with serving(app) as url, httpx.AsyncClient(base_url=url) as client:
            headers = bearer(issuer.user_token(organisation=organisation))
            with app.state.hub.publishing(
                camera_id=camera, organisation_id=organisation, expires_in_s=60
            ) as publication:
                publication.publish(frame(1))
                path = f"/api/v1/cameras/{show('camera', camera)}"
                assert (await client.get(f"{path}/snapshot", headers=headers)).content == jpeg(1)
                answer = await client.get(path, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")

    async def test_needs_a_picture(self, hasty: Organisation) -> None:
        async with hasty.client() as client:
            async with hasty.camera() as bridge:
                path = f"/api/v1/cameras/{bridge.camera_id}/snapshot"
                before = await client.get(path)
                assert (before.status_code, before.json()["code"]) == (503, "camera_offline")
                await bridge.send(1)
                assert (await client.get(path)).status_code == 200
            async with asyncio.timeout(10):
                while (answer := await client.get(path)).status_code == 200:
                    await asyncio.sleep(0.05)
            assert (answer.status_code, answer.json()["code"]) == (503, "camera_offline")
            assert int(answer.headers["Retry-After"]) > 0
            placard = await client.get(path, params={"fallback": "picture"})
            assert (placard.status_code, size_of(placard.content)) == (200, PLACARD)
            assert (placard.headers["X-Camera-Offline"], placard.headers["Cache-Control"]) == (
                "bridge_offline",
                "no-store",
            )

    async def test_can_be_had_in_less_than_its_width(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}/snapshot"
            picture = photograph(800, 600)
            await bridge.send_raw(1, picture)
            await bridge.acknowledged(1)
            whole, *small = await asyncio.gather(
                viewer.get(path), *(viewer.get(path, params={"width": 320}) for _ in range(5))
            )
            assert whole.content == picture
            assert {size_of(answer.content) for answer in small} == {(320, 240)}
            assert len({answer.headers["ETag"] for answer in (whole, *small)}) == 2
            again = await viewer.get(path, params={"width": 320}, headers={"If-None-Match": small[0].headers["ETag"]})
            assert again.status_code == 304
            assert (await viewer.get(path, params={"width": 1280})).content == picture  # made larger by nobody
            assert (await viewer.get(path, params={"width": 321})).status_code == 422

    async def test_is_made_smaller_so_often_for_one_person(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}/snapshot"
            await bridge.send_raw(1, photograph(80, 60))
            await bridge.acknowledged(1)
            made = [(await viewer.get(path, params={"width": width})).status_code for width in (*Width, *Width)]
            *first, last = list(Width)
            assert made == 2 * [*(200 for _ in first), 429]  # those that are there are had again
            async with organisation.client() as colleague:
                assert (await colleague.get(path, params={"width": last})).status_code == 200

    async def test_that_is_no_picture_cannot_be_made_smaller(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            await bridge.send(1)
            answer = await viewer.get(f"/api/v1/cameras/{bridge.camera_id}/snapshot", params={"width": 320})
            assert (answer.status_code, answer.json()["code"]) == (503, "picture_unreadable")
