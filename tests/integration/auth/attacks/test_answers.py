"""Replayed, mixed-up and broken answers of a provider: each is refused, and the audit says why."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from fluxprint_auth.providers import http as provider_http
from support.auth import Auth
from support.meddling import (
    DISCOVERY,
    TOKEN,
    Meddler,
    meddled,
    streamed,
)
from support.providers import (
    PUBLIC_URL,
    Journey,
    OidcServer,
    last_reason,
    outcome,
    somebody,
)


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
