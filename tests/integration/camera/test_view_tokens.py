"""View tokens for several cameras: renewed for as long as their session lives, and what they opened with it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import ROLE_PERMISSIONS, Role
from fluxprint_common.tokens import SharedSecret
from support.bell import Bell
from support.camera import VIEW_TOKEN_SECRET, jpeg
from support.camera_service import AT_ONCE_S, Organisation
from support.queue import eventually
from support.tokens import bearer
from support.uplink import stream
from support.view import View, view

SET = "/api/v1/cameras/view-tokens"
RENEW = f"{SET}/renew"
WITHIN_S = 30.0


@pytest.fixture
async def browser(organisation: Organisation) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends no header."""
    async with httpx.AsyncClient(base_url=organisation.service.url, timeout=30) as client:
        yield client


async def made(
    client: httpx.AsyncClient, organisation: Organisation, *cameras: str, session: UUID | None = None
) -> Any:
    """A view token for these cameras."""
    token = organisation.issuer.user_token(organisation=organisation.id, role=Role.VIEWER, session=session)
    answer = await client.post(SET, json={"camera_ids": cameras}, headers=bearer(token))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def shown(client: httpx.AsyncClient, camera: str, token: str) -> int:
    """How a snapshot is answered."""
    return (await client.get(f"/api/v1/cameras/{camera}/snapshot", params={"token": token})).status_code


def short(organisation: Organisation, camera: str, *, session: UUID, lasts_s: int, until_s: int) -> str:
    """A token as the service makes them, but for the times."""
    now = int(time.time())
    return SharedSecret(VIEW_TOKEN_SECRET, kid="view-1").sign(
        {
            "iss": "fluxprint", "aud": "fluxprint-camera-view", "sub": show("user", new_id()), "jti": "1",
            "iat": now, "exp": now + lasts_s, "until": now + until_s, "token_iat": now, "via": "session",
            "sid": show("session", session), "org": show("org", organisation.id), "cameras": [camera],
        }
    )  # fmt: skip


