"""Sessions in a cookie, for browsers: no script reads it, and nobody else's page uses it."""

from collections.abc import AsyncIterator
from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx
import pytest

from support.auth import PASSWORD, Auth, Person, at_once, registration, running_auth
from support.servers import Database

ORIGIN = "https://print.example.org"
FRONT = "https://app.example.org"
NAME = "__Secure-fluxprint_refresh"


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Auth]:
    """The service behind TLS, with a front end of another origin."""
    async with running_auth(database, public_url=ORIGIN, cors_origins=(FRONT,)) as auth:
        yield auth


class Browser:
    """Keeps what a browser keeps: the cookie, which it sends by itself, and what its page was told."""

    def __init__(self, auth: Auth, *, name: str = NAME) -> None:
        self.auth = auth
        self.name = name
        self.cookie = ""
        self.tokens: dict[str, Any] = {}

    async def sign_in(self, person: Person) -> httpx.Response:
        body = {"email": person.email, "password": PASSWORD, "carry": "cookie"}
        answer = await self.auth.post("/auth/login", body)
        assert answer.status_code == 200, answer.text
        self.keep(answer)
        return answer

    def keep(self, answer: httpx.Response) -> None:
        if "set-cookie" in answer.headers:
            self.cookie = morsel(answer, self.name).value
        if answer.status_code == 200:
            self.tokens = answer.json()

    async def send(self, path: str, body: object = None, **headers: str | None) -> httpx.Response:
        """A POST as the page's script makes it; a header that is None is left out."""
        sent = {"Origin": ORIGIN, "X-CSRF-Token": self.tokens["csrf_token"], "Cookie": f"{self.name}={self.cookie}"}
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in (sent | changed).items() if value is not None}
        return await self.auth.post(path, body, headers=given)

    async def refresh(self, **headers: str | None) -> httpx.Response:
        answer = await self.send("/auth/refresh", **headers)
        self.keep(answer)
        return answer


def morsel(answer: httpx.Response, name: str = NAME) -> Morsel[str]:
    cookies = [SimpleCookie(header) for header in answer.headers.get_list("set-cookie")]
    return next(cookie[name] for cookie in cookies if name in cookie)


def is_taken_away(answer: httpx.Response) -> bool:
    cookie = morsel(answer)
    return cookie.value == "" and cookie["max-age"] == "0" and cookie["path"] == "/api/v1/auth"


