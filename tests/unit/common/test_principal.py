"""Permission stands in a route's signature: who is let in, who is told to sign in, who is told no."""

import itertools
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import APIRouter, FastAPI

from fluxprint_common.permissions import PERSONAL, ROLE_PERMISSIONS, Permission, Role, Via, permissions_of
from fluxprint_common.principal import Principal, require
from support.serving import serving
from support.small_service import Issuer, client_of, settings_of, small_service

router = APIRouter(tags=["small"])


@router.get("/anybody")
async def anybody(principal: Annotated[Principal, require()]) -> str:
    return principal.role


@router.get("/jobs")
async def write_jobs(principal: Annotated[Principal, require(Permission.JOBS_WRITE)]) -> str:
    return str(principal.organisation_id)


@router.get("/both")
async def both(principal: Annotated[Principal, require(Permission.JOBS_READ, Permission.BRIDGES_MANAGE)]) -> str:
    return principal.role


class House:
    def __init__(self, issuer: Issuer, client: httpx.AsyncClient) -> None:
        self.issuer = issuer
        self._client = client

    async def get(self, path: str, authorization: str | None) -> httpx.Response:
        headers = {"Authorization": authorization} if authorization is not None else {}
        return await self._client.get(f"/api/v1/{path}", headers=headers)

    async def status(self, path: str, **claims: object) -> int:
        return (await self.get(path, f"Bearer {self.issuer.token(claims)}")).status_code


@pytest.fixture
async def house() -> AsyncIterator[House]:
    issuer = Issuer()
    async with serving(issuer.app) as url:
        app: FastAPI = small_service(router, settings_of(jwks_url=f"{url}/jwks"))
        async with LifespanManager(app), client_of(app) as client:
            yield House(issuer, client)


class TestSignedIn:
    @pytest.mark.parametrize(
        "authorization",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            "Basic dXNlcjpwdw==",
            "bearer x",
            "Bearer a.b.c",
            "Token x",
            "Bearer eyJhbGciOiJub25lIn0.e30.",
        ],
    )
    async def test_nobody_without_a_token_of_ours(self, house: House, authorization: str | None) -> None:
        answer = await house.get("anybody", authorization)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer realm="fluxprint"'

    async def test_every_role_and_why_not_is_not_told(self, house: House) -> None:
        for role in Role:
            subject = "bridge_" if role is Role.BRIDGE else "user_"
            assert await house.status("anybody", role=role, sub=f"{subject}{'0' * 32}") == 200
        answers = [await house.get("anybody", f"Bearer {token}") for token in (house.issuer.token(exp=1), "a.b.c")]
        assert answers[0].json()["detail"] == answers[1].json()["detail"]

    async def test_a_token_s_scheme_is_written_in_any_case(self, house: House) -> None:
        assert (await house.get("anybody", f"bearer {house.issuer.token()}")).status_code == 200


class TestPermission:
    async def test_is_that_of_the_role(self, house: House) -> None:
        found = {
            role: await house.status("jobs", role=role) for role in ("owner", "manager", "editor", "viewer", "client")
        }
        assert found == {"owner": 200, "manager": 200, "editor": 200, "viewer": 403, "client": 403}

    async def test_of_several_needs_all(self, house: House) -> None:
        assert [await house.status("both", role=role) for role in ("owner", "editor")] == [200, 403]

    async def test_is_narrowed_by_the_token_s_scope(self, house: House) -> None:
        assert await house.status("jobs", scope="jobs:write") == 200
        assert await house.status("jobs", scope="jobs:read") == 403
        assert await house.status("jobs", role="viewer", scope="jobs:write") == 403

    async def test_that_is_missing_is_named(self, house: House) -> None:
        answer = await house.get("jobs", f"Bearer {house.issuer.token(role='viewer')}")
        assert answer.json()["detail"] == "This needs the permission jobs:write."

    async def test_that_a_key_has_not_got_is_not_blamed_on_the_role(self, house: House) -> None:
        answer = await house.get("jobs", f"Bearer {house.issuer.token(scope='jobs:read', via='api_key')}")
        assert answer.json()["detail"] == "This needs the permission jobs:write, which this API key has not got."


class TestTable:
    def test_each_role_of_people_may_do_what_the_one_below_may(self) -> None:
        order = [Role.CLIENT, Role.VIEWER, Role.EDITOR, Role.MANAGER, Role.OWNER]
        for lower, higher in itertools.pairwise(order):
            assert ROLE_PERMISSIONS[lower] <= ROLE_PERMISSIONS[higher]

    def test_a_bridge_does_a_bridge_s_work_and_nobody_else_does(self) -> None:
        assert ROLE_PERMISSIONS[Role.BRIDGE] == {Permission.BRIDGE_WORK}
        assert all(Permission.BRIDGE_WORK not in ROLE_PERMISSIONS[role] for role in Role if role is not Role.BRIDGE)

    def test_every_role_and_every_permission_is_in_it(self) -> None:
        assert set(ROLE_PERMISSIONS) == set(Role)
        of_administrators = {Permission.INSTALLATION_MANAGE}
        assert frozenset().union(*ROLE_PERMISSIONS.values()) == set(Permission) - of_administrators

    def test_only_an_administrator_manages_the_installation_whatever_the_role(self) -> None:
        assert Permission.INSTALLATION_MANAGE in permissions_of(Role.VIEWER, "", administrator=True)
        assert Permission.INSTALLATION_MANAGE not in permissions_of(Role.OWNER, "")

    @pytest.mark.parametrize("via", [Via.API_KEY, Via.OUTSIDE])
    def test_what_is_personal_needs_that_the_person_signed_in_here(self, via: Via) -> None:
        everything = " ".join(Permission)
        assert not PERSONAL & permissions_of(Role.OWNER, everything, via=via, administrator=True)
        assert permissions_of(Role.OWNER, everything, administrator=True) >= PERSONAL

    def test_an_api_key_without_a_scope_may_nothing(self) -> None:
        assert permissions_of(Role.OWNER, "", via=Via.API_KEY) == frozenset()

    def test_an_empty_scope_narrows_nothing(self) -> None:
        assert permissions_of(Role.VIEWER, "") == ROLE_PERMISSIONS[Role.VIEWER]
        assert permissions_of(Role.VIEWER, " ") == frozenset()
