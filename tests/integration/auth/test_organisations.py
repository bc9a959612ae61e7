"""Organisations and their members."""

import pytest

from support.auth import PASSWORD, Auth

ROLES = ["owner", "manager", "editor", "viewer", "client"]


def member(role: str, email: str = "grace@example.org") -> dict[str, str]:
    return {"email": email, "name": "Grace Hopper", "role": role, "password": PASSWORD}


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
