"""Signing in at a real OpenID Connect provider: who gets an account, who gets into theirs, and who is refused."""

import asyncio

import pytest

from support.at_provider import me, unverify_email
from support.auth import PASSWORD, Auth, Person, running_auth
from support.factors import finish, set_up
from support.meddling import DISCOVERY, JWKS, meddled, streamed
from support.providers import Journey, OidcServer, known, settings_for
from support.servers import Database


async def verify_email(auth: Auth, person: Person) -> None:
    await auth.fetch("UPDATE auth.user SET email_verified_at = now() WHERE email = $1", person.email)


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
