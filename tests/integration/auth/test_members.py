"""Changing, removing and promoting members; the last owner; what somebody can still reach who is one no more."""

import asyncio
from typing import Any

import pytest

from support.auth import Auth, Person

CURRENT = "/organisations/current"


async def id_of(auth: Auth, person: Person) -> str:
    answer = await auth.http.get("/auth/me", headers=person.headers)
    assert answer.status_code == 200, answer.text
    user_id: str = answer.json()["user"]["id"]
    return user_id


async def set_role(auth: Auth, who: Person, member: str, role: str) -> Any:
    return await auth.http.patch(f"{CURRENT}/members/{member}", json={"role": role}, headers=who.headers)


async def remove(auth: Auth, who: Person, member: str) -> Any:
    return await auth.http.delete(f"{CURRENT}/members/{member}", headers=who.headers)


async def refreshed(auth: Auth, person: Person) -> Person:
    """The same session with the tokens that say what is true now."""
    answer = await auth.refresh(person.tokens["refresh_token"])
    assert answer.status_code == 200, answer.text
    return Person(person.email, answer.json(), organisation=person.organisation)


async def not_fresh(auth: Auth, person: Person) -> Person:
    """The same session, an hour after its sign-in."""
    await auth.fetch(
        "UPDATE auth.session SET authenticated_at = now() - interval '1 h' "
        'WHERE user_id = (SELECT id FROM auth."user" WHERE email = $1)',
        person.email,
    )
    return await refreshed(auth, person)


async def owners(auth: Auth, person: Person) -> int:
    count: int = await auth.value(
        "SELECT count(*) FROM auth.membership JOIN auth.organisation o ON o.id = organisation_id "
        "WHERE o.slug = $1 AND role = 'owner'",
        person.organisation["slug"],
    )
    return count


async def second_owner(auth: Auth, owner: Person) -> Person:
    other = await auth.add_member(owner, "manager")
    assert (await set_role(auth, owner, await id_of(auth, other), "owner")).status_code == 200
    return await refreshed(auth, other)


class TestRoles:
    @pytest.mark.parametrize(
        ("actor", "target", "role", "status"),
        [
            ("owner", "manager", "editor", 200),
            ("owner", "viewer", "owner", 200),
            ("manager", "editor", "viewer", 200),
            ("manager", "viewer", "manager", 403),
            ("manager", "manager", "viewer", 403),
            ("manager", "owner", "viewer", 403),
            ("manager", "editor", "owner", 403),
            ("editor", "viewer", "client", 403),
            ("client", "viewer", "client", 403),
        ],
    )
    async def test_who_may_change_whom(self, auth: Auth, actor: str, target: str, role: str, status: int) -> None:
        owner = await auth.register()
        who = owner if actor == "owner" else await auth.add_member(owner, actor)
        member = owner if target == "owner" else await auth.add_member(owner, target)
        answer = await set_role(auth, who, await id_of(auth, member), role)
        assert answer.status_code == status, answer.text
        if status == 200:
            assert answer.json()["role"] == role

    async def test_somebody_of_another_organisation_does_not_exist(self, auth: Auth) -> None:
        ada, stranger = await auth.register(), await auth.register()
        member = await id_of(auth, stranger)
        assert (await set_role(auth, ada, member, "viewer")).status_code == 404
        assert (await remove(auth, ada, member)).status_code == 404
        transfer = await auth.post(f"{CURRENT}/transfer", {"user_id": member}, headers=ada.headers)
        assert transfer.status_code == 404

    async def test_the_old_role_ends_at_once_and_the_session_goes_on_with_the_new(self, auth: Auth) -> None:
        owner = await auth.register()
        manager = await auth.add_member(owner, "manager")
        assert (await set_role(auth, owner, await id_of(auth, manager), "viewer")).status_code == 200
        assert (await auth.http.get(CURRENT, headers=manager.headers)).status_code == 401
        now = await refreshed(auth, manager)
        assert (await auth.http.get(CURRENT, headers=now.headers)).json()["role"] == "viewer"

    async def test_other_services_are_told_to_refuse_the_old_role(self, lone_auth: Auth) -> None:
        """Here every token is looked up; they know nothing but the list of what was revoked."""
        owner = await lone_auth.register()
        manager = await lone_auth.add_member(owner, "manager")
        await lone_auth.post("/api-keys", {"name": "slicer", "scopes": ["jobs:read"]}, headers=manager.headers)
        await set_role(lone_auth, owner, await id_of(lone_auth, manager), "viewer")
        member = 'SELECT id FROM auth."user" WHERE email = $1'
        for table in ("session", "api_key"):
            revoked = await lone_auth.value(
                f"SELECT count(*) FROM auth.revocation r JOIN auth.{table} t ON t.id = r.sid "  # noqa: S608
                f"WHERE r.made_before IS NOT NULL AND t.user_id = ({member})",
                manager.email,
            )
            assert revoked == 1, table

    async def test_ownership_is_given_and_taken_with_a_fresh_proof_only(self, auth: Auth) -> None:
        owner = await auth.register()
        editor, other = await auth.add_member(owner, "editor"), await second_owner(auth, owner)
        stale = await not_fresh(auth, owner)
        for answer in (
            await set_role(auth, stale, await id_of(auth, editor), "owner"),
            await set_role(auth, stale, await id_of(auth, other), "viewer"),
            await remove(auth, stale, await id_of(auth, other)),
            await auth.post(f"{CURRENT}/transfer", {"user_id": await id_of(auth, editor)}, headers=stale.headers),
        ):
            assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")
        assert (await set_role(auth, stale, await id_of(auth, editor), "viewer")).status_code == 200

    async def test_a_change_is_recorded_with_who_did_it(self, lone_auth: Auth) -> None:
        owner = await lone_auth.register()
        editor = await lone_auth.add_member(owner, "editor")
        actor, member = await id_of(lone_auth, owner), await id_of(lone_auth, editor)
        await set_role(lone_auth, owner, member, "viewer")
        await remove(lone_auth, owner, member)
        rows = await lone_auth.fetch(
            "SELECT type, actor_id, user_id, organisation_id, address, data::text FROM auth.security_events "
            "WHERE type LIKE 'auth_member_%' ORDER BY id"
        )
        assert [row["type"] for row in rows] == [
            "auth_member_added", "auth_member_role_changed", "auth_member_removed",
        ]  # fmt: skip
        for row in rows:
            assert f"user_{row['actor_id'].hex}" == actor
            assert f"user_{row['user_id'].hex}" == member
            assert row["organisation_id"] is not None
            assert row["address"] is not None
        assert '"before": "editor"' in rows[1]["data"]


