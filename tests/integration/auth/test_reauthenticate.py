"""Proving again who one is: what sensitive changes ask for."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.auth import PASSWORD, Auth, Person, running_auth
from support.factors import App, challenge, finish, forget_step, set_up
from support.mail import MailFolder
from support.servers import Database


@pytest.fixture
async def ada(auth: Auth) -> Person:
    return await auth.register()


async def grow_stale(auth: Auth, person: Person, *, minutes: int = 11) -> None:
    """Somebody signed in a while ago, and their client has refreshed since."""
    await auth.fetch(
        "UPDATE auth.session SET authenticated_at = authenticated_at - make_interval(mins => $2)"
        " FROM auth.user WHERE auth.user.id = user_id AND email = $1",
        person.email,
        minutes,
    )
    person.tokens = (await auth.refresh(person.tokens["refresh_token"])).json()


async def prove(auth: Auth, person: Person, **proof: str) -> httpx.Response:
    return await auth.post("/auth/reauthenticate", proof, headers=person.headers)


async def change_something(auth: Auth, access_token: str) -> httpx.Response:
    """Try what needs a fresh proof, and changes nothing here."""
    return await auth.http.delete("/auth/second-factor", headers={"Authorization": f"Bearer {access_token}"})


class TestFreshness:
    async def test_holds_after_signing_in(self, auth: Auth, ada: Person) -> None:
        assert (await change_something(auth, ada.tokens["access_token"])).status_code == 404  # there is none

    async def test_ends_after_ten_minutes_whatever_is_refreshed(self, auth: Auth, ada: Person) -> None:
        await grow_stale(auth, ada)
        answer = await change_something(auth, ada.tokens["access_token"])
        assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")
        assert 'error="insufficient_user_authentication"' in answer.headers["WWW-Authenticate"]
        assert 'max_age="600"' in answer.headers["WWW-Authenticate"]

    async def test_what_needs_none_works_on(self, auth: Auth, ada: Person) -> None:
        await grow_stale(auth, ada)
        assert (await auth.http.get("/auth/second-factor", headers=ada.headers)).status_code == 200


class TestWithThePassword:
    async def test_makes_sensitive_changes_possible_again(self, auth: Auth, ada: Person) -> None:
        await grow_stale(auth, ada)
        answer = await prove(auth, ada, password=PASSWORD)
        assert answer.status_code == 200
        assert (await change_something(auth, answer.json()["access_token"])).status_code == 404
        assert "refresh_token" not in answer.json()

    async def test_the_session_stays_and_its_next_tokens_are_fresh_too(self, auth: Auth, ada: Person) -> None:
        await grow_stale(auth, ada)
        await prove(auth, ada, password=PASSWORD)
        tokens = (await auth.refresh(ada.tokens["refresh_token"])).json()
        assert (await change_something(auth, tokens["access_token"])).status_code == 404

    async def test_a_wrong_one_is_told_and_audited(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        answer = await prove(lone_auth, ada, password="wrong password")
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_password")
        rows = await lone_auth.fetch("SELECT outcome, reason, session_id FROM auth.security_events WHERE type = $1",
                                     "auth_reauthentication_failed")  # fmt: skip
        assert [(row["outcome"], row["reason"]) for row in rows] == [("failure", "wrong_password")]
        assert rows[0]["session_id"] is not None

    async def test_five_wrong_ones_at_once_or_one_by_one_lock(self, auth: Auth, ada: Person) -> None:
        answers = await asyncio.gather(*(prove(auth, ada, password="wrong password") for _ in range(20)))
        codes = [answer.json()["code"] for answer in answers]
        assert sorted(codes) == ["account_locked"] * 15 + ["wrong_password"] * 5
        assert (await prove(auth, ada, password=PASSWORD)).json()["code"] == "account_locked"

    async def test_is_limited(self, database: Database) -> None:
        async with running_auth(database, rate_limits_enabled=True, limit_reauthenticate="2/minute") as auth:
            ada = await auth.register()
            answers = [await prove(auth, ada, password=PASSWORD) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]

    async def test_who_has_none_is_told_what_to_do(self, auth: Auth, ada: Person) -> None:
        await auth.fetch("UPDATE auth.user SET password_hash = NULL WHERE email = $1", ada.email)
        answer = await prove(auth, ada, password=PASSWORD)
        assert (answer.status_code, answer.json()["code"]) == (409, "no_proof_possible")

    @pytest.mark.parametrize("body", [{}, {"password": PASSWORD, "code": "123456"}, {"password": None}])
    async def test_wants_one_of_both(self, auth: Auth, ada: Person, body: dict[str, Any]) -> None:
        assert (await auth.post("/auth/reauthenticate", body, headers=ada.headers)).status_code == 422


class TestWithASecondFactor:
    @pytest.fixture
    async def app(self, auth: Auth, ada: Person) -> App:
        return await set_up(auth, ada)

    async def test_its_code_suffices(self, auth: Auth, ada: Person, app: App) -> None:
        await grow_stale(auth, ada)
        answer = await prove(auth, ada, code=app.code())
        assert (await change_something(auth, answer.json()["access_token"])).status_code == 204

    async def test_a_recovery_code_does_too(self, auth: Auth, ada: Person, app: App) -> None:
        await grow_stale(auth, ada)
        assert (await prove(auth, ada, code=app.recovery_codes[0])).status_code == 200
        assert (await prove(auth, ada, code=app.recovery_codes[0])).status_code == 403

    async def test_the_password_does_not(self, auth: Auth, ada: Person, app: App) -> None:
        answer = await prove(auth, ada, password=PASSWORD)
        assert (answer.status_code, answer.json()["code"]) == (422, "wrong_proof")
        assert answer.json()["errors"][0]["pointer"] == "/code"

    async def test_a_code_is_taken_once(self, auth: Auth, ada: Person, app: App) -> None:
        code = app.code()
        answers = await asyncio.gather(*(prove(auth, ada, code=code) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 403, 403, 403, 403]

    async def test_wrong_codes_lock_here_and_when_signing_in(self, auth: Auth, ada: Person, app: App) -> None:
        for _ in range(5):
            assert (await prove(auth, ada, code=app.wrong)).json()["code"] == "second_factor_invalid"
        assert (await prove(auth, ada, code=app.code())).json()["code"] == "second_factor_locked"
        assert (await finish(auth, await challenge(auth, ada), app.code())).json()["code"] == "second_factor_locked"


class TestTurningItOn:
    async def test_other_sessions_prove_anew(self, auth: Auth, ada: Person) -> None:
        elsewhere = Person(ada.email, await auth.log_in(ada.email))
        app = await set_up(auth, ada)
        assert (await auth.http.get("/auth/me", headers=elsewhere.headers)).status_code == 401
        elsewhere.tokens = (await auth.refresh(elsewhere.tokens["refresh_token"])).json()
        assert (await auth.http.get("/auth/me", headers=elsewhere.headers)).status_code == 200
        refused = await change_something(auth, elsewhere.tokens["access_token"])
        assert refused.json()["code"] == "reauthentication_required"
        await forget_step(auth)
        answer = await prove(auth, elsewhere, code=app.code())
        assert (await change_something(auth, answer.json()["access_token"])).status_code == 204

    async def test_this_session_goes_on(self, auth: Auth, ada: Person) -> None:
        await set_up(auth, ada)
        assert (await change_something(auth, ada.tokens["access_token"])).status_code == 204


class TestSensitiveChanges:
    """Which routes these are, tests/unit/repository/test_fresh_routes.py says."""

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/auth/second-factor"),
            ("POST", "/auth/second-factor/confirm"),
            ("POST", "/auth/second-factor/recovery-codes"),
            ("DELETE", "/auth/second-factor"),
            ("DELETE", f"/auth/identities/identity_{'0' * 32}"),
            ("POST", "/api-keys"),
            ("POST", "/bridges"),
            ("POST", "/organisations/current/transfer"),
        ],
    )
    async def test_are_refused_to_who_signed_in_a_while_ago(
        self, auth: Auth, ada: Person, method: str, path: str
    ) -> None:
        await grow_stale(auth, ada)
        answer = await auth.http.request(method, path, json=None if method == "DELETE" else {}, headers=ada.headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")


class TestNotices:
    async def test_tell_of_every_change(self, database: Database, tmp_path: Path) -> None:
        async with running_auth(database, mail_dir=tmp_path) as auth:
            ada = await auth.register()
            app = await set_up(auth, ada)
            await prove(auth, ada, code=app.recovery_codes[0])
            await auth.post("/auth/second-factor/recovery-codes", headers=ada.headers)
            await auth.http.delete("/auth/second-factor", headers=ada.headers)
            folder = MailFolder(tmp_path)
            await folder.next_to(ada.email, 5)  # the first one asks to verify the address
            subjects = {str(mail["Subject"]) for mail in folder.to(ada.email)}
            assert subjects >= {
                "Your second factor was turned on",
                "One of your recovery codes was used",
                "Your recovery codes were replaced by new ones",
                "Your second factor was turned off",
            }