class TestSet:
    async def test_opens_its_cameras_only(
        self, organisation: Organisation, other: Organisation, browser: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as first, organisation.camera() as second, other.camera() as foreign:
            for bridge in (first, second, foreign):
                await bridge.send(1)
            both = await made(browser, organisation, first.camera_id, second.camera_id)
            one = await made(browser, organisation, first.camera_id)
            assert await shown(browser, first.camera_id, both["token"]) == 200
            assert await shown(browser, second.camera_id, both["token"]) == 200
            assert await shown(browser, second.camera_id, one["token"]) == 404
            assert await shown(browser, foreign.camera_id, both["token"]) == 404
            async with view(organisation.service.url, None, query=f"?token={both['token']}") as viewer:
                assert await viewer.watch(first.camera_id) == 0
                await viewer.frame()
                assert await viewer.watch(second.camera_id) == 1
                await viewer.frame()

    async def test_is_made_of_cameras_that_may_be_seen(
        self, organisation: Organisation, other: Organisation, browser: httpx.AsyncClient
    ) -> None:
        own = new_id()
        headers = bearer(organisation.user_token())
        key = bearer(organisation.issuer.key_token(organisation=organisation.id, printers=[own]))
        async with organisation.camera(own) as mine, organisation.camera() as second, other.camera() as foreign:
            for who, cameras, status in (
                (headers, [mine, second], 201),
                (headers, [mine, foreign], 404),
                (key, [mine], 201),
                (key, [mine, second], 404),
                (headers, [], 422),
            ):
                body = {"camera_ids": [bridge.camera_id for bridge in cameras]}
                assert (await browser.post(SET, json=body, headers=who)).status_code == status
            body = {"camera_ids": [mine.camera_id] * 51}
            assert (await browser.post(SET, json=body, headers=headers)).status_code == 422


class TestRenewal:
    async def test_gives_one_that_is_good_for_longer(
        self, organisation: Organisation, browser: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            await bridge.send(1)
            old = short(organisation, bridge.camera_id, session=new_id(), lasts_s=5, until_s=3600)
            answer = await browser.post(RENEW, json={"token": old})
            assert answer.status_code == 201, answer.text
            new = answer.json()
            assert datetime.fromisoformat(new["expires_at"]).timestamp() > time.time() + 200
            assert await shown(browser, bridge.camera_id, new["token"]) == 200
            assert new["token"] != old
            assert new["token"].split(".")[1] not in organisation.service.log.read_text()

    async def test_ends_with_the_session_at_once_and_where_nothing_was_heard_of_it(
        self, organisation: Organisation, browser: httpx.AsyncClient, bell: Bell
    ) -> None:
        revoked, silent, demoted = new_id(), new_id(), new_id()
        async with organisation.camera() as bridge:
            tokens = {sid: (await made(browser, organisation, bridge.camera_id, session=sid))["token"]
                      for sid in (revoked, silent, demoted)}  # fmt: skip
            organisation.issuer.standings |= {silent: None, demoted: ROLE_PERMISSIONS[Role.CLIENT]}
            await bell.revoke(revoked)
            for token in tokens.values():

                async def is_refused(token: str = token) -> bool:
                    return (await browser.post(RENEW, json={"token": token})).status_code == 401

                await eventually(is_refused, within_s=WITHIN_S)

    async def test_waits_for_auth(self, organisation: Organisation, browser: httpx.AsyncClient) -> None:
        async with organisation.camera() as bridge:
            token = (await made(browser, organisation, bridge.camera_id))["token"]
            with organisation.issuer.away():
                assert (await browser.post(RENEW, json={"token": token})).status_code == 503
            assert (await browser.post(RENEW, json={"token": token})).status_code == 201

    async def test_is_not_for_access_tokens(self, organisation: Organisation, browser: httpx.AsyncClient) -> None:
        assert (await browser.post(RENEW, json={"token": organisation.user_token()})).status_code == 401


@asynccontextmanager
async def watching(
    organisation: Organisation, browser: httpx.AsyncClient, camera_id: str, *, session: UUID
) -> AsyncIterator[View]:
    """A socket over which a camera is watched with a view token of a session."""
    token = (await made(browser, organisation, camera_id, session=session))["token"]
    async with view(organisation.service.url, None, query=f"?token={token}") as viewer:
        await viewer.watch(camera_id)
        await viewer.frame()
        yield viewer


async def ends_for_good(viewer: View, camera_id: str) -> None:
    """It is revoked, and asking again is of no use."""
    assert (await viewer.word())["reason"] == "revoked"
    await viewer.send("watch", camera_id)
    assert (await viewer.word())["reason"] == "unauthenticated"


class TestWhatWasOpened:
    @pytest.fixture
    def organisation(self, on_both_paths: Organisation) -> Organisation:
        return on_both_paths

    async def test_over_a_socket_ends_with_the_session_at_once(
        self, organisation: Organisation, browser: httpx.AsyncClient, bell: Bell
    ) -> None:
        session = new_id()
        async with organisation.camera() as bridge:
            await bridge.send(1)
            async with watching(organisation, browser, bridge.camera_id, session=session) as viewer:
                await bell.revoke(session)
                async with asyncio.timeout(AT_ONCE_S):
                    await ends_for_good(viewer, bridge.camera_id)


class TestWhatWasOpenedByTheMinute:
    @pytest.fixture
    def organisation(self, asked_about: Organisation) -> Organisation:
        return asked_about

    async def test_goes_on_past_the_token_with_the_session(
        self, organisation: Organisation, browser: httpx.AsyncClient
    ) -> None:
        session = new_id()
        async with organisation.camera() as bridge:
            await bridge.send(1)
            token = short(organisation, bridge.camera_id, session=session, lasts_s=2, until_s=600)
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            async with stream(browser, path, params={"token": token}) as pictures:

                async def is_over() -> bool:
                    return await shown(browser, bridge.camera_id, token) == 401

                assert await pictures.next() == jpeg(1)
                await eventually(is_over, within_s=WITHIN_S)
                await bridge.send(2)
                assert await pictures.next() == jpeg(2)
                organisation.issuer.standings[session] = None  # and no ring
                async with asyncio.timeout(WITHIN_S):
                    assert await pictures.rest() == []

    async def test_over_a_socket_does_not_begin_anew_where_nothing_was_heard_of_the_end(
        self, organisation: Organisation, browser: httpx.AsyncClient
    ) -> None:
        session = new_id()
        async with organisation.camera() as bridge:
            await bridge.send(1)
            async with watching(organisation, browser, bridge.camera_id, session=session) as viewer:
                organisation.issuer.standings[session] = None
                await ends_for_good(viewer, bridge.camera_id)
