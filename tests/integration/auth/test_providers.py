"""Signing in at a real OpenID Connect provider, which these tests start; and what one is there."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from support.at_provider import auth, journey, provider
from support.auth import PASSWORD, Auth, Person, running_auth
from support.factors import finish, set_up
from support.mail import MailFolder, token_in
from support.meddling import DISCOVERY, JWKS, meddled, streamed
from support.providers import APP, PUBLIC_URL, Journey, OidcServer, settings_for
from support.servers import Database

__all__ = ["auth", "journey", "provider"]


@pytest.fixture
async def grace(provider: OidcServer) -> str:
    """Somebody whom only the provider knows; her subject is her address, as the provider's own pages do it."""
    return await known(provider)


async def known(provider: OidcServer, email: object = None, **claims: object) -> str:
    subject = f"subject-{id(claims)}-{asyncio.get_running_loop().time()}"
    claims = {"email": email or f"{subject}@example.org", "email_verified": True, "name": "Grace Hopper"} | claims
    await provider.knows(subject, **claims)
    return subject


async def me(auth: Auth, tokens: dict[str, Any]) -> dict[str, Any]:
    answer = await auth.http.get("/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def verify_email(auth: Auth, person: Person) -> None:
    await auth.fetch("UPDATE auth.user SET email_verified_at = now() WHERE email = $1", person.email)


async def unverify_email(auth: Auth, person: Person) -> None:
    await auth.fetch("UPDATE auth.user SET email_verified_at = NULL WHERE email = $1", person.email)


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


class TestNewPeople:
    async def test_get_an_account_with_an_organisation(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str
    ) -> None:
        answer = await journey.sign_in(provider, grace)
        assert answer.status_code == 200, answer.text
        who = await me(auth, answer.json())
        assert who["user"]["email"] == f"{grace}@example.org"
        assert who["user"]["name"] == "Grace Hopper"
        assert who["organisation"]["name"] == "Grace Hopper"
        assert who["role"] == "owner"

    async def test_are_the_same_person_next_time(self, auth: Auth, provider: OidcServer, grace: str) -> None:
        first, second = [(await Journey(auth).sign_in(provider, grace)).json() for _ in range(2)]
        assert (await me(auth, first))["user"] == (await me(auth, second))["user"]

    async def test_whatever_address_they_have_there_by_then(self, auth: Auth, provider: OidcServer, grace: str) -> None:
        first = (await Journey(auth).sign_in(provider, grace)).json()
        await provider.knows(grace, email="new@example.org", email_verified=True)
        second = (await Journey(auth).sign_in(provider, grace)).json()
        assert (await me(auth, first))["user"] == (await me(auth, second))["user"]

    async def test_of_two_at_once_get_one_account(self, auth: Auth, provider: OidcServer, grace: str) -> None:
        async def ready() -> tuple[Journey, str]:
            journey = Journey(auth)
            address = await provider.sign_in(await journey.set_out(), grace)
            return journey, (await journey.come_back(address))["code"]

        journeys = [await ready() for _ in range(4)]
        answers = await asyncio.gather(*(journey.redeem(code) for journey, code in journeys))
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert 200 in {answer.status_code for answer in answers}
        email = f"{grace}@example.org"
        assert await auth.value('SELECT count(*) FROM auth."user" WHERE email = $1', email) == 1

    async def test_have_no_password_to_guess(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str
    ) -> None:
        await journey.sign_in(provider, grace)
        body = {"email": f"{grace}@example.org", "password": PASSWORD}
        assert (await auth.post("/auth/login", body)).json()["code"] == "invalid_credentials"

    async def test_are_refused_where_registration_is_off(
        self, database: Database, provider: OidcServer, grace: str
    ) -> None:
        settings = settings_for(provider.url, registration_enabled=False)
        async with running_auth(database, **settings) as auth:
            answer = await Journey(auth).sign_in(provider, grace)
        assert (answer.status_code, answer.json()["code"]) == (403, "registration_disabled")

    @pytest.mark.parametrize("claims", [{"email_verified": False}, {"email_verified": None}, {"email": "no address"}])
    async def test_need_a_verified_address(
        self, journey: Journey, provider: OidcServer, claims: dict[str, object]
    ) -> None:
        answer = await journey.sign_in(provider, await known(provider, **claims))
        assert (answer.status_code, answer.json()["code"]) == (403, "provider_email_unverified")

    async def test_may_have_any_name_there(self, auth: Auth, journey: Journey, provider: OidcServer) -> None:
        subject = await known(provider, name="\x00\n" + "n" * 300)
        who = await me(auth, (await journey.sign_in(provider, subject)).json())
        assert who["user"]["name"] == "n" * 100


class TestPeopleWithAnAccount:
    async def test_are_linked_where_both_have_verified_the_address(
        self, auth: Auth, journey: Journey, provider: OidcServer
    ) -> None:
        ada = await auth.register()
        await verify_email(auth, ada)
        tokens = (await journey.sign_in(provider, await known(provider, ada.email.upper()))).json()
        assert (await me(auth, tokens))["user"]["email"] == ada.email
        assert "auth_provider_linked" in await auth.events()

    async def test_are_not_where_we_have_not(self, auth: Auth, journey: Journey, provider: OidcServer) -> None:
        ada = await auth.register()
        await unverify_email(auth, ada)
        answer = await journey.sign_in(provider, await known(provider, ada.email))
        assert (answer.status_code, answer.json()["code"]) == (409, "sign_in_and_link")

    async def test_nor_where_an_outside_issuer_has(self, auth: Auth, journey: Journey, provider: OidcServer) -> None:
        ada = await auth.register()
        await verify_email(auth, ada)
        await auth.fetch(
            "INSERT INTO auth.outside_identity (id, issuer, subject, user_id, newest_issued_at)"
            " SELECT id, 'https://shop.example.org', '42', id, now() FROM auth.user WHERE email = $1",
            ada.email,
        )
        answer = await journey.sign_in(provider, await known(provider, ada.email))
        assert (answer.status_code, answer.json()["code"]) == (409, "sign_in_and_link")

    async def test_nor_where_the_provider_has_not(self, auth: Auth, journey: Journey, provider: OidcServer) -> None:
        ada = await auth.register()
        await verify_email(auth, ada)
        answer = await journey.sign_in(provider, await known(provider, ada.email, email_verified=False))
        assert (answer.status_code, answer.json()["code"]) == (403, "provider_email_unverified")

    async def test_are_asked_for_their_second_factor(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str
    ) -> None:
        person = Person(f"{grace}@example.org", (await journey.sign_in(provider, grace)).json())
        app = await set_up(auth, person)
        problem = (await Journey(auth).sign_in(provider, grace)).json()
        assert problem["code"] == "second_factor_required"
        assert (await finish(auth, problem["challenge"], app.code())).status_code == 200

    async def test_are_refused_when_disabled(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str
    ) -> None:
        await journey.sign_in(provider, grace)
        await auth.fetch("UPDATE auth.user SET disabled_at = now() WHERE email = $1", f"{grace}@example.org")
        answer = await Journey(auth).sign_in(provider, grace)
        assert (answer.status_code, answer.json()["code"]) == (403, "account_disabled")


class TestLinking:
    @pytest.fixture
    async def ada(self, auth: Auth) -> Person:
        return await auth.register()

    async def test_lets_one_sign_in_with_it(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str, ada: Person
    ) -> None:
        answer = await journey.link(provider, grace, ada)
        assert answer.status_code == 201, answer.text
        assert answer.json()["provider"] == "oidc"
        tokens = (await Journey(auth).sign_in(provider, grace)).json()
        assert (await me(auth, tokens))["user"]["email"] == ada.email

    async def test_needs_a_fresh_proof(self, auth: Auth, journey: Journey, ada: Person) -> None:
        await auth.fetch("UPDATE auth.session SET authenticated_at = now() - interval '11 min'")
        ada.tokens = (await auth.refresh(ada.tokens["refresh_token"])).json()
        body = {"return_to": APP, "code_challenge": journey.challenge}
        answer = await auth.post("/auth/providers/oidc/link", body, headers=ada.headers)
        assert answer.json()["code"] == "reauthentication_required"

    async def test_somebody_elses_identity_is_refused(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str, ada: Person
    ) -> None:
        await Journey(auth).sign_in(provider, grace)
        answer = await journey.link(provider, grace, ada)
        assert (answer.status_code, answer.json()["code"]) == (409, "identity_taken")

    async def test_only_who_began_it_can_end_it(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str, ada: Person
    ) -> None:
        """Somebody makes another's browser go the way that they began: nothing is linked to their account."""
        body = {"return_to": APP, "code_challenge": journey.challenge}
        answer = await auth.post("/auth/providers/oidc/link", body, headers=ada.headers)
        ticket = parse_qs(urlsplit(answer.json()["start_url"]).query)["ticket"][0]
        address = await provider.sign_in(await journey.set_out(ticket=ticket), grace)
        code = (await journey.come_back(address))["code"]
        other = await auth.register()
        assert (await journey.confirm_link(code, other)).json()["code"] == "sign_in_code_invalid"
        assert (await journey.confirm_link(code, ada)).json()["code"] == "sign_in_code_invalid"  # it is used up

    async def test_its_code_signs_nobody_in(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str, ada: Person
    ) -> None:
        body = {"return_to": APP, "code_challenge": journey.challenge}
        answer = await auth.post("/auth/providers/oidc/link", body, headers=ada.headers)
        ticket = parse_qs(urlsplit(answer.json()["start_url"]).query)["ticket"][0]
        address = await provider.sign_in(await journey.set_out(ticket=ticket), grace)
        code = (await journey.come_back(address))["code"]
        assert (await journey.redeem(code)).json()["code"] == "sign_in_code_invalid"

    async def test_a_sign_ins_code_links_nothing(
        self, journey: Journey, provider: OidcServer, grace: str, ada: Person
    ) -> None:
        address = await provider.sign_in(await journey.set_out(), grace)
        code = (await journey.come_back(address))["code"]
        assert (await journey.confirm_link(code, ada)).json()["code"] == "sign_in_code_invalid"

    async def test_a_ticket_works_once_and_here_only(self, auth: Auth, journey: Journey, ada: Person) -> None:
        body = {"return_to": APP, "code_challenge": journey.challenge}
        answer = await auth.post("/auth/providers/oidc/link", body, headers=ada.headers)
        ticket = parse_qs(urlsplit(answer.json()["start_url"]).query)["ticket"][0]
        answers = await asyncio.gather(*(Journey(auth).start(ticket=ticket) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [303, 401, 401, 401, 401]


class TestIdentities:
    async def test_are_listed_to_their_person_only(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str
    ) -> None:
        person = Person("", (await journey.sign_in(provider, grace)).json())
        shown = (await auth.http.get("/auth/identities", headers=person.headers)).json()["items"]
        assert [(one["provider"], one["email"]) for one in shown] == [("oidc", f"{grace}@example.org")]
        other = await auth.register()
        assert (await auth.http.get("/auth/identities", headers=other.headers)).json()["items"] == []
        path = f"/auth/identities/{shown[0]['id']}"
        assert (await auth.http.delete(path, headers=other.headers)).status_code == 404

    async def test_the_last_way_in_stays(self, auth: Auth, journey: Journey, provider: OidcServer, grace: str) -> None:
        person = Person("", (await journey.sign_in(provider, grace)).json())
        second = await known(provider)
        await Journey(auth).link(provider, second, person)
        shown = (await auth.http.get("/auth/identities", headers=person.headers)).json()["items"]
        answers = await asyncio.gather(
            *(auth.http.delete(f"/auth/identities/{one['id']}", headers=person.headers) for one in shown)
        )
        assert sorted(answer.status_code for answer in answers) == [204, 409]
        assert (await auth.http.get("/auth/identities", headers=person.headers)).json()["items"] != []

    async def test_with_a_password_all_may_go(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str
    ) -> None:
        ada = await auth.register()
        identity = (await journey.link(provider, grace, ada)).json()
        answer = await auth.http.delete(f"/auth/identities/{identity['id']}", headers=ada.headers)
        assert answer.status_code == 204
        assert "auth_provider_unlinked" in await auth.events()

    async def test_the_providers_tokens_are_kept_encrypted(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str
    ) -> None:
        await journey.sign_in(provider, grace)
        tokens = await auth.value("SELECT tokens FROM auth.identity WHERE subject = $1", grace)
        assert tokens.startswith(b"gAAAA")  # Fernet
        assert b"access_token" not in tokens

    async def test_nothing_is_left_of_the_way(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str
    ) -> None:
        before = await auth.value("SELECT count(*) FROM auth.provider_flow")
        await journey.sign_in(provider, grace)
        assert await auth.value("SELECT count(*) FROM auth.provider_flow") == before


class TestWithMail:
    @pytest.fixture
    async def folder(self, tmp_path: Path) -> MailFolder:
        return MailFolder(tmp_path)

    @pytest.fixture
    async def auth(self, database: Database, provider: OidcServer, folder: MailFolder) -> AsyncIterator[Auth]:
        async with running_auth(database, **settings_for(provider.url, mail_dir=folder.path)) as auth:
            yield auth

    async def test_linking_and_unlinking_is_told(
        self, auth: Auth, provider: OidcServer, grace: str, folder: MailFolder
    ) -> None:
        ada = await auth.register()
        identity = (await Journey(auth).link(provider, grace, ada)).json()
        await auth.http.delete(f"/auth/identities/{identity['id']}", headers=ada.headers)
        await folder.next_to(ada.email, 3)  # the first one asks to verify the address
        subjects = [str(mail["Subject"]) for mail in folder.to(ada.email)]
        assert "Single sign-on was linked to your account" in subjects
        assert "Single sign-on was unlinked from your account" in subjects

    async def test_whoever_registers_anothers_address_keeps_no_way_in(
        self, auth: Auth, provider: OidcServer, grace: str, folder: MailFolder
    ) -> None:
        """They link an identity of their own; then the address's owner resets the password."""
        thief = await auth.register("ada@example.org")
        await unverify_email(auth, thief)
        assert (await Journey(auth).link(provider, grace, thief)).status_code == 201
        before = len(folder.to(thief.email))
        await auth.post("/auth/password-reset", {"email": thief.email})
        token = token_in(await folder.next_to(thief.email, max(3, before + 1)))
        body = {"token": token, "password": "quite another secret"}
        assert (await auth.post("/auth/password-reset/confirm", body)).status_code < 300
        assert await auth.value("SELECT count(*) FROM auth.identity") == 0
        tokens = (await Journey(auth).sign_in(provider, grace)).json()
        assert (await me(auth, tokens))["user"]["email"] != thief.email

    async def test_an_address_that_must_be_verified_is_asked_for_here_too(
        self, auth: Auth, database: Database, provider: OidcServer, grace: str, folder: MailFolder
    ) -> None:
        ada = await auth.register()
        await Journey(auth).link(provider, grace, ada)
        await unverify_email(auth, ada)
        settings = settings_for(provider.url, mail_dir=folder.path, email_verification="required")
        async with running_auth(database, **settings) as strict:
            refused = await Journey(strict).sign_in(provider, grace)
            assert (refused.status_code, refused.json()["code"]) == (403, "email_not_verified")
            await provider.knows(grace, email=ada.email, email_verified=True)  # the provider knows that it is theirs
            assert (await Journey(strict).sign_in(provider, grace)).status_code == 200


class TestManyAtOnce:
    async def test_ask_for_the_keys_once_and_all_get_in(self, auth: Auth, provider: OidcServer) -> None:
        async with meddled(auth, provider.url) as meddler:
            journeys = [Journey(auth) for _ in range(4)]
            addresses = [await provider.sign_in(await one.set_out(), await known(provider)) for one in journeys]
            learnt = await asyncio.gather(
                *(one.come_back(address) for one, address in zip(journeys, addresses, strict=True))
            )
            assert all("code" in one for one in learnt)
            assert meddler.count(JWKS) == meddler.count(DISCOVERY) == 1

    async def test_do_not_wait_for_a_dead_provider_one_after_another(self, auth: Auth, provider: OidcServer) -> None:
        async with meddled(auth, provider.url) as meddler:
            meddler.answers[DISCOVERY] = lambda: streamed(500)
            answers = await asyncio.gather(*(Journey(auth).start() for _ in range(4)))
            assert {answer.status_code for answer in answers} == {503}
            assert meddler.count(DISCOVERY) == 1
