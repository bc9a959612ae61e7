"""What administrators do to accounts, and see of the database: fresh, at once, recorded, and never to the last one."""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from support.auth import PASSWORD, Auth, Person, at_once
from support.factors import challenge, finish, set_up
from support.servers import connected

ACTIONS = ("disable", "enable", "unlock", "reset-second-factor", "end-sessions")


async def make_administrator(auth: Auth, person: Person | None = None) -> Person:
    person = person or await auth.register()
    await auth.fetch('UPDATE auth."user" SET is_administrator = true WHERE email = $1', person.email)
    return Person(person.email, await auth.log_in(person.email), organisation=person.organisation)


async def id_of(auth: Auth, person: Person) -> str:
    user_id: str = (await auth.http.get("/auth/me", headers=person.headers)).json()["user"]["id"]
    return user_id


async def act(auth: Auth, who: Person, user_id: str, action: str) -> httpx.Response:
    return await auth.post(f"/admin/users/{user_id}/{action}", headers=who.headers)


async def log_in(auth: Auth, email: str, password: str = PASSWORD) -> tuple[int, str]:
    answer = await auth.post("/auth/login", {"email": email, "password": password})
    return answer.status_code, answer.json().get("code", "")


class TestWhoMay:
    @pytest.mark.parametrize("role", ["owner", "manager", "editor", "viewer", "client"])
    async def test_no_role_of_an_organisation(self, auth: Auth, role: str) -> None:
        owner = await auth.register()
        person = owner if role == "owner" else await auth.add_member(owner, role)
        user_id = await id_of(auth, owner)
        for path in ("/admin/users", f"/admin/users/{user_id}", "/admin/db-status", "/admin/security-events"):
            assert (await auth.http.get(path, headers=person.headers)).status_code == 403
        for action in ACTIONS:
            assert (await act(auth, person, user_id, action)).status_code == 403

    async def test_every_change_asks_for_a_fresh_proof(self, auth: Auth) -> None:
        root, ada = await make_administrator(auth), await auth.register()
        user_id = await id_of(auth, ada)
        await auth.fetch(
            "UPDATE auth.session SET authenticated_at = now() - interval '1 h' "
            'WHERE user_id = (SELECT id FROM auth."user" WHERE email = $1)',
            root.email,
        )
        stale = Person(root.email, (await auth.refresh(root.tokens["refresh_token"])).json())
        for action in ACTIONS:
            answer = await act(auth, stale, user_id, action)
            assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")
        assert (await auth.http.get(f"/admin/users/{user_id}", headers=stale.headers)).status_code == 200

    async def test_nobody_is_found_where_there_is_nobody(self, auth: Auth) -> None:
        root = await make_administrator(auth)
        nobody = f"user_{'0' * 32}"
        assert (await auth.http.get(f"/admin/users/{nobody}", headers=root.headers)).status_code == 404
        for action in ACTIONS:
            assert (await act(auth, root, nobody, action)).status_code == 404


class TestAccounts:
    async def test_are_listed_in_pages_and_found_by_a_part_of_the_address(self, auth: Auth) -> None:
        root = await make_administrator(auth)
        emails = [f"100%_{number}@found.example.org" for number in range(3)]
        for email in [*emails, "1000x0@found.example.org"]:
            await auth.register(email)

        async def found(**query: str) -> list[str]:
            page = (await auth.http.get("/admin/users", params=query, headers=root.headers)).json()
            items = [item["email"] for item in page["items"]]
            if page["next_cursor"] is None:
                return items
            return items + await found(**{**query, "cursor": page["next_cursor"]})

        assert await found(email="0%_", limit="2") == emails
        assert await found(email="FOUND.example") == [*emails, "1000x0@found.example.org"]
        assert root.email in await found(limit="2")

    async def test_one_is_shown_with_its_organisations(self, auth: Auth) -> None:
        root, ada = await make_administrator(auth), await auth.register()
        answer = await auth.http.get(f"/admin/users/{await id_of(auth, ada)}", headers=root.headers)
        body = answer.json()
        assert body["memberships"] == [{"organisation": ada.organisation, "role": "owner"}]
        assert (body["email"], body["is_administrator"], body["disabled_at"], body["live_sessions"]) == (
            ada.email, False, None, 1,
        )  # fmt: skip
        assert "password" not in answer.text


