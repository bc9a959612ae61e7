"""Linking an identity at a provider to an account, and unlinking it; what is kept of it, and who is told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.at_provider import me, unverify_email
from support.auth import Auth, Person, running_auth
from support.mail import MailFolder, token_in
from support.providers import APP, Journey, OidcServer, known, settings_for
from support.servers import Database


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
        code = await journey.link_code(provider, grace, ada)
        other = await auth.register()
        assert (await journey.confirm_link(code, other)).json()["code"] == "sign_in_code_invalid"
        assert (await journey.confirm_link(code, ada)).json()["code"] == "sign_in_code_invalid"  # it is used up

    async def test_its_code_signs_nobody_in(
        self, auth: Auth, journey: Journey, provider: OidcServer, grace: str, ada: Person
    ) -> None:
        code = await journey.link_code(provider, grace, ada)
        assert (await journey.redeem(code)).json()["code"] == "sign_in_code_invalid"

    async def test_a_sign_ins_code_links_nothing(
        self, journey: Journey, provider: OidcServer, grace: str, ada: Person
    ) -> None:
        address = await provider.sign_in(await journey.set_out(), grace)
        code = (await journey.come_back(address))["code"]
        assert (await journey.confirm_link(code, ada)).json()["code"] == "sign_in_code_invalid"

    async def test_a_ticket_works_once_and_here_only(self, auth: Auth, journey: Journey, ada: Person) -> None:
        ticket = await journey.link_ticket(ada)
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
