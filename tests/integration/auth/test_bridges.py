"""Bridge identities and their tokens."""

import asyncio

import pytest

from fluxprint_common.principal import principal_of
from support.auth import Auth, Person, running_auth
from support.servers import Database


async def created(auth: Auth, person: Person, name: str = "Workshop") -> tuple[str, str]:
    """A new bridge: its id and its token."""
    answer = await auth.post("/bridges", {"name": name}, headers=person.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["bridge"]["id"], answer.json()["bridge_token"]


class TestBridges:
    async def test_are_made_with_a_token_that_is_shown_once(self, auth: Auth) -> None:
        ada = await auth.register()
        answer = await auth.post("/bridges", {"name": "Workshop"}, headers=ada.headers)
        bridge = answer.json()["bridge"]
        assert answer.headers["Location"] == f"/api/v1/bridges/{bridge['id']}"
        assert bridge | {"id": "", "created_at": ""} == {
            "id": "", "name": "Workshop", "created_at": "", "last_used_at": None, "used_twice_at": None,
        }  # fmt: skip
        assert answer.json()["bridge_token"].startswith("fxb_")
        shown = await auth.http.get(f"/bridges/{bridge['id']}", headers=ada.headers)
        listed = await auth.http.get("/bridges", headers=ada.headers)
        assert shown.json() == bridge
        assert listed.json() == {"items": [bridge], "next_cursor": None}

    async def test_of_another_organisation_do_not_exist(self, auth: Auth) -> None:
        ada, eve = await auth.register(), await auth.register()
        bridge_id, token = await created(auth, ada)
        for method in ("GET", "DELETE"):
            answer = await auth.http.request(method, f"/bridges/{bridge_id}", headers=eve.headers)
            nothing = await auth.http.request(method, f"/bridges/bridge_{'0' * 32}", headers=eve.headers)
            assert answer.status_code == nothing.status_code == 404
            assert answer.json() | {"request_id": ""} == nothing.json() | {"request_id": ""}
        assert (await auth.http.get("/bridges", headers=eve.headers)).json()["items"] == []
        assert (await auth.post("/auth/bridge-token", {"bridge_token": token})).status_code == 200

    async def test_have_names_of_their_own_within_an_organisation(self, auth: Auth) -> None:
        ada, eve = await auth.register(), await auth.register()
        await created(auth, ada)
        taken = await auth.post("/bridges", {"name": "WORKSHOP"}, headers=ada.headers)
        assert (taken.status_code, taken.json()["code"]) == (409, "bridge_name_taken")
        await created(auth, eve)
        await created(auth, ada, "Attic")

    async def test_are_listed_in_pages(self, auth: Auth) -> None:
        ada = await auth.register()
        ids = [(await created(auth, ada, f"bridge {i}"))[0] for i in range(3)]
        first = (await auth.http.get("/bridges", params={"limit": 2}, headers=ada.headers)).json()
        rest = await auth.http.get("/bridges", params={"limit": 2, "cursor": first["next_cursor"]}, headers=ada.headers)
        assert [bridge["id"] for bridge in first["items"] + rest.json()["items"]] == ids

    async def test_that_are_revoked_are_gone_with_their_tokens(self, auth: Auth) -> None:
        ada = await auth.register()
        bridge_id, token = await created(auth, ada)
        access = (await auth.post("/auth/bridge-token", {"bridge_token": token})).json()["access_token"]
        assert (await auth.http.delete(f"/bridges/{bridge_id}", headers=ada.headers)).status_code == 204

        assert (await auth.http.get(f"/bridges/{bridge_id}", headers=ada.headers)).status_code == 404
        assert (await auth.http.delete(f"/bridges/{bridge_id}", headers=ada.headers)).status_code == 404
        refused = await auth.post("/auth/bridge-token", {"bridge_token": token})
        assert (refused.status_code, refused.json()["code"]) == (401, "bridge_token_invalid")
        headers = {"Authorization": f"Bearer {access}"}
        assert (await auth.http.get("/auth/me", headers=headers)).status_code == 401
        await created(auth, ada)  # the name is free again


class TestExchange:
    async def test_gives_a_bridges_access_token_and_notes_when(self, auth: Auth) -> None:
        ada = await auth.register()
        bridge_id, token = await created(auth, ada)
        answer = await auth.post("/auth/bridge-token", {"bridge_token": token})
        assert answer.status_code == 200
        assert answer.json() | {"access_token": ""} == {
            "access_token": "", "token_type": "Bearer", "expires_in_s": 900,
        }  # fmt: skip
        principal = principal_of(await auth.app.state.access_tokens.verify(answer.json()["access_token"]))
        assert f"bridge_{principal.subject.hex}" == bridge_id
        assert f"org_{principal.organisation_id.hex}" == ada.organisation["id"]
        assert principal.permissions == {"bridge:work"}
        shown = await auth.http.get(f"/bridges/{bridge_id}", headers=ada.headers)
        assert shown.json()["last_used_at"] is not None

    async def test_from_another_place_is_noted(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        _, token = await created(lone_auth, ada)
        for _ in range(2):
            await lone_auth.post("/auth/bridge-token", {"bridge_token": token})
        await lone_auth.fetch("UPDATE auth.bridge SET last_used_address = '192.0.2.1'")
        await lone_auth.post("/auth/bridge-token", {"bridge_token": token})
        noted = await lone_auth.fetch(
            "SELECT address, data FROM auth.security_events WHERE type = 'auth_bridge_address_changed' ORDER BY id"
        )
        assert [row["address"] for row in noted] == ["127.0.0.1", "127.0.0.1"]
        assert [row["data"] for row in noted] == ['{"before": ""}', '{"before": "192.0.2.1"}']

    async def test_works_many_times_at_once(self, auth: Auth) -> None:
        ada = await auth.register()
        _, token = await created(auth, ada)
        answers = await asyncio.gather(*(auth.post("/auth/bridge-token", {"bridge_token": token}) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}

    async def test_refuses_what_is_no_bridge_token(self, auth: Auth) -> None:
        ada = await auth.register()
        for token in ("", "fxb_", ada.tokens["refresh_token"], "fxb_" + "0" * 49):
            answer = await auth.post("/auth/bridge-token", {"bridge_token": token})
            assert (answer.status_code, answer.json()["code"]) == (401, "bridge_token_invalid")

    async def test_is_limited_by_address(self, database: Database) -> None:
        async with running_auth(database, rate_limits_enabled=True, limit_bridge_token="2/minute") as auth:
            answers = [await auth.post("/auth/bridge-token", {"bridge_token": "x"}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]


class TestOneTokenInTwoPlaces:
    """Each process of a bridge has a name of its own; of two, one that was replaced comes back."""

    async def bridge(self, auth: Auth) -> tuple[Person, str, str]:
        ada = await auth.register()
        return ada, *await created(auth, ada)

    async def use(self, auth: Auth, token: str, *instances: str | None) -> None:
        for instance in instances:
            body = {"bridge_token": token} | ({"instance": instance} if instance else {})
            answer = await auth.post("/auth/bridge-token", body)
            assert answer.status_code == 200, answer.text

    async def reports(self, auth: Auth, bridge_id: str) -> list[str]:
        rows = await auth.fetch(
            "SELECT reason FROM auth.security_events "
            "WHERE type = 'auth_bridge_used_twice' AND bridge_id = $1 ORDER BY id",
            bridge_id.removeprefix("bridge_"),
        )
        return [row["reason"] for row in rows]

    async def used_twice_at(self, auth: Auth, person: Person) -> str | None:
        (bridge,) = (await auth.http.get("/bridges", headers=person.headers)).json()["items"]
        at: str | None = bridge["used_twice_at"]
        return at

    async def test_is_noticed_and_shown(self, auth: Auth) -> None:
        ada, bridge_id, token = await self.bridge(auth)
        await self.use(auth, token, "process-a", "process-a", "process-b")
        assert await self.used_twice_at(auth, ada) is None
        await self.use(auth, token, "process-a")
        assert await self.used_twice_at(auth, ada) is not None
        assert await self.reports(auth, bridge_id) == ["instance_came_back"]

    async def test_is_reported_once_in_a_while(self, auth: Auth) -> None:
        _, bridge_id, token = await self.bridge(auth)
        await self.use(auth, token, *["process-a", "process-b"] * 5)
        assert len(await self.reports(auth, bridge_id)) == 1
        await auth.fetch("UPDATE auth.bridge SET used_twice_at = now() - interval '61 minutes'")
        await self.use(auth, token, "process-a")
        assert len(await self.reports(auth, bridge_id)) == 2

    async def test_is_noticed_beside_one_that_has_no_name(self, auth: Auth) -> None:
        _, bridge_id, token = await self.bridge(auth)
        await self.use(auth, token, "process-a", None, "process-a")
        assert await self.reports(auth, bridge_id) == ["instance_came_back"]

    async def test_is_not_seen_in_restarts(self, auth: Auth) -> None:
        ada, bridge_id, token = await self.bridge(auth)
        await self.use(auth, token, None, None, *(f"process-{number}" for number in range(20)))
        await self.use(auth, token, None)  # an older version again
        assert await self.reports(auth, bridge_id) == []
        assert await self.used_twice_at(auth, ada) is None

    async def test_cannot_hide_behind_many_names(self, auth: Auth) -> None:
        _, bridge_id, token = await self.bridge(auth)
        await self.use(auth, token, "process-a", *(f"flood-{number:03}" for number in range(40)))
        assert await self.reports(auth, bridge_id) == ["many_instances"]
        rows = await auth.value("SELECT count(*) FROM auth.bridge_instance WHERE bridge_id = $1", bridge_id[7:])
        assert rows == 32

    async def test_at_the_same_moment(self, auth: Auth) -> None:
        _, bridge_id, token = await self.bridge(auth)
        await self.use(auth, token, "process-a", "process-b")
        await asyncio.gather(*(self.use(auth, token, *["process-a", "process-b"] * 3) for _ in range(4)))
        assert len(await self.reports(auth, bridge_id)) == 1

    @pytest.mark.parametrize("name", ["short", "x" * 65, "no spaces allowed"])
    async def test_names_are_bounded(self, auth: Auth, name: str) -> None:
        answer = await auth.post("/auth/bridge-token", {"bridge_token": "x", "instance": name})
        assert answer.status_code == 422
