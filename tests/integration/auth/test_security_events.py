"""Security events: who sees which, how they are found, that nobody changes them, and how long they stay."""

from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from fluxprint_auth.housekeeping import tidy_up
from support.auth import PASSWORD, Auth, Person, running_auth
from support.servers import Database, connected


async def make_administrator(auth: Auth, person: Person) -> Person:
    """The same person as an administrator, signed in anew."""
    await auth.fetch('UPDATE auth."user" SET is_administrator = true WHERE email = $1', person.email)
    return Person(person.email, await auth.log_in(person.email), organisation=person.organisation)


async def listed(auth: Auth, who: Person, path: str = "/security-events", **query: str) -> list[dict[str, Any]]:
    answer = await auth.http.get(path, params=query, headers=who.headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def types(items: list[dict[str, Any]]) -> list[str]:
    return [item["type"] for item in items]


class TestOfAnOrganisation:
    async def test_owners_see_their_own_newest_first(self, auth: Auth) -> None:
        ada, stranger = await auth.register(), await auth.register()
        editor = await auth.add_member(ada, "editor")
        await auth.post("/bridges", {"name": "Workshop"}, headers=ada.headers)
        items = await listed(auth, ada)
        assert types(items) == [
            "auth_bridge_created", "auth_login_succeeded", "auth_member_added", "auth_login_succeeded",
            "auth_registered",
        ]  # fmt: skip
        assert {item["organisation_id"] for item in items} == {ada.organisation["id"]}
        added = items[2]
        assert (added["outcome"], added["reason"], added["data"]) == ("success", None, {"role": "editor"})
        assert added["actor_id"] == items[4]["user_id"]
        assert added["user_id"] == items[1]["user_id"]
        assert added["address"] == "127.0.0.1"
        assert added["agent"].startswith("python-httpx")
        assert not {item["id"] for item in items} & {item["id"] for item in await listed(auth, stranger)}
        for role in (editor, await auth.add_member(ada, "manager")):
            assert (await auth.http.get("/security-events", headers=role.headers)).status_code == 403

    async def test_are_found_by_type_outcome_person_and_time(self, auth: Auth) -> None:
        ada = await auth.register()
        viewer = await auth.add_member(ada, "viewer")
        everything = await listed(auth, ada)
        member = everything[0]["user_id"]
        assert types(await listed(auth, ada, type="auth_member_added")) == ["auth_member_added"]
        assert types(await listed(auth, ada, outcome="failure")) == []
        assert types(await listed(auth, ada, user_id=member)) == ["auth_login_succeeded", "auth_member_added"]
        moment = everything[1]["created_at"]  # the member was added
        assert types(await listed(auth, ada, **{"from": moment})) == types(everything)[:2]
        assert types(await listed(auth, ada, **{"to": moment})) == types(everything)[2:]
        reused = viewer.tokens["refresh_token"]
        await auth.fetch("UPDATE auth.refresh_token SET rotated_at = now() - interval '1 h', successor_nonce = NULL "
                         "FROM auth.session s JOIN auth.\"user\" u ON u.id = s.user_id "
                         "WHERE s.id = session_id AND u.email = $1", viewer.email)  # fmt: skip
        assert (await auth.refresh(reused)).json()["code"] == "refresh_token_reused"
        (failure,) = await listed(auth, ada, outcome="failure")
        assert (failure["type"], failure["user_id"]) == ("auth_refresh_reused", member)
        assert failure["reason"]

    @pytest.mark.parametrize(
        "query",
        [
            {"outcome": "maybe"},
            {"type": "x; DROP TABLE"},
            {"type": "x" * 61},
            {"user_id": "user_1"},
            {"from": "yesterday"},
            {"cursor": "!"},
            {"limit": "201"},
        ],
    )
    async def test_nonsense_is_refused(self, auth: Auth, query: dict[str, str]) -> None:
        ada = await auth.register()
        answer = await auth.http.get("/security-events", params=query, headers=ada.headers)
        assert answer.status_code in {400, 422}

    async def test_come_in_pages(self, auth: Auth) -> None:
        ada = await auth.register()
        for number in range(5):
            await auth.post("/bridges", {"name": f"Workshop {number}"}, headers=ada.headers)
        seen: list[str] = []
        query: dict[str, str] = {"limit": "2", "type": "auth_bridge_created"}
        while True:
            page = (await auth.http.get("/security-events", params=query, headers=ada.headers)).json()
            assert len(page["items"]) <= 2
            seen += [item["id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert len(seen) == len(set(seen)) == 5
        assert seen == sorted(seen, reverse=True)


class TestOfOneself:
    async def test_one_sees_what_happened_to_ones_account(self, auth: Auth) -> None:
        ada, eve = await auth.register(), await auth.register()
        await auth.post("/auth/login", {"email": ada.email, "password": "not the password"})
        failed, *others = await listed(auth, ada, "/auth/security-events")
        assert (failed["type"], failed["outcome"]) == ("auth_login_failed", "failure")
        assert failed["reason"]
        assert failed["organisation_id"] is None
        assert types(others) == ["auth_login_succeeded", "auth_registered"]
        assert "auth_login_failed" not in types(await listed(auth, ada))
        assert failed["id"] not in {item["id"] for item in await listed(auth, eve, "/auth/security-events")}

    async def test_one_sees_what_one_did_to_others(self, auth: Auth) -> None:
        ada = await auth.register()
        await auth.add_member(ada, "viewer")
        assert types(await listed(auth, ada, "/auth/security-events"))[0] == "auth_member_added"


class TestOfTheInstallation:
    async def test_administrators_see_all_and_others_nothing(self, auth: Auth) -> None:
        ada, grace = await auth.register(), await auth.register()
        root = await make_administrator(auth, await auth.register())
        for person in (ada, grace):
            mine = await listed(auth, root, "/admin/security-events", organisation_id=person.organisation["id"])
            assert {item["organisation_id"] for item in mine} == {person.organisation["id"]}
        assert (await auth.http.get("/admin/security-events", headers=ada.headers)).status_code == 403
        nobody = "nobody-at-all@example.org"
        await auth.post("/auth/login", {"email": nobody, "password": "not the password"})
        (failed, *_) = await listed(auth, root, "/admin/security-events", type="auth_login_failed")
        assert (failed["type"], failed["user_id"]) == ("auth_login_failed", None)
        assert nobody not in str(failed)

    async def test_somebody_who_is_no_administrator_any_more_is_refused_at_once(self, auth: Auth) -> None:
        root = await make_administrator(auth, await auth.register())
        await auth.fetch('UPDATE auth."user" SET is_administrator = false WHERE email = $1', root.email)
        assert (await auth.http.get("/admin/security-events", headers=root.headers)).status_code in {401, 403}


class TestRateLimits:
    async def test_a_refused_request_is_recorded_once_and_not_each_time(self, database: Database) -> None:
        async with running_auth(database, rate_limits_enabled=True, limit_login="2/minute") as auth:
            await auth.register()
            body = {"email": "nobody@example.org", "password": "not the password"}
            answers: list[httpx.Response] = [await auth.post("/auth/login", body) for _ in range(6)]
            assert [answer.status_code for answer in answers] == [401] * 2 + [429] * 4
            await auth.app.state.refusals.written()
            rows = await auth.fetch(
                "SELECT outcome, reason, address, data::text FROM auth.security_events "
                "WHERE type = 'rate_limit_exceeded'"
            )
            assert [(row["outcome"], row["reason"], row["address"]) for row in rows] == [
                ("failure", "login", "127.0.0.1"),
            ]
            assert "2/minute" in rows[0]["data"]


class TestKeeping:
    async def test_the_service_can_neither_change_nor_remove_one(self, lone_auth: Auth) -> None:
        await lone_auth.register()
        async with connected(lone_auth.database.url_for("auth")) as connection:
            for statement in (
                "UPDATE auth.security_events SET reason = 'x'",
                "DELETE FROM auth.security_events",
                "TRUNCATE auth.security_events",
                "ALTER TABLE auth.security_events DISABLE TRIGGER ALL",
                "DROP TABLE auth.security_events",
                "CREATE OR REPLACE FUNCTION auth.delete_old_security_events(kept interval, at_most integer) "
                "RETURNS integer LANGUAGE sql AS 'SELECT 1'",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
        assert len(await lone_auth.events()) == 2

    async def test_what_is_older_than_the_setting_goes(self, lone_auth: Auth) -> None:
        await lone_auth.register()
        ages = (10, 40, 399, 401, 5000)
        for days in ages:
            await lone_auth.fetch(
                "INSERT INTO auth.security_events (id, type, created_at, data) "
                "VALUES (gen_random_uuid(), 'old', now() - make_interval(days => $1), '{}')",
                days,
            )

        async def left(**kept: timedelta) -> int:
            await tidy_up(lone_auth.app.state.database, throttles_kept=timedelta(hours=1), **kept)
            count: int = await lone_auth.value("SELECT count(*) FROM auth.security_events WHERE type = 'old'")
            return count

        assert await left() == 3
        # Whoever holds the service can't have the last month deleted.
        assert await left(events_kept=timedelta(0)) == 1

    async def test_goes_on_past_one_batch(self, lone_auth: Auth) -> None:
        await lone_auth.fetch(
            "INSERT INTO auth.security_events (id, type, created_at, data) "
            "SELECT gen_random_uuid(), 'old', now() - interval '500 days', '{}' FROM generate_series(1, 2500)"
        )
        await tidy_up(lone_auth.app.state.database, throttles_kept=timedelta(hours=1))
        assert await lone_auth.events() == []

    async def test_a_password_is_in_none(self, lone_auth: Auth) -> None:
        await lone_auth.register()
        await lone_auth.post("/auth/login", {"email": "ada@example.org", "password": "another secret of hers"})
        stored = str(await lone_auth.fetch("SELECT e::text FROM auth.security_events e"))
        assert PASSWORD not in stored
        assert "another secret" not in stored
        assert "ada@example.org" not in stored