class TestCookie:
    async def test_is_out_of_reach_of_scripts_and_other_paths(self, site: Auth) -> None:
        answer = await Browser(site).sign_in(await site.register())
        cookie = morsel(answer)
        assert cookie["httponly"] is True
        assert cookie["secure"] is True
        assert cookie["samesite"] == "strict"
        assert cookie["path"] == "/api/v1/auth"
        assert cookie["domain"] == ""
        assert int(cookie["max-age"]) == answer.json()["refresh_expires_in_s"]
        assert cookie.value.startswith("fxr_")

    async def test_is_the_only_place_of_the_refresh_token(self, site: Auth) -> None:
        answer = await Browser(site).sign_in(await site.register())
        assert answer.json()["refresh_token"] is None
        assert morsel(answer).value not in answer.text

    async def test_is_not_made_unless_it_is_asked_for(self, site: Auth) -> None:
        ada = await site.register()
        answer = await site.post("/auth/login", {"email": ada.email, "password": PASSWORD})
        assert "set-cookie" not in answer.headers
        assert answer.json()["csrf_token"] is None
        refreshed = await site.refresh(answer.json()["refresh_token"])
        assert "set-cookie" not in refreshed.headers

    async def test_comes_with_a_registration_too(self, site: Auth) -> None:
        answer = await site.post("/auth/register", registration("ada@example.org", carry="cookie"))
        assert answer.status_code == 201
        assert morsel(answer).value.startswith("fxr_")
        assert answer.json()["tokens"]["refresh_token"] is None

    async def test_without_tls_has_neither_secure_nor_the_prefix(self, auth: Auth) -> None:
        answer = await Browser(auth, name="fluxprint_refresh").sign_in(await auth.register())
        cookie = morsel(answer, "fluxprint_refresh")
        assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == ("", True, "strict")

    async def test_opens_nothing_but_refresh_and_logout(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        headers = {"Cookie": f"{NAME}={browser.cookie}", "Origin": ORIGIN, "X-CSRF-Token": browser.tokens["csrf_token"]}
        assert (await site.http.get("/auth/me", headers=headers)).status_code == 401
        assert (await site.post("/auth/logout-all", headers=headers)).status_code == 401


class TestRefreshing:
    async def test_puts_the_next_token_into_the_cookie(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        first, csrf_token = browser.cookie, browser.tokens["csrf_token"]
        for _ in range(3):
            assert (await browser.refresh()).status_code == 200
            assert browser.tokens["refresh_token"] is None
            assert browser.tokens["csrf_token"] == csrf_token  # other tabs have it too
        assert browser.cookie != first
        me = {"Authorization": f"Bearer {browser.tokens['access_token']}"}
        assert (await site.http.get("/auth/me", headers=me)).status_code == 200

    async def test_fifty_times_at_once_gives_one_cookie(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        answers = await at_once(50, lambda: browser.send("/auth/refresh"))
        assert {answer.status_code for answer in answers} == {200}
        assert len({morsel(answer).value for answer in answers}) == 1

    async def test_from_an_allowed_origin_is_answered_with_credentials(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        answer = await browser.refresh(Origin=FRONT)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == FRONT
        assert answer.headers["access-control-allow-credentials"] == "true"
        preflight = await site.http.options(
            "/auth/refresh",
            headers={
                "Origin": FRONT,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "X-CSRF-Token",
            },
        )
        assert preflight.status_code == 200
        assert "X-CSRF-Token" in preflight.headers["access-control-allow-headers"]

    async def test_with_a_used_up_cookie_ends_the_session_and_takes_it_away(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        stale = browser.cookie
        await browser.refresh()
        await browser.refresh()
        browser.cookie = stale
        answer = await browser.send("/auth/refresh")
        assert (answer.status_code, answer.json()["code"]) == (401, "refresh_token_reused")
        assert is_taken_away(answer)
        assert await site.value("SELECT end_reason FROM auth.session WHERE ended_at IS NOT NULL") == "token_reused"

    @pytest.mark.parametrize("cookie", ["", "x", "fxr_" + "0" * 49])
    async def test_with_what_is_no_token_takes_the_cookie_away(self, site: Auth, cookie: str) -> None:
        answer = await site.post("/auth/refresh", headers={"Cookie": f"{NAME}={cookie}", "Origin": ORIGIN})
        assert (answer.status_code, answer.json()["code"]) == (401, "refresh_token_invalid")
        assert is_taken_away(answer)

    async def test_a_token_in_the_body_goes_before_the_cookie(self, site: Auth) -> None:
        ada = await site.register()
        browser = Browser(site)
        await browser.sign_in(ada)
        answer = await site.post(
            "/auth/refresh",
            {"refresh_token": ada.tokens["refresh_token"]},
            headers={"Cookie": f"{NAME}={browser.cookie}"},
        )
        assert answer.json()["refresh_token"] is not None
        assert "set-cookie" not in answer.headers

    async def test_a_body_can_move_into_a_cookie(self, site: Auth) -> None:
        ada = await site.register()
        body = {"refresh_token": ada.tokens["refresh_token"], "carry": "cookie"}
        answer = await site.post("/auth/refresh", body)
        assert answer.json()["refresh_token"] is None
        assert morsel(answer).value.startswith("fxr_")


class TestForgery:
    @pytest.mark.parametrize(
        "headers",
        [
            {"X_CSRF_Token": None},
            {"X_CSRF_Token": ""},
            {"X_CSRF_Token": "A" * 43},
            {"Origin": None},
            {"Origin": "null"},
            {"Origin": "https://evil.example.org"},
            {"Origin": f"{ORIGIN}.evil.example.org"},
            {"Origin": ORIGIN.replace("https", "http")},
        ],
    )
    @pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
    async def test_is_refused_recorded_and_changes_nothing(
        self, site: Auth, path: str, headers: dict[str, str | None]
    ) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        answer = await browser.send(path, **headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_invalid_token")
        assert "set-cookie" not in answer.headers
        (event,) = await site.fetch("SELECT * FROM auth.security_events WHERE type = 'csrf_invalid_token'")
        assert (event["outcome"], event["reason"]) == ("failure", "origin" if "Origin" in headers else "token")
        assert event["user_id"] is not None
        assert await site.value("SELECT count(*) FROM auth.refresh_token WHERE rotated_at IS NOT NULL") == 0
        assert (await browser.refresh()).status_code == 200

    async def test_is_not_possible_with_the_token_of_another_session(self, site: Auth) -> None:
        """Somebody who has an account here knows a valid token: their own."""
        victim, attacker = Browser(site), Browser(site)
        ada = await site.register()
        await victim.sign_in(ada)
        await attacker.sign_in(await site.register())
        answer = await victim.send("/auth/refresh", X_CSRF_Token=attacker.tokens["csrf_token"])
        assert answer.json()["code"] == "csrf_invalid_token"
        await attacker.sign_in(ada)  # nor with that of another session of the same person
        answer = await victim.send("/auth/refresh", X_CSRF_Token=attacker.tokens["csrf_token"])
        assert answer.json()["code"] == "csrf_invalid_token"

    async def test_is_counted(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        await browser.send("/auth/refresh", X_CSRF_Token=None)
        metrics = site.app.state.metrics.registry
        assert metrics.get_sample_value("csrf_refused_total") == 1

    async def test_tokens_hold_while_the_secret_is_replaced(self, database: Database) -> None:
        async with running_auth(database, public_url=ORIGIN, secret="a" * 40) as auth:
            browser = Browser(auth)
            await browser.sign_in(await auth.register())
        async with running_auth(database, public_url=ORIGIN, secret="b" * 40, previous_secret="a" * 40) as auth:
            browser.auth = auth
            old = browser.tokens["csrf_token"]
            assert (await browser.refresh()).status_code == 200
            assert browser.tokens["csrf_token"] != old
            assert (await browser.refresh()).status_code == 200


class TestCsrfToken:
    async def test_is_shown_again_to_a_page_that_was_loaded_again(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        answer = await site.http.get("/auth/csrf-token", headers={"Cookie": f"{NAME}={browser.cookie}"})
        assert answer.json() == {"csrf_token": browser.tokens["csrf_token"]}
        assert answer.headers["cache-control"] == "no-store"

    async def test_is_not_shown_to_pages_of_other_origins(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        headers = {"Cookie": f"{NAME}={browser.cookie}", "Origin": "https://evil.example.org"}
        answer = await site.http.get("/auth/csrf-token", headers=headers)
        assert "access-control-allow-origin" not in answer.headers  # so that no browser lets them read it

    async def test_is_not_shown_without_a_session(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        headers = {"Cookie": f"{NAME}={browser.cookie}"}
        await browser.send("/auth/logout")
        assert (await site.http.get("/auth/csrf-token", headers=headers)).status_code == 401
        assert (await site.http.get("/auth/csrf-token")).status_code == 401


class TestLoggingOut:
    async def test_by_cookie_ends_the_session_and_takes_the_cookie_away(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        answer = await browser.send("/auth/logout")
        assert (answer.status_code, answer.content) == (204, b"")
        assert is_taken_away(answer)
        assert (await browser.refresh()).json()["code"] == "refresh_token_invalid"
        assert (await site.events())[-1] == "auth_logged_out"

    async def test_by_access_token_takes_the_cookie_away_too(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        headers = {"Authorization": f"Bearer {browser.tokens['access_token']}", "Cookie": f"{NAME}={browser.cookie}"}
        answer = await site.post("/auth/logout", headers=headers)
        assert answer.status_code == 204
        assert is_taken_away(answer)

    async def test_by_a_cookie_whose_session_is_over_is_no_error(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        assert (await browser.send("/auth/logout")).status_code == 204
        assert (await browser.send("/auth/logout")).status_code == 204

    async def test_everywhere_takes_the_cookie_away(self, site: Auth) -> None:
        browser = Browser(site)
        await browser.sign_in(await site.register())
        headers = {"Authorization": f"Bearer {browser.tokens['access_token']}", "Cookie": f"{NAME}={browser.cookie}"}
        answer = await site.post("/auth/logout-all", headers=headers)
        assert answer.json()["ended"] == 2
        assert is_taken_away(answer)
