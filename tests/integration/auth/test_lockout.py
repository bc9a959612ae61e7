"""Guessing is stopped, and nobody locks others out at will."""

import asyncio

import httpx
import pytest

from fluxprint_auth.accounts import login
from support.auth import PASSWORD, Auth, client_of, patiently, running_auth
from support.servers import Database

WRONG = "wrong password"
HOME, CAFE, ELSEWHERE = "198.51.100.7", "203.0.113.9", "192.0.2.44"


async def attempt(auth: Auth, email: str, password: str = WRONG, *, at_: str = HOME, **more: object) -> httpx.Response:
    async with client_of(auth.app, address=at_) as http:
        return await http.post("/auth/login", json={"email": email, "password": password, **more})


async def code(auth: Auth, email: str, password: str = WRONG, *, at_: str = HOME, **more: object) -> str:
    answer = await patiently(lambda: attempt(auth, email, password, at_=at_, **more))
    return str(answer.json().get("code", "in"))


async def fail(auth: Auth, email: str, times: int, *, at_: str) -> list[str]:
    return [await code(auth, email, at_=at_) for _ in range(times)]


@pytest.fixture(params=["known", "unknown"])
async def email(request: pytest.FixtureRequest, lone_auth: Auth) -> str:
    return (await lone_auth.register()).email if request.param == "known" else "nobody@example.org"


