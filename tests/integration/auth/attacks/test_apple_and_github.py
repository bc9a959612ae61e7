"""What is peculiar about Apple and GitHub."""

import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from fluxprint_auth.providers.github import GithubApp, GithubProvider
from fluxprint_auth.providers.oidc import apple_secret
from support.auth import Auth
from support.meddling import (
    CLIENT_ID,
    DISCOVERY,
    TOKEN,
    Meddler,
    meddled,
    streamed,
)
from support.providers import PUBLIC_URL, Journey, OidcServer, last_reason, somebody

APPLE_KEY = ECKey.generate_key("P-256")


class TestApple:
    """Its answer is a form that its page posts, its client secret a token that we sign, the name comes unsigned."""

    @pytest.fixture
    async def apple(self, auth: Auth, provider: OidcServer) -> AsyncIterator[Meddler]:
        secret = apple_secret(
            client_id=CLIENT_ID, team_id="TEAM", key_id="KEY", key=APPLE_KEY.as_pem(private=True).decode()
        )
        names = ("apple",)
        async with meddled(auth, provider.url, names=names, posts_back=True, secret=secret) as meddler:
            meddler.changes[DISCOVERY] = lambda body: (
                body | {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
            )
            yield meddler

    @pytest.fixture
    def journey(self, auth: Auth) -> Journey:
        return Journey(auth, "apple")

    async def post_back(self, journey: Journey, address: str, **more: str) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()} | more
        cookie = "; ".join(f"{name}={value}" for name, value in journey.cookies.items())
        return await journey.auth.http.post(
            "/auth/providers/apple/callback", data=form, headers={"Cookie": cookie, "Origin": "https://apple.example"}
        )

    async def test_signs_in(self, auth: Auth, journey: Journey, provider: OidcServer, apple: Meddler) -> None:
        subject = somebody()
        await provider.knows(subject, email=f"{subject}@example.org", email_verified="true")
        start = await journey.start()
        assert "response_mode=form_post" in start.headers["Location"]
        assert {"SameSite=none", "Secure"} <= set(start.headers["Set-Cookie"].split("; "))
        address = await provider.sign_in(start.headers["Location"], subject)
        user = '{"name": {"firstName": "Grace", "lastName": "Hopper"}, "email": "evil@example.org"}'
        answer = await self.post_back(journey, address, user=user)
        assert answer.status_code == 303
        code = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
        tokens = (await journey.redeem(code)).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        who = (await auth.http.get("/auth/me", headers=headers)).json()["user"]
        assert (who["name"], who["email"]) == ("Grace Hopper", f"{subject}@example.org")

    async def test_is_shown_a_secret_that_we_sign(self, journey: Journey, provider: OidcServer, apple: Meddler) -> None:
        address = await provider.sign_in(await journey.set_out(), somebody())
        await self.post_back(journey, address)
        request, form = apple.sent(TOKEN)
        assert "Authorization" not in request.headers
        token = jwt.decode(form["client_secret"], APPLE_KEY, algorithms=["ES256"])
        assert token.header["kid"] == "KEY"
        claims = token.claims
        assert (claims["iss"], claims["sub"], claims["aud"]) == ("TEAM", CLIENT_ID, "https://appleid.apple.com")
        assert 0 < claims["exp"] - time.time() <= 300

    async def test_does_not_answer_by_address(
        self, auth: Auth, journey: Journey, provider: OidcServer, apple: Meddler
    ) -> None:
        address = await provider.sign_in(await journey.set_out(), somebody())
        assert (await journey.arrive(address)).json()["code"] == "sign_in_state_invalid"

    @pytest.mark.parametrize("user", ["{", "[]", '{"name": 5}', '{"name": {"firstName": 5}}', "[" * 5000])
    async def test_whatever_it_says_of_the_name(
        self, journey: Journey, provider: OidcServer, apple: Meddler, user: str
    ) -> None:
        address = await provider.sign_in(await journey.set_out(), somebody())
        answer = await self.post_back(journey, address, user=user)
        assert "code=" in answer.headers["Location"]

    async def test_no_other_provider_takes_a_form(self, auth: Auth, provider: OidcServer, meddler: Meddler) -> None:
        answer = await auth.http.post("/auth/providers/oidc/callback", data={"state": "x", "code": "y"})
        assert (answer.status_code, answer.json()["code"]) == (401, "sign_in_state_invalid")


