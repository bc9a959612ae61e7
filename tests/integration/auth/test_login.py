"""Signing in, and being kept from guessing."""

import asyncio

import pytest
from argon2 import extract_parameters
from pydantic import SecretStr

from fluxprint_auth.accounts.passwords import Passwords
from support.auth import PASSWORD, Auth, patiently, running_auth
from support.servers import Database


class TestLoggingIn:
    async def test_gives_tokens_that_work(self, auth: Auth) -> None:
        ada = await auth.register()
        tokens = await auth.log_in(ada.email.upper())
        assert tokens["token_type"] == "Bearer"
        assert tokens["expires_in_s"] == 900
        assert tokens["refresh_expires_in_s"] == 7 * 86400
        me = await auth.http.get("/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
        assert me.status_code == 200

    async def test_a_stranger_and_a_wrong_password_look_alike(
        self, auth: Auth, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada = await auth.register()
        hashed: list[bool] = []
        verify = Passwords._verify

        def counted(self: Passwords, stored: str | None, password: str) -> bool:
            hashed.append(stored is not None)
            return verify(self, stored, password)

        monkeypatch.setattr(Passwords, "_verify", counted)
        wrong = await auth.post("/auth/login", {"email": ada.email, "password": "wrong password"})
        stranger = await auth.post("/auth/login", {"email": "nobody@example.org", "password": "wrong password"})
        assert hashed == [True, False]  # the stranger cost a hash as well
        assert wrong.status_code == stranger.status_code == 401
        assert wrong.json() | {"request_id": ""} == stranger.json() | {"request_id": ""}
        assert wrong.headers["WWW-Authenticate"].startswith("Bearer")

    async def test_renews_a_hash_of_other_parameters(self, lone_auth: Auth, database: Database) -> None:
        ada = await lone_auth.register()
        async with running_auth(database, argon2_memory_kib=9000, argon2_time_cost=2) as stronger:
            await stronger.log_in(ada.email)
            stored = extract_parameters(await stronger.value('SELECT password_hash FROM auth."user"'))
            await stronger.log_in(ada.email)
        assert (stored.memory_cost, stored.time_cost) == (9000, 2)


class TestLockout:
    @pytest.fixture(params=["known", "unknown"])
    async def email(self, request: pytest.FixtureRequest, lone_auth: Auth) -> str:
        if request.param == "known":
            return (await lone_auth.register()).email
        return "nobody@example.org"

    async def fail(self, auth: Auth, email: str) -> tuple[int, str]:
        answer = await patiently(lambda: auth.post("/auth/login", {"email": email, "password": "wrong password"}))
        return answer.status_code, answer.json()["code"]

    async def counted(self, auth: Auth) -> list[int]:
        return [row["failures"] for row in await auth.fetch("SELECT failures FROM auth.login_throttle")]

    async def test_five_failures_lock_for_a_quarter_of_an_hour(self, lone_auth: Auth, email: str) -> None:
        for _ in range(5):
            assert await self.fail(lone_auth, email) == (401, "invalid_credentials")
        answer = await lone_auth.post("/auth/login", {"email": email, "password": PASSWORD})
        assert answer.status_code == 429
        assert answer.json()["code"] == "account_locked"
        assert 890 < int(answer.headers["Retry-After"]) <= 900
        assert "auth_lockout_triggered" in await lone_auth.events()

    async def test_fifty_guesses_at_once_get_no_more_than_five_answers(self, lone_auth: Auth, email: str) -> None:
        answers = await asyncio.gather(*(self.fail(lone_auth, email) for _ in range(50)))
        assert sorted(answers) == [(401, "invalid_credentials")] * 5 + [(429, "account_locked")] * 45
        events = await lone_auth.events()
        assert events.count("auth_login_failed") == 5
        assert events.count("auth_lockout_triggered") == 1

    async def test_ends_by_itself_and_then_counts_from_one(self, lone_auth: Auth, email: str) -> None:
        for _ in range(5):
            await self.fail(lone_auth, email)
        await lone_auth.fetch(
            "UPDATE auth.login_throttle SET locked_until = now() - interval '1 s' WHERE locked_until IS NOT NULL"
        )
        assert await self.fail(lone_auth, email) == (401, "invalid_credentials")
        assert min(await self.counted(lone_auth)) == 1

    async def test_failures_are_forgotten_after_an_hour(self, lone_auth: Auth, email: str) -> None:
        for _ in range(4):
            await self.fail(lone_auth, email)
        await lone_auth.fetch("UPDATE auth.login_throttle SET last_failed_at = now() - interval '61 min'")
        for _ in range(4):
            assert await self.fail(lone_auth, email) == (401, "invalid_credentials")

    async def test_signing_in_forgets_failures(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        for _ in range(3):
            for _ in range(4):
                await self.fail(lone_auth, ada.email)
            await lone_auth.log_in(ada.email)

    async def test_many_right_logins_at_once_lock_nobody_out(self, auth: Auth) -> None:
        ada = await auth.register()
        tokens = await asyncio.gather(*(auth.log_in(ada.email) for _ in range(20)))
        assert len({token["refresh_token"] for token in tokens}) == 20


class TestLimits:
    async def test_without_redis_the_lockout_still_holds(self, database: Database) -> None:
        away = SecretStr("redis://127.0.0.1:1/0")
        async with running_auth(database, rate_limits_enabled=True, redis_url=away) as auth:
            ada = await auth.register()
            assert await auth.log_in(ada.email)
            codes = []
            for _ in range(6):
                answer = await auth.post("/auth/login", {"email": ada.email, "password": "wrong password"})
                codes.append(answer.json()["code"])
        assert codes == ["invalid_credentials"] * 5 + ["account_locked"]

    async def test_by_address_and_by_account(self, database: Database) -> None:
        async with running_auth(
            database, rate_limits_enabled=True, limit_login="6/minute", limit_login_account="2/minute"
        ) as auth:

            async def attempt(email: str) -> str:
                answer = await auth.post("/auth/login", {"email": email, "password": "wrong password"})
                return str(answer.headers.get("RateLimit-Policy", answer.json()["code"]))

            of_one = [await attempt("one@example.org") for _ in range(3)]
            of_others = [await attempt(f"{i}@example.org") for i in range(4)]
        assert of_one == ["invalid_credentials", "invalid_credentials", '"login_account";q=2;w=60']
        assert of_others == ["invalid_credentials"] * 3 + ['"login";q=6;w=60']
