"""Forged, replayed and mixed-up answers of a provider: each is refused, and the audit says why."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from fluxprint_auth.providers import http as provider_http
from fluxprint_auth.providers.github import GithubApp, GithubProvider
from fluxprint_auth.providers.oidc import apple_secret
from fluxprint_local.postgres import Cluster
from support.auth import Auth, running_auth
from support.databases import new_database
from support.meddling import (
    CLIENT_ID,
    CLIENT_SECRET,
    DISCOVERY,
    TOKEN,
    Forger,
    Meddler,
    by_hand,
    meddled,
    signed,
    streamed,
    with_secret,
)
from support.providers import PUBLIC_URL, Journey, OidcServer, running_provider, settings_for


@pytest.fixture(scope="module")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OidcServer]:
    async with running_provider(Path(tmp_path_factory.mktemp("provider"))) as provider:
        yield provider


@pytest.fixture(scope="module")
async def auth(migrated_cluster: Cluster, provider: OidcServer) -> AsyncIterator[Auth]:
    async with new_database(migrated_cluster) as database, running_auth(database, **settings_for(provider.url)) as auth:
        yield auth


@pytest.fixture
async def meddler(auth: Auth, provider: OidcServer) -> AsyncIterator[Meddler]:
    async with meddled(auth, provider.url) as meddler:
        yield meddler


@pytest.fixture
def forger(provider: OidcServer, meddler: Meddler) -> Forger:
    forger = Forger(provider.url)
    forger.publish(meddler)
    forger.replace(meddler)
    return forger


@pytest.fixture
def journey(auth: Auth) -> Journey:
    return Journey(auth)


def somebody() -> str:
    return f"s{secrets.token_hex(6)}"


async def outcome(auth: Auth, journey: Journey, provider: OidcServer) -> tuple[str, str]:
    """What the page learns, and what the audit knows."""
    address = await provider.sign_in(await journey.set_out(), somebody())
    learnt = await journey.come_back(address)
    if "code" in learnt:
        return "code", ""
    return learnt["error"], await last_reason(auth)


async def last_reason(auth: Auth) -> str:
    row = (await auth.fetch("SELECT * FROM auth.security_events ORDER BY id DESC LIMIT 1"))[0]
    assert (row["type"], row["outcome"]) == ("auth_provider_sign_in_failed", "failure")
    return str(row["reason"])


#: Seconds from when a test runs, which may be long after it was read.
TIMES = ("exp", "iat", "nbf")
APPLE_KEY = ECKey.generate_key("P-256")


class TestForgedTokens:
    async def test_a_right_one_is_believed(
        self, auth: Auth, journey: Journey, provider: OidcServer, forger: Forger
    ) -> None:
        """So that the others are refused for what is wrong with them."""
        assert await outcome(auth, journey, provider) == ("code", "")

    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            ({"iss": ...}, "id_token_issuer"),
            ({"iss": "https://evil.example.org"}, "id_token_issuer"),
            ({"aud": ...}, "id_token_audience"),
            ({"aud": "another client"}, "id_token_audience"),
            ({"aud": [CLIENT_ID, "another"]}, "id_token_authorised_party"),
            ({"aud": ["another"], "azp": CLIENT_ID}, "id_token_audience"),
            ({"azp": "another"}, "id_token_authorised_party"),
            ({"sub": ...}, "id_token_subject"),
            ({"sub": ""}, "id_token_subject"),
            ({"sub": 5}, "id_token_subject"),
            ({"sub": "x" * 256}, "id_token_subject"),
            ({"exp": ...}, "id_token_times"),
            ({"exp": "9999999999"}, "id_token_times"),
            ({"exp": True}, "id_token_times"),
            ({"exp": -120}, "id_token_expired"),
            ({"iat": ...}, "id_token_times"),
            ({"iat": 600}, "id_token_not_of_now"),
            ({"iat": -3600}, "id_token_not_of_now"),
            ({"nbf": 600}, "id_token_not_of_now"),
            ({"nonce": ...}, "id_token_nonce"),
            ({"nonce": ""}, "id_token_nonce"),
            ({"nonce": "x" * 43}, "id_token_nonce"),
            ({"at_hash": "x" * 22}, "id_token_access_token"),
        ],
    )
    async def test_every_claim_counts(
        self,
        auth: Auth,
        journey: Journey,
        provider: OidcServer,
        forger: Forger,
        claims: dict[str, Any],
        reason: str,
    ) -> None:
        now = int(time.time())
        forger.claims = {
            name: now + value if name in TIMES and type(value) is int else value for name, value in claims.items()
        }
        assert await outcome(auth, journey, provider) == ("provider_failed", reason)

    @pytest.mark.parametrize("claims", [{"aud": [CLIENT_ID]}, {"aud": [CLIENT_ID, "b"], "azp": CLIENT_ID}])
    async def test_several_audiences_are_right_where_we_are_the_party(
        self, auth: Auth, journey: Journey, provider: OidcServer, forger: Forger, claims: dict[str, Any]
    ) -> None:
        forger.claims = claims
        assert await outcome(auth, journey, provider) == ("code", "")

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (lambda claims: by_hand(claims, {"alg": "none", "kid": "published"}), "id_token_algorithm"),
            (lambda claims: by_hand(claims, {"alg": "RS256", "kid": "published"}), "id_token_signature"),
            (lambda claims: by_hand(claims, {"alg": "RS256", "kid": "published"}, "AAAA"), "id_token_signature"),
            (lambda claims: by_hand(claims, {"kid": "published"}, "AAAA"), "id_token_malformed"),
            (lambda _: "a.b", "id_token_malformed"),
            (lambda _: "a.b.c.d.e", "id_token_malformed"),
            (lambda _: "", "id_token_malformed"),
            (lambda _: "x" * 20_000, "id_token_too_long"),
        ],
    )
    async def test_no_signature_is_no_token(
        self,
        auth: Auth,
        journey: Journey,
        provider: OidcServer,
        meddler: Meddler,
        forger: Forger,
        make: Callable[[dict[str, Any]], str],
        reason: str,
    ) -> None:
        forger.replace(meddler, make)
        learnt, why = await outcome(auth, journey, provider)
        assert learnt == "provider_failed"
        assert why in {reason, "id_token_malformed"}

    async def test_another_key_of_the_same_id(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler, forger: Forger
    ) -> None:
        other = RSAKey.generate_key(2048)
        forger.replace(meddler, lambda claims: signed(claims, other, {"alg": "RS256", "kid": "published"}))
        assert await outcome(auth, journey, provider) == ("provider_failed", "id_token_signature")

    async def test_a_key_that_the_token_brings_along(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler, forger: Forger
    ) -> None:
        other = RSAKey.generate_key(2048)
        header = {"alg": "RS256", "kid": "published", "jwk": other.as_dict(private=False)}
        forger.replace(meddler, lambda claims: signed(claims, other, header))
        learnt, reason = await outcome(auth, journey, provider)
        assert learnt == "provider_failed"
        assert reason in {"id_token_malformed", "id_token_signature"}

    @pytest.mark.parametrize("secret", ["public key", "client secret"])
    async def test_a_shared_secret_is_no_key(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler, forger: Forger, secret: str
    ) -> None:
        """What everybody knows of the key, or what we know ourselves, as the key of an HMAC."""
        text = forger.key.as_pem(private=False) if secret == "public key" else CLIENT_SECRET.encode()
        header = {"alg": "HS256", "kid": "published"}
        forger.replace(meddler, lambda claims: with_secret(claims, header, text))
        assert await outcome(auth, journey, provider) == ("provider_failed", "id_token_algorithm")

    @pytest.mark.parametrize("algorithm", ["RS512", "PS256"])
    async def test_another_algorithm_of_the_right_key(
        self, auth: Auth, journey: Journey, provider: OidcServer, forger: Forger, algorithm: str
    ) -> None:
        forger.header = {"alg": algorithm}
        assert await outcome(auth, journey, provider) == ("provider_failed", "id_token_algorithm")

    async def test_a_header_that_must_be_understood(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler, forger: Forger
    ) -> None:
        header = {"alg": "RS256", "kid": "published", "crit": ["exp"], "exp": 1}
        forger.replace(meddler, lambda claims: by_hand(claims, header, "AAAA"))
        learnt, _ = await outcome(auth, journey, provider)
        assert learnt == "provider_failed"

    async def test_a_key_that_nobody_published(
        self, auth: Auth, journey: Journey, provider: OidcServer, forger: Forger
    ) -> None:
        forger.header = {"kid": "another"}
        assert await outcome(auth, journey, provider) == ("provider_failed", "unknown_key")

    async def test_published_keys_that_are_none(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler, forger: Forger
    ) -> None:
        """A short one, a secret one, one for encryption, one that should be private."""
        short = {"kty": "RSA", "kid": "short", "e": "AQAB", "n": "u" * 171}  # 1024 bits
        shared = {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}
        private = RSAKey.generate_key(2048).as_dict(private=True) | {"kid": "private"}
        encrypting = RSAKey.generate_key(2048).as_dict(private=False) | {"kid": "encrypting", "use": "enc"}
        forger.publish(meddler, short, shared, private, encrypting)
        for kid in ("short", "shared", "private", "encrypting"):
            forger.header = {"kid": kid}
            assert await outcome(auth, Journey(auth), provider) == ("provider_failed", "unknown_key")
        forger.header = {}
        assert await outcome(auth, Journey(auth), provider) == ("code", "")

    async def test_an_elliptic_key_is_as_good(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler, forger: Forger
    ) -> None:
        key = ECKey.generate_key("P-256")
        forger.publish(meddler, key.as_dict(private=False) | {"kid": "ec"})
        forger.replace(meddler, lambda claims: signed(claims, key, {"alg": "ES256", "kid": "ec"}))
        assert await outcome(auth, journey, provider) == ("code", "")


class TestReplayedAnswers:
    async def test_an_answer_is_taken_once(self, journey: Journey, provider: OidcServer) -> None:
        address = await provider.sign_in(await journey.set_out(), somebody())
        answers = await asyncio.gather(*(journey.arrive(address) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [303, 401, 401, 401, 401]
        assert (await journey.arrive(address)).json()["code"] == "sign_in_state_invalid"

    async def test_nor_in_another_browser(self, auth: Auth, journey: Journey, provider: OidcServer) -> None:
        """Somebody signs in to their own account in another's browser."""
        address = await provider.sign_in(await journey.set_out(), somebody())
        victim = Journey(auth)
        assert (await victim.arrive(address)).json()["code"] == "sign_in_state_invalid"
        await victim.set_out()  # now it has a cookie, of its own
        assert (await victim.arrive(address)).json()["code"] == "sign_in_state_invalid"
        assert await last_reason(auth) == "state"
        assert "code" in await journey.come_back(address)  # whoever set out comes back all the same

    @pytest.mark.parametrize("state", ["", "x" * 43, "x" * 5000])
    async def test_nor_with_a_made_up_state(self, journey: Journey, state: str) -> None:
        await journey.set_out()
        answer = await journey.arrive(f"{PUBLIC_URL}/api/v1/auth/providers/oidc/callback?code=x&state={state}")
        assert (answer.status_code, answer.json()["code"]) == (401, "sign_in_state_invalid")

    async def test_nor_late(self, auth: Auth, journey: Journey, provider: OidcServer) -> None:
        address = await provider.sign_in(await journey.set_out(), somebody())
        await auth.fetch("UPDATE auth.provider_flow SET expires_at = expires_at - interval '10 min'")
        assert (await journey.arrive(address)).json()["code"] == "sign_in_state_invalid"

    async def test_a_stolen_code_is_of_another_sign_in(
        self, auth: Auth, journey: Journey, provider: OidcServer
    ) -> None:
        """The victim's code of the provider, in the thief's own sign-in: its ID token was made for another nonce."""
        stolen = parse_qs(urlsplit(await provider.sign_in(await journey.set_out(), somebody())).query)["code"][0]
        thief = Journey(auth)
        state = parse_qs(urlsplit(await provider.sign_in(await thief.set_out(), somebody())).query)["state"][0]
        address = f"{PUBLIC_URL}/api/v1/auth/providers/oidc/callback?code={stolen}&state={state}"
        assert await thief.come_back(address) == {"error": "provider_failed"}
        assert await last_reason(auth) == "id_token_nonce"

    async def test_the_provider_learns_who_redeems(
        self, journey: Journey, provider: OidcServer, meddler: Meddler
    ) -> None:
        await journey.come_back(await provider.sign_in(await journey.set_out(), somebody()))
        request, form = meddler.sent(TOKEN)
        assert len(form["code_verifier"]) >= 43
        assert form["redirect_uri"] == f"{PUBLIC_URL}/api/v1/auth/providers/oidc/callback"
        assert request.headers["Authorization"].startswith("Basic ")


