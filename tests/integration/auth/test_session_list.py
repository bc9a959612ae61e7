"""Where a person is signed in: seen, and ended, one by one or all at once."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.sessions.models import EndReason
from fluxprint_common.ids import new_id, show
from support.auth import PASSWORD, Auth, Person
from support.servers import connected

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0"


async def log_in_with(auth: Auth, person: Person, agent: str) -> Person:
    """The same person on another device."""
    body = {"email": person.email, "password": PASSWORD}
    answer = await auth.post("/auth/login", body, headers={"User-Agent": agent})
    assert answer.status_code == 200, answer.text
    return Person(person.email, answer.json(), organisation=person.organisation)


async def sessions_of(auth: Auth, person: Person, **params: Any) -> list[dict[str, Any]]:
    answer = await auth.http.get("/auth/sessions", headers=person.headers, params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def status_of(auth: Auth, person: Person) -> int:
    return (await auth.http.get("/auth/me", headers=person.headers)).status_code


class TestListing:
    async def test_shows_each_device_newest_first(self, auth: Auth) -> None:
        ada = await auth.register()
        browser = await log_in_with(auth, ada, FIREFOX)
        newest, oldest = await sessions_of(auth, browser)
        assert (newest["device"], newest["current"]) == ("Firefox on Windows", True)
        assert (oldest["device"], oldest["current"]) == ("python-httpx", False)
        assert newest["address"] == "127.0.0.1"
        assert newest["organisation_id"] == ada.organisation["id"]
        assert newest["second_factor"] is False
        assert newest["created_at"] <= newest["last_used_at"] < newest["expires_at"]

    async def test_shows_the_last_refresh(self, auth: Auth) -> None:
        ada = await auth.register()
        (before,) = await sessions_of(auth, ada)
        ada.tokens = (await auth.refresh(ada.tokens["refresh_token"])).json()
        (after,) = await sessions_of(auth, ada)
        assert after["last_used_at"] > before["last_used_at"] == before["created_at"]

    async def test_shows_nothing_that_is_over_or_of_others(self, lone_auth: Auth) -> None:
        ada, _bob = await lone_auth.register(), await lone_auth.register()
        ended = await log_in_with(lone_auth, ada, "ended")
        for agent in ("idle", "old"):
            await log_in_with(lone_auth, ada, agent)
        await lone_auth.post("/auth/logout", headers=ended.headers)
        of_device = "WHERE session_id IN (SELECT id FROM auth.session WHERE device = 'idle')"
        await lone_auth.fetch(f"UPDATE auth.refresh_token SET expires_at = now() {of_device}")  # noqa: S608
        await lone_auth.fetch("UPDATE auth.session SET expires_at = now() WHERE device = 'old'")
        assert [item["device"] for item in await sessions_of(lone_auth, ada)] == ["python-httpx"]

    async def test_comes_in_pages(self, auth: Auth) -> None:
        ada = await auth.register()
        for number in range(4):
            await log_in_with(auth, ada, f"device{number}")
        seen, cursor = [], None
        while True:
            params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await auth.http.get("/auth/sessions", headers=ada.headers, params=params)).json()
            seen += [item["device"] for item in page["items"]]
            if (cursor := page["next_cursor"]) is None:
                break
        assert seen == ["device3", "device2", "device1", "device0", "python-httpx"]


class TestEndingOne:
    async def test_ends_it_for_its_device_at_once_and_says_who_did(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        phone = await log_in_with(lone_auth, ada, "phone")
        listed = {item["device"]: item["id"] for item in await sessions_of(lone_auth, ada)}
        answer = await lone_auth.http.delete(f"/auth/sessions/{listed['phone']}", headers=ada.headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert await status_of(lone_auth, phone) == 401
        assert (await lone_auth.refresh(phone.tokens["refresh_token"])).json()["code"] == "refresh_token_invalid"
        assert await status_of(lone_auth, ada) == 200
        assert (await lone_auth.events())[-1] == "auth_session_ended"
        reason = await lone_auth.value("SELECT end_reason FROM auth.session WHERE device = 'phone'")
        assert reason == "ended_elsewhere"

    async def test_once(self, auth: Auth) -> None:
        ada = await auth.register()
        phone = await log_in_with(auth, ada, "phone")
        (listed, _) = await sessions_of(auth, ada)
        answers = await asyncio.gather(
            *(auth.http.delete(f"/auth/sessions/{listed['id']}", headers=ada.headers) for _ in range(5))
        )
        assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404, 404]
        assert await status_of(auth, phone) == 401

    async def test_of_somebody_else_or_of_nobody_is_not_found(self, auth: Auth) -> None:
        ada, bob = await auth.register(), await auth.register()
        (of_bob,) = await sessions_of(auth, bob)
        for wanted in (of_bob["id"], show("session", new_id()), "session_1"):
            answer = await auth.http.delete(f"/auth/sessions/{wanted}", headers=ada.headers)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert await status_of(auth, bob) == 200


class TestEndingAll:
    async def test_ends_every_one_in_every_organisation(self, lone_auth: Auth) -> None:
        ada, bob = await lone_auth.register(), await lone_auth.register()
        others = [await log_in_with(lone_auth, ada, f"device{number}") for number in range(3)]
        answer = await lone_auth.post("/auth/logout-all", headers=ada.headers)
        assert (answer.status_code, answer.json()) == (200, {"ended": 4})
        assert [await status_of(lone_auth, person) for person in (ada, *others)] == [401] * 4
        assert await status_of(lone_auth, bob) == 200
        assert await lone_auth.value("SELECT count(*) FROM auth.revocation WHERE made_before IS NULL") == 4
        assert (await lone_auth.events())[-1] == "auth_all_sessions_ended"

    async def test_can_spare_the_one_that_asks(self, auth: Auth) -> None:
        ada = await auth.register()
        phone = await log_in_with(auth, ada, "phone")
        answer = await auth.post("/auth/logout-all", {"keep_current": True}, headers=ada.headers)
        assert answer.json() == {"ended": 1}
        assert (await status_of(auth, ada), await status_of(auth, phone)) == (200, 401)
        assert (await auth.refresh(ada.tokens["refresh_token"])).status_code == 200

    async def test_waits_for_a_refresh_that_is_under_way(self, auth: Auth) -> None:
        """Whoever comes first: nothing that the refresh gave is good afterwards."""
        ada = await auth.register()
        phone = await log_in_with(auth, ada, "phone")
        refreshed, ended = await asyncio.gather(
            auth.refresh(phone.tokens["refresh_token"]), auth.post("/auth/logout-all", headers=ada.headers)
        )
        assert ended.json() == {"ended": 2}
        if refreshed.status_code == 200:
            phone.tokens = refreshed.json()
        assert await status_of(auth, phone) == 401

    async def test_for_a_disabled_account_leaves_nothing_that_begins_meanwhile(self, lone_auth: Auth) -> None:
        """Ten logins race with disabling: whichever got a session, it is ended."""
        ada = await lone_auth.register()
        user_id = await lone_auth.value('SELECT id FROM auth."user"')

        async def disable(user_id: UUID) -> None:
            async with lone_auth.app.state.database.unit_of_work() as session:
                user = await session.get(UserRow, user_id)
                user.disabled_at = user.created_at
                await session.flush()
                await lone_auth.app.state.sessions.end_all(session, user_id, EndReason.ACCOUNT_DISABLED, client=None)

        body = {"email": ada.email, "password": PASSWORD}
        answers = await asyncio.gather(
            *(lone_auth.post("/auth/login", body) for _ in range(5)),
            disable(user_id),
            *(lone_auth.post("/auth/login", body) for _ in range(5)),
        )
        assert {answer.status_code for answer in answers if answer is not None} <= {200, 403}
        assert await lone_auth.value("SELECT count(*) FROM auth.session WHERE ended_at IS NULL") == 0
        late = await lone_auth.post("/auth/login", body)
        assert (late.status_code, late.json()["code"]) == (403, "account_disabled")


class TestTokenInfo:
    async def test_of_a_person_tells_session_and_permissions(self, auth: Auth) -> None:
        ada = await auth.register()
        answer = await auth.http.get("/auth/token-info", headers=ada.headers)
        info = answer.json()
        assert answer.status_code == 200
        assert (info["via"], info["role"], info["organisation_id"]) == ("session", "owner", ada.organisation["id"])
        assert {"account:manage", "jobs:write"} <= set(info["permissions"])
        assert info["printer_ids"] is None
        assert info["issued_at"] < info["expires_at"]
        assert info["authenticated_at"] is not None
        assert info["session"]["current"] is True

    async def test_of_a_bridge_has_no_session(self, auth: Auth) -> None:
        ada = await auth.register()
        made = (await auth.post("/bridges", {"name": "Workshop"}, headers=ada.headers)).json()
        access = (await auth.post("/auth/bridge-token", {"bridge_token": made["bridge_token"]})).json()
        headers = {"Authorization": f"Bearer {access['access_token']}"}
        info = (await auth.http.get("/auth/token-info", headers=headers)).json()
        assert (info["via"], info["role"], info["subject"]) == ("bridge", "bridge", made["bridge"]["id"])
        assert (info["session"], info["authenticated_at"]) == (None, None)
        assert info["permissions"] == ["bridge:work"]

    async def test_is_not_for_strangers(self, auth: Auth) -> None:
        assert (await auth.http.get("/auth/token-info")).status_code == 401


@pytest.mark.parametrize("path", ["/auth/sessions", "/auth/sessions/session_0193a5c8f2d07c4e8b1f6a2d3c4b5a69"])
class TestMachines:
    async def test_have_no_sessions(self, auth: Auth, path: str) -> None:
        ada = await auth.register()
        body = {"name": "script", "scopes": ["organisation:read"]}
        key = (await auth.post("/api-keys", body, headers=ada.headers)).json()
        method = "GET" if path.endswith("sessions") else "DELETE"
        answer = await auth.http.request(method, path, headers={"X-API-Key": key["secret"]})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def until_somebody_waits(auth: Auth) -> None:
    """Until a request waits for a lock that somebody else has."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while not await auth.value(waiting):
            await asyncio.sleep(0.02)


class TestEndingSeveral:
    async def test_they_are_locked_in_one_order(self, lone_auth: Auth) -> None:
        """Or two who end sessions of the same person would wait for each other."""
        ada = await lone_auth.register()
        await lone_auth.log_in(ada.email)
        first, second = (row["id"] for row in await lone_auth.fetch("SELECT id FROM auth.session ORDER BY id"))
        # Behind the second, as after any refresh: whoever takes them as they lie takes the second first.
        await lone_auth.fetch("UPDATE auth.session SET expires_at = expires_at + interval '1 s' WHERE id = $1", first)
        async with connected(lone_auth.database.url) as other, other.transaction():
            await other.execute("SELECT FROM auth.session WHERE id = $1 FOR UPDATE", first)
            ending = asyncio.create_task(lone_auth.post("/auth/logout-all", headers=ada.headers))
            await until_somebody_waits(lone_auth)
            await other.execute("SELECT FROM auth.session WHERE id = $1 FOR UPDATE NOWAIT", second)
        assert (await ending).status_code in (200, 204)
