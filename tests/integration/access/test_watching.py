"""What people watch by ends with their right, as the real auth service takes it away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from fluxprint_common.permissions import Permission, Role
from support.access import House
from support.auth import Person
from support.queue import eventually
from support.uplink import stream

WITHIN_S = 30.0
SHARE = {"label": "Customer", "expires_in_s": 600}

Cause = Callable[[House, Person, str], Awaitable[httpx.Response]]


async def demote(house: House, _person: Person, user: str) -> httpx.Response:
    return await house.auth.http.patch(
        f"/organisations/current/members/{user}", json={"role": "editor"}, headers=house.owner.headers
    )


async def remove(house: House, _person: Person, user: str) -> httpx.Response:
    return await house.auth.http.delete(f"/organisations/current/members/{user}", headers=house.owner.headers)


async def disable(house: House, _person: Person, user: str) -> httpx.Response:
    return await house.auth.http.post(f"/admin/users/{user}/disable", headers=house.administrator.headers)


async def leave(house: House, person: Person, _user: str) -> httpx.Response:
    return await house.auth.http.post("/organisations/current/leave", headers=person.headers)


async def log_out(house: House, person: Person, _user: str) -> httpx.Response:
    return await house.auth.http.post("/auth/logout", headers=person.headers)


async def member(house: House, role: Role) -> tuple[Person, str]:
    """Somebody new in the first organisation, and their id."""
    person = await house.another(role)
    return person, (await house.ask("GET", "/auth/me", person))["user"]["id"]


class Camera:
    """The camera of the first organisation, whose bridge is away: it shows a picture that says so."""

    def __init__(self, house: House) -> None:
        self.path = f"/api/v1/cameras/{house.things['camera_id']}"
        self.http = httpx.AsyncClient(base_url=house.urls["camera"], timeout=WITHIN_S)

    @asynccontextmanager
    async def watched_until(self, token: str) -> AsyncIterator[None]:
        """A stream that is open at the end of the block, and ends soon after it; the token then opens nothing."""
        query = {"token": token}
        async with stream(self.http, f"{self.path}/stream", params=query) as pictures:
            await pictures.next()
            yield
            async with asyncio.timeout(WITHIN_S):
                await pictures.rest()

        async def refused() -> bool:
            return (await self.http.get(f"{self.path}/snapshot", params=query)).status_code == 401

        await eventually(refused, within_s=WITHIN_S)


@pytest.fixture
async def camera(house: House) -> AsyncIterator[Camera]:
    camera = Camera(house)
    async with camera.http:
        yield camera


class TestShare:
    @pytest.mark.parametrize("cause", [demote, remove, disable, leave])
    async def test_ends_when_its_maker_may_no_longer_change_the_printer(
        self, house: House, camera: Camera, cause: Cause
    ) -> None:
        maker, user = await member(house, Role.MANAGER)
        made = (await camera.http.post(f"{camera.path}/shares", json=SHARE, headers=maker.headers)).json()
        # It stands on the person and not on this session.
        assert (await log_out(house, maker, user)).is_success
        maker.tokens = await house.auth.log_in(maker.email)
        async with camera.watched_until(made["token"]):
            answer = await cause(house, maker, user)
            assert answer.is_success, answer.text

    async def test_ends_with_the_key_that_made_it(self, house: House, camera: Camera) -> None:
        scopes = sorted({Permission.CAMERAS_VIEW, Permission.PRINTERS_MANAGE})
        key = await house.ask("POST", "/api-keys", house.owner, json={"name": "Shop", "scopes": scopes})
        headers = {"X-API-Key": key["secret"]}
        made = (await camera.http.post(f"{camera.path}/shares", json=SHARE, headers=headers)).json()
        async with camera.watched_until(made["token"]):
            revoked = await house.auth.http.delete(f"/api-keys/{key['api_key']['id']}", headers=house.owner.headers)
            assert revoked.is_success, revoked.text


class TestViewToken:
    @pytest.mark.parametrize("cause", [remove, disable, leave, log_out])
    async def test_is_renewed_until_the_session_ends(self, house: House, camera: Camera, cause: Cause) -> None:
        person, user = await member(house, Role.VIEWER)
        first = (await camera.http.post(f"{camera.path}/view-tokens", headers=person.headers)).json()["token"]
        renewal = await camera.http.post("/api/v1/cameras/view-tokens/renew", json={"token": first})
        assert renewal.status_code == 201, renewal.text
        second = renewal.json()["token"]
        async with camera.watched_until(second):
            answer = await cause(house, person, user)
            assert answer.is_success, answer.text
        ended = await camera.http.post("/api/v1/cameras/view-tokens/renew", json={"token": second})
        assert ended.status_code == 401

    async def test_of_a_key_is_renewed_until_that_is_revoked(self, house: House, camera: Camera) -> None:
        body = {"name": "Wall", "scopes": [Permission.CAMERAS_VIEW]}
        key = await house.ask("POST", "/api-keys", house.owner, json=body)
        headers = {"X-API-Key": key["secret"]}
        token = (await camera.http.post(f"{camera.path}/view-tokens", headers=headers)).json()["token"]
        renewed = await camera.http.post("/api/v1/cameras/view-tokens/renew", json={"token": token})
        assert renewed.status_code == 201, renewed.text
        async with camera.watched_until(token):
            revoked = await house.auth.http.delete(f"/api-keys/{key['api_key']['id']}", headers=house.owner.headers)
            assert revoked.is_success, revoked.text