class TestRemoving:
    async def test_ends_sessions_of_this_organisation_only(self, auth: Auth) -> None:
        ada, grace = await auth.register(), await auth.register()
        member = await id_of(auth, grace)
        await auth.fetch(
            # Older than the one of her own, so that she signs in to it.
            "INSERT INTO auth.membership (id, organisation_id, user_id, role) "
            "SELECT ('00' || substr(gen_random_uuid()::text, 3))::uuid, o.id, u.id, 'editor' "
            'FROM auth.organisation o, auth."user" u WHERE o.slug = $1 AND u.email = $2',
            ada.organisation["slug"],
            grace.email,
        )
        there = Person(grace.email, await auth.log_in(grace.email))
        assert (await auth.http.get(CURRENT, headers=there.headers)).json()["role"] == "editor"
        assert (await remove(auth, ada, member)).status_code == 204
        assert (await auth.http.get(CURRENT, headers=there.headers)).status_code == 401
        assert (await auth.refresh(there.tokens["refresh_token"])).status_code == 401
        assert (await auth.http.get(CURRENT, headers=grace.headers)).status_code == 200

    async def test_ends_their_api_keys_of_this_organisation(self, auth: Auth) -> None:
        owner = await auth.register()
        editor = await auth.add_member(owner, "editor")
        made = await auth.post("/api-keys", {"name": "slicer", "scopes": ["jobs:read"]}, headers=editor.headers)
        assert made.status_code == 201, made.text
        assert (await remove(auth, owner, await id_of(auth, editor))).status_code == 204
        keys = (await auth.http.get("/api-keys", headers=owner.headers)).json()["items"]
        assert keys == []

    async def test_a_person_who_was_demoted_meanwhile_no_longer_decides(self, auth: Auth) -> None:
        """The token was good when the request came; the role is looked up again behind the lock."""
        owner = await auth.register()
        manager, editor = await auth.add_member(owner, "manager"), await auth.add_member(owner, "editor")
        target = await id_of(auth, editor)
        manager_id = await id_of(auth, manager)
        demoted, removed = await asyncio.gather(
            set_role(auth, owner, manager_id, "viewer"), remove(auth, manager, target)
        )
        assert demoted.status_code == 200
        still_there = await auth.value(
            'SELECT count(*) FROM auth.membership JOIN auth."user" u ON u.id = user_id WHERE u.email = $1',
            editor.email,
        )
        assert (removed.status_code == 204) == (still_there == 0)