class TestOurCode:
    async def code(self, journey: Journey, provider: OidcServer) -> str:
        subject = somebody()
        await provider.knows(subject, email=f"{subject}@example.org", email_verified=True)
        address = await provider.sign_in(await journey.set_out(), subject)
        return (await journey.come_back(address))["code"]

    async def test_is_good_once(self, journey: Journey, provider: OidcServer) -> None:
        code = await self.code(journey, provider)
        answers = await asyncio.gather(*(journey.redeem(code) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]

    async def test_only_with_its_verifier_and_no_second_try(self, journey: Journey, provider: OidcServer) -> None:
        code = await self.code(journey, provider)
        assert (await journey.redeem(code, code_verifier="x" * 43)).json()["code"] == "sign_in_code_invalid"
        assert (await journey.redeem(code)).json()["code"] == "sign_in_code_invalid"

    async def test_for_a_minute(self, auth: Auth, journey: Journey, provider: OidcServer) -> None:
        code = await self.code(journey, provider)
        await auth.fetch("UPDATE auth.provider_flow SET expires_at = expires_at - interval '1 min'")
        assert (await journey.redeem(code)).json()["code"] == "sign_in_code_invalid"

    async def test_neither_state_nor_ticket_is_one(self, journey: Journey, provider: OidcServer) -> None:
        state = parse_qs(urlsplit(await journey.set_out()).query)["state"][0]
        assert (await journey.redeem(state)).json()["code"] == "sign_in_code_invalid"


class TestMixedUpProviders:
    async def test_one_providers_answer_at_anothers_address(self, auth: Auth, provider: OidcServer) -> None:
        async with meddled(auth, provider.url, names=("oidc", "other")):
            journey = Journey(auth)
            address = await provider.sign_in(await journey.set_out(), somebody())
            elsewhere = address.replace("/providers/oidc/", "/providers/other/")
            assert (await journey.arrive(elsewhere)).json()["code"] == "sign_in_state_invalid"

    async def test_an_answer_in_the_name_of_another(self, auth: Auth, journey: Journey, provider: OidcServer) -> None:
        address = await provider.sign_in(await journey.set_out(), somebody())
        assert await journey.come_back(f"{address}&iss=https://evil.example.org") == {"error": "provider_failed"}
        assert await last_reason(auth) == "mixed_up_issuer"

    async def test_a_provider_that_names_itself_always_does(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler
    ) -> None:
        meddler.changes[DISCOVERY] = lambda body: body | {"authorization_response_iss_parameter_supported": True}
        address = await provider.sign_in(await journey.set_out(), somebody())
        assert await journey.come_back(address) == {"error": "provider_failed"}
        second = await provider.sign_in(await journey.set_out(), somebody())
        assert "code" in await journey.come_back(f"{second}&iss={provider.url}")

    @pytest.mark.parametrize(
        "change",
        [
            {"issuer": "https://evil.example.org"},
            {"token_endpoint": "file:///etc/passwd"},
            {"jwks_uri": None},
            {"authorization_endpoint": ["https://evil.example.org"]},
        ],
    )
    async def test_a_discovery_document_that_is_not_its_own(
        self, journey: Journey, meddler: Meddler, change: dict[str, object]
    ) -> None:
        meddler.changes[DISCOVERY] = lambda body: body | change
        assert (await journey.start()).status_code == 503


class TestBadAnswers:
    async def test_a_refusal_there_is_told(self, auth: Auth, journey: Journey) -> None:
        state = parse_qs(urlsplit(await journey.set_out()).query)["state"][0]
        address = f"{PUBLIC_URL}/api/v1/auth/providers/oidc/callback?error=access_denied&state={state}"
        assert await journey.come_back(address) == {"error": "access_denied"}
        assert await last_reason(auth) == "refused_there"

    @pytest.mark.parametrize(
        ("answer", "error", "reason"),
        [
            (streamed(500), "provider_unavailable", "status_500"),
            (streamed(400, b'{"error": "invalid_grant"}'), "provider_failed", "status_400"),
            (streamed(302, Location="http://127.0.0.1/"), "provider_failed", "status_302"),
            (streamed(200, b"<html>"), "provider_failed", "no_json"),
            (streamed(200, b"[" * 100_000), "provider_failed", "no_json"),
            (streamed(200, b'["id_token"]'), "provider_failed", "no_object"),
            (streamed(200, b'{"access_token": "x"}'), "provider_failed", "no_id_token"),
            (streamed(200, b'{"id_token": 5}'), "provider_failed", "no_id_token"),
            (streamed(200, b" " * 300_000), "provider_failed", "answer_too_long"),
            (streamed(200, b"x", Content_Encoding="br"), "provider_failed", "compressed_answer"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_are_refused(
        self,
        auth: Auth,
        journey: Journey,
        provider: OidcServer,
        meddler: Meddler,
        answer: httpx.Response,
        error: str,
        reason: str,
    ) -> None:
        meddler.answers[TOKEN] = lambda: answer
        assert await outcome(auth, journey, provider) == (error, reason)

    async def test_a_provider_that_does_not_answer_is_not_waited_for(
        self,
        auth: Auth,
        journey: Journey,
        provider: OidcServer,
        meddler: Meddler,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        class Silent(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                await asyncio.Event().wait()
                yield b""

        monkeypatch.setattr(provider_http, "TIMEOUT_S", 0.2)
        address = await provider.sign_in(await journey.set_out(), somebody())
        meddler.answers[TOKEN] = lambda: httpx.Response(200, stream=Silent())
        assert await journey.come_back(address) == {"error": "provider_unavailable"}
        assert await last_reason(auth) == "no_answer"


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