class TestDisabling:
    async def test_shuts_out_at_once_and_enabling_lets_in_again(self, auth: Auth) -> None:
        root, ada = await make_administrator(auth), await auth.register()
        user_id = await id_of(auth, ada)
        answer = await act(auth, root, user_id, "disable")
        assert answer.status_code == 200, answer.text
        assert answer.json()["disabled_at"] is not None
        assert (await auth.http.get("/auth/me", headers=ada.headers)).status_code == 401
        assert (await auth.refresh(ada.tokens["refresh_token"])).status_code == 401
        assert await log_in(auth, ada.email) == (403, "account_disabled")
        assert await log_in(auth, ada.email, "not the password") == (401, "invalid_credentials")

        assert (await act(auth, root, user_id, "enable")).json()["disabled_at"] is None
        assert (await auth.refresh(ada.tokens["refresh_token"])).status_code == 401
        assert (await log_in(auth, ada.email))[0] == 200

    async def test_twice_is_recorded_once_with_who_did_it(self, auth: Auth) -> None:
        root, ada = await make_administrator(auth), await auth.register()
        user_id, actor = await id_of(auth, ada), await id_of(auth, root)
        for action in ("disable", "disable", "enable", "enable"):
            assert (await act(auth, root, user_id, action)).status_code == 200
        events = await auth.http.get(
            "/admin/security-events", params={"user_id": user_id, "limit": "10"}, headers=root.headers
        )
        ours = [event for event in events.json()["items"] if event["type"].startswith("auth_account_")]
        assert [event["type"] for event in ours] == ["auth_account_enabled", "auth_account_disabled"]
        assert {(event["actor_id"], event["user_id"]) for event in ours} == {(actor, user_id)}

    async def test_ends_what_keys_were_exchanged_for(self, auth: Auth) -> None:
        root, ada = await make_administrator(auth), await auth.register()
        made = await auth.post("/api-keys", {"name": "slicer", "scopes": ["organisation:read"]}, headers=ada.headers)
        headers = {"X-API-Key": made.json()["secret"]}
        assert (await auth.http.get("/organisations/current", headers=headers)).status_code == 200
        user_id = await id_of(auth, ada)
        await act(auth, root, user_id, "disable")
        assert (await auth.http.get("/organisations/current", headers=headers)).status_code == 401
        await act(auth, root, user_id, "enable")  # the key was kept; what was refused is forgotten after 30 s
        again = Person(ada.email, await auth.log_in(ada.email))
        keys = (await auth.http.get("/api-keys", headers=again.headers)).json()["items"]
        assert [key["name"] for key in keys] == ["slicer"]

    async def test_the_last_administrator_stays(self, lone_auth: Auth) -> None:
        root = await make_administrator(lone_auth)
        answer = await act(lone_auth, root, await id_of(lone_auth, root), "disable")
        assert (answer.status_code, answer.json()["code"]) == (409, "last_administrator")

    async def test_one_administrator_is_left_when_two_disable_each_other_at_once(self, lone_auth: Auth) -> None:
        for _ in range(5):
            await lone_auth.fetch('UPDATE auth."user" SET is_administrator = false')
            one, other = await make_administrator(lone_auth), await make_administrator(lone_auth)
            ids = [await id_of(lone_auth, person) for person in (one, other)]
            await asyncio.gather(act(lone_auth, one, ids[1], "disable"), act(lone_auth, other, ids[0], "disable"))
            left = await lone_auth.value(
                'SELECT count(*) FROM auth."user" WHERE is_administrator AND disabled_at IS NULL'
            )
            assert left == 1

    async def test_many_times_at_once_is_once(self, auth: Auth) -> None:
        root, ada = await make_administrator(auth), await auth.register()
        user_id = await id_of(auth, ada)
        answers = await at_once(8, lambda: act(auth, root, user_id, "disable"))
        assert {answer.status_code for answer in answers} == {200}
        count = await auth.value(
            'SELECT count(*) FROM auth.security_events e JOIN auth."user" u ON u.id = e.user_id '
            "WHERE type = 'auth_account_disabled' AND u.email = $1",
            ada.email,
        )
        assert count == 1