class TestLeaving:
    async def test_ends_ones_own_membership(self, auth: Auth) -> None:
        owner = await auth.register()
        viewer = await auth.add_member(owner, "viewer")
        assert (await auth.post(f"{CURRENT}/leave", headers=viewer.headers)).status_code == 204
        assert (await auth.http.get(CURRENT, headers=viewer.headers)).status_code == 401
        answer = await auth.post("/auth/login", {"email": viewer.email, "password": viewer.password})
        assert (answer.status_code, answer.json()["code"]) == (403, "no_organisation")

    async def test_one_of_two_owners_may(self, auth: Auth) -> None:
        owner = await auth.register()
        other = await second_owner(auth, owner)
        assert (await auth.post(f"{CURRENT}/leave", headers=other.headers)).status_code == 204
        answer = await auth.post(f"{CURRENT}/leave", headers=owner.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")


class TestTransfer:
    async def test_makes_the_member_owner_and_oneself_manager(self, auth: Auth) -> None:
        owner = await auth.register()
        viewer = await auth.add_member(owner, "viewer")
        answer = await auth.post(f"{CURRENT}/transfer", {"user_id": await id_of(auth, viewer)}, headers=owner.headers)
        assert (answer.status_code, answer.json()["role"]) == (200, "owner")
        assert (await auth.http.get(CURRENT, headers=owner.headers)).status_code == 401
        now = {
            person.email: (await auth.http.get(CURRENT, headers=(await refreshed(auth, person)).headers)).json()["role"]
            for person in (owner, viewer)
        }
        assert now == {owner.email: "manager", viewer.email: "owner"}

    async def test_only_an_owner_may(self, auth: Auth) -> None:
        owner = await auth.register()
        manager = await auth.add_member(owner, "manager")
        answer = await auth.post(
            f"{CURRENT}/transfer", {"user_id": await id_of(auth, manager)}, headers=manager.headers
        )
        assert answer.status_code == 403

    async def test_to_somebody_who_is_disabled_is_refused(self, auth: Auth) -> None:
        owner = await auth.register()
        viewer = await auth.add_member(owner, "viewer")
        member = await id_of(auth, viewer)
        await auth.fetch('UPDATE auth."user" SET disabled_at = now() WHERE email = $1', viewer.email)
        answer = await auth.post(f"{CURRENT}/transfer", {"user_id": member}, headers=owner.headers)
        assert answer.status_code == 404
        assert await owners(auth, owner) == 1


class TestTheLastOwner:
    async def test_can_be_neither_removed_nor_demoted(self, auth: Auth) -> None:
        owner = await auth.register()
        member = await id_of(auth, owner)
        for answer in (await remove(auth, owner, member), await set_role(auth, owner, member, "manager")):
            assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")
        assert (await auth.http.get(CURRENT, headers=owner.headers)).status_code == 200

    async def test_a_disabled_owner_is_no_other_owner(self, auth: Auth) -> None:
        owner = await auth.register()
        other = await second_owner(auth, owner)
        await auth.fetch('UPDATE auth."user" SET disabled_at = now() WHERE email = $1', other.email)
        answer = await auth.post(f"{CURRENT}/leave", headers=owner.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")

    @pytest.mark.parametrize("way", ["remove each other", "leave", "demote themselves", "transfer and leave"])
    async def test_stays_whatever_two_owners_do_at_once(self, lone_auth: Auth, way: str) -> None:
        """By the service's own locks: the database's guard is taken away."""
        auth = lone_auth
        await auth.fetch("DROP TRIGGER organisation_keeps_an_owner ON auth.membership")
        for _ in range(8):
            owner = await auth.register()
            other = await second_owner(auth, owner)
            viewer = await id_of(auth, await auth.add_member(owner, "viewer"))
            ids = [await id_of(auth, owner), await id_of(auth, other)]
            match way:
                case "remove each other":
                    requests = [remove(auth, owner, ids[1]), remove(auth, other, ids[0])]
                case "leave":
                    requests = [auth.post(f"{CURRENT}/leave", headers=p.headers) for p in (owner, other)]
                case "demote themselves":
                    requests = [set_role(auth, owner, ids[0], "viewer"), set_role(auth, other, ids[1], "viewer")]
                case _:
                    requests = [
                        auth.post(f"{CURRENT}/transfer", {"user_id": viewer}, headers=owner.headers),
                        auth.post(f"{CURRENT}/leave", headers=other.headers),
                    ]
            answers = await asyncio.gather(*requests)
            assert {answer.status_code for answer in answers} <= {200, 204, 401, 404, 409}, way
            assert any(answer.status_code in {200, 204} for answer in answers)
            assert await owners(auth, owner) >= 1

    async def test_stays_in_the_database_itself(self, auth: Auth) -> None:
        """Whatever else may delete a membership, such as deleting its person: no way around it, at once or not."""
        owner = await auth.register()
        other = await second_owner(auth, owner)
        delete = 'DELETE FROM auth."user" WHERE email = $1'
        outcomes = await asyncio.gather(
            auth.fetch(delete, owner.email), auth.fetch(delete, other.email), return_exceptions=True
        )
        refused = [str(outcome) for outcome in outcomes if isinstance(outcome, Exception)]
        assert len(refused) == 1
        assert "would have no owner" in refused[0]
        assert await owners(auth, owner) == 1

    async def test_goes_with_the_organisation(self, auth: Auth) -> None:
        owner = await auth.register()
        await auth.fetch("DELETE FROM auth.organisation WHERE slug = $1", owner.organisation["slug"])
        assert await owners(auth, owner) == 0
