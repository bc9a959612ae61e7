"""Streams and uplinks end at once when what they were opened with is revoked: nothing asks, and who is told hears."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest

from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from support.bell import Bell
from support.camera_service import AT_ONCE_S, Organisation
from support.queue import eventually
from support.tokens import Issuer, bearer
from support.uplink import stream
from support.view import view


@pytest.fixture
def organisation(on_both_paths: Organisation) -> Organisation:
    return on_both_paths


@pytest.fixture
async def session(organisation: Organisation) -> AsyncIterator[tuple[UUID, httpx.AsyncClient]]:
    """A viewer's session, and a client that uses it."""
    sid = new_id()
    token = organisation.issuer.user_token(organisation=organisation.id, role=Role.VIEWER, session=sid)
    async with httpx.AsyncClient(base_url=organisation.service.url, headers=bearer(token), timeout=10) as client:
        yield sid, client


Session = tuple[UUID, httpx.AsyncClient]


class TestStream:
    async def test_of_a_session_that_was_ended_ends(
        self, organisation: Organisation, session: Session, bell: Bell, viewer: httpx.AsyncClient
    ) -> None:
        sid, client = session
        async with organisation.camera() as bridge:
            await bridge.send(1)
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            async with stream(client, path) as ended, stream(viewer, path) as other:
                await ended.next()
                await other.next()
                await bell.revoke(sid)
                async with asyncio.timeout(AT_ONCE_S):
                    assert await ended.rest() == []
                await bridge.send(2)
                await other.next()  # others watch on
            assert (await client.get(f"/api/v1/cameras/{bridge.camera_id}")).status_code == 401

    async def test_opened_with_a_view_token_ends_too(
        self, organisation: Organisation, session: Session, bell: Bell
    ) -> None:
        sid, client = session
        async with organisation.camera() as bridge, httpx.AsyncClient(base_url=organisation.service.url) as anybody:
            await bridge.send(1)
            camera = f"/api/v1/cameras/{bridge.camera_id}"
            token = (await client.post(f"{camera}/view-tokens")).json()["token"]
            async with stream(anybody, f"{camera}/stream", params={"token": token}) as pictures:
                await pictures.next()
                await bell.revoke(sid)
                async with asyncio.timeout(AT_ONCE_S):
                    assert await pictures.rest() == []
            snapshot = await anybody.get(f"{camera}/snapshot", params={"token": token})
            assert (snapshot.status_code, snapshot.json()["code"]) == (401, "unauthenticated")

    async def test_a_view_token_is_as_old_as_the_access_token_that_it_was_had_with(
        self, organisation: Organisation, issuer: Issuer, bell: Bell
    ) -> None:
        """Revoked is what was made until now: a view token does not become younger than its person's right."""
        sid = new_id()
        token = issuer.user_token(organisation=organisation.id, role=Role.VIEWER, session=sid)
        until = datetime.now(UTC)
        async with (
            organisation.camera() as bridge,
            httpx.AsyncClient(base_url=organisation.service.url, headers=bearer(token)) as client,
        ):
            await bridge.send(1)
            camera = f"/api/v1/cameras/{bridge.camera_id}"
            await asyncio.sleep(1.0 - until.microsecond / 1e6)  # into the next second
            view_token = (await client.post(f"{camera}/view-tokens")).json()["token"]
            await bell.revoke(sid, until)
            async with httpx.AsyncClient(base_url=organisation.service.url) as anybody:

                async def refused() -> bool:
                    answer = await anybody.get(f"{camera}/snapshot", params={"token": view_token})
                    return answer.status_code == 401

                await eventually(refused, within_s=AT_ONCE_S)


class TestSocket:
    async def test_of_a_session_that_was_ended_shows_no_more(
        self, organisation: Organisation, session: Session, bell: Bell
    ) -> None:
        sid, client = session
        token = client.headers["Authorization"].removeprefix("Bearer ")
        async with organisation.camera() as bridge, view(organisation.service.url, token) as viewer:
            await viewer.watch(bridge.camera_id)
            await bell.revoke(sid)
            async with asyncio.timeout(AT_ONCE_S):
                assert (await viewer.word())["reason"] == "revoked"
            await bridge.send(1)
            assert await viewer.is_silent()
            await viewer.send("watch", bridge.camera_id)
            assert (await viewer.word())["reason"] == "unauthenticated"


class TestPrinter:
    async def test_that_is_deleted_shows_no_more(
        self, organisation: Organisation, viewer: httpx.AsyncClient, bell: Bell
    ) -> None:
        printers, printer = organisation.service.printers, new_id()
        async with organisation.camera(printer) as bridge:
            await bridge.send(1)
            camera = f"/api/v1/cameras/{bridge.camera_id}"
            async with stream(viewer, f"{camera}/stream") as pictures:
                await pictures.next()
                printers.remove(organisation.bridge_token, show("printer", printer))
                await bell.wake()
                async with asyncio.timeout(AT_ONCE_S):
                    assert await pictures.rest() == []
            assert await bridge.refusals() == {0: "not_its_printer"}
            assert (await viewer.get(f"{camera}/snapshot")).status_code == 404  # the last picture is still in memory
            async with organisation.client(Role.OWNER) as owner:
                assert (await owner.delete(camera)).status_code == 204

    async def test_that_moves_to_another_bridge_leaves_the_first_ones_uplink(
        self, organisation: Organisation, viewer: httpx.AsyncClient, bell: Bell
    ) -> None:
        printers, printer = organisation.service.printers, new_id()
        second = organisation.issuer.bridge_token(organisation=organisation.id, bridge=new_id())
        async with (
            organisation.camera(printer) as bridge,
            stream(viewer, f"/api/v1/cameras/{bridge.camera_id}/stream") as pictures,
        ):
            printers.add(second, show("printer", printer))
            printers.remove(organisation.bridge_token, show("printer", printer))
            await bell.wake()
            assert await bridge.refusals() == {0: "not_its_printer"}
            async with organisation.camera(printer, token=second) as new:
                await new.send(1)
                await pictures.next()  # whoever watched does so still


class TestUplink:
    async def test_of_a_bridge_that_was_revoked_is_closed(self, organisation: Organisation, bell: Bell) -> None:
        sid = new_id()
        token = organisation.issuer.bridge_token(
            organisation=organisation.id, bridge=organisation.bridge_id, session=sid
        )
        async with organisation.camera(token=token) as bridge:
            await bridge.send(1)
            await bell.revoke(sid)
            async with asyncio.timeout(AT_ONCE_S):
                assert await bridge.closed() == 4401