class TestHelping:
    async def test_unlocking_forgets_failed_logins(self, auth: Auth) -> None:
        root, ada = await make_administrator(auth), await auth.register()
        for _ in range(5):
            await log_in(auth, ada.email, "not the password")
        assert await log_in(auth, ada.email) == (429, "account_locked")
        assert (await act(auth, root, await id_of(auth, ada), "unlock")).status_code == 200
        assert (await log_in(auth, ada.email))[0] == 200

    async def test_unlocking_forgets_wrong_codes(self, auth: Auth) -> None:
        root, ada = await make_administrator(auth), await auth.register()
        app = await set_up(auth, ada)
        for _ in range(5):
            await finish(auth, await challenge(auth, ada), app.wrong)
        locked = await finish(auth, await challenge(auth, ada), app.code())
        assert locked.status_code == 429
        assert (await act(auth, root, await id_of(auth, ada), "unlock")).status_code == 200
        assert (await finish(auth, await challenge(auth, ada), app.code())).status_code == 200

    async def test_resetting_the_second_factor_ends_the_sessions(self, auth: Auth) -> None:
        root, ada = await make_administrator(auth), await auth.register()
        await set_up(auth, ada)
        assert (await log_in(auth, ada.email))[1] == "second_factor_required"
        assert (await act(auth, root, await id_of(auth, ada), "reset-second-factor")).status_code == 200
        assert (await auth.http.get("/auth/me", headers=ada.headers)).status_code == 401
        assert (await log_in(auth, ada.email))[0] == 200

    async def test_signing_somebody_out_everywhere(self, auth: Auth) -> None:
        root, ada = await make_administrator(auth), await auth.register()
        user_id = await id_of(auth, ada)
        await auth.log_in(ada.email)
        answer = await act(auth, root, user_id, "end-sessions")
        assert answer.json() == {"ended": 2}
        assert (await auth.refresh(ada.tokens["refresh_token"])).status_code == 401


class TestDatabaseStatus:
    async def test_says_what_it_is_like(self, auth: Auth) -> None:
        root = await make_administrator(auth)
        body: dict[str, Any] = (await auth.http.get("/admin/db-status", headers=root.headers)).json()
        newest = await auth.value("SELECT version_num FROM public.alembic_version")
        assert body["schema_revision"] == newest
        assert {"user", "session", "security_events"} <= {table["name"] for table in body["tables"]}
        assert body["database_bytes"] > sum(table["bytes"] for table in body["tables"]) > 0
        assert 1 <= body["connections"] <= body["max_connections"]
        assert body["waiting_mails"] == 0

    async def test_knows_about_how_many_rows_a_table_has_that_nobody_analysed(self, auth: Auth) -> None:
        root = await make_administrator(auth)
        async with connected(auth.database.url) as owner:
            try:
                await owner.execute("CREATE TABLE auth.young AS SELECT generate_series(1, 7)")
                await owner.execute("SELECT pg_stat_force_next_flush()")
                body = (await auth.http.get("/admin/db-status", headers=root.headers)).json()
            finally:
                await owner.execute("DROP TABLE auth.young")
        assert {table["name"]: table["rows"] for table in body["tables"]}["young"] == 7

    async def test_shows_a_transaction_that_somebody_forgot(self, auth: Auth) -> None:
        root = await make_administrator(auth)
        async with auth.app.state.database.unit_of_work() as session:
            await session.execute(text("SELECT pg_sleep(1.1)"))
            body = (await auth.http.get("/admin/db-status", headers=root.headers)).json()
        assert body["oldest_transaction_s"] >= 1
