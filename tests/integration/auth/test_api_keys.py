"""API keys: who makes them, what they allow, who sees them, and how they end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from fluxprint_auth import opaque
from fluxprint_auth.housekeeping import tidy_up
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import PERSONAL, ROLE_PERMISSIONS, Permission, Role
from support.auth import Auth, Person, at_once, running_auth
from support.servers import Database


def body_of(*scopes: str, **more: object) -> dict[str, Any]:
    return {"name": "Slicer", "scopes": list(scopes or ("organisation:read", "members:read")), **more}


async def make(auth: Auth, maker: Person, *scopes: str, **more: object) -> dict[str, Any]:
    answer = await auth.post("/api-keys", body_of(*scopes, **more), headers=maker.headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def use(auth: Auth, made: dict[str, Any], path: str = "/organisations/current") -> httpx.Response:
    return await auth.http.get(path, headers={"X-API-Key": made["secret"]})


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


class TestMaking:
    async def test_shows_the_key_once_and_keeps_its_hash_only(self, auth: Auth) -> None:
        ada = await auth.register()
        answer = await auth.post("/api-keys", body_of(), headers=ada.headers)
        made = answer.json()
        key = made["api_key"]
        assert opaque.is_well_formed(opaque.API_KEY, made["secret"])
        assert key["hint"] == made["secret"][-4:]
        assert answer.headers["location"] == f"/api/v1/api-keys/{key['id']}"
        assert (await auth.http.get(f"/api-keys/{key['id']}", headers=ada.headers)).json() == key
        row = (await auth.fetch("SELECT * FROM auth.api_key WHERE hint = $1", key["hint"]))[0]
        assert row["token_hash"] == opaque.digest(made["secret"])
        assert made["secret"] not in repr(dict(row))

    async def test_needs_a_sign_in_that_is_fresh(self, database: Database) -> None:
        async with running_auth(database, fresh_within_s=60) as auth:
            ada = await auth.register()
            await auth.fetch("UPDATE auth.session SET authenticated_at = now() - interval '2 minutes'")
            ada.tokens = (await auth.refresh(ada.tokens["refresh_token"])).json()
            answer = await auth.post("/api-keys", body_of(), headers=ada.headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")

    @pytest.mark.parametrize("role", [role for role in Role if role is not Role.BRIDGE])
    async def test_gives_nobody_more_than_they_have(self, auth: Auth, role: Role) -> None:
        owner = await auth.register()
        maker = owner if role is Role.OWNER else await auth.add_member(owner, role)
        most = ROLE_PERMISSIONS[role] - PERSONAL
        await make(auth, maker, *most)
        for beyond in set(Permission) - most:
            answer = await auth.post("/api-keys", body_of("organisation:read", beyond), headers=maker.headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "scopes_beyond_role"), beyond

    @pytest.mark.parametrize(
        "body",
        [
            body_of(name=""),
            {"name": "x", "scopes": []},
            {"name": "x"},
            body_of("jobs:everything"),
            body_of(expires_at=in_days(-0.01)),
            body_of(expires_at=in_days(5 * 366 + 1)),
            body_of("jobs:read", printer_ids=[]),
            body_of("jobs:read", printer_ids=["printer_1"]),
            body_of("jobs:read", printer_ids=[show("printer", new_id()) for _ in range(101)]),
            body_of("jobs:read", "members:read", printer_ids=[show("printer", new_id())]),
            body_of(user_id=show("user", new_id())),
        ],
    )
    async def test_refuses_what_has_no_bounds_or_no_sense(self, auth: Auth, body: dict[str, Any]) -> None:
        ada = await auth.register()
        assert (await auth.post("/api-keys", body, headers=ada.headers)).status_code == 422

    async def test_ends_at_as_many_as_there_may_be_also_at_once(self, database: Database) -> None:
        async with running_auth(database, api_keys_per_person=3, api_keys_per_organisation=4) as auth:
            ada = await auth.register()
            grace = await auth.add_member(ada, "editor")
            answers = await at_once(6, lambda: auth.post("/api-keys", body_of(), headers=ada.headers))
            assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 3
            others = await at_once(3, lambda: auth.post("/api-keys", body_of(), headers=grace.headers))
            assert sorted(answer.status_code for answer in others) == [201, 409, 409]
            page = (await auth.http.get("/api-keys", headers=ada.headers)).json()
            await auth.http.delete(f"/api-keys/{page['items'][0]['id']}", headers=ada.headers)
            await make(auth, ada)

    async def test_is_audited(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        made = await make(lone_auth, ada)
        await lone_auth.http.delete(f"/api-keys/{made['api_key']['id']}", headers=ada.headers)
        rows = await lone_auth.fetch("SELECT * FROM auth.security_events WHERE type LIKE 'auth_api_key%' ORDER BY id")
        assert [row["type"] for row in rows] == ["auth_api_key_created", "auth_api_key_revoked"]
        assert all(row["actor_id"] == row["user_id"] and "members:read" in row["data"] for row in rows)
        assert made["secret"] not in repr([dict(row) for row in rows])


class TestUsing:
    async def test_speaks_for_its_maker_within_its_scopes(self, auth: Auth) -> None:
        ada = await auth.register()
        made = await make(auth, ada, "organisation:read")
        answer = await use(auth, made)
        assert answer.json()["organisation"]["id"] == ada.organisation["id"]
        assert (await use(auth, made, "/organisations/current/members")).status_code == 403

    async def test_never_makes_or_sees_keys(self, auth: Auth) -> None:
        ada = await auth.register()
        made = await make(auth, ada, *(ROLE_PERMISSIONS[Role.OWNER] - PERSONAL))
        headers = {"X-API-Key": made["secret"]}
        assert (await auth.post("/api-keys", body_of(), headers=headers)).status_code == 403
        assert (await auth.http.get("/api-keys", headers=headers)).status_code == 403
        path = f"/api-keys/{made['api_key']['id']}"
        assert (await auth.http.delete(path, headers=headers)).status_code == 403

    async def test_is_refused_beside_an_access_token(self, auth: Auth) -> None:
        ada = await auth.register()
        made = await make(auth, ada)
        both = {"X-API-Key": made["secret"], **ada.headers}
        answer = await auth.http.get("/organisations/current", headers=both)
        assert (answer.status_code, answer.json()["code"]) == (400, "two_credentials")

    async def test_is_no_access_token(self, auth: Auth) -> None:
        ada = await auth.register()
        made = await make(auth, ada)
        headers = {"Authorization": f"Bearer {made['secret']}"}
        assert (await auth.http.get("/organisations/current", headers=headers)).status_code == 401

    async def test_leaves_when_it_was_used_last(self, auth: Auth) -> None:
        ada = await auth.register()
        made = await make(auth, ada)
        path = f"/api-keys/{made['api_key']['id']}"
        assert (await auth.http.get(path, headers=ada.headers)).json()["last_used_at"] is None
        await use(auth, made)
        used = (await auth.http.get(path, headers=ada.headers)).json()["last_used_at"]
        assert datetime.now(UTC) - datetime.fromisoformat(used) < timedelta(seconds=10)

    async def test_follows_its_makers_role_at_once(self, auth: Auth) -> None:
        ada = await auth.register()
        grace = await auth.add_member(ada, "manager")
        made = await make(auth, grace, "organisation:read", "members:read", "bridges:read")
        assert (await use(auth, made, "/bridges")).status_code == 200
        await auth.fetch("UPDATE auth.membership SET role = 'viewer' WHERE role = 'manager'")
        assert (await use(auth, made, "/bridges")).status_code == 403
        assert (await use(auth, made, "/organisations/current")).json()["role"] == "viewer"

    @pytest.mark.parametrize(
        "change",
        [
            "DELETE FROM auth.membership WHERE user_id = $1",
            'UPDATE auth."user" SET disabled_at = now() WHERE id = $1',
            "UPDATE auth.api_key SET expires_at = now() WHERE user_id = $1",
            "UPDATE auth.api_key SET revoked_at = now() WHERE user_id = $1",
        ],
    )
    async def test_ends_with_what_it_hangs_on(self, auth: Auth, change: str) -> None:
        ada = await auth.add_member(await auth.register(), "editor")
        made, unused = await make(auth, ada), await make(auth, ada)
        assert (await use(auth, made)).status_code == 200
        who = await auth.value('SELECT id FROM auth."user" WHERE email = $1', ada.email)
        await auth.fetch(change, who)
        assert (await use(auth, made)).status_code == 401
        assert (await use(auth, unused)).status_code == 401


class TestSeeing:
    async def test_people_see_their_own_and_those_who_manage_see_all(self, auth: Auth) -> None:
        owner = await auth.register()
        people = {role: await auth.add_member(owner, role) for role in ("manager", "editor", "viewer")}
        made = {role: (await make(auth, who))["api_key"]["id"] for role, who in people.items() if role != "manager"}

        async def seen(who: Person) -> set[str]:
            return {item["id"] for item in (await auth.http.get("/api-keys", headers=who.headers)).json()["items"]}

        assert await seen(owner) == await seen(people["manager"]) == set(made.values())
        assert await seen(people["editor"]) == {made["editor"]}
        for method in ("GET", "DELETE"):
            path = f"/api-keys/{made['editor']}"
            assert (await auth.http.request(method, path, headers=people["viewer"].headers)).status_code == 404
        path = f"/api-keys/{made['editor']}"
        assert (await auth.http.delete(path, headers=people["manager"].headers)).status_code == 204
        assert await seen(people["editor"]) == set()

    async def test_another_organisation_sees_nothing(self, auth: Auth) -> None:
        ada, stranger = await auth.register(), await auth.register()
        path = f"/api-keys/{(await make(auth, ada))['api_key']['id']}"
        for method in ("GET", "DELETE"):
            assert (await auth.http.request(method, path, headers=stranger.headers)).status_code == 404
        assert (await auth.http.get("/api-keys", headers=stranger.headers)).json()["items"] == []

    async def test_comes_in_pages(self, auth: Auth) -> None:
        ada = await auth.register()
        made = [(await make(auth, ada))["api_key"]["id"] for _ in range(3)]
        first = (await auth.http.get("/api-keys?limit=2", headers=ada.headers)).json()
        rest = (await auth.http.get(f"/api-keys?cursor={first['next_cursor']}", headers=ada.headers)).json()
        assert [item["id"] for item in first["items"] + rest["items"]] == made
        assert rest["next_cursor"] is None


class TestRevoking:
    async def test_ends_a_key_for_good(self, auth: Auth) -> None:
        ada = await auth.register()
        made, other = await make(auth, ada), await make(auth, ada)
        await use(auth, made)
        path = f"/api-keys/{made['api_key']['id']}"
        assert (await auth.http.delete(path, headers=ada.headers)).status_code == 204
        assert (await auth.http.delete(path, headers=ada.headers)).status_code == 404
        answer = await use(auth, made)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert (await use(auth, other)).status_code == 200


class TestTidyingUp:
    async def test_forgets_keys_some_months_after_their_end(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        old, new, working = [await make(lone_auth, ada) for _ in range(3)]
        for made, days in ((old, 91), (new, 89)):
            change = "UPDATE auth.api_key SET expires_at = now() - $2::int * interval '1 day' WHERE token_hash = $1"
            await lone_auth.fetch(change, opaque.digest(made["secret"]), days)
        await tidy_up(lone_auth.app.state.database, throttles_kept=timedelta(hours=1))
        kept = {row["hint"] for row in await lone_auth.fetch("SELECT hint FROM auth.api_key")}
        assert kept == {made["api_key"]["hint"] for made in (new, working)}