class TestNetworks:
    async def test_failures_of_one_lock_the_account_for_it_alone(self, lone_auth: Auth, email: str) -> None:
        assert await fail(lone_auth, email, 6, at_=CAFE) == ["invalid_credentials"] * 5 + ["account_locked"]
        assert await code(lone_auth, email, at_=HOME) == "invalid_credentials"

    async def test_an_address_beside_is_the_same_network(self, lone_auth: Auth, email: str) -> None:
        await fail(lone_auth, email, 5, at_="2001:db8:1::1")
        assert await code(lone_auth, email, at_="2001:db8:1:ffff::2") == "account_locked"
        assert await code(lone_auth, email, at_="2001:db8:2::1") == "invalid_credentials"
        await fail(lone_auth, email, 4, at_="203.0.113.1")
        assert await fail(lone_auth, email, 2, at_="203.0.113.200") == ["invalid_credentials", "account_locked"]

    async def test_the_owner_signs_in_from_another_one(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        await fail(lone_auth, ada.email, 5, at_=CAFE)
        assert await code(lone_auth, ada.email, PASSWORD, at_=HOME) == "in"

    async def test_many_together_lock_the_account_for_all_that_it_does_not_know(self, database: Database) -> None:
        async with running_auth(database, lockout_account_failures=8) as auth:
            ada = await auth.register()
            assert await code(auth, ada.email, PASSWORD, at_=HOME) == "in"
            for n in range(4):
                await fail(auth, ada.email, 2, at_=f"203.0.{n}.1")
            assert await code(auth, ada.email, PASSWORD, at_=ELSEWHERE) == "account_locked"
            assert await code(auth, ada.email, PASSWORD, at_=HOME) == "in"  # ada signed in from there before
            assert await code(auth, "bob@example.org", at_=ELSEWHERE) == "invalid_credentials"

    async def test_few_guesses_at_each_of_many_accounts_lock_the_network(self, database: Database) -> None:
        async with running_auth(database, lockout_network_failures=6) as auth:
            ada = await auth.register()
            device = (await attempt(auth, ada.email, PASSWORD, at_=CAFE)).json()["device_token"]
            codes = [await code(auth, f"{n}@example.org", at_=CAFE) for n in range(8)]
            assert codes == ["invalid_credentials"] * 6 + ["account_locked"] * 2
            assert await code(auth, ada.email, PASSWORD, at_=CAFE, device_token=device) == "in"
            assert await code(auth, "6@example.org", at_=HOME) == "invalid_credentials"

    async def test_guesses_from_many_at_once_get_no_more_than_they_all_may(self, database: Database) -> None:
        async with running_auth(database, lockout_account_failures=10) as auth:
            ada = await auth.register()
            guesses = (code(auth, ada.email, at_=f"203.0.{n}.1") for n in range(40))
            answers = await asyncio.gather(*guesses)
        assert sorted(answers) == ["account_locked"] * 30 + ["invalid_credentials"] * 10


class TestTrustedDevices:
    async def test_strangers_in_the_same_network_do_not_lock_them_out(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        device = (await attempt(lone_auth, ada.email, PASSWORD, at_=CAFE)).json()["device_token"]
        assert device.startswith("fxd_")
        await fail(lone_auth, ada.email, 5, at_=CAFE)
        assert await code(lone_auth, ada.email, PASSWORD, at_=CAFE) == "account_locked"
        answer = await attempt(lone_auth, ada.email, PASSWORD, at_=CAFE, device_token=device)
        assert answer.json()["device_token"] == device

    async def test_nor_do_rate_limits_that_strangers_used_up(self, database: Database) -> None:
        async with running_auth(database, rate_limits_enabled=True, limit_login_account="6/hour") as auth:
            ada = await auth.register()
            device = (await attempt(auth, ada.email, PASSWORD, at_=CAFE)).json()["device_token"]
            await fail(auth, ada.email, 8, at_="203.0.113.200")
            assert await code(auth, ada.email, PASSWORD, at_=CAFE, device_token=device) == "in"

    async def test_have_five_tries_of_their_own(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        device = (await attempt(lone_auth, ada.email, PASSWORD)).json()["device_token"]
        codes = [await code(lone_auth, ada.email, device_token=device, at_=f"203.0.{n}.1") for n in range(6)]
        assert codes == ["invalid_credentials"] * 5 + ["account_locked"]
        assert await code(lone_auth, ada.email, PASSWORD, at_=HOME) == "in"  # and cost others none

    async def test_are_trusted_by_one_account_only(self, lone_auth: Auth) -> None:
        ada, eve = await lone_auth.register(), await lone_auth.register()
        device = (await attempt(lone_auth, eve.email, PASSWORD, at_=CAFE)).json()["device_token"]
        await fail(lone_auth, ada.email, 5, at_=CAFE)
        assert await code(lone_auth, ada.email, PASSWORD, at_=CAFE, device_token=device) == "account_locked"

    async def test_in_a_browser_a_cookie_does_it(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        async with client_of(lone_auth.app, address=CAFE) as browser:
            body = {"email": ada.email, "password": PASSWORD, "carry": "cookie"}
            answer = await browser.post("/auth/login", json=body)
            assert answer.json()["device_token"] is None
            cookie = next(c for c in answer.headers.get_list("Set-Cookie") if c.startswith("fluxprint_device="))
            assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/api/v1/auth"))
            await fail(lone_auth, ada.email, 5, at_=CAFE)
            assert (await browser.post("/auth/login", json=body)).status_code == 200

    async def test_are_known_by_a_hash_and_forgotten_with_the_password(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        tokens = (await attempt(lone_auth, ada.email, PASSWORD, at_=CAFE)).json()
        assert tokens["device_token"] not in str(await lone_auth.fetch("SELECT t::text FROM auth.trusted_device t"))
        body = {"current_password": PASSWORD, "new_password": "quite another secret"}
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await lone_auth.post("/auth/password", body, headers=headers)).status_code == 204
        assert await lone_auth.value("SELECT count(*) FROM auth.trusted_device") == 0

    async def test_are_few(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        await asyncio.gather(*(lone_auth.log_in(ada.email) for _ in range(30)))
        await lone_auth.log_in(ada.email)
        assert await lone_auth.value("SELECT count(*) FROM auth.trusted_device") == 20


class TestUnlocking:
    async def test_forgets_what_was_counted_for_the_account(self, lone_auth: Auth, email: str) -> None:
        await fail(lone_auth, email, 5, at_=CAFE)
        await fail(lone_auth, "other@example.org", 5, at_=CAFE)
        async with lone_auth.app.state.database.unit_of_work() as session:
            await login.unlock(session, email)
        assert await code(lone_auth, email, at_=CAFE) == "invalid_credentials"
        assert await code(lone_auth, "other@example.org", at_=CAFE) == "account_locked"
