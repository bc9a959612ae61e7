"""Organisations, and adding members to them. Changing members: test_members.py."""

import pytest

from support.auth import PASSWORD, Auth, Person, at_once, running_auth
from support.servers import Database

ROLES = ["owner", "manager", "editor", "viewer", "client"]


def member(role: str, email: str = "grace@example.org") -> dict[str, str]:
    return {"email": email, "name": "Grace Hopper", "role": role, "password": PASSWORD}


async def mine(auth: Auth, who: Person) -> dict[str, str]:
    """The caller's organisations by slug, with their role."""
    answer = await auth.http.get("/organisations", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return {item["organisation"]["slug"]: item["role"] for item in answer.json()["items"]}


class TestCreating:
    async def test_makes_one_that_the_caller_owns_and_can_switch_to(self, auth: Auth) -> None:
        ada = await auth.register()
        answer = await auth.post("/organisations", {"name": "Second Shop"}, headers=ada.headers)
        assert answer.status_code == 201, answer.text
        made = answer.json()["organisation"]
        assert answer.json()["role"] == "owner"
        assert await mine(auth, ada) == {ada.organisation["slug"]: "owner", made["slug"]: "owner"}
        switched = await auth.post("/auth/switch-organisation", {"organisation_id": made["id"]}, headers=ada.headers)
        there = {"Authorization": f"Bearer {switched.json()['access_token']}"}
        current = (await auth.http.get("/organisations/current", headers=there)).json()
        assert current == {"organisation": made, "role": "owner"}

    async def test_the_same_name_at_once_yields_slugs_of_their_own(self, auth: Auth) -> None:
        ada = await auth.register()
        answers = await at_once(10, lambda: auth.post("/organisations", {"name": "Same"}, headers=ada.headers))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["organisation"]["slug"] for answer in answers}) == 10

    async def test_only_so_many_also_at_once(self, database: Database) -> None:
        async with running_auth(database, organisations_per_person=4) as auth:
            ada = await auth.register()
            answers = await at_once(8, lambda: auth.post("/organisations", {"name": "One more"}, headers=ada.headers))
            assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 5
            refused = [answer.json()["code"] for answer in answers if answer.status_code == 409]
            assert set(refused) == {"too_many_organisations"}
            assert len(await mine(auth, ada)) == 4
            assert len(await mine(auth, await auth.register())) == 1

    @pytest.mark.parametrize("name", ["", " ", "x" * 101, "two\nlines", "nul\x00"])
    async def test_a_name_is_one_line(self, auth: Auth, name: str) -> None:
        ada = await auth.register()
        assert (await auth.post("/organisations", {"name": name}, headers=ada.headers)).status_code == 422
        answer = await auth.http.patch("/organisations/current", json={"name": name}, headers=ada.headers)
        assert answer.status_code == 422


class TestRenaming:
    async def test_keeps_the_slug_and_is_recorded(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        answer = await lone_auth.http.patch(
            "/organisations/current", json={"name": "Difference Engines"}, headers=ada.headers
        )
        assert answer.json() == ada.organisation | {"name": "Difference Engines"}
        await lone_auth.http.patch("/organisations/current", json={"name": "Difference Engines"}, headers=ada.headers)
        assert (await lone_auth.events())[2:] == ["auth_organisation_changed"]

    @pytest.mark.parametrize("role", ["manager", "editor", "viewer", "client"])
    async def test_is_the_owners(self, auth: Auth, role: str) -> None:
        person = await auth.add_member(await auth.register(), role)
        answer = await auth.http.patch("/organisations/current", json={"name": "Mine"}, headers=person.headers)
        assert answer.status_code == 403


class TestListing:
    async def test_comes_in_pages_and_shows_no_others(self, auth: Auth) -> None:
        ada, stranger = await auth.register(), await auth.register()
        for number in range(3):
            await auth.post("/organisations", {"name": f"Shop {number}"}, headers=ada.headers)
        page = (await auth.http.get("/organisations", params={"limit": "3"}, headers=ada.headers)).json()
        rest = await auth.http.get(
            "/organisations", params={"limit": "3", "cursor": page["next_cursor"]}, headers=ada.headers
        )
        names = [item["organisation"]["name"] for item in page["items"] + rest.json()["items"]]
        assert names == [ada.organisation["name"], "Shop 0", "Shop 1", "Shop 2"]
        assert stranger.organisation["slug"] not in await mine(auth, ada)


class TestMembers:
    async def test_an_owner_adds_somebody_who_can_then_sign_in(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        answer = await lone_auth.post("/organisations/current/members", member("editor"), headers=ada.headers)
        assert answer.status_code == 201
        assert answer.json() | {"user_id": "", "created_at": ""} == {
            "user_id": "", "email": "grace@example.org", "name": "Grace Hopper", "role": "editor", "created_at": "",
        }  # fmt: skip
        tokens = await lone_auth.log_in("grace@example.org")
        me = await lone_auth.http.get(
            "/organisations/current", headers={"Authorization": f"Bearer {tokens['access_token']}"}
        )
        assert me.json() == {"organisation": ada.organisation, "role": "editor"}
        assert "auth_member_added" in await lone_auth.events()

    @pytest.mark.parametrize(
        ("giver", "may"),
        [("owner", {"manager", "editor", "viewer", "client"}), ("manager", {"editor", "viewer", "client"})],
    )
    async def test_roles_below_ones_own_may_be_given(self, auth: Auth, giver: str, may: set[str]) -> None:
        person = await auth.register()
        if giver != "owner":
            person = await auth.add_member(person, giver)
        given = set()
        for role in ROLES:
            body = member(role, f"new-{role}-of-{giver}@example.org")
            answer = await auth.post("/organisations/current/members", body, headers=person.headers)
            if answer.status_code == 201:
                given.add(role)
            else:
                assert (answer.status_code, answer.json()["code"]) == (403, "role_not_below_yours")
        assert given == may

    async def test_nobody_is_taken_over_from_another_organisation(self, auth: Auth) -> None:
        ada, grace = await auth.register(), await auth.register()
        answer = await auth.post("/organisations/current/members", member("editor", grace.email), headers=ada.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
        await auth.log_in(grace.email, grace.password)

    async def test_a_bridge_is_no_member(self, auth: Auth) -> None:
        ada = await auth.register()
        answer = await auth.post("/organisations/current/members", member("bridge"), headers=ada.headers)
        assert answer.status_code == 422

    async def test_the_list_shows_ones_own_organisation_in_pages(self, auth: Auth) -> None:
        ada, stranger = await auth.register(), await auth.register()
        emails = [ada.email] + [(await auth.add_member(ada, role)).email for role in ROLES[1:]]
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await auth.http.get(
                "/organisations/current/members", params={"limit": "2", **cursor}, headers=ada.headers
            )
            page = answer.json()
            assert len(page["items"]) <= 2
            seen += [item["email"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert seen == emails
        assert stranger.email not in seen