class TestGithub:
    """Without ID tokens: what its API says counts."""

    USER: ClassVar[dict[str, Any]] = {"id": 583231, "login": "octocat", "name": None}

    @pytest.fixture
    def answers(self) -> dict[str, Any]:
        email = f"{somebody()}@example.org"
        return {
            "/login/oauth/access_token": {"access_token": "gho_x", "token_type": "bearer", "scope": "user:email"},
            "/user": {**self.USER, "id": secrets.randbelow(2**31)},
            "/user/emails": [
                {"email": "old@example.org", "primary": False, "verified": True},
                {"email": email, "primary": True, "verified": True},
            ],
        }

    @pytest.fixture
    async def asked(self, auth: Auth, answers: dict[str, Any]) -> AsyncIterator[list[httpx.Request]]:
        requests: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            requests.append(request)
            return streamed(200, json.dumps(answers[request.url.path]).encode())

        app = GithubApp(
            client_id="ours", client_secret="theirs", url="https://github.test", api_url="https://github.test"
        )
        before = auth.app.state.providers
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            auth.app.state.providers = {"github": GithubProvider(app, http)}
            yield requests
        auth.app.state.providers = before

    @pytest.fixture
    def journey(self, auth: Auth) -> Journey:
        return Journey(auth, "github")

    async def come_back(self, journey: Journey) -> dict[str, str]:
        state = parse_qs(urlsplit(await journey.set_out()).query)["state"][0]
        return await journey.come_back(f"{PUBLIC_URL}/api/v1/auth/providers/github/callback?code=theirs&state={state}")

    async def test_signs_in_with_the_verified_primary_address(
        self, auth: Auth, journey: Journey, asked: list[httpx.Request], answers: dict[str, Any]
    ) -> None:
        tokens = (await journey.redeem((await self.come_back(journey))["code"])).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        who = (await auth.http.get("/auth/me", headers=headers)).json()["user"]
        assert (who["email"], who["name"]) == (answers["/user/emails"][1]["email"], "octocat")
        form = parse_qs(asked[0].content.decode())
        assert {"client_id", "client_secret", "code", "redirect_uri", "code_verifier"} <= set(form)
        assert [request.headers.get("Authorization") for request in asked] == [None, "Bearer gho_x", "Bearer gho_x"]

    @pytest.mark.parametrize(
        "emails",
        [
            [],
            [{"email": "a@example.org", "primary": True, "verified": False}],
            [{"email": "a@example.org", "primary": False, "verified": True}],
            {"message": "Not Found"},
            [None, 5],
        ],
    )
    async def test_without_one_it_vouches_for_nobody(
        self, journey: Journey, asked: list[httpx.Request], answers: dict[str, Any], emails: object
    ) -> None:
        answers["/user/emails"] = emails
        answer = await journey.redeem((await self.come_back(journey))["code"])
        assert answer.json()["code"] == "provider_email_unverified"

    async def test_its_errors_come_with_200(
        self, auth: Auth, journey: Journey, asked: list[httpx.Request], answers: dict[str, Any]
    ) -> None:
        answers["/login/oauth/access_token"] = {"error": "bad_verification_code"}
        assert await self.come_back(journey) == {"error": "provider_failed"}
        assert await last_reason(auth) == "no_access_token"

    @pytest.mark.parametrize("number", [None, "583231", True])
    async def test_somebody_without_a_number_is_nobody(
        self, auth: Auth, journey: Journey, asked: list[httpx.Request], answers: dict[str, Any], number: object
    ) -> None:
        answers["/user"] = {**self.USER, "id": number}
        assert await self.come_back(journey) == {"error": "provider_failed"}
        assert await last_reason(auth) == "no_subject"

    async def test_a_login_that_went_to_another_is_another(
        self, auth: Auth, journey: Journey, asked: list[httpx.Request], answers: dict[str, Any]
    ) -> None:
        await journey.redeem((await self.come_back(journey))["code"])
        answers["/user"] = {**self.USER, "id": secrets.randbelow(2**31)}
        answers["/user/emails"] = [{"email": f"{somebody()}@example.org", "primary": True, "verified": True}]
        tokens = (await journey.redeem((await self.come_back(journey))["code"])).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        who = (await auth.http.get("/auth/me", headers=headers)).json()["user"]
        assert who["email"] == answers["/user/emails"][0]["email"]
