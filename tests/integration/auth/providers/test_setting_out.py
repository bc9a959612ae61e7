"""Which providers there are, and the way to one: what it is asked for, and where it may send the browser back to."""

from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from support.auth import Auth, running_auth
from support.providers import APP, PUBLIC_URL, Journey, OidcServer, settings_for
from support.servers import Database


class TestList:
    async def test_shows_what_is_configured(self, auth: Auth) -> None:
        answer = await auth.http.get("/auth/providers")
        assert answer.json() == {"providers": [{"name": "oidc", "title": "Single sign-on"}]}

    async def test_is_empty_where_nothing_is(self, lone_auth: Auth) -> None:
        assert (await lone_auth.http.get("/auth/providers")).json() == {"providers": []}
        assert (await Journey(lone_auth).start()).status_code == 404

    async def test_shows_the_well_known_ones(self, database: Database) -> None:
        async with running_auth(
            database,
            provider_google_client_id="g",
            provider_google_client_secret=SecretStr("secret"),
            provider_github_client_id="h",
            provider_github_client_secret=SecretStr("secret"),
        ) as auth:
            shown = (await auth.http.get("/auth/providers")).json()["providers"]
        assert [one["title"] for one in shown] == ["Google", "GitHub"]


class TestSettingOut:
    async def test_asks_for_a_code_with_pkce_state_and_nonce(self, journey: Journey, provider: OidcServer) -> None:
        address = await journey.set_out()
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{provider.url}/oauth2/authorize?")
        assert query["response_type"] == "code"
        assert query["redirect_uri"] == f"{PUBLIC_URL}/api/v1/auth/providers/oidc/callback"
        assert query["code_challenge_method"] == "S256"
        assert query["code_challenge"] != journey.challenge  # ours towards the provider, not the client's
        assert {"openid", "email"} <= set(query["scope"].split())
        assert min(len(query[name]) for name in ("state", "nonce", "code_challenge")) >= 43

    async def test_gives_the_browser_a_cookie_that_no_script_reads(self, journey: Journey) -> None:
        answer = await journey.start()
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-fluxprint_away=")
        assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=600"} <= set(cookie.split("; "))

    @pytest.mark.parametrize("return_to", [APP, f"{PUBLIC_URL}/", f"{PUBLIC_URL}/a?b=c"])
    async def test_comes_back_to_allowed_addresses(self, journey: Journey, return_to: str) -> None:
        answer = await journey.start(return_to=return_to, code_challenge=journey.challenge)
        assert answer.status_code == 303

    @pytest.mark.parametrize(
        "return_to",
        [
            "https://evil.example.org/",
            "https://app.example.org.evil.example.org/",
            "https://app.example.org@evil.example.org/",
            "https://app.example.org:444/",
            "https://app.example.org\\@evil.example.org/",
            "http://app.example.org/",
            "//app.example.org/",
            "/signed-in",
            "javascript:alert(1)",
            "https://app.example.org/\r\nSet-Cookie: a=b",
            "https://app.example.org/#fragment",
        ],
    )
    async def test_and_to_no_others(self, journey: Journey, return_to: str) -> None:
        answer = await journey.start(return_to=return_to, code_challenge=journey.challenge)
        assert (answer.status_code, answer.json()["code"]) == (422, "return_address_refused")

    @pytest.mark.parametrize("challenge", ["", "short", "x" * 44, "+" * 43])
    async def test_wants_a_challenge(self, journey: Journey, challenge: str) -> None:
        assert (await journey.start(return_to=APP, code_challenge=challenge)).status_code == 422
        assert (await journey.start(return_to=APP)).status_code == 422

    async def test_says_when_the_provider_is_away(self, database: Database) -> None:
        async with running_auth(database, **settings_for("http://127.0.0.1:1")) as auth:
            answer = await Journey(auth).start()
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")

    async def test_is_limited(self, database: Database, provider: OidcServer) -> None:
        settings = settings_for(provider.url, rate_limits_enabled=True, limit_providers="2/minute")
        async with running_auth(database, **settings) as auth:
            answers = [await Journey(auth).start() for _ in range(3)]
        assert [answer.status_code for answer in answers] == [303, 303, 429]
